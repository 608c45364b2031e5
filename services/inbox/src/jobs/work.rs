//! The loop that does the jobs of one target.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{Job, Outcome, Worker, back_off};
use crate::metrics;
use crate::store;
use crate::store::jobs::{Claimed, PutOff};

/// A target that has had nothing to do for a while is looked at this many times more rarely: new jobs of this process are
/// announced, and what is looked for has waited for a back-off or for another replica's lease already.
const IDLE: u32 = 4;
/// How long what is in hand may take when all stops.
const GRACE: Duration = Duration::from_secs(8);

/// How jobs are worked.
#[derive(Debug, Clone)]
pub(crate) struct JobConfig {
    /// How soon to look again for jobs that nobody announces: those whose back-off ends, and those that another replica left.
    /// The wait doubles while there are none, up to [`IDLE`] times this.
    pub(crate) poll: Duration,
    /// How long a claim holds, by the database's time, if it is not renewed.
    pub(crate) lease: Duration,
    /// Shortest and longest back-off of a job or target that is put off.
    pub(crate) back_off: (Duration, Duration),
    /// Delays between the tries of a job that fails; after the last one it is dead.
    pub(crate) tiers: Vec<Duration>,
}

/// Where the jobs of one target are done.
pub(crate) struct Desk {
    pub(crate) pool: PgPool,
    pub(crate) worker: Arc<dyn Worker>,
    pub(crate) config: JobConfig,
    /// Changes when jobs of this target have been committed in this process.
    pub(crate) wake: watch::Receiver<()>,
}

impl Desk {
    /// Works until `stop`. What is in hand then has a while to be finished; what is not is done again after its lease.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        // Batches in a row that came to nothing, with more to do behind them.
        let mut failures = 0;
        let mut told = false;
        let mut poll = self.config.poll;
        loop {
            // Before looking, so that what is announced meanwhile is looked for again.
            self.wake.borrow_and_update();
            let worked = {
                let mut work = pin!(self.work_once());
                tokio::select! {
                    worked = &mut work => worked,
                    () = stop.cancelled() => {
                        let _ = timeout(GRACE, work).await;
                        return;
                    }
                }
            };
            let pause = match worked {
                Ok(done @ (Worked::Nothing | Worked::All)) => {
                    failures = 0;
                    if matches!(done, Worked::All) {
                        told = false;
                        poll = self.config.poll;
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        Ok(()) = self.wake.changed() => {}
                        () = sleep(poll) => {}
                    }
                    poll = (poll * 2).min(self.config.poll * IDLE);
                    continue;
                }
                Ok(Worked::Some) => {
                    failures = 0;
                    told = false;
                    poll = self.config.poll;
                    continue;
                }
                Ok(Worked::AllPutOff { reason, full }) => {
                    if !told {
                        tracing::warn!(
                            target_name = self.worker.target(),
                            reason,
                            "the target of jobs is away"
                        );
                    }
                    told = true;
                    poll = self.config.poll;
                    // Each of these few has a back-off of its own, and new jobs do not wait for them.
                    if !full {
                        failures = 0;
                        continue;
                    }
                    self.pause(&mut failures)
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(target_name = self.worker.target(), %error, "jobs cannot be worked");
                    }
                    self.pause(&mut failures)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    fn pause(&self, failures: &mut u32) -> Duration {
        let (shortest, longest) = self.config.back_off;
        let pause = back_off(shortest, longest, *failures);
        *failures = failures.saturating_add(1);
        pause
    }

    async fn work_once(&self) -> sqlx::Result<Worked> {
        let target = self.worker.target();
        let claim = Uuid::now_v7();
        let limit = i64::try_from(self.worker.max_batch().max(1)).unwrap_or(i64::MAX);
        let claimed = store::jobs::claim(
            &self.pool,
            target,
            claim,
            self.config.lease.as_secs_f64(),
            limit,
        )
        .await?;
        if claimed.is_empty() {
            return Ok(Worked::Nothing);
        }
        let keys: Vec<&str> = claimed.iter().map(|claimed| claimed.key.as_str()).collect();
        let jobs = store::jobs::first(&self.pool, target, &keys).await?;
        let outcomes = if jobs.is_empty() {
            Vec::new()
        } else {
            self.outcomes(claim, &keys, &jobs).await
        };
        for (job, outcome) in jobs.iter().zip(&outcomes) {
            if let Outcome::Skipped(reason) = outcome {
                tracing::info!(target_name = target, key = job.key, event_id = %job.event_id, reason, "job skipped");
            }
            metrics::get()
                .jobs_finished
                .with_label_values(&[target, outcome.name()])
                .inc();
        }
        let going_on = self.finish(claim, &claimed, &jobs, &outcomes).await?;
        let full = claimed.len() >= self.worker.max_batch();

        match outcomes.last() {
            Some(Outcome::Retry(reason))
                if outcomes
                    .iter()
                    .all(|outcome| matches!(outcome, Outcome::Retry(_))) =>
            {
                Ok(Worked::AllPutOff {
                    reason: reason.clone(),
                    full,
                })
            }
            _ if full || going_on => Ok(Worked::Some),
            _ => Ok(Worked::All),
        }
    }

    async fn outcomes(&self, claim: Uuid, keys: &[&str], jobs: &[Job]) -> Vec<Outcome> {
        let target = self.worker.target();
        let span = tracing::info_span!("inbox.jobs", target_name = target, jobs = jobs.len());
        crate::trace::join(&span, jobs.iter().map(|job| job.traceparent.as_deref()));
        let working = self.work(jobs).instrument(span);
        tokio::select! {
            outcomes = working => outcomes,
            never = self.keep(claim, keys) => match never {},
        }
    }

    /// Has the worker do `jobs`. Where it panics they are halved, so that the job at fault fails alone in the end.
    async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut parts = vec![jobs];
        while let Some(part) = parts.pop() {
            match self.work_part(part).await {
                Some(done) => outcomes.extend(done),
                None if part.len() > 1 => {
                    // The earlier half is on top, so outcomes keep their order.
                    let (earlier, later) = part.split_at(part.len() / 2);
                    parts.extend([later, earlier]);
                }
                None => outcomes.push(Outcome::Failed("the worker panicked".to_owned())),
            }
        }
        outcomes
    }

    /// One outcome for each of `jobs`; none where the worker panicked.
    async fn work_part(&self, jobs: &[Job]) -> Option<Vec<Outcome>> {
        let target = self.worker.target();
        let patience = self.worker.patience();
        let working = AssertUnwindSafe(self.worker.work(jobs)).catch_unwind();
        let mut outcomes = match timeout(patience, working).await {
            Ok(worked) => worked.ok()?,
            Err(_) => {
                vec![Outcome::Retry(format!("took longer than {patience:?}")); jobs.len()]
            }
        };
        if outcomes.len() != jobs.len() {
            tracing::error!(
                target_name = target,
                "a worker must answer with one outcome for each job"
            );
            outcomes.resize(
                jobs.len(),
                Outcome::Retry("the worker gave no outcome".to_owned()),
            );
        }
        Some(outcomes)
    }

    /// Renews a claim for as long as it is polled: while a process lives its jobs are its own, however long they take.
    async fn keep(&self, claim: Uuid, keys: &[&str]) -> Infallible {
        let (target, lease) = (self.worker.target(), self.config.lease);
        loop {
            sleep(lease / 3).await;
            let renewed =
                store::jobs::renew(&self.pool, target, claim, keys, lease.as_secs_f64()).await;
            if let Err(error) = renewed {
                tracing::debug!(target_name = target, %error, "a claim cannot be renewed");
            }
        }
    }

    /// Writes down what became of `jobs`. Whether a key has more of them.
    async fn finish(
        &self,
        claim: Uuid,
        claimed: &[Claimed],
        jobs: &[Job],
        outcomes: &[Outcome],
    ) -> sqlx::Result<bool> {
        let target = self.worker.target();
        let outcome_of: HashMap<&str, (&Job, &Outcome)> = jobs
            .iter()
            .zip(outcomes)
            .map(|(job, outcome)| (job.key.as_str(), (job, outcome)))
            .collect();
        let written_off = self.write_off(claim, claimed, &outcome_of).await?;
        let more = written_off.contains(&true);
        if written_off.len() == claimed.len() {
            return Ok(more);
        }

        let mut transaction = self.pool.begin().await?;
        let keys: Vec<&str> = claimed.iter().map(|claimed| claimed.key.as_str()).collect();
        // A lease that ran out is somebody else's now.
        let held: HashSet<String> = store::jobs::held(&mut *transaction, target, claim, &keys)
            .await?
            .into_iter()
            .collect();

        let (mut gone, mut free, mut put_off) = (Vec::new(), Vec::new(), Vec::new());
        for claimed in claimed.iter().filter(|claimed| held.contains(&claimed.key)) {
            let key = claimed.key.as_str();
            match outcome_of.get(key) {
                Some((job, Outcome::Done | Outcome::Skipped(_))) => {
                    gone.push(job.id);
                    free.push(key);
                }
                Some((_, Outcome::Retry(reason))) => put_off.push(self.retry(claimed, reason)),
                Some((job, Outcome::Failed(reason))) => {
                    tracing::warn!(target_name = target, key, event_id = %job.event_id, reason, "job failed");
                    put_off.push(self.failed(claimed, reason));
                }
                None => free.push(key),
            }
        }
        let mut going_on = 0;
        if !free.is_empty() {
            going_on = store::jobs::release(&mut *transaction, target, &free, &gone).await?;
        }
        if !put_off.is_empty() {
            store::jobs::put_off(&mut *transaction, target, &put_off).await?;
        }
        transaction.commit().await?;
        Ok(more || going_on > 0)
    }

    /// Writes down, in one round trip, what is usual: the job is done, no other one of its key was added meanwhile, and it took so short that its claim
    /// was not renewed.
    async fn write_off(
        &self,
        claim: Uuid,
        claimed: &[Claimed],
        outcome_of: &HashMap<&str, (&Job, &Outcome)>,
    ) -> sqlx::Result<Vec<bool>> {
        let target = self.worker.target();
        let (mut keys, mut xmins, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for claimed in claimed {
            let key = claimed.key.as_str();
            if let Some((job, Outcome::Done | Outcome::Skipped(_))) = outcome_of.get(key) {
                keys.push(key);
                xmins.push(claimed.xmin.as_str());
                done.push(job.id);
            }
        }
        if done.is_empty() {
            return Ok(Vec::new());
        }
        store::jobs::write_off(&self.pool, target, claim, &keys, &xmins, &done).await
    }

    fn retry<'a>(&self, claimed: &'a Claimed, reason: &'a str) -> PutOff<'a> {
        let (shortest, longest) = self.config.back_off;
        let attempts = u32::try_from(claimed.attempts).unwrap_or(0);
        PutOff {
            key: &claimed.key,
            delay: Some(back_off(shortest, longest, attempts).as_secs_f64()),
            attempts: claimed.attempts.saturating_add(1),
            refusals: claimed.refusals,
            reason,
        }
    }

    fn failed<'a>(&self, claimed: &'a Claimed, reason: &'a str) -> PutOff<'a> {
        let tier = usize::try_from(claimed.refusals).unwrap_or(usize::MAX);
        PutOff {
            key: &claimed.key,
            delay: self.config.tiers.get(tier).map(Duration::as_secs_f64),
            attempts: claimed.attempts,
            refusals: claimed.refusals.saturating_add(1),
            reason,
        }
    }
}

enum Worked {
    Nothing,
    /// There may be more.
    Some,
    /// Nothing else was due.
    All,
    /// The whole batch has to wait.
    AllPutOff {
        reason: String,
        /// Whether it was as large as it may be, so that more may wait behind it.
        full: bool,
    },
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped(_) => "skipped",
            Self::Retry(_) => "retry",
            Self::Failed(_) => "failed",
        }
    }
}
