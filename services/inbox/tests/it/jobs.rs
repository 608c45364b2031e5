use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use inbox::jobs::{self, Job, NewJob, Outcome, Worker};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::task::yield_now;
use uuid::Uuid;

use crate::kit::{
    Recorder, change, config, count, database, event_id, eventually, publish, run, topic,
    waits_for_a_lock,
};

const MAIL: &str = "mail";
const OTHER: &str = "other";

/// Answers as it is told, and notes what it was asked.
struct Scripted {
    target: &'static str,
    answer: Box<dyn Fn(&Job) -> Outcome + Send + Sync>,
    /// Keys and payloads, in the order in which they were asked for.
    asked: Mutex<Vec<(String, String)>>,
    in_hand: Mutex<HashSet<String>>,
}

impl Scripted {
    fn new(
        target: &'static str,
        answer: impl Fn(&Job) -> Outcome + Send + Sync + 'static,
    ) -> Arc<Self> {
        let answer = Box::new(answer);
        Arc::new(Self {
            target,
            answer,
            asked: Mutex::default(),
            in_hand: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Worker for Scripted {
    fn target(&self) -> &'static str {
        self.target
    }

    fn max_batch(&self) -> usize {
        5
    }

    async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
        for job in jobs {
            assert!(
                self.in_hand.lock().unwrap().insert(job.key.clone()),
                "two jobs of a key are in hand"
            );
            let payload = String::from_utf8(job.payload.clone()).unwrap();
            self.asked.lock().unwrap().push((job.key.clone(), payload));
        }
        for _ in 0..10 {
            yield_now().await;
        }
        let outcomes = jobs.iter().map(|job| (self.answer)(job)).collect();
        for job in jobs {
            self.in_hand.lock().unwrap().remove(&job.key);
        }
        outcomes
    }
}

/// Has its jobs in hand until it may go on.
#[derive(Default)]
struct Held {
    asked: AtomicUsize,
    in_hand: Notify,
    go_on: Notify,
}

#[async_trait]
impl Worker for Held {
    fn target(&self) -> &'static str {
        MAIL
    }

    async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.in_hand.notify_one();
        self.go_on.notified().await;
        vec![Outcome::Done; jobs.len()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscribers_jobs_are_done_after_its_events() {
    let (database, topic) = (database().await, topic(1).await);
    let recorder = Arc::new(Recorder {
        topic: topic.clone(),
        target: Some(MAIL),
        ..Recorder::default()
    });
    recorder.refuse.lock().unwrap().insert(("b".to_owned(), 1));
    let worker = Scripted::new(MAIL, |_| Outcome::Done);
    let running = run(config(&database), vec![recorder], vec![worker.clone()]);
    publish(&topic, [change("a", 1), change("b", 1), change("a", 2)]).await;
    eventually("both are done", || async { worker.asked().len() >= 2 }).await;
    eventually("nothing is left", || none_left(&database.pool)).await;
    // Nothing for the event that was refused.
    assert_eq!(
        worker.asked(),
        [
            ("a".to_owned(), "1".to_owned()),
            ("a".to_owned(), "2".to_owned())
        ]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_key_are_done_in_order_by_several_replicas_and_through_retries() {
    let database = database().await;
    for number in 0..20 {
        let jobs: Vec<NewJob> = (0..10)
            .map(|key| job(MAIL, &format!("k{key}"), number))
            .collect();
        add(&database.pool, &jobs).await;
    }
    let tries = Mutex::new(0);
    // Shared by both replicas, so that it would see two of them at one key.
    let worker = Scripted::new(MAIL, move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        if *tries % 7 == 0 {
            Outcome::Retry("busy".to_owned())
        } else {
            Outcome::Done
        }
    });
    let replicas = [0, 1].map(|_| run(config(&database), Vec::new(), vec![worker.clone()]));
    eventually("nothing is left", || none_left(&database.pool)).await;
    let mut done: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (key, number) in worker.asked() {
        let number = number.parse().unwrap();
        let numbers = done.entry(key).or_default();
        // A retry asks again for the same one.
        if numbers.last() != Some(&number) {
            numbers.push(number);
        }
    }
    assert_eq!(done.len(), 10);
    assert!(
        done.values()
            .all(|numbers| *numbers == (0..20).collect::<Vec<_>>()),
        "{done:?}"
    );
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_holds_up_no_other() {
    let database = database().await;
    let away = Scripted::new(MAIL, |_| Outcome::Retry("away".to_owned()));
    let there = Scripted::new(OTHER, |_| Outcome::Done);
    let running = run(
        config(&database),
        Vec::new(),
        vec![away.clone(), there.clone()],
    );
    for number in 0..10 {
        add(
            &database.pool,
            &[job(MAIL, "a", number), job(OTHER, "a", number)],
        )
        .await;
    }
    eventually("the other is done", || async { there.asked().len() == 10 }).await;
    eventually("it is tried on and on", || async {
        away.asked().len() >= 4
    })
    .await;
    assert!(away.asked().iter().all(|(_, payload)| payload == "0"));
    assert_eq!(
        count(
            &database.pool,
            "select count(*) from inbox.jobs where target = 'mail'"
        )
        .await,
        10
    );
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_is_added_twice_is_one_job() {
    let database = database().await;
    add(&database.pool, &[job(MAIL, "a", 1), job(MAIL, "a", 1)]).await;
    add(&database.pool, &[job(MAIL, "a", 1)]).await;
    assert_eq!(
        count(&database.pool, "select count(*) from inbox.jobs").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_replica_that_died_is_taken_over_when_its_lease_ends() {
    let database = database().await;
    add(&database.pool, &[job(MAIL, "a", 1)]).await;
    sqlx::query("update inbox.job_keys set claim = $1, due_at = now() + interval '1 s'")
        .bind(Uuid::now_v7())
        .execute(&database.pool)
        .await
        .unwrap();
    let leased_until = "select extract(epoch from due_at - now())::bigint from inbox.job_keys";
    assert!(count(&database.pool, leased_until).await >= 0);
    let worker = Scripted::new(MAIL, |_| Outcome::Done);
    let running = run(config(&database), Vec::new(), vec![worker.clone()]);
    eventually("it is done", || none_left(&database.pool)).await;
    assert_eq!(worker.asked().len(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_longer_than_its_worker_has_patience_is_done_again() {
    let database = database().await;
    add(&database.pool, &[job(MAIL, "a", 1)]).await;
    struct Stuck(Mutex<usize>);
    #[async_trait]
    impl Worker for Stuck {
        fn target(&self) -> &'static str {
            MAIL
        }
        fn patience(&self) -> Duration {
            Duration::from_millis(300)
        }
        async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
            let first = std::mem::replace(&mut *self.0.lock().unwrap(), 1) == 0;
            if first {
                std::future::pending::<()>().await;
            }
            vec![Outcome::Done; jobs.len()]
        }
    }
    let running = run(
        config(&database),
        Vec::new(),
        vec![Arc::new(Stuck(Mutex::new(0)))],
    );
    eventually("it is done", || none_left(&database.pool)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_makes_its_worker_panic_dies_alone() {
    let database = database().await;
    add(
        &database.pool,
        &["a", "b", "c", "d"].map(|key| job(MAIL, key, 1)),
    )
    .await;
    struct Panicking;
    #[async_trait]
    impl Worker for Panicking {
        fn target(&self) -> &'static str {
            MAIL
        }
        async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
            assert!(jobs.iter().all(|job| job.key != "c"), "told to panic");
            vec![Outcome::Done; jobs.len()]
        }
    }
    let running = run(config(&database), Vec::new(), vec![Arc::new(Panicking)]);
    let dead = "select count(*) from inbox.job_keys where due_at is null and key = 'c'";
    eventually("it is dead", || async {
        count(&database.pool, dead).await == 1
    })
    .await;
    assert_eq!(
        count(&database.pool, "select count(*) from inbox.jobs").await,
        1
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_hand_is_not_taken_over_however_many_leases_it_takes() {
    let database = database().await;
    add(&database.pool, &[job(MAIL, "a", 1)]).await;
    let mut config = config(&database);
    config.job_lease = Duration::from_millis(600);
    let worker = Arc::new(Held::default());
    let replicas = [0, 1].map(|_| run(config.clone(), Vec::new(), vec![worker.clone()]));
    let mut ends = HashSet::new();
    // Each is a third of a lease later than the one before.
    while ends.len() < 8 {
        let end = "select (extract(epoch from due_at) * 1000)::bigint from inbox.job_keys";
        ends.insert(count(&database.pool, end).await);
        yield_now().await;
    }
    assert_eq!(worker.asked.load(Ordering::SeqCst), 1);
    worker.go_on.notify_one();
    eventually("it is done", || none_left(&database.pool)).await;
    assert_eq!(worker.asked.load(Ordering::SeqCst), 1);
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_added_while_another_of_its_key_is_written_off_is_done_as_well() {
    let database = database().await;
    let pool = &database.pool;
    add(pool, &[job(MAIL, "a", 1)]).await;
    let worker = Arc::new(Held::default());
    let Held { in_hand, go_on, .. } = &*worker;
    let running = run(config(&database), Vec::new(), vec![worker.clone()]);

    in_hand.notified().await;
    let mut adding = pool.begin().await.unwrap();
    jobs::enqueue(&mut adding, &[job(MAIL, "a", 2)])
        .await
        .unwrap();
    go_on.notify_one();
    eventually("the first is to be written off", || waits_for_a_lock(pool)).await;
    adding.commit().await.unwrap();

    in_hand.notified().await;
    let left = count(pool, "select count(*) from inbox.jobs").await;
    assert_eq!(left, 1, "the first is gone");
    // This time it is there before.
    add(pool, &[job(MAIL, "a", 3)]).await;
    go_on.notify_one();
    in_hand.notified().await;
    go_on.notify_one();
    eventually("all are done", || none_left(pool)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_put_off_again_and_again_delays_no_new_job_of_its_target() {
    let database = database().await;
    add(&database.pool, &[job(MAIL, "a", 1)]).await;
    let worker = Scripted::new(MAIL, |job| {
        if job.key == "a" {
            Outcome::Retry("greylisted".to_owned())
        } else {
            Outcome::Done
        }
    });
    let mut config = config(&database);
    config.job_back_off = (Duration::from_millis(10), Duration::from_secs(5));
    let running = run(config, Vec::new(), vec![worker.clone()]);
    // By then its own back-off is more than a second.
    eventually("it was put off often", || async {
        worker.asked().len() >= 9
    })
    .await;
    add(&database.pool, &[job(MAIL, "b", 1)]).await;
    let begun = Instant::now();
    eventually("the new one is done", || async {
        worker.asked().iter().any(|(key, _)| key == "b")
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_skipped_is_gone_and_its_key_goes_on() {
    let database = database().await;
    add(&database.pool, &[job(MAIL, "a", 1), job(MAIL, "a", 2)]).await;
    let worker = Scripted::new(MAIL, |_| Outcome::Skipped("nobody is there".to_owned()));
    let running = run(config(&database), Vec::new(), vec![worker.clone()]);
    eventually("nothing is left", || none_left(&database.pool)).await;
    assert_eq!(worker.asked().len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_at_every_tier_stops_its_key_until_an_operator_decides() {
    let database = database().await;
    let jobs: Vec<NewJob> = [("a", 1), ("a", 2), ("b", 1)]
        .map(|(key, number)| job(MAIL, key, number))
        .into();
    add(&database.pool, &jobs).await;
    let worker = Scripted::new(MAIL, |job| {
        if job.key == "a" && job.payload == b"1" {
            Outcome::Failed("no such address".to_owned())
        } else {
            Outcome::Done
        }
    });
    let running = run(config(&database), Vec::new(), vec![worker.clone()]);
    eventually("the key is dead", || async {
        jobs::dead(&database.pool, ("", ""), 10)
            .await
            .unwrap()
            .len()
            == 1
    })
    .await;
    // The first try and one for each of the two tiers.
    let tries = |payload: &str| {
        worker
            .asked()
            .iter()
            .filter(|asked| asked.0 == "a" && asked.1 == payload)
            .count()
    };
    assert_eq!((tries("1"), tries("2")), (3, 0));

    assert!(retry(&database.pool, "a").await);
    eventually("it has been tried again", || async { tries("1") == 6 }).await;
    eventually("it is dead again", || async {
        discard(&database.pool, "a").await == Some(event_id(MAIL, "a", 1))
    })
    .await;
    eventually("nothing is left", || none_left(&database.pool)).await;
    assert_eq!((tries("1"), tries("2")), (6, 1));
    assert!(!retry(&database.pool, "a").await);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_forgotten_has_no_jobs_dead_or_not_and_takes_new_ones() {
    let database = database().await;
    let jobs: Vec<NewJob> = [
        (MAIL, "a", 1),
        (MAIL, "a", 2),
        (MAIL, "b", 1),
        (OTHER, "a", 1),
    ]
    .map(|(target, key, number)| job(target, key, number))
    .into();
    add(&database.pool, &jobs).await;
    sqlx::query("update inbox.job_keys set due_at = null where key = 'a'")
        .execute(&database.pool)
        .await
        .unwrap();
    for key in ["a", "nobody's"] {
        let mut transaction = database.pool.begin().await.unwrap();
        jobs::forget(&mut transaction, MAIL, key).await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert!(!retry(&database.pool, "a").await);
    let left = "select (select count(*) from inbox.jobs) + (select count(*) from inbox.job_keys)";
    assert_eq!(count(&database.pool, left).await, 4);

    add(&database.pool, &[job(MAIL, "a", 3)]).await;
    let worker = Scripted::new(MAIL, |_| Outcome::Done);
    let running = run(config(&database), Vec::new(), vec![worker.clone()]);
    eventually("both are done", || async { worker.asked().len() == 2 }).await;
    assert!(worker.asked().contains(&("a".to_owned(), "3".to_owned())));
    running.stop().await;
}

fn job(target: &'static str, key: &str, number: i32) -> NewJob {
    NewJob {
        target,
        key: key.to_owned(),
        event_id: event_id(target, key, i64::from(number)),
        payload: Bytes::from(number.to_string()),
        traceparent: None,
    }
}

async fn add(pool: &PgPool, new: &[NewJob]) {
    let mut transaction = pool.begin().await.unwrap();
    jobs::enqueue(&mut transaction, new).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn retry(pool: &PgPool, key: &str) -> bool {
    let mut transaction = pool.begin().await.unwrap();
    let found = jobs::retry(&mut transaction, MAIL, key).await.unwrap();
    transaction.commit().await.unwrap();
    found
}

async fn discard(pool: &PgPool, key: &str) -> Option<Uuid> {
    let mut transaction = pool.begin().await.unwrap();
    let event = jobs::discard(&mut transaction, MAIL, key).await.unwrap();
    transaction.commit().await.unwrap();
    event
}

async fn none_left(pool: &PgPool) -> bool {
    count(
        pool,
        "select (select count(*) from inbox.jobs) + (select count(*) from inbox.job_keys)",
    )
    .await
        == 0
}
