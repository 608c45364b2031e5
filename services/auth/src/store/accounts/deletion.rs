//! Table accounts: what becomes of one that was deleted. It is marked, its address is wiped, and in the end it is erased.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// An account that has just been deleted.
pub(crate) struct Deleted {
    pub(crate) security_version: i64,
    /// Version of the last event on grimoire.auth.account.v1.
    pub(crate) event_version: i64,
    pub(crate) deleted_at: OffsetDateTime,
}

/// Keeps everybody out for good, and raises the security version, so that tokens are outdated, and the version of events. None when there
/// is no such account, or it was deleted before.
pub(crate) async fn mark(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Deleted>, sqlx::Error> {
    sqlx::query_as!(
        Deleted,
        r#"update accounts
           set deleted_at = now(), disabled_at = coalesce(disabled_at, now()), locked = false, roles = '{}', password_hash = '',
               security_version = security_version + 1, revision = revision + 1, event_version = event_version + 1
           where id = $1 and deleted_at is null
           returning security_version, event_version, deleted_at as "deleted_at!""#,
        id,
    )
    .fetch_optional(executor)
    .await
}

/// Takes it back that everything is erased, and raises the version of events. None when the account was not deleted.
pub(crate) async fn reopen(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "update accounts set erased_at = null, revision = revision + 1, event_version = event_version + 1
         where id = $1 and deleted_at is not null
         returning event_version",
        id,
    )
    .fetch_optional(executor)
    .await
}

/// Locks a deleted account until the end of the transaction, so that of two receipts that come at once the later one sees the other.
/// False: there is none.
pub(crate) async fn lock(executor: impl PgExecutor<'_>, id: Uuid) -> Result<bool, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "select id from accounts where id = $1 and deleted_at is not null for no key update",
        id,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// Forgets what the row of a deleted account says of the person. Its address is free from then on.
pub(crate) async fn wipe(executor: impl PgExecutor<'_>, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update accounts set email = '', email_key = id::text, display_name = '', locale = '', revision = revision + 1
         where id = $1 and deleted_at is not null and email <> ''",
        id,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Notes that everything is erased when there is a receipt of each of `services`, and raises the version of events. None when one is
/// missing, or it was noted before. The caller has locked the row.
pub(crate) async fn complete(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    services: &[&str],
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "update accounts set erased_at = now(), revision = revision + 1, event_version = event_version + 1
         where id = $1 and deleted_at is not null and erased_at is null and not exists (
             select from unnest($2::text[]) as expected (service)
             where not exists (
                 select from erasure_receipts
                 where erasure_receipts.account_id = $1 and erasure_receipts.service = expected.service))
         returning event_version",
        id,
        services as _,
    )
    .fetch_optional(executor)
    .await
}

/// Up to `most` accounts that were deleted `kept` seconds ago and still have their address.
pub(crate) async fn to_wipe(
    executor: impl PgExecutor<'_>,
    kept: f64,
    most: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from accounts
         where deleted_at is not null and email <> '' and deleted_at <= now() - make_interval(secs => $1)
         order by deleted_at limit $2",
        kept,
        most,
    )
    .fetch_all(executor)
    .await
}

/// Up to `limit` accounts that were deleted, in the order of ids, behind `after`.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from accounts where id > $1 and deleted_at is not null order by id limit $2",
        after,
        limit,
    )
    .fetch_all(executor)
    .await
}
