//! Reads one partition for one subscriber, from its queue in Kafka's client to the database.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::{BaseConsumer, PartitionQueue};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::apply::{Applier, Batch, Failure};
use crate::assignment::Assignment;
use crate::event::{Received, Record};
use crate::jobs::back_off;
use crate::metrics;
use crate::settle::Slow;
use crate::subscriber::Refusal;

/// How long a batch may take; a server that is silent for longer is away.
const LIMIT: Duration = Duration::from_secs(20);
/// After so many tries in a row in which a statement took too long, the events are taken to be too much for one.
const SLOW_TRIES: u32 = 3;

/// Reads a partition.
pub(crate) struct PartitionReader {
    pub(crate) consumer: Arc<BaseConsumer<Assignment>>,
    pub(crate) queue: PartitionQueue<Assignment>,
    /// Told by Kafka's client that the queue is no longer empty.
    pub(crate) filled: Arc<Notify>,
    pub(crate) applier: Arc<Applier>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) progress: Arc<Progress>,
    pub(crate) max_batch: usize,
    pub(crate) max_batch_bytes: usize,
    /// How long records without an effect wait for others.
    pub(crate) idle_wait: Duration,
}

/// How far a partition is, for the metrics.
pub(crate) struct Progress {
    /// Offset of the next record to be settled.
    pub(crate) position: AtomicI64,
    /// When the first record in hand was written, in milliseconds since 1970; 0: there is none in hand.
    pub(crate) in_hand_since: AtomicI64,
}

/// Why a partition is not read any more.
#[derive(Debug)]
pub(crate) enum End {
    /// It was taken away, or all stops.
    Stopped,
    /// It has to be opened again, at the offset that the database has.
    Reopen(String),
}

impl PartitionReader {
    /// Reads until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> End {
        loop {
            match self.gather(&stop).await {
                Ok(Some(batch)) => {
                    if let Some(end) = self.settle(batch, &stop).await {
                        return end;
                    }
                }
                Ok(None) => return End::Stopped,
                Err(error) => return End::Reopen(error.to_string()),
            }
            if stop.is_cancelled() {
                return End::Stopped;
            }
        }
    }

    /// Waits for a batch that is worth a transaction: it is full, a record of it has an effect, or the first one has waited long
    /// enough. None: `stop`.
    async fn gather(&self, stop: &CancellationToken) -> KafkaResult<Option<Batch>> {
        let position = self.progress.position.load(Ordering::Relaxed);
        let mut batch = Batch {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            position,
            next: position,
            records: Vec::new(),
        };
        let mut due = None;
        let mut worth_it = false;
        loop {
            let known = batch.records.len();
            let full = self.take(&mut batch)?;
            worth_it |= batch
                .records
                .iter()
                .skip(known)
                .any(|record| self.has_effect(record));
            if full || worth_it {
                return Ok(Some(batch));
            }
            // A floor under the client's callback.
            let mut until = Instant::now() + Duration::from_secs(1);
            if !batch.records.is_empty() {
                until = *due.get_or_insert_with(|| Instant::now() + self.idle_wait);
                if until <= Instant::now() {
                    return Ok(Some(batch));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = self.filled.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// What cannot be read parks its key.
    fn has_effect(&self, received: &Received) -> bool {
        match received {
            Received::Event(event) => self.applier.subscriber.heeds(event),
            Received::Undecodable(_) => true,
        }
    }

    /// Adds what the client has for us; whether more would be too much. The client's queue is the only buffer: it stops fetching
    /// when that is full.
    fn take(&self, batch: &mut Batch) -> KafkaResult<bool> {
        let sizes = batch.records.iter().map(|received| {
            let record = received.record();
            record.key.len() + record.payload.len()
        });
        let mut bytes: usize = sizes.sum();
        while batch.records.len() < self.max_batch && bytes < self.max_batch_bytes {
            match self.queue.poll(Duration::ZERO) {
                None => return Ok(false),
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(error),
                // Offsets may jump, but never back.
                Some(Ok(message)) if message.offset() < batch.next => {}
                Some(Ok(message)) => {
                    if batch.records.is_empty() {
                        let since = message.timestamp().to_millis().unwrap_or(0);
                        self.progress.in_hand_since.store(since, Ordering::Relaxed);
                    }
                    batch.next = message.offset() + 1;
                    bytes += message.key_len() + message.payload_len();
                    batch.records.push(Received::new(self.record(&message)));
                }
            }
        }
        Ok(true)
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Record {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
        let headers = message.headers().map(|headers| {
            headers
                .iter()
                .map(|header| {
                    (
                        text(header.key.as_bytes()),
                        text(header.value.unwrap_or_default()),
                    )
                })
                .collect()
        });
        Record {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            offset: message.offset(),
            key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
            headers: headers.unwrap_or_default(),
            payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        }
    }

    /// Applies `batch`, however long the database is away. Where it is too much for the time that a statement has, it is
    /// halved until it is not, or until the event at fault is alone and parks its key. `Some`: this is the end of reading.
    async fn settle(&self, batch: Batch, stop: &CancellationToken) -> Option<End> {
        let name = self.applier.subscriber.name();
        // The next one is the last.
        let mut parts = vec![batch];
        let mut halved = false;
        let (mut failures, mut slow_tries) = (0, 0);
        while let Some(mut batch) = parts.pop() {
            let slow = if slow_tries >= SLOW_TRIES && batch.records.len() == 1 {
                Slow::Refused
            } else {
                Slow::Unavailable
            };
            let applied = timeout(LIMIT, self.applier.apply(&batch, slow)).await;
            match applied.unwrap_or_else(|_| Err(silence().into())) {
                Ok(()) => {
                    if failures > 0 {
                        tracing::info!(
                            subscriber = name,
                            partition = self.partition,
                            "events take effect again"
                        );
                    }
                    (failures, slow_tries) = (0, 0);
                    self.progress.position.store(batch.next, Ordering::Relaxed);
                    // For tools that show lag; nothing is ever read from there.
                    let _ = self
                        .consumer
                        .store_offset(&self.topic, self.partition, batch.next - 1);
                }
                Err(Failure::Fenced) => {
                    metrics::get().fenced.with_label_values(&[name]).inc();
                    return Some(End::Reopen(Failure::Fenced.to_string()));
                }
                Err(Failure::Refusal(refusal)) => {
                    metrics::get()
                        .failed_batches
                        .with_label_values(&[name])
                        .inc();
                    if failures == 0 {
                        self.tell(&refusal);
                    }
                    slow_tries = if refusal.is_slow() { slow_tries + 1 } else { 0 };
                    if slow_tries >= SLOW_TRIES || halved && slow_tries > 0 {
                        let later = batch.split_off_half();
                        halved |= later.is_some();
                        parts.extend(later);
                    }
                    parts.push(batch);
                    let pause =
                        back_off(Duration::from_millis(50), Duration::from_secs(2), failures);
                    failures = failures.saturating_add(1);
                    tokio::select! {
                        () = stop.cancelled() => return Some(End::Stopped),
                        () = sleep(pause) => {}
                    }
                }
            }
        }
        self.progress.in_hand_since.store(0, Ordering::Relaxed);
        None
    }

    fn tell(&self, refusal: &Refusal) {
        let (subscriber, topic) = (self.applier.subscriber.name(), &*self.topic);
        match refusal {
            Refusal::Unavailable(_) => tracing::warn!(
                subscriber,
                topic,
                partition = self.partition,
                %refusal,
                "events cannot take effect"
            ),
            Refusal::Refused(_) => tracing::error!(
                subscriber,
                topic,
                partition = self.partition,
                %refusal,
                "events can neither take effect nor be parked: the partition stands still"
            ),
        }
    }
}

fn silence() -> sqlx::Error {
    sqlx::Error::Io(ErrorKind::TimedOut.into())
}
