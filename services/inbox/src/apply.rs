//! Applies a batch of one partition: one transaction that moves the offset and brings about what the records ask for.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tracing::Instrument;

use crate::consumer::{Faults, Wakes};
use crate::event::Received;
use crate::metrics;
use crate::settle::{Fate, Mode, Runs, Settled, Slow, settle, settle_all};
use crate::store;
use crate::subscriber::{Refusal, Subscriber};

/// Runs of a batch for which one statement is quicker than those that decide record by record.
const FEW: usize = 100;

/// Records of one partition, in the order of their offsets.
pub(crate) struct Batch {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Where the partition stands, if nobody else has it.
    pub(crate) position: i64,
    /// Where it stands afterwards.
    pub(crate) next: i64,
    pub(crate) records: Vec<Received>,
}

impl Batch {
    /// Takes the later half off, if there is more than one record.
    pub(crate) fn split_off_half(&mut self) -> Option<Self> {
        let half = self.records.len() / 2;
        let between = self.records.get(half).filter(|_| half > 0)?.record().offset;
        Some(Self {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            position: between,
            next: std::mem::replace(&mut self.next, between),
            records: self.records.split_off(half),
        })
    }
}

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The partition stands elsewhere: somebody else has it, or an operator has moved it.
    #[error("the partition has moved on")]
    Fenced,
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Refusal(Refusal::Unavailable(error))
    }
}

/// Applies what one subscriber gets.
pub(crate) struct Applier {
    pub(crate) pool: PgPool,
    pub(crate) subscriber: Arc<dyn Subscriber>,
    /// How long a key that was parked waits for its first retry.
    pub(crate) first_tier: Duration,
    pub(crate) faults: Faults,
    pub(crate) wakes: Arc<Wakes>,
}

impl Applier {
    /// Applies `batch`, all of it or nothing.
    pub(crate) async fn apply(&self, batch: &Batch, slow: Slow) -> Result<(), Failure> {
        let span = tracing::info_span!(
            "inbox.apply",
            subscriber = self.subscriber.name(),
            topic = &*batch.topic,
            partition = batch.partition,
            records = batch.records.len(),
        );
        crate::trace::join(&span, batch.records.iter().map(traceparent));
        async {
            // Savepoints cost two round trips, so they come only after a refusal.
            if slow == Slow::Unavailable {
                match self.attempt(batch).await {
                    Err(Failure::Refusal(Refusal::Refused(_))) => {}
                    outcome => return outcome,
                }
            }
            self.decide(batch, true, slow).await
        }
        .instrument(span)
        .await
    }

    async fn attempt(&self, batch: &Batch) -> Result<(), Failure> {
        if self.faults == Faults::default()
            && let Some(runs) = Runs::of(&batch.records)
            && runs.len() <= FEW
            && self.follow(batch, &runs).await?
        {
            return Ok(());
        }
        self.decide(batch, false, Slow::Unavailable).await
    }

    /// Applies a batch in which nothing is amiss. `false`: something is, and nothing has happened.
    async fn follow(&self, batch: &Batch, runs: &Runs<'_>) -> Result<bool, Failure> {
        let subscriber = self.subscriber.as_ref();
        let place = (subscriber.name(), &*batch.topic, batch.partition);
        let offsets = (batch.position, batch.next);
        let mut transaction = self.pool.begin().await?;
        let followed = store::versions::follow(&mut *transaction, place, offsets, runs).await?;
        if !followed.ours {
            return Err(Failure::Fenced);
        }
        if usize::try_from(followed.runs) != Ok(runs.len()) {
            transaction.rollback().await?;
            return Ok(false);
        }
        let settled = settle_all(&mut transaction, subscriber, &runs.events).await?;
        transaction.commit().await?;
        self.done(batch, &settled);
        Ok(true)
    }

    /// Applies a batch record by record: what is a repeat, what is behind a gap, and whose turn it is.
    async fn decide(&self, batch: &Batch, savepoints: bool, slow: Slow) -> Result<(), Failure> {
        let subscriber = self.subscriber.as_ref();
        let (name, topic) = (subscriber.name(), &*batch.topic);
        let mut transaction = self.pool.begin().await?;
        let ours = store::offsets::advance(
            &mut *transaction,
            name,
            topic,
            batch.partition,
            batch.position,
            batch.next,
        );
        if !ours.await? {
            return Err(Failure::Fenced);
        }
        if self.faults.commit_before_effect {
            transaction.commit().await?;
            transaction = self.pool.begin().await?;
        }
        let mode = Mode {
            savepoints,
            heed_parked: true,
            check_versions: !self.faults.skip_version_check,
            slow,
        };
        let settled = settle(&mut transaction, subscriber, topic, &batch.records, mode).await?;
        self.park(&mut transaction, batch, &settled.fates).await?;
        transaction.commit().await?;
        self.done(batch, &settled);
        Ok(())
    }

    fn done(&self, batch: &Batch, settled: &Settled) {
        self.wakes.wake(&settled.targets);
        self.count(batch, settled);
    }

    async fn park(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
        fates: &[Fate],
    ) -> sqlx::Result<()> {
        let name = self.subscriber.name();
        let mut queue = Vec::new();
        for (received, fate) in batch.records.iter().zip(fates) {
            match fate {
                Fate::Applied | Fate::Repeat => continue,
                Fate::Behind => {}
                Fate::Parked(cause, reason) => {
                    let key = (&*batch.topic, batch.partition, received.key());
                    let delay = self.first_tier.as_secs_f64();
                    store::parked::park(&mut *connection, name, key, cause.as_str(), reason, delay)
                        .await?;
                }
            }
            queue.push(received);
        }
        if !queue.is_empty() {
            store::parked::queue(connection, name, &batch.topic, &queue).await?;
        }
        Ok(())
    }

    fn count(&self, batch: &Batch, settled: &Settled) {
        let (name, metrics) = (self.subscriber.name(), metrics::get());
        let (mut applied, mut repeats, mut behind) = (0, 0, 0);
        let now = OffsetDateTime::now_utc();
        let commit_to_effect = metrics.commit_to_effect.with_label_values(&[name]);
        for (received, fate) in batch.records.iter().zip(&settled.fates) {
            match fate {
                Fate::Applied => {
                    applied += 1;
                    if let Received::Event(event) = received
                        && self.subscriber.heeds(event)
                    {
                        commit_to_effect.observe((now - event.time).as_seconds_f64().max(0.0));
                    }
                }
                Fate::Repeat => repeats += 1,
                Fate::Behind => behind += 1,
                Fate::Parked(cause, reason) => {
                    metrics.events.with_label_values(&[name, "parked"]).inc();
                    metrics
                        .parked
                        .with_label_values(&[name, cause.as_str()])
                        .inc();
                    tracing::warn!(
                        subscriber = name,
                        topic = &*batch.topic,
                        key = received.key(),
                        partition = batch.partition,
                        offset = received.record().offset,
                        cause = cause.as_str(),
                        reason,
                        "key parked"
                    );
                }
            }
        }
        for (outcome, number) in [
            ("applied", applied),
            ("repeat", repeats),
            ("behind", behind),
        ] {
            metrics
                .events
                .with_label_values(&[name, outcome])
                .inc_by(number);
        }
    }
}

fn traceparent(received: &Received) -> Option<&str> {
    match received {
        Received::Event(event) => event.traceparent.as_deref(),
        Received::Undecodable(_) => None,
    }
}
