use sqlx::{PgConnection, PgExecutor};

/// A subscriber's place in a partition.
pub(crate) struct Position {
    pub(crate) next_offset: i64,
    pub(crate) topic_id: Option<String>,
}

/// Moves the place from `expected` to `next` and holds its lock until the transaction ends. `false`: it is elsewhere, so
/// somebody else has this partition now.
pub(crate) async fn advance(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    partition: i32,
    expected: i64,
    next: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"update inbox.offsets set next_offset = $5
           where subscriber = $1 and topic = $2 and partition = $3 and next_offset = $4"#,
        subscriber,
        topic,
        partition,
        expected,
        next,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes the lock of the partition and answers with the place. `None`: the subscriber has none in it.
pub(crate) async fn lock(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    partition: i32,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"select next_offset from inbox.offsets
           where subscriber = $1 and topic = $2 and partition = $3 for update"#,
        subscriber,
        topic,
        partition,
    )
    .fetch_optional(executor)
    .await
}

/// The place, which is `low` where there was none. Waits for a batch that is being applied elsewhere.
pub(crate) async fn open(
    connection: &mut PgConnection,
    subscriber: &str,
    topic: &str,
    partition: i32,
    low: i64,
    topic_id: Option<&str>,
) -> sqlx::Result<Position> {
    sqlx::query!(
        r#"insert into inbox.offsets (subscriber, topic, partition, next_offset, topic_id) values ($1, $2, $3, $4, $5)
           on conflict (subscriber, topic, partition)
           do update set topic_id = coalesce(offsets.topic_id, excluded.topic_id)"#,
        subscriber,
        topic,
        partition,
        low,
        topic_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_as!(
        Position,
        r#"select next_offset, topic_id from inbox.offsets where subscriber = $1 and topic = $2 and partition = $3"#,
        subscriber,
        topic,
        partition,
    )
    .fetch_one(connection)
    .await
}

/// Sets the place, and forgets which topic it belonged to.
pub(crate) async fn set(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    partition: i32,
    next: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update inbox.offsets set next_offset = $4, topic_id = null
           where subscriber = $1 and topic = $2 and partition = $3"#,
        subscriber,
        topic,
        partition,
        next,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets the place.
pub(crate) async fn forget(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    partition: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"delete from inbox.offsets where subscriber = $1 and topic = $2 and partition = $3"#,
        subscriber,
        topic,
        partition,
    )
    .execute(executor)
    .await?;
    Ok(())
}
