//! Calls a service for many jobs at once, and finds those of them that it refuses.

use std::iter::repeat_n;
use std::time::Duration;

use inbox::jobs::{Job, Outcome};
use tokio::time::Instant;
use tonic::{Code, Status, async_trait};

use crate::workers::later;

/// How long to look for the jobs at fault. The last call then has its deadline, within what a worker may take.
const SEARCH: Duration = Duration::from_secs(12);

/// A call for any number of jobs.
#[async_trait]
pub(crate) trait Batch: Send + Sync {
    /// Calls for `jobs`, at least one. A repeat is none to the callee.
    async fn call(&self, jobs: &[Job]) -> Result<(), Status>;
}

/// Calls `callee` once for all of `jobs`, and in halves where it refuses that, until those at fault are alone: they fail or
/// wait, and the others are done. A callee that is away is not called any further.
pub(crate) async fn call_in_parts(callee: &str, batch: &impl Batch, jobs: &[Job]) -> Vec<Outcome> {
    let begun = Instant::now();
    let mut outcomes = Vec::with_capacity(jobs.len());
    let mut parts = vec![jobs];
    let mut given_up: Option<Outcome> = None;
    while let Some(part) = parts.pop() {
        if given_up.is_none() && begun.elapsed() >= SEARCH {
            given_up = Some(Outcome::Retry(format!(
                "{callee} refuses others of the same batch"
            )));
        }
        let outcome = match &given_up {
            Some(outcome) => outcome.clone(),
            None => match batch.call(part).await {
                Ok(()) => Outcome::Done,
                Err(status) if is_away(&status) => given_up.insert(later(callee, &status)).clone(),
                Err(_) if part.len() > 1 => {
                    // The earlier half is on top, so outcomes keep the order of the jobs.
                    let (earlier, rest) = part.split_at(part.len() / 2);
                    parts.extend([rest, earlier]);
                    continue;
                }
                Err(status) if status.code() == Code::InvalidArgument => {
                    Outcome::Failed(format!("{callee}: {}", status.message()))
                }
                Err(status) => later(callee, &status),
            },
        };
        outcomes.extend(repeat_n(outcome, part.len()));
    }
    outcomes
}

/// Whether the answer would be the same for other jobs.
fn is_away(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    /// Refuses some keys, and notes how many it is called for.
    struct Callee {
        refused: Vec<(&'static str, Code)>,
        calls: Mutex<Vec<usize>>,
    }

    impl Callee {
        fn new<const N: usize>(refused: [(&'static str, Code); N]) -> Self {
            Self {
                refused: refused.into(),
                calls: Mutex::default(),
            }
        }

        fn calls(&self) -> Vec<usize> {
            self.calls.lock().unwrap().clone()
        }
    }

    #[async_trait]
    impl Batch for Callee {
        async fn call(&self, jobs: &[Job]) -> Result<(), Status> {
            self.calls.lock().unwrap().push(jobs.len());
            let refused = self
                .refused
                .iter()
                .find(|(key, _)| jobs.iter().any(|job| job.key == *key));
            match refused {
                Some((_, code)) => Err(Status::new(*code, "no")),
                None => Ok(()),
            }
        }
    }

    fn jobs(number: usize) -> Vec<Job> {
        (0..number)
            .map(|id| Job {
                id: id as i64,
                key: format!("k{id}"),
                event_id: Uuid::nil(),
                payload: Vec::new(),
                traceparent: None,
                created_at: OffsetDateTime::UNIX_EPOCH,
            })
            .collect()
    }

    #[tokio::test]
    async fn what_nobody_refuses_is_one_call() {
        let callee = Callee::new([]);
        let outcomes = call_in_parts("user", &callee, &jobs(500)).await;
        assert_eq!(outcomes, vec![Outcome::Done; 500]);
        assert_eq!(callee.calls(), [500]);
    }

    #[tokio::test]
    async fn jobs_at_fault_hold_up_no_other() {
        let refused = [("k3", Code::InvalidArgument), ("k400", Code::Internal)];
        let callee = Callee::new(refused);
        let mut outcomes = call_in_parts("user", &callee, &jobs(500)).await;
        assert_eq!(outcomes.len(), 500);
        assert_eq!(
            outcomes.remove(400),
            Outcome::Retry("user: Internal: no".into())
        );
        assert_eq!(outcomes.remove(3), Outcome::Failed("user: no".into()));
        assert_eq!(outcomes, vec![Outcome::Done; 498]);
        assert!(callee.calls().len() < 40, "{:?}", callee.calls());
    }

    #[tokio::test]
    async fn a_callee_that_is_away_is_called_no_further() {
        let refused = [("k3", Code::InvalidArgument), ("k7", Code::Unavailable)];
        let callee = Callee::new(refused);
        let outcomes = call_in_parts("user", &callee, &jobs(8)).await;
        // All, 0 to 3, 0 and 1, 2 and 3, 2, 3, 4 to 7.
        assert_eq!(callee.calls(), [8, 4, 2, 2, 1, 1, 4]);
        let away = Outcome::Retry("user: Unavailable: no".into());
        let mut expected = vec![Outcome::Done; 3];
        expected.push(Outcome::Failed("user: no".into()));
        expected.extend(repeat_n(away, 4));
        assert_eq!(outcomes, expected);
    }
}
