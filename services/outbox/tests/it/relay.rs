//! One relay at a time, and the next one when it is gone.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use outbox::{Failpoint, Step};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use testkit::kafka::Record;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::world::{
    backlog, change, changes, config, database, epoch, eventually, expire_lease, failures, records,
    start, topics, until_applied,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_at_any_step_loses_nothing_and_turns_nothing_around() {
    let steps = [
        Step::WindowTaken,
        Step::HalfPublished,
        Step::Published,
        Step::CursorWritten,
        Step::SlotTruncated,
    ];
    futures::future::join_all(steps.map(dies_at)).await;
}

async fn dies_at(step: Step) {
    let database = database().await;
    let topics = topics();
    changes(&database.pool, &topics[0], 5, 20).await;
    let mut dying = config(&database, topics);
    dying.slot_bytes = 1;
    dying.failpoint = Some(failpoint(move |at| async move { dies_if(at == step) }));
    start(dying).task.await.unwrap();

    changes(&database.pool, &topics[0], 5, 20).await;
    expire_lease(&database.pool).await;
    let next = start(config(&database, topics));
    until_applied(&topics[0], 5, 40).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_large_window_the_next_relay_goes_on_from_what_is_acknowledged() {
    let database = database().await;
    let topics = topics();
    backlog(&database.pool, &topics[0], 6_000).await;
    let mut dying = config(&database, topics);
    let pool = database.pool.clone();
    dying.failpoint = Some(failpoint(move |at| {
        let pool = pool.clone();
        async move { dies_if(at == Step::CursorWritten && done_seq(&pool).await > 0) }
    }));
    start(dying).task.await.unwrap();
    let done = done_seq(&database.pool).await;
    assert!((1..60_000).contains(&done), "{done}");

    expire_lease(&database.pool).await;
    let next = start(config(&database, topics));
    until_applied(&topics[0], 10, 6_000).await;
    next.stop().await;
    let mut known = 0;
    for record in records(&topics[0]).await {
        known += i64::from(seq_in_backlog(&record) <= done);
    }
    assert_eq!(known, done, "what is known to be in Kafka is sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_kept_while_the_first_row_of_a_large_window_does_not_come() {
    let database = database().await;
    let topics = topics();
    let (paused, resume) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut slow = config(&database, topics);
    slow.failpoint = Some(pauses_once(
        Step::WindowTaken,
        Arc::clone(&paused),
        Arc::clone(&resume),
    ));
    backlog(&database.pool, &topics[0], 200).await;
    let holder = start(slow);
    paused.notified().await;
    // As a slow disk: the server answers, but nothing of this table.
    let mut lock = database.pool.begin().await.unwrap();
    sqlx::query("lock table outbox.entries in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    resume.notify_one();
    let standby = start(config(&database, topics));

    // A relay that renews it only with the rows would be without it by then.
    let began: OffsetDateTime = sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    eventually(
        "the lease was renewed after more than its time",
        async || {
            let (epoch, renewed): (i64, bool) = sqlx::query_as(
                "select epoch, expires_at > $1 + interval '11 seconds' from outbox.relay",
            )
            .bind(began)
            .fetch_one(&database.pool)
            .await
            .unwrap();
            assert_eq!(epoch, 1, "the other relay took the lease over");
            renewed.then_some(())
        },
    )
    .await;
    lock.rollback().await.unwrap();
    until_applied(&topics[0], 10, 200).await;
    assert_eq!(epoch(&database.pool).await, 1);
    holder.stop().await;
    standby.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_relays_publishes_and_the_other_takes_over_when_it_is_killed() {
    let database = database().await;
    let topics = topics();
    let first = start(config(&database, topics));
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 5).await;
    let second = start(config(&database, topics));
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 10).await;
    assert_eq!(epoch(&database.pool).await, 1);

    first.kill().await;
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 15).await;
    assert_eq!(epoch(&database.pool).await, 2);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_told_to_stop_gives_the_lease_up_and_publishes_nothing_twice() {
    let database = database().await;
    let topics = topics();
    let first = start(config(&database, topics));
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 5).await;
    first.stop().await;
    let free: bool = sqlx::query_scalar("select expires_at = '-infinity' from outbox.relay")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert!(free);

    let second = start(config(&database, topics));
    changes(&database.pool, &topics[0], 3, 1).await;
    until_applied(&topics[0], 3, 6).await;
    second.stop().await;
    assert_eq!(records(&topics[0]).await.len(), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_was_paused_past_its_lease_cannot_write_the_cursor() {
    let database = database().await;
    let topics = topics();
    let (paused, resume) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut sleepy = config(&database, topics);
    sleepy.failpoint = Some(pauses_once(
        Step::Published,
        Arc::clone(&paused),
        Arc::clone(&resume),
    ));
    let zombie = start(sleepy);
    changes(&database.pool, &topics[0], 3, 5).await;
    paused.notified().await;

    expire_lease(&database.pool).await;
    let second = start(config(&database, topics));
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 10).await;
    assert_eq!(epoch(&database.pool).await, 2);

    let fenced = failures("lease");
    resume.notify_one();
    eventually("the first relay is told", async || {
        (failures("lease") > fenced).then_some(())
    })
    .await;
    assert_eq!(epoch(&database.pool).await, 2);
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 15).await;
    second.stop().await;
    zombie.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_beside_a_relay_that_stands_by_is_announced_to_the_holder() {
    let database = database().await;
    let topics = topics();
    let holder = start(config(&database, topics));
    changes(&database.pool, &topics[0], 1, 1).await;
    until_applied(&topics[0], 1, 1).await;

    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("outbox").await.unwrap();
    let standby = start(config(&database, topics));
    change(&database.pool, &topics[0], "key-0").await;
    standby.wake.committed();
    assert_eq!(listener.recv().await.unwrap().channel(), "outbox");
    until_applied(&topics[0], 1, 2).await;
    standby.stop().await;
    holder.stop().await;
}

fn pauses_once(step: Step, paused: Arc<Notify>, resume: Arc<Notify>) -> Failpoint {
    let done = AtomicBool::new(false);
    failpoint(move |at| {
        let now = at == step && !done.swap(true, Ordering::SeqCst);
        let (paused, resume) = (Arc::clone(&paused), Arc::clone(&resume));
        async move {
            if now {
                paused.notify_one();
                resume.notified().await;
            }
            ControlFlow::Continue(())
        }
    })
}

fn failpoint<F>(ask: impl Fn(Step) -> F + Send + Sync + 'static) -> Failpoint
where
    F: Future<Output = ControlFlow<()>> + Send + 'static,
{
    Arc::new(move |at: Step| -> BoxFuture<'static, ControlFlow<()>> { Box::pin(ask(at)) })
}

fn dies_if(now: bool) -> ControlFlow<()> {
    if now {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

async fn done_seq(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select done_seq from outbox.relay")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Where [`backlog`] put it, in a new database.
fn seq_in_backlog(record: &Record) -> i64 {
    let key = std::str::from_utf8(&record.key).unwrap();
    let key: i64 = key.trim_start_matches("key-").parse().unwrap();
    let version: i64 = record.headers["ce_sequence"].parse().unwrap();
    (version - 1) * 10 + key + 1
}
