use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

use super::failure::Failure;
use crate::window::Entry;

/// After this long without an acknowledgement the relay gives the session up. librdkafka itself would wait for ever, which is
/// right for the order of records and wrong for a lease.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(10);

/// Hands rows to Kafka in their order and knows how far it acknowledged them. One window after the other; after a failure the
/// only way on is a new publisher.
pub(super) struct Publisher {
    producer: Arc<BaseProducer<Context>>,
    deliveries: Arc<Deliveries>,
    source: &'static str,
    generation: String,
    sent: u64,
    /// The last seq of each chunk of the window that is sent and not known to be acknowledged; the first of them is chunk
    /// number `completed`.
    chunks: VecDeque<i64>,
    completed: u64,
    /// The seq up to which all of the window is acknowledged.
    reached: Option<i64>,
    scratch: Vec<u8>,
}

/// What became of an offered row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Taken,
    /// Wait for [`Publisher::room`] and offer it again.
    Full,
}

impl Publisher {
    pub(super) fn new(
        bootstrap_servers: &str,
        source: &'static str,
        generation: i64,
    ) -> Result<Publisher, KafkaError> {
        let deliveries = Arc::new(Deliveries::new());
        let producer: BaseProducer<Context> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            // Order and no loss: a retry may not overtake, a gap is fatal, and a record waits for as long as it takes.
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            // What Java clients do with a key; librdkafka's own default is another partition.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .set("socket.nagle.disable", "true")
            // A tenth of a second of a drain at full speed, and a bound on memory.
            .set("queue.buffering.max.messages", QUEUE.to_string())
            .set("queue.buffering.max.kbytes", "8192")
            // A restarted broker is found again within the patience of the lease.
            .set("reconnect.backoff.max.ms", "1000")
            .create_with_context(Context(Arc::clone(&deliveries)))?;
        Ok(Publisher {
            producer: polled(producer)?,
            deliveries,
            source,
            generation: generation.to_string(),
            sent: 0,
            chunks: VecDeque::new(),
            completed: 0,
            reached: None,
            scratch: Vec::with_capacity(64),
        })
    }

    /// Begins a window. Nothing may be on its way from the last one.
    pub(super) fn begin(&mut self) {
        self.sent = 0;
        self.completed = 0;
        self.reached = None;
        self.chunks.clear();
        self.deliveries.reset();
    }

    /// Queues one row, behind all that were taken before.
    pub(super) fn offer(&mut self, entry: &Entry) -> Result<Offer, Failure> {
        // Behind a partition that lags, the others would run ahead of what the chunks can count.
        if self.sent / CHUNK - self.completed >= CHUNKS - 1 {
            self.acknowledged();
            if self.sent / CHUNK - self.completed >= CHUNKS - 1 {
                return Ok(Offer::Full);
            }
        }
        let headers = self.headers(entry);
        let record = BaseRecord::with_opaque_to(&entry.topic, self.sent as usize)
            .key(entry.key.as_bytes())
            .payload(entry.payload.as_slice())
            .headers(headers);
        if let Err((error, _)) = self.producer.send(record) {
            return match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => Ok(Offer::Full),
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => Err(Failure::TooLarge {
                    seq: entry.seq,
                    topic: entry.topic.clone(),
                    key: entry.key.clone(),
                }),
                _ => Err(error.into()),
            };
        }
        self.sent += 1;
        if self.sent.is_multiple_of(CHUNK) {
            self.chunks.push_back(entry.seq);
        }
        Ok(Offer::Taken)
    }

    /// Whether a chunk was just filled: the moment for what is not done with each row.
    pub(super) fn at_chunk(&self) -> bool {
        self.sent.is_multiple_of(CHUNK)
    }

    /// Rows that were taken in this window.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The seq up to which the window is in Kafka; none before the first chunk of it is.
    pub(super) fn acknowledged(&mut self) -> Option<i64> {
        while let Some(&seq) = self.chunks.front() {
            let count = &self.deliveries.chunks[(self.completed % CHUNKS) as usize];
            if u64::from(count.load(Ordering::Acquire)) < CHUNK {
                break;
            }
            count.store(0, Ordering::Release);
            self.chunks.pop_front();
            self.completed += 1;
            self.reached = Some(seq);
        }
        self.reached
    }

    /// Until the queue has room for a good number of rows again. Safe to drop and call again.
    pub(super) async fn room(&self) -> Result<(), KafkaError> {
        let more =
            (self.sent - self.deliveries.acknowledged.load(Ordering::SeqCst)).clamp(1, QUEUE / 4);
        self.wait_for(self.deliveries.acknowledged.load(Ordering::SeqCst) + more)
            .await
    }

    /// Until Kafka has all that was taken. Safe to drop and call again.
    pub(super) async fn settled(&self) -> Result<(), KafkaError> {
        self.wait_for(self.sent).await
    }

    /// Number of acknowledgements in this window: grows for as long as Kafka is well.
    pub(super) fn progress(&self) -> u64 {
        self.deliveries.acknowledged.load(Ordering::Relaxed)
    }

    async fn wait_for(&self, count: u64) -> Result<(), KafkaError> {
        let count = count.min(self.sent);
        self.deliveries.wanted.store(count, Ordering::SeqCst);
        loop {
            if let Some(error) = self.deliveries.failure() {
                return Err(error);
            }
            if self.deliveries.acknowledged.load(Ordering::SeqCst) >= count {
                return Ok(());
            }
            self.deliveries.changed.notified().await;
        }
    }

    /// CloudEvents in binary mode, with the version and the generation that subscribers compare.
    fn headers(&mut self, entry: &Entry) -> OwnedHeaders {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id: &str = entry.event_id.hyphenated().encode_lower(&mut id);
        let extra = entry.headers.as_ref();
        let mut headers =
            OwnedHeaders::new_with_capacity(10 + extra.map_or(0, |extra| extra.len()));
        headers = with(headers, "ce_specversion", b"1.0");
        headers = with(headers, "ce_id", id.as_bytes());
        headers = with(headers, "ce_type", entry.event_type.as_bytes());
        headers = with(headers, "ce_source", self.source.as_bytes());
        headers = with(headers, "ce_subject", entry.key.as_bytes());
        headers = with(headers, "ce_generation", self.generation.as_bytes());
        headers = with(headers, "content-type", b"application/protobuf");
        // Neither can fail: the clock of the server is within the years of RFC 3339, and a vector takes what is written.
        self.scratch.clear();
        if entry
            .created_at
            .format_into(&mut self.scratch, &Rfc3339)
            .is_ok()
        {
            headers = with(headers, "ce_time", &self.scratch);
        }
        self.scratch.clear();
        if write!(self.scratch, "{}", entry.version).is_ok() {
            headers = with(headers, "ce_sequence", &self.scratch);
        }
        if let Some(traceparent) = &entry.traceparent {
            headers = with(headers, "traceparent", traceparent.as_bytes());
        }
        for (key, value) in extra.into_iter().flat_map(|extra| extra.iter()) {
            headers = with(headers, key, value.as_bytes());
        }
        headers
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // What is queued must not come out behind what the next holder publishes. It would be dropped there, but late.
        self.producer
            .purge(PurgeConfig::default().queue().inflight());
    }
}

/// Has the producer's reports delivered by a thread of its own, which also ends the producer when nobody else has it any more: that
/// waits for the threads of librdkafka.
///
/// rdkafka's own ThreadedProducer polls for 100 ms at a time and spins through the last millisecond of each.
fn polled(producer: BaseProducer<Context>) -> Result<Arc<BaseProducer<Context>>, KafkaError> {
    let producer = Arc::new(producer);
    let polled = Arc::clone(&producer);
    std::thread::Builder::new()
        .name("outbox producer".to_owned())
        .spawn(move || {
            while Arc::strong_count(&polled) > 1 {
                polled.poll(POLL);
            }
        })
        .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    Ok(producer)
}

/// How long an abandoned producer may stay. Reports do not wait for it.
const POLL: Duration = Duration::from_secs(1);

fn with(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header {
        key,
        value: Some(value),
    })
}

/// Records in librdkafka at once.
const QUEUE: u64 = 10_000;
/// Acknowledgements are counted by chunks of rows: the cursor needs the first row that is missing, and counting needs no order.
const CHUNK: u64 = 1_000;
/// Chunks that can be under way at once: how far one partition may fall behind the others.
const CHUNKS: u64 = 64;

/// Shared with the thread on which librdkafka reports.
struct Deliveries {
    acknowledged: AtomicU64,
    chunks: [AtomicU32; CHUNKS as usize],
    /// The count of acknowledgements that somebody waits for.
    wanted: AtomicU64,
    changed: Notify,
    failure: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    fn new() -> Deliveries {
        Deliveries {
            acknowledged: AtomicU64::new(0),
            chunks: [const { AtomicU32::new(0) }; CHUNKS as usize],
            wanted: AtomicU64::new(u64::MAX),
            changed: Notify::new(),
            failure: Mutex::new(None),
        }
    }

    fn reset(&self) {
        self.wanted.store(u64::MAX, Ordering::SeqCst);
        self.acknowledged.store(0, Ordering::SeqCst);
        for chunk in &self.chunks {
            chunk.store(0, Ordering::Release);
        }
    }

    fn failure(&self) -> Option<KafkaError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether this is the first failure: the others follow from it.
    fn fail(&self, error: KafkaError) -> bool {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let first = failure.is_none();
        failure.get_or_insert(error);
        self.changed.notify_one();
        first
    }
}

struct Context(Arc<Deliveries>);

impl ProducerContext for Context {
    /// Number of the row in its window.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, row: usize) {
        let deliveries = &*self.0;
        if let Err((error, record)) = result {
            let purged = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
            );
            if deliveries.fail(error.clone()) && !purged {
                let key = record.key().map(String::from_utf8_lossy);
                tracing::warn!(%error, topic = record.topic(), key = key.as_deref(), "Kafka did not take an event");
            }
            return;
        }
        deliveries.chunks[row / CHUNK as usize % CHUNKS as usize].fetch_add(1, Ordering::AcqRel);
        let count = deliveries.acknowledged.fetch_add(1, Ordering::SeqCst) + 1;
        // Once for each wait and not once a record: a wake-up costs more than all the rest of a delivery.
        if count == deliveries.wanted.load(Ordering::SeqCst) {
            deliveries.changed.notify_one();
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(?level, facility, text, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::Fatal)) {
            self.0.fail(error);
        }
    }
}
