//! Table failed_logins: when an attempt on an address last failed, by the network that it came from. Keyed by the HMAC of the address,
//! whether or not it has an account; whoever writes here holds the lock of the address's row in address_state.

use sqlx::PgExecutor;
use time::OffsetDateTime;

/// When the last attempt from this network failed.
pub(crate) async fn last(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
    network: &str,
) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    sqlx::query_scalar!(
        "select failed_at from failed_logins where address_hmac = $1 and network = $2",
        address_hmac,
        network,
    )
    .fetch_optional(executor)
    .await
}

pub(crate) async fn note(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
    network: &str,
    failed_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into failed_logins (address_hmac, network, failed_at) values ($1, $2, $3)
         on conflict (address_hmac, network) do update set failed_at = excluded.failed_at",
        address_hmac,
        network,
        failed_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// After a success from there.
pub(crate) async fn forget(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
    network: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from failed_logins where address_hmac = $1 and network = $2",
        address_hmac,
        network,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Forgets what no delay outlasts any more.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "with over as (
             select address_hmac, network from failed_logins where failed_at < now() - interval '1 hour'
             limit $1 for update skip locked)
         delete from failed_logins using over
         where failed_logins.address_hmac = over.address_hmac and failed_logins.network = over.network",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
