//! Table address_state: the aggregate of the notices of an address, and what limits mails and guesses. Keyed by the HMAC of the
//! address, whether or not it has an account.

use sqlx::PgExecutor;
use time::OffsetDateTime;

/// The row, locked until the end of the transaction, and the database's time after the lock was had.
pub(crate) struct AddressState {
    pub(crate) mails: i32,
    pub(crate) mails_since: Option<OffsetDateTime>,
    pub(crate) failures: i32,
    pub(crate) last_failure_at: Option<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

/// Makes the row where there is none, and locks it.
pub(crate) async fn lock(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
) -> Result<AddressState, sqlx::Error> {
    sqlx::query_as!(
        AddressState,
        r#"insert into address_state (address_hmac) values ($1)
           on conflict (address_hmac) do update set touched_at = now()
           returning mails, mails_since, failures, last_failure_at, clock_timestamp() as "now!""#,
        address_hmac,
    )
    .fetch_one(executor)
    .await
}

pub(crate) async fn set_failures(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
    failures: i32,
    last_failure_at: Option<OffsetDateTime>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update address_state set failures = $2, last_failure_at = $3 where address_hmac = $1",
        address_hmac,
        failures,
        last_failure_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Counts a mail and raises the version of the address's notices.
pub(crate) async fn count_mail(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
    mails: i32,
    mails_since: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "update address_state set mails = $2, mails_since = $3, event_version = event_version + 1
         where address_hmac = $1 returning event_version",
        address_hmac,
        mails,
        mails_since,
    )
    .fetch_one(executor)
    .await
}

/// Failed attempts in a row, and when the last one was.
pub(crate) struct Failures {
    pub(crate) failures: i32,
    pub(crate) last_failure_at: Option<OffsetDateTime>,
}

pub(crate) async fn failures(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
) -> Result<Option<Failures>, sqlx::Error> {
    sqlx::query_as!(
        Failures,
        "select failures, last_failure_at from address_state where address_hmac = $1",
        address_hmac,
    )
    .fetch_optional(executor)
    .await
}

/// Forgets the counters of addresses that were idle for 90 days. A row with a version stays, without them: versions never restart.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        r#"with idle as (
             select address_hmac, event_version from address_state
             where touched_at < now() - interval '90 days' and (event_version = 0 or mails_since is not null or failures > 0)
             limit $1 for update skip locked),
         gone as (
             delete from address_state using idle
             where address_state.address_hmac = idle.address_hmac and idle.event_version = 0),
         cleared as (
             update address_state set mails = 0, mails_since = null, failures = 0, last_failure_at = null
             from idle where address_state.address_hmac = idle.address_hmac and idle.event_version > 0)
         select count(*) as "rows!" from idle"#,
        most,
    )
    .fetch_one(executor)
    .await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}
