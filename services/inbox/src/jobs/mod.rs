//! What is to be done outside of the database: calls of other services, mails. A job is written in the transaction of the
//! event that asks for it, and worked afterwards: for each target and key in order, for each target on its own, so that one
//! that is away holds up no other.

mod work;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::event::Event;
use crate::store;
pub use crate::store::jobs::DeadKey;
pub(crate) use work::{Desk, JobConfig};

/// A job to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Which [`Worker`] is to do it.
    pub target: &'static str,
    /// Jobs of one target and key are done one after the other.
    pub key: String,
    /// The event that asks for it. One target has at most one unfinished job for one event: more are dropped.
    pub event_id: Uuid,
    /// What the worker has to know.
    pub payload: Bytes,
    /// Trace that made the change.
    pub traceparent: Option<String>,
}

impl NewJob {
    /// A job for `target` because of `event`, under the event's key.
    #[must_use]
    pub fn of(event: &Event, target: &'static str, payload: impl Into<Bytes>) -> Self {
        Self {
            target,
            key: event.key.clone(),
            event_id: event.id,
            payload: payload.into(),
            traceparent: event.traceparent.clone(),
        }
    }
}

/// A job to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its place among all jobs.
    pub id: i64,
    /// Its key.
    pub key: String,
    /// The event that asked for it: the callee tells a repeat by it, because a job is done at least once.
    pub event_id: Uuid,
    /// What the worker has to know.
    pub payload: Vec<u8>,
    /// Trace that made the change.
    pub traceparent: Option<String>,
    /// When it was added.
    pub created_at: OffsetDateTime,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// There is nothing to do any more.
    Skipped(String),
    /// The target is at fault: it is tried again, however often it takes.
    Retry(String),
    /// The job is at fault: it is tried a few times more, then its key is dead until an operator retries or discards it.
    Failed(String),
}

/// Does the jobs of one target.
#[async_trait]
pub trait Worker: Send + Sync + 'static {
    /// Name of the target; kept in the database with each job.
    fn target(&self) -> &'static str;

    /// How many jobs to get at a time, at least 1.
    fn max_batch(&self) -> usize {
        1
    }

    /// How long [`work`](Self::work) may take. The jobs stay claimed meanwhile, and the others of this target wait.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    /// Does `jobs`, all of different keys, and answers with one outcome for each, in their order. What takes longer than
    /// [`patience`](Self::patience) is given up and done again, perhaps by another replica.
    async fn work(&self, jobs: &[Job]) -> Vec<Outcome>;
}

/// Adds jobs to the transaction of `connection`; a subscriber uses [`Effects::enqueue`](crate::Effects::enqueue) instead.
///
/// # Errors
/// When the database is away.
pub async fn enqueue(connection: &mut PgConnection, jobs: &[NewJob]) -> sqlx::Result<()> {
    store::jobs::enqueue(connection, jobs).await
}

/// Up to `limit` keys whose first job was given up, in the order of target and key, behind `after`, which is empty at
/// first.
///
/// # Errors
/// When the database is away.
pub async fn dead(pool: &PgPool, after: (&str, &str), limit: i64) -> sqlx::Result<Vec<DeadKey>> {
    store::jobs::list_dead(pool, after, limit).await
}

/// Lets a dead key be tried again at once, when the transaction of `connection` commits. `false`: there is none.
///
/// # Errors
/// When the database is away.
pub async fn retry(connection: &mut PgConnection, target: &str, key: &str) -> sqlx::Result<bool> {
    let dead = store::jobs::lock_dead(&mut *connection, target, key).await?;
    if dead {
        store::jobs::release(connection, target, &[key], &[]).await?;
    }
    Ok(dead)
}

/// Drops the first job of a dead key and lets the key go on behind it, when the transaction of `connection` commits. Answers
/// with the event that had asked for it; `None`: there is none.
///
/// # Errors
/// When the database is away.
pub async fn discard(
    connection: &mut PgConnection,
    target: &str,
    key: &str,
) -> sqlx::Result<Option<Uuid>> {
    if !store::jobs::lock_dead(&mut *connection, target, key).await? {
        return Ok(None);
    }
    let jobs = store::jobs::first(&mut *connection, target, &[key]).await?;
    let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
    store::jobs::release(connection, target, &[key], &ids).await?;
    Ok(jobs.first().map(|job| job.event_id))
}

/// Drops whatever waits for a target and key, given up or not, when the transaction of `connection` commits. What a worker has in hand
/// ends as it may.
///
/// # Errors
/// When the database is away.
pub async fn forget(connection: &mut PgConnection, target: &str, key: &str) -> sqlx::Result<()> {
    if store::jobs::lock(&mut *connection, target, key).await? {
        store::jobs::delete(connection, target, key).await?;
    }
    Ok(())
}

/// `base` doubled for each attempt, at most `ceiling`, and somewhere in the upper half of that so that many do not come back
/// at once.
pub(crate) fn back_off(base: Duration, ceiling: Duration, attempts: u32) -> Duration {
    let doubled = base.saturating_mul(2_u32.saturating_pow(attempts.min(30)));
    doubled.min(ceiling).mul_f64(rand::random_range(0.5..1.0))
}
