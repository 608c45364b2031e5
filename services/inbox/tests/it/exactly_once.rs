use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use inbox::{ConsumerConfig, Faults, operator};
use sqlx::PgPool;

use crate::kit::{
    NAME, Recorder, change, config, count, database, effects, effects_of, eventually, publish,
    start, topic,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_comes_twice_takes_effect_once() {
    let (database, topic) = (database().await, topic(1).await);
    let running = start(config(&database), &Recorder::of(&topic));
    publish(&topic, [1, 2, 2, 1, 3].map(|version| change("a", version))).await;
    publish(&topic, [1, 2, 3, 4].map(|version| change("a", version))).await;
    eventually("the last version is there", || async {
        effects_of(&database.pool, "a").await.contains(&4)
    })
    .await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 2, 3, 4]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_each_key_take_effect_in_the_order_of_their_versions() {
    let (database, topic) = (database().await, topic(3).await);
    let keys: Vec<String> = (0..60).map(|key| format!("k{key}")).collect();
    let changes = (1..=20).flat_map(|version| {
        keys.iter().zip(0..).map(move |(key, number)| {
            let mut change = change(key, version);
            change.partition = number % 3;
            change
        })
    });
    publish(&topic, changes).await;
    let running = start(config(&database), &Recorder::of(&topic));
    eventually("all are there", || async {
        count(&database.pool, "select count(*) from effects").await >= 1200
    })
    .await;
    let expected: BTreeMap<String, Vec<i64>> = keys
        .into_iter()
        .map(|key| (key, (1..=20).collect()))
        .collect();
    assert_eq!(effects(&database.pool).await, expected);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_keys_takes_effect_once_as_one_of_few_does() {
    let (database, topic) = (database().await, topic(1).await);
    let keys: Vec<String> = (0..300).map(|number| format!("k{number}")).collect();
    let all = |version| keys.iter().map(move |key| change(key, version));
    // There before anybody reads, so that batches are large.
    publish(&topic, all(1).chain(all(1)).chain(all(2))).await;
    let running = start(config(&database), &Recorder::of(&topic));
    eventually("all has been read", || async {
        next_offset(&database.pool).await == 900
    })
    .await;
    publish(&topic, [change("k0", 2), change("k0", 3)]).await;
    eventually("the last has taken effect", || async {
        effects_of(&database.pool, "k0").await == [1, 2, 3]
    })
    .await;
    let effects = effects(&database.pool).await;
    assert_eq!(effects.len(), keys.len());
    assert!(keys[1..].iter().all(|key| effects[key] == [1, 2]));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_crashes_in_the_middle_goes_on_where_it_was() {
    let (database, topic) = (database().await, topic(1).await);
    publish(&topic, (1..=4000).map(|version| change("a", version))).await;
    let config = config(&database);
    let in_small_steps = ConsumerConfig {
        max_batch: 10,
        ..config.clone()
    };
    let crashed = start(in_small_steps, &Recorder::of(&topic));
    eventually("it is in the middle", || async {
        count(&database.pool, "select count(*) from effects").await > 0
    })
    .await;
    crashed.crash();
    assert!(count(&database.pool, "select count(*) from effects").await < 4000);
    let running = start(config, &Recorder::of(&topic));
    eventually("all are there", || async {
        count(&database.pool, "select count(*) from effects").await >= 4000
    })
    .await;
    assert_eq!(
        effects_of(&database.pool, "a").await,
        (1..=4000).collect::<Vec<_>>()
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_from_a_place_where_the_partition_no_longer_is_has_no_effect() {
    let (database, topic) = (database().await, topic(1).await);
    let running = start(config(&database), &Recorder::of(&topic));
    publish(&topic, [change("a", 1)]).await;
    eventually("the first is there", || async {
        effects_of(&database.pool, "a").await == [1]
    })
    .await;
    let mut connection = database.pool.acquire().await.unwrap();
    let left = operator::reset(&mut connection, NAME, &topic, 0, Some(0)).await;
    assert_eq!(left.unwrap(), Some(1));
    publish(&topic, [change("a", 2)]).await;
    eventually("it has read again", || async {
        next_offset(&database.pool).await == 2
    })
    .await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_for_a_while_loses_nothing() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Recorder::of(&topic);
    let mut lock = database.pool.begin().await.unwrap();
    sqlx::query("lock table effects in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let running = start(config(&database), &recorder);
    publish(&topic, [1, 2].map(|version| change("a", version))).await;
    eventually("it has tried twice", || async {
        recorder.calls.load(Ordering::SeqCst) >= 2
    })
    .await;
    lock.rollback().await.unwrap();
    eventually("both are there", || async {
        effects_of(&database.pool, "a").await.len() >= 2
    })
    .await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 2]);
    assert_eq!(
        count(&database.pool, "select count(*) from inbox.parked_keys").await,
        0
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_version_check_a_repeat_shows() {
    let (database, topic) = (database().await, topic(1).await);
    let mut config = config(&database);
    config.faults = Faults {
        skip_version_check: true,
        ..Faults::default()
    };
    let running = start(config, &Recorder::of(&topic));
    publish(&topic, [1, 2, 2].map(|version| change("a", version))).await;
    eventually("the repeat is there", || async {
        effects_of(&database.pool, "a").await == [1, 2, 2]
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_offset_before_the_effect_a_failure_loses_events() {
    let (database, topic) = (database().await, topic(1).await);
    let mut config = config(&database);
    config.faults = Faults {
        commit_before_effect: true,
        ..Faults::default()
    };
    let running = start(config, &Recorder::refusing(&topic, [("a", 1)]));
    publish(&topic, [change("a", 1)]).await;
    eventually("the offset is past it", || async {
        next_offset(&database.pool).await == 1
    })
    .await;
    publish(&topic, [change("b", 1)]).await;
    eventually("it goes on", || async {
        effects_of(&database.pool, "b").await == [1]
    })
    .await;
    // Neither applied nor parked: lost.
    assert!(effects_of(&database.pool, "a").await.is_empty());
    assert_eq!(
        count(&database.pool, "select count(*) from inbox.parked_keys").await,
        0
    );
    running.stop().await;
}

async fn next_offset(pool: &PgPool) -> i64 {
    count(
        pool,
        "select coalesce(max(next_offset), 0) from inbox.offsets",
    )
    .await
}

/// They share its transaction, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_not_heeded_wait_for_one_that_is() {
    let (database, topic) = (database().await, topic(1).await);
    let config = ConsumerConfig {
        idle_wait: Duration::from_secs(3600),
        ..config(&database)
    };
    let recorder = Arc::new(Recorder {
        topic: topic.clone(),
        unheeded: Some("idle"),
        ..Recorder::default()
    });
    let running = start(config, &recorder);
    publish(&topic, [change("idle", 1)]).await;
    publish(&topic, [change("idle", 2)]).await;
    publish(&topic, [change("a", 1)]).await;
    eventually("all are there", || async {
        count(&database.pool, "select count(*) from effects").await == 3
    })
    .await;
    assert_eq!(recorder.calls.load(Ordering::SeqCst), 1);
    assert_eq!(effects_of(&database.pool, "idle").await, [1, 2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_not_heeded_are_settled_after_a_while_all_the_same() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Arc::new(Recorder {
        topic: topic.clone(),
        unheeded: Some("idle"),
        ..Recorder::default()
    });
    let running = start(config(&database), &recorder);
    publish(&topic, [change("idle", 1)]).await;
    eventually("it is there", || async {
        count(
            &database.pool,
            "select coalesce(max(next_offset), 0) from inbox.offsets",
        )
        .await
            == 1
    })
    .await;
    running.stop().await;
}
