//! Table accounts, as administrators see and change it. Whoever changes a row here has locked it before.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::email::Email;

/// An account with whether it can be used.
#[derive(Debug, Clone)]
pub(crate) struct Managed {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) roles: Vec<String>,
    /// Nobody gets in: it is locked, or disabled.
    pub(crate) held: bool,
    /// It is held for a time only.
    pub(crate) locked: bool,
    /// It is held for good.
    pub(crate) deleted: bool,
    /// It was deleted, and nothing is kept of the person.
    pub(crate) erased: bool,
    pub(crate) security_version: i64,
    pub(crate) revision: i64,
    pub(crate) created_at: OffsetDateTime,
    /// Version of the last event on grimoire.auth.account.v1.
    pub(crate) event_version: i64,
}

/// Locks the rows until the end of the transaction, in the order of their ids, so that two callers who lock the same ones do not wait
/// for each other. Rows that refer to them may be written meanwhile.
pub(crate) async fn lock(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<Managed>, sqlx::Error> {
    sqlx::query_as!(
        Managed,
        r#"select id, email, roles, disabled_at is not null as "held!", locked, deleted_at is not null as "deleted!",
                     erased_at is not null as "erased!", security_version, revision, created_at, event_version
           from accounts where id = any ($1) order by id for no key update"#,
        ids,
    )
    .fetch_all(executor)
    .await
}

/// All accounts, newest first (ids are UUIDv7), those before `before` where given. The bound is never absent, so that a page far back is
/// found by the index.
pub(crate) async fn newest_first(
    executor: impl PgExecutor<'_>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Managed>, sqlx::Error> {
    sqlx::query_as!(
        Managed,
        r#"select id, email, roles, disabled_at is not null as "held!", locked, deleted_at is not null as "deleted!",
                     erased_at is not null as "erased!", security_version, revision, created_at, event_version
           from accounts where id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           order by id desc limit $2"#,
        before,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// The account with this address. A statement of its own: one for both would walk all accounts.
pub(crate) async fn with_address(
    executor: impl PgExecutor<'_>,
    email: &Email,
) -> Result<Option<Managed>, sqlx::Error> {
    let key = email.key();
    sqlx::query_as!(
        Managed,
        r#"select id, email, roles, disabled_at is not null as "held!", locked, deleted_at is not null as "deleted!",
                     erased_at is not null as "erased!", security_version, revision, created_at, event_version
           from accounts where email_key = $1"#,
        key,
    )
    .fetch_optional(executor)
    .await
}

/// Keeps everybody out, for a time when `locked`. Raises the security version, so that tokens are outdated, and the version of events.
pub(crate) async fn hold(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    locked: bool,
) -> Result<Managed, sqlx::Error> {
    sqlx::query_as!(
        Managed,
        r#"update accounts
           set disabled_at = coalesce(disabled_at, now()), locked = $2, security_version = security_version + 1,
               revision = revision + 1, event_version = event_version + 1
           where id = $1
           returning id, email, roles, disabled_at is not null as "held!", locked, deleted_at is not null as "deleted!",
                     erased_at is not null as "erased!", security_version, revision, created_at, event_version"#,
        id,
        locked,
    )
    .fetch_one(executor)
    .await
}

/// Lets its owner in again, and raises the version of events. Tokens from before stay outdated.
pub(crate) async fn release(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Managed, sqlx::Error> {
    sqlx::query_as!(
        Managed,
        r#"update accounts
           set disabled_at = null, locked = false, revision = revision + 1, event_version = event_version + 1
           where id = $1
           returning id, email, roles, disabled_at is not null as "held!", locked, deleted_at is not null as "deleted!",
                     erased_at is not null as "erased!", security_version, revision, created_at, event_version"#,
        id,
    )
    .fetch_one(executor)
    .await
}

/// Sets all roles. Raises the security version, so that tokens that show others are outdated, and the version of events.
pub(crate) async fn set_roles(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    roles: &[String],
) -> Result<Managed, sqlx::Error> {
    sqlx::query_as!(
        Managed,
        r#"update accounts
           set roles = $2, security_version = security_version + 1, revision = revision + 1, event_version = event_version + 1
           where id = $1
           returning id, email, roles, disabled_at is not null as "held!", locked, deleted_at is not null as "deleted!",
                     erased_at is not null as "erased!", security_version, revision, created_at, event_version"#,
        id,
        roles,
    )
    .fetch_one(executor)
    .await
}

/// Replaces the password, also of an account that is held. Raises the security version, so that tokens are outdated, and the version
/// of events.
pub(crate) async fn replace_password(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    hash: &str,
) -> Result<Managed, sqlx::Error> {
    sqlx::query_as!(
        Managed,
        r#"update accounts
           set password_hash = $2, security_version = security_version + 1, event_version = event_version + 1
           where id = $1
           returning id, email, roles, disabled_at is not null as "held!", locked, deleted_at is not null as "deleted!",
                     erased_at is not null as "erased!", security_version, revision, created_at, event_version"#,
        id,
        hash,
    )
    .fetch_one(executor)
    .await
}
