//! Table `dead_letter_keys`.

use sqlx::PgExecutor;

/// Draws the version of the next event of `key` in the dead-letter topic `topic`.
pub(crate) async fn next_event_version(
    db: impl PgExecutor<'_>,
    topic: &str,
    key: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "insert into dead_letter_keys (topic, key, event_version)
         values ($1, $2, 1)
         on conflict (topic, key) do update set event_version = dead_letter_keys.event_version + 1
         returning event_version",
        topic,
        key,
    )
    .fetch_one(db)
    .await
}
