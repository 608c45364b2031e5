//! A subscriber that notes what takes effect, and what it takes to run it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use inbox::jobs::{NewJob, Worker};
use inbox::{
    Assigned, Consumer, ConsumerConfig, ConsumerError, DeadLetters, Effects, Event, Record,
    Refusal, Subscriber,
};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sqlx::{PgConnection, PgPool};
use testkit::Database;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A subscriber's name; each test has a database and topics of its own.
pub(crate) const NAME: &str = "recorder";

pub(crate) async fn database() -> Database {
    testkit::database("inbox", |pool| async move {
        inbox::migrate(&pool).await?;
        sqlx::raw_sql(
            "create table effects (place bigserial primary key, event_id uuid, key text, version bigint);
             create table dead_letters (place bigserial primary key, subscriber text, \"offset\" bigint, reason text);",
        )
        .execute(&pool)
        .await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })
    .await
}

pub(crate) async fn topic(partitions: i32) -> String {
    let topic = testkit::kafka::unique("inbox");
    testkit::kafka::create_topic(&topic, partitions).await;
    topic
}

/// Fast in everything that waits.
pub(crate) fn config(database: &Database) -> ConsumerConfig {
    ConsumerConfig {
        retry_tiers: vec![Duration::from_millis(50); 2],
        retry_poll: Duration::from_millis(20),
        session_timeout: Duration::from_secs(6),
        metadata_refresh: Duration::from_millis(200),
        job_poll: Duration::from_millis(20),
        job_back_off: (Duration::from_millis(20), Duration::from_millis(100)),
        ..ConsumerConfig::new(
            testkit::kafka::bootstrap(),
            testkit::kafka::unique("group"),
            database.pool.clone(),
        )
    }
}

/// Notes each event in the table `effects`.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) topic: String,
    /// Keys and versions that it refuses.
    pub(crate) refuse: Mutex<HashSet<(String, i64)>>,
    /// Calls of `apply`.
    pub(crate) calls: AtomicUsize,
    /// A key whose events it does not heed.
    pub(crate) unheeded: Option<&'static str>,
    /// A key whose events take longer than any statement may.
    pub(crate) slow: Option<&'static str>,
    /// A key whose events make it panic.
    pub(crate) panics: Option<&'static str>,
    /// Where to send a job for each event.
    pub(crate) target: Option<&'static str>,
}

impl Recorder {
    pub(crate) fn of(topic: &str) -> Arc<Self> {
        Arc::new(Self {
            topic: topic.to_owned(),
            ..Self::default()
        })
    }

    pub(crate) fn refusing(
        topic: &str,
        refuse: impl IntoIterator<Item = (&'static str, i64)>,
    ) -> Arc<Self> {
        let recorder = Self::of(topic);
        recorder.refuse.lock().unwrap().extend(
            refuse
                .into_iter()
                .map(|(key, version)| (key.to_owned(), version)),
        );
        recorder
    }

    pub(crate) fn relent(&self) {
        self.refuse.lock().unwrap().clear();
    }
}

#[async_trait]
impl Subscriber for Recorder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn topics(&self) -> Vec<String> {
        vec![self.topic.clone()]
    }

    fn heeds(&self, event: &Event) -> bool {
        self.unheeded != Some(event.key.as_str())
    }

    async fn apply(&self, effects: &mut Effects<'_>, events: &[&Event]) -> Result<(), Refusal> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        let keys: Vec<&str> = events.iter().map(|event| event.key.as_str()).collect();
        let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
        // Written first, so that a refusal has something to undo.
        sqlx::query(
            "insert into effects (event_id, key, version)
             select id, key, version from unnest($1::uuid[], $2::text[], $3::bigint[]) with ordinality
                 as e (id, key, version, place) order by place",
        )
        .bind(ids)
        .bind(keys)
        .bind(versions)
        .execute(&mut *effects.connection)
        .await?;
        if let Some(slow) = self.slow
            && events.iter().any(|event| event.key == slow)
        {
            sqlx::query("select pg_sleep(60)")
                .execute(&mut *effects.connection)
                .await?;
        }
        for event in events {
            assert_ne!(self.panics, Some(event.key.as_str()), "told to panic");
            if let Some(target) = self.target {
                effects.enqueue(NewJob::of(event, target, event.version.to_string()));
            }
            if self
                .refuse
                .lock()
                .unwrap()
                .contains(&(event.key.clone(), event.version))
            {
                return Err(Refusal::refused(format_args!(
                    "{} {} is refused",
                    event.key, event.version
                )));
            }
        }
        Ok(())
    }
}

/// Notes each dead letter in the table `dead_letters`.
struct DeadLetterTable;

#[async_trait]
impl DeadLetters for DeadLetterTable {
    async fn publish(
        &self,
        connection: &mut PgConnection,
        subscriber: &str,
        record: &Record,
        reason: &str,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "insert into dead_letters (subscriber, \"offset\", reason) values ($1, $2, $3)",
        )
        .bind(subscriber)
        .bind(record.offset)
        .bind(reason)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// A consumer that runs.
pub(crate) struct Running {
    pub(crate) assigned: Assigned,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ConsumerError>>,
}

pub(crate) fn start(config: ConsumerConfig, recorder: &Arc<Recorder>) -> Running {
    run(
        config,
        vec![recorder.clone() as Arc<dyn Subscriber>],
        Vec::new(),
    )
}

pub(crate) fn run(
    config: ConsumerConfig,
    subscribers: Vec<Arc<dyn Subscriber>>,
    workers: Vec<Arc<dyn Worker>>,
) -> Running {
    let consumer = Consumer::new(config, subscribers, workers, Arc::new(DeadLetterTable));
    let (assigned, stop) = (consumer.assigned(), CancellationToken::new());
    let task = tokio::spawn(consumer.run(stop.clone()));
    Running {
        assigned,
        stop,
        task,
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(30), self.task)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }

    /// Ends it without a chance to finish anything.
    pub(crate) fn crash(self) {
        self.task.abort();
    }
}

/// What to publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) partition: i32,
    pub(crate) key: &'a str,
    pub(crate) version: i64,
    /// Leave the id away, so that it cannot be read.
    pub(crate) broken: bool,
}

pub(crate) fn change(key: &str, version: i64) -> Change<'_> {
    Change {
        partition: 0,
        key,
        version,
        broken: false,
    }
}

/// Publishes to partition 0 unless a change says otherwise.
pub(crate) async fn publish<'a>(topic: &str, changes: impl IntoIterator<Item = Change<'a>>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", testkit::kafka::bootstrap())
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .create()
        .unwrap();
    for change in changes {
        let (version, id) = (
            change.version.to_string(),
            event_id(topic, change.key, change.version).to_string(),
        );
        let mut headers: Vec<(&str, &str)> = vec![
            ("ce_specversion", "1.0"),
            ("ce_type", "test.Changed"),
            ("ce_source", "test"),
            ("ce_subject", change.key),
            ("ce_time", "2026-11-24T12:00:00Z"),
            ("ce_sequence", version.as_str()),
            ("ce_generation", "1"),
        ];
        if !change.broken {
            headers.push(("ce_id", id.as_str()));
        }
        let headers = headers
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        let record = BaseRecord::<str, str>::to(topic)
            .partition(change.partition)
            .key(change.key)
            .payload("payload")
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    tokio::task::spawn_blocking(move || producer.flush(Duration::from_secs(20)).unwrap())
        .await
        .unwrap();
}

pub(crate) fn event_id(topic: &str, key: &str, version: i64) -> Uuid {
    let mut hasher = DefaultHasher::new();
    (topic, key, version).hash(&mut hasher);
    Uuid::from_u128(u128::from(hasher.finish()))
}

/// Versions that have taken effect, for each key, in their order.
pub(crate) async fn effects(pool: &PgPool) -> BTreeMap<String, Vec<i64>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select key, version from effects order by place")
            .fetch_all(pool)
            .await
            .unwrap();
    let mut effects: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (key, version) in rows {
        effects.entry(key).or_default().push(version);
    }
    effects
}

/// Versions of one key.
pub(crate) async fn effects_of(pool: &PgPool, key: &str) -> Vec<i64> {
    effects(pool).await.remove(key).unwrap_or_default()
}

pub(crate) async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// Whether a statement waits for somebody else's transaction.
pub(crate) async fn waits_for_a_lock(pool: &PgPool) -> bool {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    count(pool, waiting).await > 0
}

/// Looks again and again until `condition` holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let holds = timeout(Duration::from_secs(30), async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    });
    holds
        .await
        .unwrap_or_else(|_| panic!("in vain waited until {what}"));
}
