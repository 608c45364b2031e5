//! Slots are filled, left and emptied.

use outbox::append;
use sqlx::PgPool;

use crate::world::{
    Happened, change, config, database, eventually, next_version, records, start, topics,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_with_an_open_writer_is_not_emptied_and_its_row_arrives() {
    let database = database().await;
    let pool = &database.pool;
    let topics = topics();
    let mut config = config(&database, topics);
    config.slot_bytes = 1;

    let mut open = pool.begin().await.unwrap();
    let version = next_version(&mut open, "late").await;
    append(&mut open, &topics[0], "late", version, &Happened::default())
        .await
        .unwrap();
    let relay = start(config);
    for slot in 1..=2 {
        change(pool, &topics[0], "early").await;
        relay.wake.committed();
        eventually("writers have moved on", async || {
            (current(pool).await >= slot).then_some(())
        })
        .await;
    }
    change(pool, &topics[0], "early").await;
    relay.wake.committed();
    eventually("all but the late one are in Kafka", async || {
        (records(&topics[0]).await.len() == 3).then_some(())
    })
    .await;
    assert!(
        size(pool, 0).await > 0,
        "the open writer's slot was emptied"
    );
    assert_eq!(
        current(pool).await,
        2,
        "writers were sent to a slot that is not empty"
    );

    open.commit().await.unwrap();
    relay.wake.committed();
    eventually("the slot is emptied and used again", async || {
        (current(pool).await != 2).then_some(())
    })
    .await;
    let records = records(&topics[0]).await;
    assert_eq!(records.len(), 4);
    assert!(records.iter().any(|record| record.key == b"late"));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_emptied_only_of_what_is_published() {
    let database = database().await;
    let pool = &database.pool;
    let topics = topics();
    let mut config = config(&database, topics);
    config.slot_bytes = 1;
    let relay = start(config);
    for version in 1..=4 {
        assert_eq!(change(pool, &topics[0], "k").await, version);
        let slot = current(pool).await;
        relay.wake.committed();
        eventually("writers have moved on", async || {
            (current(pool).await != slot).then_some(())
        })
        .await;
    }
    eventually("all slots are empty", async || {
        (size(pool, 0).await + size(pool, 1).await + size(pool, 2).await == 0).then_some(())
    })
    .await;
    assert_eq!(records(&topics[0]).await.len(), 4);
    relay.stop().await;
}

async fn current(pool: &PgPool) -> i16 {
    sqlx::query_scalar("select slot from outbox.current_slot")
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn size(pool: &PgPool, slot: i16) -> i64 {
    sqlx::query_scalar("select pg_relation_size(format('outbox.entries_%s', $1)::regclass)")
        .bind(slot)
        .fetch_one(pool)
        .await
        .unwrap()
}
