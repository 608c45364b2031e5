//! What the tests share: a database with aggregates, a topic, running relays, and a subscriber's view of the topic.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox::{Relay, RelayConfig, Topic, Wake, append};
use sqlx::PgPool;
use testkit::Database;
use testkit::kafka::Record;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Happened {
    #[prost(string, tag = "1")]
    pub(crate) what: String,
}

impl prost::Name for Happened {
    const NAME: &'static str = "Happened";
    const PACKAGE: &'static str = "grimoire.test.v1";
}

/// A database with the schema `outbox` and a table of aggregates.
pub(crate) async fn database() -> Database {
    testkit::database("outbox", |pool| async move {
        outbox::migrate(&pool).await?;
        sqlx::query("create table aggregates (key text primary key, version bigint not null)")
            .execute(&pool)
            .await?;
        Ok::<_, outbox::MigrateError>(())
    })
    .await
}

/// A list of one topic that no other test uses.
pub(crate) fn topics() -> &'static [Topic] {
    let name: &'static str = testkit::kafka::unique("outbox").leak();
    Box::leak(Box::new([Topic {
        name,
        max_payload: 1024,
    }]))
}

pub(crate) fn config(database: &Database, topics: &'static [Topic]) -> RelayConfig {
    RelayConfig {
        database_url: database.url.clone(),
        bootstrap_servers: testkit::kafka::bootstrap(),
        source: "grimoire/test",
        topics,
        partitions: 3,
        replication: 1,
        retention: RelayConfig::RETENTION,
        slot_bytes: RelayConfig::SLOT_BYTES,
        failpoint: None,
    }
}

pub(crate) struct Running {
    pub(crate) wake: Wake,
    pub(crate) task: JoinHandle<()>,
    stop: CancellationToken,
}

pub(crate) fn start(config: RelayConfig) -> Running {
    let (relay, wake) = Relay::new(config);
    let stop = CancellationToken::new();
    let task = tokio::spawn(relay.run(stop.clone()));
    Running { wake, task, stop }
}

impl Running {
    /// Ends it as a stop signal does.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Changes the aggregate `key` and tells of it, in one transaction. Returns the new version.
pub(crate) async fn change(pool: &PgPool, topic: &Topic, key: &str) -> i64 {
    let mut transaction = pool.begin().await.unwrap();
    let version = next_version(&mut transaction, key).await;
    let event = Happened {
        what: format!("{key} {version}"),
    };
    append(&mut transaction, topic, key, version, &event)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    version
}

/// Takes the next version of an aggregate, and its lock until the end of the transaction.
pub(crate) async fn next_version(connection: &mut sqlx::PgConnection, key: &str) -> i64 {
    sqlx::query_scalar(
        "insert into aggregates values ($1, 1) on conflict (key) do update set version = aggregates.version + 1 returning version",
    )
    .bind(key)
    .fetch_one(connection)
    .await
    .unwrap()
}

pub(crate) async fn changes(pool: &PgPool, topic: &Topic, keys: usize, each: usize) {
    for _ in 0..each {
        for key in 0..keys {
            change(pool, topic, &format!("key-{key}")).await;
        }
    }
}

/// Everything in a topic. A topic that was just created may have no leader, which counts as empty.
pub(crate) async fn records(topic: &Topic) -> Vec<Record> {
    let name = topic.name;
    tokio::spawn(async move { testkit::kafka::read_all(name).await })
        .await
        .unwrap_or_default()
}

/// What a subscriber applies that drops repeats by version: for each key the versions in their order. Panics on a gap.
pub(crate) fn applied(records: &[Record]) -> BTreeMap<String, Vec<i64>> {
    let mut applied = BTreeMap::<String, Vec<i64>>::new();
    for record in records {
        let key = String::from_utf8(record.key.clone()).unwrap();
        let version: i64 = record.headers["ce_sequence"].parse().unwrap();
        let versions = applied.entry(key).or_default();
        let last = versions.last().copied().unwrap_or_default();
        assert!(
            version <= last + 1,
            "version {version} behind {last}: {record:?}"
        );
        if version == last + 1 {
            versions.push(version);
        }
    }
    applied
}

/// Waits until a subscriber of `topic` has applied `each` changes of each of `keys` keys.
pub(crate) async fn until_applied(topic: &Topic, keys: usize, each: usize) {
    let expected: BTreeMap<String, Vec<i64>> = (0..keys)
        .map(|key| (format!("key-{key}"), (1..=each as i64).collect()))
        .collect();
    eventually("all changes are in Kafka", async || {
        (applied(&records(topic).await) == expected).then_some(())
    })
    .await;
}

/// As if its holder had been away for as long as a lease lasts.
pub(crate) async fn expire_lease(pool: &PgPool) {
    sqlx::query("update outbox.relay set expires_at = '-infinity'")
        .execute(pool)
        .await
        .unwrap();
}

/// A window that is more than one read: the versions 1 to `each` of ten keys, `key-0` to `key-9`, in the order of seq.
pub(crate) async fn backlog(pool: &PgPool, topic: &Topic, each: i32) {
    sqlx::query(
        "insert into outbox.entries (slot, event_id, topic, key, version, event_type, payload)
         select 0, gen_random_uuid(), $1, 'key-' || number % 10, number / 10 + 1, 'grimoire.test.v1.Happened', repeat('x', 500)::bytea
         from generate_series(0, $2 * 10 - 1) as number",
    )
    .bind(topic.name)
    .bind(each)
    .execute(pool)
    .await
    .unwrap();
}

/// How often the lease was given out.
pub(crate) async fn epoch(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select epoch from outbox.relay")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// How often a relay of this process failed in this way: a test that waits for it needs a kind that no other test raises.
pub(crate) fn failures(kind: &str) -> u64 {
    telemetry::metrics::counter_vec(
        telemetry::names::OUTBOX_RELAY_FAILURES,
        "Failures.",
        &["kind"],
    )
    .with_label_values(&[kind])
    .get()
}

/// Looks until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
