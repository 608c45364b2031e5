use std::sync::Arc;
use std::time::Duration;

use inbox::operator::{self, Discard, Filter, Gap, KeyOf, ParkedKey};
use sqlx::PgPool;

use crate::kit::{
    NAME, Recorder, change, config, count, database, effects, effects_of, event_id, eventually,
    publish, start, topic, waits_for_a_lock,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_parks_its_key_alone_and_the_later_ones_follow_it_in_order() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Recorder::refusing(&topic, [("a", 2)]);
    let mut config = config(&database);
    config.retry_tiers = vec![Duration::from_millis(50); 10_000];
    let running = start(config, &recorder);
    publish(
        &topic,
        [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2)]
            .map(|(key, version)| change(key, version)),
    )
    .await;
    publish(
        &topic,
        [("a", 4), ("b", 3)].map(|(key, version)| change(key, version)),
    )
    .await;
    eventually("the other key is there", || async {
        effects_of(&database.pool, "b").await == [1, 2, 3]
    })
    .await;
    eventually("all of the key wait", || async {
        parked(&database.pool).await.records == 3
    })
    .await;
    assert_eq!(effects_of(&database.pool, "a").await, [1]);
    let parked = parked(&database.pool).await;
    assert_eq!(
        (parked.key.as_str(), parked.cause.as_str(), parked.dead),
        ("a", "refused", false)
    );
    assert_eq!(parked.reason, "a 2 is refused");

    recorder.relent();
    eventually("the key is free", || none_parked(&database.pool)).await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 2, 3, 4]);
    publish(&topic, [change("a", 5)]).await;
    eventually("it goes on", || async {
        effects_of(&database.pool, "a").await == [1, 2, 3, 4, 5]
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_events_at_fault_are_taken_out_of_a_batch() {
    let (database, topic) = (database().await, topic(1).await);
    let keys: Vec<String> = (0..200).map(|key| format!("k{key}")).collect();
    publish(&topic, keys.iter().map(|key| change(key, 1))).await;
    let running = start(
        config(&database),
        &Recorder::refusing(&topic, [("k3", 1), ("k77", 1), ("k199", 1)]),
    );
    eventually("the others are there", || async {
        effects(&database.pool).await.len() >= 197
    })
    .await;
    assert_eq!(
        count(&database.pool, "select count(*) from effects").await,
        197
    );
    assert_eq!(
        count(&database.pool, "select count(*) from inbox.parked_keys").await,
        3
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_waits_until_it_is_discarded() {
    let (database, topic) = (database().await, topic(1).await);
    let running = start(config(&database), &Recorder::of(&topic));
    let broken = crate::kit::Change {
        broken: true,
        ..change("a", 2)
    };
    publish(
        &topic,
        [change("a", 1), broken, change("a", 3), change("b", 1)],
    )
    .await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    assert_eq!(effects_of(&database.pool, "b").await, [1]);
    let parked = parked(&database.pool).await;
    assert_eq!(
        (parked.cause.as_str(), parked.reason.as_str()),
        ("undecodable", "header ce_id is missing")
    );

    assert_eq!(
        discard(&database.pool, key(&topic, "a"), Gap::Refuse).await,
        Discard::Discarded(1)
    );
    eventually("the key is free", || none_parked(&database.pool)).await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 3]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_parks_its_key_until_the_missing_version_comes() {
    let (database, topic) = (database().await, topic(1).await);
    let mut config = config(&database);
    config.retry_tiers = vec![Duration::from_millis(50); 10_000];
    let running = start(config, &Recorder::of(&topic));
    publish(&topic, [change("a", 1), change("a", 3)]).await;
    eventually("the key is parked", || async {
        !none_parked(&database.pool).await
    })
    .await;
    let parked = parked(&database.pool).await;
    assert_eq!(
        (parked.cause.as_str(), parked.reason.as_str()),
        ("gap", "version 3 follows version 1")
    );
    publish(&topic, [change("a", 2)]).await;
    eventually("the key is free", || none_parked(&database.pool)).await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 2, 3]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_accept_that_versions_are_lost() {
    let (database, topic) = (database().await, topic(1).await);
    let running = start(config(&database), &Recorder::of(&topic));
    publish(&topic, [1, 4, 5].map(|version| change("a", version))).await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    assert!(retry(&database.pool, key(&topic, "a"), Gap::Accept).await);
    eventually("the key is free", || none_parked(&database.pool)).await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 4, 5]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_behind_a_gap_is_discarded_only_with_the_gap() {
    let (database, topic) = (database().await, topic(1).await);
    let running = start(config(&database), &Recorder::of(&topic));
    publish(&topic, [1, 4, 5].map(|version| change("a", version))).await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    let key = key(&topic, "a");
    assert_eq!(
        discard(&database.pool, key, Gap::Refuse).await,
        Discard::BehindGap {
            last: 1,
            version: 4
        }
    );
    assert!(dead(&database.pool).await);
    assert_eq!(
        discard(&database.pool, key, Gap::Accept).await,
        Discard::Discarded(1)
    );
    eventually("the key is free", || none_parked(&database.pool)).await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 5]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_record_that_an_operator_has_seen_is_discarded() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Recorder::refusing(&topic, [("a", 1), ("a", 2)]);
    let running = start(config(&database), &recorder);
    publish(&topic, [1, 2].map(|version| change("a", version))).await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    let seen = parked(&database.pool).await.first_record;
    let (pool, key) = (&database.pool, key(&topic, "a"));
    assert_eq!(
        discard_if_first(pool, key, Gap::Refuse, seen).await,
        Discard::Discarded(0)
    );
    eventually("the next is dead", || async { dead(pool).await }).await;
    assert_eq!(
        discard_if_first(pool, key, Gap::Refuse, seen).await,
        Discard::Overtaken
    );
    let next = parked(pool).await;
    assert!(next.dead && next.records == 1 && next.first_record > seen);
    running.stop().await;
}

#[tokio::test]
async fn parked_keys_are_listed_by_subscriber_and_by_whether_they_are_dead() {
    let database = database().await;
    for (subscriber, key, due_at) in [
        ("one", "a", None),
        ("one", "b", Some("2100-01-01")),
        ("two", "a", Some("2100-01-01")),
    ] {
        sqlx::query(
            "insert into inbox.parked_keys (subscriber, topic, key, partition, cause, reason, due_at)
             values ($1, 't', $2, 0, 'gap', 'lost', $3::timestamptz)",
        )
        .bind(subscriber)
        .bind(key)
        .bind(due_at)
        .execute(&database.pool)
        .await
        .unwrap();
    }
    let listed = async |subscriber, dead| {
        let filter = Filter { subscriber, dead };
        let keys = operator::parked(&database.pool, filter, None, 10)
            .await
            .unwrap();
        keys.into_iter()
            .map(|parked| format!("{} {}", parked.subscriber, parked.key))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(None, None).await, ["one a", "one b", "two a"]);
    assert_eq!(listed(Some("one"), None).await, ["one a", "one b"]);
    assert_eq!(listed(None, Some(false)).await, ["one b", "two a"]);
    assert_eq!(listed(Some("one"), Some(true)).await, ["one a"]);
    assert!(listed(Some("three"), None).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_makes_its_subscriber_panic_parks_its_key_alone() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Recorder {
        topic: topic.clone(),
        panics: Some("a"),
        ..Recorder::default()
    };
    let running = start(config(&database), &Arc::new(recorder));
    publish(&topic, ["b", "a", "c"].map(|key| change(key, 1))).await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    let parked = parked(&database.pool).await;
    assert_eq!(
        (parked.key.as_str(), parked.reason.as_str()),
        ("a", "the subscriber panicked")
    );
    for other in ["b", "c"] {
        assert_eq!(effects_of(&database.pool, other).await, [1]);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_tier_a_key_is_dead_and_its_event_is_a_dead_letter_once() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Recorder::refusing(&topic, [("a", 1)]);
    let running = start(config(&database), &recorder);
    publish(&topic, [1, 2].map(|version| change("a", version))).await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    assert_eq!(parked(&database.pool).await.attempts, 2);

    assert!(retry(&database.pool, key(&topic, "a"), Gap::Refuse).await);
    eventually("the key is dead again", || async {
        dead(&database.pool).await
    })
    .await;
    let letters: Vec<(String, i64, String)> =
        sqlx::query_as("select subscriber, \"offset\", reason from dead_letters")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    assert_eq!(letters, [(NAME.to_owned(), 0, "a 1 is refused".to_owned())]);

    assert_eq!(
        discard(&database.pool, key(&topic, "a"), Gap::Refuse).await,
        Discard::Discarded(0)
    );
    eventually("the key is free", || none_parked(&database.pool)).await;
    assert_eq!(effects_of(&database.pool, "a").await, [2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_version_does_not_come_back() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Recorder::refusing(&topic, [("a", 2)]);
    let running = start(config(&database), &recorder);
    publish(&topic, [1, 2].map(|version| change("a", version))).await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    discard(&database.pool, key(&topic, "a"), Gap::Refuse).await;
    recorder.relent();
    publish(&topic, [2, 3].map(|version| change("a", version))).await;
    eventually("it goes on", || async {
        effects_of(&database.pool, "a").await.contains(&3)
    })
    .await;
    assert_eq!(effects_of(&database.pool, "a").await, [1, 3]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_too_long_for_an_index_holds_up_no_other() {
    let (database, topic) = (database().await, topic(1).await);
    let running = start(config(&database), &Recorder::of(&topic));
    // Too little of it repeats for PostgreSQL to make it short.
    let long: String = (0..256)
        .map(|part| event_id(&topic, "long", part).simple().to_string())
        .collect();
    publish(&topic, [change(&long, 1), change(&long, 3), change("b", 1)]).await;
    eventually("the other key is there", || async {
        effects_of(&database.pool, "b").await == [1]
    })
    .await;
    let parked = parked(&database.pool).await;
    assert_eq!(parked.cause, "gap");
    assert!(parked.key.starts_with("\\h"), "{}", parked.key);
    assert_eq!(effects_of(&database.pool, &parked.key).await, [1]);

    publish(&topic, [change(&long, 2)]).await;
    let key = key(&topic, &parked.key);
    eventually("its gap is closed", || async {
        retry(&database.pool, key, Gap::Refuse).await;
        effects_of(&database.pool, key.key).await == [1, 2, 3]
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_always_takes_too_long_parks_its_key_alone_and_dies() {
    let (database, topic) = (database().await, topic(1).await);
    let mut config = config(&database);
    config.statement_timeout = Duration::from_millis(500);
    let recorder = Recorder {
        topic: topic.clone(),
        slow: Some("a"),
        ..Recorder::default()
    };
    let changes = [("b", 1), ("a", 1), ("b", 2), ("c", 1)];
    publish(&topic, changes.map(|(key, version)| change(key, version))).await;
    let running = start(config, &Arc::new(recorder));
    eventually("the others are there", || async {
        let effects = effects(&database.pool).await;
        effects.get("b").is_some_and(|versions| *versions == [1, 2])
            && effects.get("c").is_some_and(|versions| *versions == [1])
    })
    .await;
    eventually("the key is dead", || async { dead(&database.pool).await }).await;
    let parked = parked(&database.pool).await;
    assert_eq!(
        (parked.key.as_str(), parked.cause.as_str()),
        ("a", "refused")
    );
    assert_eq!(parked.reason, "it takes longer than a statement may");
    assert!(effects_of(&database.pool, "a").await.is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_key_whose_partition_is_locked_keeps_no_other_from_its_retry() {
    let (database, topic) = (database().await, topic(2).await);
    let recorder = Recorder::refusing(&topic, [("a", 1), ("b", 1)]);
    let mut config = config(&database);
    config.retry_tiers = vec![Duration::from_millis(50); 10_000];
    let running = start(config, &recorder);
    let elsewhere = crate::kit::Change {
        partition: 1,
        ..change("b", 1)
    };
    publish(&topic, [change("a", 1), elsewhere]).await;
    eventually("both are parked", || async {
        count(&database.pool, "select count(*) from inbox.parked_keys").await == 2
    })
    .await;

    let mut lock = database.pool.begin().await.unwrap();
    sqlx::query("select from inbox.offsets where partition = 0 for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    // The one that cannot be tried comes first.
    sqlx::query("update inbox.parked_keys set due_at = '2000-01-01' where key = 'a'")
        .execute(&database.pool)
        .await
        .unwrap();
    recorder.relent();
    eventually("the other has been retried", || async {
        effects_of(&database.pool, "b").await == [1]
    })
    .await;
    assert!(effects_of(&database.pool, "a").await.is_empty());
    lock.rollback().await.unwrap();
    eventually("both are free", || none_parked(&database.pool)).await;
    assert_eq!(effects_of(&database.pool, "a").await, [1]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_while_an_operator_decides_about_their_key_see_what_was_decided() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Recorder::refusing(&topic, [("a", 1)]);
    let mut config = config(&database);
    config.retry_tiers = vec![Duration::from_secs(600)];
    let running = start(config, &recorder);
    publish(&topic, [change("a", 1), change("b", 1)]).await;
    eventually("one is parked", || async {
        !none_parked(&database.pool).await
    })
    .await;

    let mut deciding = database.pool.begin().await.unwrap();
    let discarded = operator::discard(&mut deciding, key(&topic, "a"), Gap::Refuse, None).await;
    assert_eq!(discarded.unwrap(), Discard::Discarded(0));
    // The first of them is what was discarded.
    recorder.relent();
    publish(&topic, [change("a", 1), change("a", 2), change("b", 2)]).await;
    eventually("the events wait", || waits_for_a_lock(&database.pool)).await;
    deciding.commit().await.unwrap();
    eventually("they have taken effect", || async {
        effects_of(&database.pool, "b").await == [1, 2]
            && effects_of(&database.pool, "a").await == [2]
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn an_operator_who_names_a_key_that_is_not_parked_changes_nothing() {
    let database = database().await;
    assert!(!retry(&database.pool, key("t", "a"), Gap::Accept).await);
    assert_eq!(
        discard(&database.pool, key("t", "a"), Gap::Accept).await,
        Discard::NotParked
    );
    let mut connection = database.pool.acquire().await.unwrap();
    let left = operator::reset(&mut connection, NAME, "t", 0, Some(5)).await;
    assert_eq!(left.unwrap(), None);
    assert!(none_parked(&database.pool).await);
}

fn key<'a>(topic: &'a str, key: &'a str) -> KeyOf<'a> {
    KeyOf {
        subscriber: NAME,
        topic,
        key,
    }
}

async fn retry(pool: &PgPool, key: KeyOf<'_>, gap: Gap) -> bool {
    let mut transaction = pool.begin().await.unwrap();
    let found = operator::retry(&mut transaction, key, gap).await.unwrap();
    transaction.commit().await.unwrap();
    found
}

async fn discard(pool: &PgPool, key: KeyOf<'_>, gap: Gap) -> Discard {
    discard_if_first(pool, key, gap, None).await
}

async fn discard_if_first(
    pool: &PgPool,
    key: KeyOf<'_>,
    gap: Gap,
    expected: Option<i64>,
) -> Discard {
    let mut transaction = pool.begin().await.unwrap();
    let discard = operator::discard(&mut transaction, key, gap, expected)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    discard
}

async fn parked(pool: &PgPool) -> ParkedKey {
    operator::parked(pool, Filter::default(), None, 1)
        .await
        .unwrap()
        .pop()
        .expect("a parked key")
}

async fn none_parked(pool: &PgPool) -> bool {
    operator::parked(pool, Filter::default(), None, 1)
        .await
        .unwrap()
        .is_empty()
}

async fn dead(pool: &PgPool) -> bool {
    operator::parked(pool, Filter::default(), None, 1)
        .await
        .unwrap()
        .first()
        .is_some_and(|parked| parked.dead)
}
