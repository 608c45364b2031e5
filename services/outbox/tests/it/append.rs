use outbox::{AppendError, Encoded, append, append_encoded};

use crate::world::{Happened, database, topics};

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
