use outbox::{AppendError, Encoded, Topic, append, append_encoded};

use crate::world::{Happened, config, database, eventually, records, start, topics};

#[tokio::test]
async fn a_payload_over_the_limit_of_its_topic_is_refused_and_the_transaction_goes_on() {
    let database = database().await;
    let topic = &topics()[0];
    let mut transaction = database.pool.begin().await.unwrap();

    let event = Happened {
        what: "x".repeat(2000),
    };
    let refused = append(&mut transaction, topic, "k", 1, &event).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { limit: 1024, size, .. }) if size > 2000));

    let event = Happened {
        what: "x".repeat(1000),
    };
    append(&mut transaction, topic, "k", 1, &event)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(count(&database.pool).await, 1);
}

#[tokio::test]
async fn headers_or_a_key_that_make_the_record_too_large_for_kafka_are_refused() {
    let database = database().await;
    let topic = large(topics());
    let mut connection = database.pool.acquire().await.unwrap();
    let payload = "x".repeat(900 * 1024);
    let long = "x".repeat(52 * 1024);
    for (key, headers) in [
        ("k", &[("dead_reason", long.as_str())][..]),
        (&long[..26 * 1024], &[][..]),
    ] {
        let event = Encoded {
            event_type: "t",
            payload: payload.as_bytes(),
            headers,
            traceparent: None,
        };
        let refused = append_encoded(&mut connection, &topic, key, 1, event).await;
        assert!(
            matches!(refused, Err(AppendError::TooLarge { limit: 972_800, .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_event_that_is_taken_arrives_in_kafka() {
    let database = database().await;
    let listed = topics();
    let mut connection = database.pool.acquire().await.unwrap();
    let payload = "x".repeat(900 * 1024);
    let header = "x".repeat(972_800 - payload.len() - 14);
    let event = Encoded {
        event_type: "t",
        payload: payload.as_bytes(),
        headers: &[("h", &header)],
        traceparent: None,
    };
    append_encoded(&mut connection, &large(listed), "k", 1, event)
        .await
        .unwrap();
    let relay = start(config(&database, listed));
    let record = eventually("it is in Kafka", async || records(&listed[0]).await.pop()).await;
    assert_eq!(record.payload, payload.as_bytes());
    relay.stop().await;
}

/// The topic with the largest payload that any may have.
fn large(topics: &[Topic]) -> Topic {
    Topic {
        max_payload: 900 * 1024,
        ..topics[0]
    }
}

#[tokio::test]
async fn an_event_of_a_transaction_that_is_rolled_back_never_was() {
    let database = database().await;
    let mut transaction = database.pool.begin().await.unwrap();
    append(&mut transaction, &topics()[0], "k", 1, &Happened::default())
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(count(&database.pool).await, 0);
}

#[tokio::test]
async fn without_a_current_slot_an_event_is_refused_and_not_lost() {
    let database = database().await;
    sqlx::query("delete from outbox.current_slot")
        .execute(&database.pool)
        .await
        .unwrap();
    let mut connection = database.pool.acquire().await.unwrap();
    let event = Encoded {
        event_type: "t",
        payload: b"",
        headers: &[],
        traceparent: None,
    };
    let refused = append_encoded(&mut connection, &topics()[0], "k", 1, event).await;
    assert!(matches!(refused, Err(AppendError::Database(_))));
}

async fn count(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from outbox.entries")
        .fetch_one(pool)
        .await
        .unwrap()
}
