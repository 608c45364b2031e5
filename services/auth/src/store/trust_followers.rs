//! Table trust_followers: who must have acknowledged a key before it signs.

use sqlx::PgExecutor;
use uuid::Uuid;

/// Notes that `follower` follows the replica `instance` now, and what it has acknowledged.
pub(crate) async fn seen(
    executor: impl PgExecutor<'_>,
    follower: &str,
    instance: Uuid,
    acknowledged_generation: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into trust_followers (follower, instance, acknowledged_generation, seen_at)
         values ($1, $2, $3, clock_timestamp())
         on conflict (follower, instance) do update
         set acknowledged_generation = excluded.acknowledged_generation, seen_at = excluded.seen_at",
        follower,
        instance,
        acknowledged_generation,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes followers that were not seen for a day: their leases ended long ago.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "with gone as (
             select follower, instance from trust_followers where seen_at < now() - interval '1 day'
             limit $1 for update skip locked)
         delete from trust_followers using gone
         where trust_followers.follower = gone.follower and trust_followers.instance = gone.instance",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
