use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use inbox::{Effects, Event, Refusal, Subscriber};

use crate::kit::{
    NAME, Recorder, change, config, count, database, effects, eventually, publish, run, start,
    topic,
};

const PARTITIONS: i32 = 4;
const KEYS: i32 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_come_and_go_under_load_lose_and_repeat_nothing() {
    let (database, topic) = (database().await, topic(PARTITIONS).await);
    let (config, recorder) = (config(&database), Recorder::of(&topic));
    let enough = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (topic, enough) = (topic.clone(), enough.clone());
        async move {
            let mut last = 0;
            while !enough.load(Ordering::SeqCst) {
                publish_versions(&topic, last + 1, last + 2).await;
                last += 2;
            }
            last
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
    let mut fourth = start(config, &recorder);
    fourth.assigned.ready().await;
    enough.store(true, Ordering::SeqCst);
    let last = load.await.unwrap();

    eventually("all are there", || async {
        total(&database.pool).await >= i64::from(KEYS) * last
    })
    .await;
    let expected: BTreeMap<String, Vec<i64>> = (0..KEYS)
        .map(|key| (format!("k{key}"), (1..=last).collect()))
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
    config.session_timeout = Duration::from_secs(45);
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

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_cannot_finish_hold_up_a_stop_together_and_not_one_after_the_other() {
    struct Stuck {
        topic: String,
        partitions: Mutex<HashSet<i32>>,
    }
    #[async_trait]
    impl Subscriber for Stuck {
        fn name(&self) -> &'static str {
            NAME
        }
        fn topics(&self) -> Vec<String> {
            vec![self.topic.clone()]
        }
        async fn apply(&self, _: &mut Effects<'_>, events: &[&Event]) -> Result<(), Refusal> {
            let partitions = events.iter().map(|event| event.record.partition);
            self.partitions.lock().unwrap().extend(partitions);
            std::future::pending().await
        }
    }
    let (database, topic) = (database().await, topic(PARTITIONS).await);
    publish_versions(&topic, 1, 1).await;
    let stuck = Arc::new(Stuck {
        topic,
        partitions: Mutex::default(),
    });
    let running = run(config(&database), vec![stuck.clone()], Vec::new());
    eventually("all are stuck", || async {
        stuck.partitions.lock().unwrap().len() == 4
    })
    .await;
    let begun = Instant::now();
    running.stop().await;
    // Each has three seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
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
