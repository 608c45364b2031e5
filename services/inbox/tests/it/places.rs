//! Where a subscriber starts to read, and where it had better not.

use inbox::operator;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::PgPool;
use telemetry::metrics::gauge_vec;
use telemetry::names;

use crate::kit::{
    NAME, Recorder, change, config, database, effects_of, eventually, publish, start, topic,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscriber_starts_at_the_oldest_record() {
    let (database, topic) = (database().await, topic(1).await);
    publish(&topic, (1..=3).map(|version| change("a", version))).await;
    delete_before(&topic, 2).await;
    let running = start(config(&database), &Recorder::of(&topic));
    eventually("it is there", || async {
        effects_of(&database.pool, "a").await == [3]
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_later_is_found() {
    let database = database().await;
    let topic = testkit::kafka::unique("inbox");
    let mut running = start(config(&database), &Recorder::of(&topic));
    assert!(!running.assigned.is_ready());
    testkit::kafka::create_topic(&topic, 1).await;
    running.assigned.ready().await;
    assert!(running.assigned.is_ready());
    publish(&topic, [change("a", 1)]).await;
    eventually("it is there", || async {
        effects_of(&database.pool, "a").await == [1]
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_topic_stops_the_partition_until_it_is_reset() {
    let (database, topic) = (database().await, topic(1).await);
    publish(&topic, [change("a", 1)]).await;
    place(&database.pool, &topic, 100, None).await;
    let running = start(config(&database), &Recorder::of(&topic));
    eventually("it stands still", || async { is_stopped(&topic) }).await;
    assert!(effects_of(&database.pool, "a").await.is_empty());

    let mut connection = database.pool.acquire().await.unwrap();
    let left = operator::reset(&mut connection, NAME, &topic, 0, None).await;
    assert_eq!(left.unwrap(), Some(100));
    eventually("it is there", || async {
        effects_of(&database.pool, "a").await == [1]
    })
    .await;
    assert!(!is_stopped(&topic));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_whose_record_is_deleted_stops_the_partition() {
    let (database, topic) = (database().await, topic(1).await);
    publish(&topic, (1..=3).map(|version| change("a", version))).await;
    delete_before(&topic, 2).await;
    place(&database.pool, &topic, 1, None).await;
    let running = start(config(&database), &Recorder::of(&topic));
    eventually("it stands still", || async { is_stopped(&topic) }).await;
    assert!(effects_of(&database.pool, "a").await.is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_topic_of_the_same_name_stops_the_partition_until_it_is_reset() {
    let (database, topic) = (database().await, topic(1).await);
    publish(&topic, [1, 2].map(|version| change("a", version))).await;
    place(
        &database.pool,
        &topic,
        1,
        Some("00000000000000010000000000000002"),
    )
    .await;
    let running = start(config(&database), &Recorder::of(&topic));
    eventually("it stands still", || async { is_stopped(&topic) }).await;
    let mut connection = database.pool.acquire().await.unwrap();
    let left = operator::reset(&mut connection, NAME, &topic, 0, Some(1)).await;
    assert_eq!(left.unwrap(), Some(1));
    eventually("it is there", || async {
        effects_of(&database.pool, "a").await == [2]
    })
    .await;
    running.stop().await;
}

/// Puts the subscriber somewhere before it starts.
async fn place(pool: &PgPool, topic: &str, next_offset: i64, topic_id: Option<&str>) {
    sqlx::query(
        "insert into inbox.offsets (subscriber, topic, partition, next_offset, topic_id) values ($1, $2, 0, $3, $4)",
    )
    .bind(NAME)
    .bind(topic)
    .bind(next_offset)
    .bind(topic_id)
    .execute(pool)
    .await
    .unwrap();
}

fn is_stopped(topic: &str) -> bool {
    gauge_vec(
        names::INBOX_PARTITION_STOPPED,
        "",
        &["subscriber", "topic", "partition"],
    )
    .with_label_values(&[NAME, topic, "0"])
    .get()
        == 1
}

async fn delete_before(topic: &str, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", testkit::kafka::bootstrap())
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, 0, Offset::Offset(offset))
        .unwrap();
    admin
        .delete_records(&offsets, &AdminOptions::new())
        .await
        .unwrap();
}
