//! What is away, and what an operator must decide.

use outbox::{ResumeError, rebase, resume};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use testkit::kafka::{bootstrap, create_topic};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::world::{
    change, changes, config, database, epoch, eventually, failures, records, start, topics,
    until_applied,
};

/// Held by tests of restored databases: they wait for a counter of the whole process.
static RESTORED: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_kafka_that_is_away() {
    let database = database().await;
    let topics = topics();
    // A port that is known to be free, because it was just given back.
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut config = config(&database, topics);
    config.bootstrap_servers = port.to_string();
    let relay = start(config);
    changes(&database.pool, &topics[0], 3, 5).await;
    eventually("the relay has given up once and tries again", async || {
        (epoch(&database.pool).await > 1).then_some(())
    })
    .await;

    let listener = TcpListener::bind(port).await.unwrap();
    let door = tokio::spawn(async move {
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(bootstrap()).await.unwrap();
                // Ends with either side, in whatever way.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    until_applied(&topics[0], 3, 5).await;
    relay.stop().await;
    door.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_connections_are_cut_connects_again() {
    let database = database().await;
    let topics = topics();
    let relay = start(config(&database, topics));
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 5).await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'outbox relay'",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    changes(&database.pool, &topics[0], 3, 5).await;
    until_applied(&topics[0], 3, 10).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_another_number_of_partitions_is_not_published_to() {
    let database = database().await;
    let topics = topics();
    create_topic(topics[0].name, 5).await;
    change(&database.pool, &topics[0], "key-0").await;
    let before = failures("partitions");
    let relay = start(config(&database, topics));
    eventually("the relay refuses, and looks again", async || {
        (failures("partitions") > before && epoch(&database.pool).await > 1).then_some(())
    })
    .await;
    relay.stop().await;
    assert!(records(&topics[0]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_a_record_halts_the_relay_until_it_is_removed() {
    let database = database().await;
    let topics = topics();
    // Not by `append`, which refuses it.
    sqlx::query(
        "insert into outbox.entries (slot, event_id, topic, key, version, event_type, payload)
         values (0, gen_random_uuid(), $1, 'large', 1, 't', convert_to(repeat('x', 1000001), 'UTF8'))",
    )
    .bind(topics[0].name)
    .execute(&database.pool)
    .await
    .unwrap();
    change(&database.pool, &topics[0], "key-0").await;
    let before = failures("record");
    let relay = start(config(&database, topics));
    eventually("the relay names it", async || {
        (failures("record") > before).then_some(())
    })
    .await;

    sqlx::query("delete from outbox.entries where key = 'large'")
        .execute(&database.pool)
        .await
        .unwrap();
    until_applied(&topics[0], 1, 1).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_publishes_nothing_until_it_is_rebased_and_then_a_new_stream() {
    let _restored = RESTORED.lock().await;
    let database = database().await;
    let topics = topics();
    let relay = start(config(&database, topics));
    changes(&database.pool, &topics[0], 1, 3).await;
    until_applied(&topics[0], 1, 3).await;
    relay.stop().await;

    // As after restoring a dump of another server: its cursor, its transaction ids.
    let pool = &database.pool;
    execute(pool, "update outbox.relay set origin = '1/00000001/1'").await;
    change(pool, &topics[0], "key-0").await;
    execute(pool, "update outbox.entries set xid = '1000000000000'").await;
    let refused = resume(pool).await;
    assert!(matches!(refused, Err(ResumeError::Rewound)), "{refused:?}");
    let relay = start(config(&database, topics));
    refuses().await;
    assert_eq!(records(&topics[0]).await.len(), 3);

    let rebased = rebase(pool).await.unwrap();
    assert_eq!(rebased.entries, 4);
    assert!(rebased.generation > 1);
    let generation = rebased.generation.to_string();
    let versions = eventually("the new stream is in Kafka", async || {
        let records = records(&topics[0]).await;
        let versions: Vec<String> = records
            .iter()
            .filter(|record| record.headers["ce_generation"] == generation)
            .map(|record| record.headers["ce_sequence"].clone())
            .collect();
        (versions.len() == 4).then_some(versions)
    })
    .await;
    assert_eq!(versions, ["1", "2", "3", "4"]);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fail_over_without_a_loss_the_relay_goes_on_where_it_was() {
    let _restored = RESTORED.lock().await;
    let database = database().await;
    let pool = &database.pool;
    let topics = topics();
    let relay = start(config(&database, topics));
    changes(pool, &topics[0], 1, 3).await;
    until_applied(&topics[0], 1, 3).await;
    relay.stop().await;

    // As on a standby that took over: same cluster, same table, another timeline.
    execute(
        pool,
        "update outbox.relay set origin = split_part(origin, '/', 1) || '/0000FFFF/' || split_part(origin, '/', 3)",
    )
    .await;
    change(pool, &topics[0], "key-0").await;
    let relay = start(config(&database, topics));
    refuses().await;
    assert_eq!(records(&topics[0]).await.len(), 3);

    resume(pool).await.unwrap();
    until_applied(&topics[0], 1, 4).await;
    relay.stop().await;
    let records = records(&topics[0]).await;
    assert_eq!(records.len(), 4, "nothing was published twice");
    assert!(
        records
            .iter()
            .all(|record| record.headers["ce_generation"] == "1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebase_takes_its_time_whatever_a_statement_may_take_otherwise() {
    let database = database().await;
    change(&database.pool, &topics()[0], "key-0").await;
    let hurried: PgConnectOptions = database.url.parse().unwrap();
    let hurried = PgPoolOptions::new()
        .connect_with(hurried.options([("statement_timeout", "200ms")]))
        .await
        .unwrap();
    // In place of the millions of rows that would take as long.
    let mut lock = database.pool.begin().await.unwrap();
    sqlx::query("select from outbox.entries for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    let rebasing = tokio::spawn(async move { rebase(&hurried).await });
    eventually("it has taken longer, or was cancelled", async || {
        let takes_longer: bool = sqlx::query_scalar(
            "select exists (select from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock'
                              and clock_timestamp() - query_start > interval '500 ms')",
        )
        .fetch_one(&database.pool)
        .await
        .unwrap();
        (takes_longer || rebasing.is_finished()).then_some(())
    })
    .await;
    lock.rollback().await.unwrap();
    assert_eq!(rebasing.await.unwrap().unwrap().entries, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_ahead_of_the_transactions_of_its_server_is_refused() {
    let _restored = RESTORED.lock().await;
    let database = database().await;
    let pool = &database.pool;
    let topics = topics();
    execute(
        pool,
        "update outbox.relay set lo = '1000000000000:1000000000000:'",
    )
    .await;
    let relay = start(config(&database, topics));
    refuses().await;
    assert_eq!(epoch(pool).await, 0, "a relay took the lease");
    let refused = resume(pool).await;
    assert!(matches!(refused, Err(ResumeError::Rewound)), "{refused:?}");
    relay.stop().await;
}

async fn execute(pool: &sqlx::PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

/// Waits until the relay of a restored database has refused to publish, from now on.
async fn refuses() {
    let before = failures("rewound");
    eventually("the relay refuses", async || {
        (failures("rewound") > before).then_some(())
    })
    .await;
}
