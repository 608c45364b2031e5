use std::collections::BTreeMap;

use crate::kit::{
    Recorder, change, config, count, database, effects, eventually, publish, start, topic,
};

const PARTITIONS: i32 = 4;
const KEYS: i32 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_come_and_go_under_load_lose_and_repeat_nothing() {
    let (database, topic) = (database().await, topic(PARTITIONS).await);
    let (config, recorder) = (config(&database), Recorder::of(&topic));
    let load = tokio::spawn({
        let topic = topic.clone();
        async move {
            for from in (1..=200).step_by(20) {
                publish_versions(&topic, from, from + 19).await;
            }
        }
    });

    let first = start(config.clone(), &recorder);
    eventually("the first reads", || async {
        total(&database.pool).await > 0
    })
    .await;
    let mut second = start(config.clone(), &recorder);
    second.assigned.ready().await;
    first.stop().await;
    let mut third = start(config.clone(), &recorder);
    third.assigned.ready().await;
    second.crash();
    load.await.unwrap();
    let fourth = start(config, &recorder);

    eventually("all are there", || async {
        total(&database.pool).await >= i64::from(KEYS) * 200
    })
    .await;
    let expected: BTreeMap<String, Vec<i64>> = (0..KEYS)
        .map(|key| (format!("k{key}"), (1..=200).collect()))
        .collect();
    assert_eq!(effects(&database.pool).await, expected);
    assert_eq!(
        count(&database.pool, "select count(*) from inbox.parked_keys").await,
        0
    );
    third.stop().await;
    fourth.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_consumer_that_stops_go_to_the_others_at_once() {
    let (database, topic) = (database().await, topic(PARTITIONS).await);
    let (mut config, recorder) = (config(&database), Recorder::of(&topic));
    // Longer than this test waits: only leaving the group can hand them over.
    config.session_timeout = std::time::Duration::from_secs(45);
    let mut first = start(config.clone(), &recorder);
    first.assigned.ready().await;
    let mut second = start(config, &recorder);
    second.assigned.ready().await;
    first.stop().await;
    publish_versions(&topic, 1, 1).await;
    eventually("all are there", || async {
        total(&database.pool).await == i64::from(KEYS)
    })
    .await;
    second.stop().await;
}

async fn publish_versions(topic: &str, from: i64, to: i64) {
    let keys: Vec<String> = (0..KEYS).map(|key| format!("k{key}")).collect();
    let mut changes = Vec::new();
    for version in from..=to {
        for (key, number) in keys.iter().zip(0..) {
            let mut change = change(key, version);
            change.partition = number % PARTITIONS;
            changes.push(change);
        }
    }
    publish(topic, changes).await;
}

async fn total(pool: &sqlx::PgPool) -> i64 {
    count(pool, "select count(*) from effects").await
}
