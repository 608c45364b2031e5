//! Table known_devices.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// Notes that the account uses the device; whether it had never done so.
pub(crate) async fn remember(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    device_hmac: &[u8],
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        // A row that this statement made has no updater.
        r#"insert into known_devices (account_id, device_hmac) values ($1, $2)
           on conflict (account_id, device_hmac) do update set last_seen_at = now()
           returning xmax = 0 as "new!""#,
        account,
        device_hmac,
    )
    .fetch_one(executor)
    .await
}

/// A device.
pub(crate) struct Kept {
    pub(crate) device_hmac: Vec<u8>,
    pub(crate) last_seen_at: OffsetDateTime,
}

/// The devices of an account, those after `after` where given.
pub(crate) async fn kept(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    after: Option<&[u8]>,
    limit: i64,
) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        "select device_hmac, last_seen_at from known_devices
         where account_id = $1 and ($2::bytea is null or device_hmac > $2)
         order by device_hmac limit $3",
        account,
        after,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Forgets all of an account that was deleted.
pub(crate) async fn delete(
    executor: impl PgExecutor<'_>,
    account: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from known_devices where account_id = $1", account)
        .execute(executor)
        .await
        .map(drop)
}

/// Forgets devices that were not seen for a year.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "with old as (
             select account_id, device_hmac from known_devices where last_seen_at < now() - interval '365 days'
             limit $1 for update skip locked)
         delete from known_devices using old
         where known_devices.account_id = old.account_id and known_devices.device_hmac = old.device_hmac",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
