//! Tries the events of parked keys again, tier by tier, until they take effect or are given up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::consumer::Wakes;
use crate::event::{Received, Record};
use crate::jobs::back_off;
use crate::metrics;
use crate::settle::{Cause, Fate, Mode, Slow, settle};
use crate::store;
use crate::store::parked::{Due, Queued};
use crate::subscriber::{DeadLetters, Refusal, Subscriber};

/// Keys that are looked up at a time.
const KEYS: i64 = 256;
/// Records of a key that are tried in one transaction.
const RECORDS: i64 = 500;

/// Retries the parked keys of all subscribers.
pub(crate) struct Retrier {
    pub(crate) pool: PgPool,
    pub(crate) subscribers: HashMap<&'static str, Arc<dyn Subscriber>>,
    pub(crate) dead_letters: Arc<dyn DeadLetters>,
    /// How long to wait before each retry; after the last one a key is dead.
    pub(crate) tiers: Vec<Duration>,
    pub(crate) poll: Duration,
    pub(crate) wakes: Arc<Wakes>,
}

impl Retrier {
    /// Retries until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let names: Vec<&str> = self.subscribers.keys().copied().collect();
        let mut failures: u32 = 0;
        loop {
            let retried = tokio::select! {
                () = stop.cancelled() => return,
                retried = self.retry_due(&names) => retried,
            };
            let pause = match retried {
                Ok(()) => {
                    failures = 0;
                    self.poll
                }
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(%error, "parked keys cannot be retried");
                    }
                    failures = failures.saturating_add(1);
                    back_off(self.poll, Duration::from_secs(10), failures)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn retry_due(&self, names: &[&str]) -> Result<(), Refusal> {
        let due = store::parked::due(&self.pool, names, KEYS)
            .await
            .map_err(Refusal::Unavailable)?;
        let mut busy = HashSet::new();
        for due in &due {
            let place = (due.subscriber.as_str(), due.topic.as_str(), due.partition);
            let Some(subscriber) = self.subscribers.get(due.subscriber.as_str()) else {
                continue;
            };
            if busy.contains(&place) {
                continue;
            }
            let Err(error) = self.retry_in_time(subscriber.as_ref(), due).await else {
                continue;
            };
            if !error.is_answer() {
                return Err(error);
            }
            // It is this key or its partition: those of others do not wait for it, and the next round begins with another.
            tracing::warn!(
                subscriber = due.subscriber,
                topic = due.topic,
                key = due.key,
                partition = due.partition,
                %error,
                "a parked key cannot be retried now"
            );
            busy.insert(place);
            let delay = self
                .tiers
                .first()
                .copied()
                .unwrap_or(self.poll)
                .as_secs_f64();
            let (name, topic, key) = (&due.subscriber, &due.topic, &due.key);
            store::parked::defer(&self.pool, name, topic, key, delay).await?;
        }
        Ok(())
    }

    /// Retries a key; where its records are too much for the time that a statement has, the first of them alone, which is at
    /// fault if that takes too long as well.
    async fn retry_in_time(&self, subscriber: &dyn Subscriber, due: &Due) -> Result<(), Refusal> {
        match self
            .retry(subscriber, due, RECORDS, Slow::Unavailable)
            .await
        {
            Err(error) if error.is_slow() => self.retry(subscriber, due, 1, Slow::Refused).await,
            outcome => outcome,
        }
    }

    /// Applies as much of the first `limit` records of a key as can be applied.
    async fn retry(
        &self,
        subscriber: &dyn Subscriber,
        due: &Due,
        limit: i64,
        slow: Slow,
    ) -> Result<(), Refusal> {
        let name = subscriber.name();
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("set local synchronous_commit = on")
            .execute(&mut *transaction)
            .await?;
        // Reset since it was looked up.
        if store::offsets::lock(&mut *transaction, name, &due.topic, due.partition)
            .await?
            .is_none()
        {
            return Ok(());
        }
        let attempts =
            store::parked::attempts_if_due(&mut *transaction, name, &due.topic, &due.key).await?;
        let Some(attempts) = attempts else {
            return Ok(());
        };
        let queued =
            store::parked::first(&mut *transaction, name, &due.topic, &due.key, limit).await?;
        let records: Vec<Received> = queued
            .iter()
            .map(|queued| queued.received.clone())
            .collect();
        let mode = Mode {
            savepoints: true,
            heed_parked: false,
            check_versions: true,
            slow,
        };
        let settled = settle(&mut transaction, subscriber, &due.topic, &records, mode).await?;

        let mut done = Vec::new();
        let mut failed = None;
        for (queued, fate) in queued.iter().zip(&settled.fates) {
            match fate {
                Fate::Applied | Fate::Repeat => done.push(queued.id),
                Fate::Parked(cause, reason) => failed = Some((queued, *cause, reason.as_str())),
                Fate::Behind => {}
            }
        }
        store::parked::remove(&mut *transaction, &done).await?;
        match failed {
            None => store::parked::release(&mut transaction, name, &due.topic, &due.key).await?,
            Some((queued, cause, reason)) => {
                // Whoever got past the last failure has all tries before it for the next one.
                let attempts = if settled.fates.contains(&Fate::Applied) {
                    0
                } else {
                    attempts.saturating_add(1)
                };
                self.put_off(
                    &mut transaction,
                    name,
                    due,
                    queued,
                    (cause, reason),
                    attempts,
                )
                .await?;
            }
        }
        transaction.commit().await?;

        let applied = settled
            .fates
            .iter()
            .filter(|fate| **fate == Fate::Applied)
            .count();
        metrics::get()
            .events
            .with_label_values(&[name, "applied"])
            .inc_by(u64::try_from(applied).unwrap_or(u64::MAX));
        self.wakes.wake(&settled.targets);
        Ok(())
    }

    async fn put_off(
        &self,
        connection: &mut PgConnection,
        name: &str,
        due: &Due,
        queued: &Queued,
        (cause, reason): (Cause, &str),
        attempts: i32,
    ) -> Result<(), Refusal> {
        let tier = usize::try_from(attempts).unwrap_or(usize::MAX);
        let mut delay = self.tiers.get(tier).copied();
        if delay.is_none() {
            let record = queued.received.record();
            tracing::error!(
                subscriber = name,
                topic = due.topic,
                key = due.key,
                partition = record.partition,
                offset = record.offset,
                cause = cause.as_str(),
                reason,
                "key is dead: an operator has to retry or discard it"
            );
            if !queued.dead_lettered
                && let Err(refusal) = self
                    .give_up(connection, name, queued.id, record, reason)
                    .await
            {
                let Refusal::Refused(refused) = refusal else {
                    return Err(refusal);
                };
                tracing::error!(
                    subscriber = name,
                    key = due.key,
                    refused,
                    "no dead letter could be written"
                );
                delay = self.tiers.last().copied();
            }
        }
        let delay = delay.map(|delay| delay.as_secs_f64());
        let (key, failure) = (
            (due.topic.as_str(), due.key.as_str()),
            (cause.as_str(), reason),
        );
        store::parked::put_off(connection, name, key, failure, attempts, delay).await?;
        Ok(())
    }

    async fn give_up(
        &self,
        connection: &mut PgConnection,
        name: &str,
        id: i64,
        record: &Record,
        reason: &str,
    ) -> Result<(), Refusal> {
        let mut savepoint = connection.begin().await?;
        match self
            .dead_letters
            .publish(&mut savepoint, name, record, reason)
            .await
        {
            Ok(()) => {
                store::parked::mark_dead_lettered(&mut *savepoint, id).await?;
                Ok(savepoint.commit().await?)
            }
            Err(refusal) => {
                savepoint.rollback().await.map_err(Refusal::Unavailable)?;
                Err(refusal)
            }
        }
    }
}
