//! What arrives in Kafka, and in which form.

use std::collections::BTreeMap;

use outbox::{Encoded, append_encoded};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::world::{
    Happened, backlog, change, changes, config, database, eventually, next_version, records, start,
    topics, until_applied,
};

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_key_arrive_in_order_under_concurrent_writers() {
    let database = database().await;
    let topics = topics();
    let relay = start(config(&database, topics));
    let writers = (0..4).map(|_| async {
        changes(&database.pool, &topics[0], 10, 25).await;
        relay.wake.committed();
    });
    futures::future::join_all(writers).await;
    until_applied(&topics[0], 10, 100).await;
    relay.stop().await;
    assert_eq!(
        records(&topics[0]).await.len(),
        1000,
        "without a failure nothing arrives twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_carries_the_headers_that_subscribers_read() {
    let database = database().await;
    let topics = topics();
    let mut transaction = database.pool.begin().await.unwrap();
    let version = next_version(&mut transaction, "k").await;
    let event = Encoded {
        event_type: "grimoire.test.v1.Happened",
        payload: b"\x0a\x01x",
        headers: &[("dlq_reason", "it was refused")],
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    };
    let id = append_encoded(&mut transaction, &topics[0], "k", version, event)
        .await
        .unwrap();
    transaction.commit().await.unwrap();

    let relay = start(config(&database, topics));
    let record = eventually("the event is in Kafka", async || {
        records(&topics[0]).await.pop()
    })
    .await;
    relay.stop().await;

    let mut headers = record.headers;
    let time = OffsetDateTime::parse(&headers.remove("ce_time").unwrap(), &Rfc3339).unwrap();
    assert!((OffsetDateTime::now_utc() - time).whole_seconds() < 60);
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id.to_string()),
        ("ce_type", "grimoire.test.v1.Happened"),
        ("ce_source", "grimoire/test"),
        ("ce_subject", "k"),
        ("ce_sequence", "1"),
        ("ce_generation", "1"),
        ("content-type", "application/protobuf"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("dlq_reason", "it was refused"),
    ];
    let expected: BTreeMap<String, String> = expected
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(headers, expected);
    assert_eq!(record.key, b"k");
    let payload: Happened = prost::Message::decode(record.payload.as_slice()).unwrap();
    assert_eq!(payload.what, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_in_the_partition_where_a_java_client_would_look_for_it() {
    let database = database().await;
    let topics = topics();
    for key in ["a", "b", "c", "d"] {
        change(&database.pool, &topics[0], key).await;
    }
    let relay = start(config(&database, topics));
    let records = eventually("all are in Kafka", async || {
        let records = records(&topics[0]).await;
        (records.len() == 4).then_some(records)
    })
    .await;
    relay.stop().await;
    for record in records {
        assert_eq!(
            record.partition,
            java_partition(&record.key, 3),
            "{record:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_many_reads_arrives_whole_and_in_order() {
    let database = database().await;
    let topics = topics();
    backlog(&database.pool, &topics[0], 2_000).await;
    let relay = start(config(&database, topics));
    until_applied(&topics[0], 10, 2000).await;
    relay.stop().await;
    assert_eq!(records(&topics[0]).await.len(), 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_a_newer_release_is_created_and_does_not_stop_the_others() {
    let database = database().await;
    let (listed, newer) = (topics(), topics());
    change(&database.pool, &newer[0], "key-0").await;
    let relay = start(config(&database, listed));
    until_applied(&newer[0], 1, 1).await;
    relay.stop().await;
}

/// The default partitioner of Kafka's Java client: murmur2 with a fixed seed, without the sign.
fn java_partition(key: &[u8], partitions: u32) -> i32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let words = key.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let mut mixed = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^= hash >> 15;
    ((hash & 0x7fff_ffff) % partitions) as i32
}
