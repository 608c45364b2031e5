//! What is away, and what an operator must decide.

use outbox::rebase;
use testkit::kafka::{bootstrap, create_topic};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{
    change, changes, config, database, eventually, failures, records, start, topics, until_applied,
};

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
    let before = failures("kafka");
    let relay = start(config);
    changes(&database.pool, &topics[0], 3, 5).await;
    eventually("the relay has noticed", async || {
        (failures("kafka") > before).then_some(())
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
    eventually("the relay refuses", async || {
        (failures("partitions") > before).then_some(())
    })
    .await;
    relay.stop().await;
    assert!(records(&topics[0]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_publishes_nothing_until_it_is_rebased_and_then_a_new_stream() {
    let database = database().await;
    let topics = topics();
    let relay = start(config(&database, topics));
    changes(&database.pool, &topics[0], 1, 3).await;
    until_applied(&topics[0], 1, 3).await;
    relay.stop().await;

    // As after restoring a dump of another server: its cursor, its transaction ids.
    sqlx::query("update outbox.relay set origin = '1/00000001/1'")
        .execute(&database.pool)
        .await
        .unwrap();
    change(&database.pool, &topics[0], "key-0").await;
    sqlx::query("update outbox.entries set xid = '1000000000000'")
        .execute(&database.pool)
        .await
        .unwrap();
    let before = failures("rewound");
    let relay = start(config(&database, topics));
    eventually("the relay refuses", async || {
        (failures("rewound") > before).then_some(())
    })
    .await;
    assert_eq!(records(&topics[0]).await.len(), 3);

    let rebased = rebase(&database.pool).await.unwrap();
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
async fn a_cursor_ahead_of_the_transactions_of_its_server_is_refused() {
    let database = database().await;
    let topics = topics();
    sqlx::query("update outbox.relay set lo = '1000000000000:1000000000000:'")
        .execute(&database.pool)
        .await
        .unwrap();
    let before = failures("rewound");
    let relay = start(config(&database, topics));
    eventually("the relay refuses", async || {
        (failures("rewound") > before).then_some(())
    })
    .await;
    relay.stop().await;
}
