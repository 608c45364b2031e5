//! Table accounts.

pub(crate) mod administration;
pub(crate) mod deletion;

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::email::Email;

/// What the account itself and its tokens show.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) roles: Vec<String>,
    /// `ver` of access tokens.
    pub(crate) security_version: i64,
    pub(crate) revision: i64,
    pub(crate) created_at: OffsetDateTime,
    /// Version of the last event on grimoire.auth.account.v1.
    pub(crate) event_version: i64,
}

/// Makes an account without events; none when the address has one.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    email: &Email,
    display_name: &str,
    locale: &str,
    password_hash: &str,
) -> Result<bool, sqlx::Error> {
    let key = email.key();
    sqlx::query!(
        "insert into accounts (id, email, email_key, display_name, locale, password_hash)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (email_key) do nothing",
        id,
        email.as_str(),
        key,
        display_name,
        locale,
        password_hash,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// An account that was not deleted.
pub(crate) async fn get(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        "select id, email, roles, security_version, revision, created_at, event_version from accounts
         where id = $1 and deleted_at is null",
        id,
    )
    .fetch_optional(executor)
    .await
}

/// Id of the account with this address; also of one that was deleted, until its address is wiped.
pub(crate) async fn find(
    executor: impl PgExecutor<'_>,
    email: &Email,
) -> Result<Option<Uuid>, sqlx::Error> {
    let key = email.key();
    sqlx::query_scalar!("select id from accounts where email_key = $1", key)
        .fetch_optional(executor)
        .await
}

/// Raises the version of the account's events: the lock that orders those who append them.
pub(crate) async fn next_event_version(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "update accounts set event_version = event_version + 1 where id = $1 returning event_version",
        id,
    )
    .fetch_one(executor)
    .await
}

/// As [`next_event_version`] for a sign-in with the password whose hash was checked: none when the account was locked or disabled, or
/// its password changed, since.
pub(crate) async fn next_event_version_to_sign_in(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    checked_hash: &str,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        "update accounts set event_version = event_version + 1
         where id = $1 and password_hash = $2 and disabled_at is null
         returning id, email, roles, security_version, revision, created_at, event_version",
        id,
        checked_hash,
    )
    .fetch_optional(executor)
    .await
}

/// What a login is decided on. A row comes back whether or not the address has an account.
pub(crate) struct Credentials {
    pub(crate) account: Option<Uuid>,
    pub(crate) password_hash: Option<String>,
    /// Locked, disabled or deleted.
    pub(crate) held: bool,
    pub(crate) failures: i32,
    /// When an attempt from this network last failed.
    pub(crate) failed_here_at: Option<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

pub(crate) async fn credentials(
    executor: impl PgExecutor<'_>,
    email: &Email,
    address_hmac: &[u8],
    network: &str,
) -> Result<Credentials, sqlx::Error> {
    let key = email.key();
    sqlx::query_as!(
        Credentials,
        r#"select a.id as "account?",
                  a.password_hash as "password_hash?",
                  a.disabled_at is not null as "held!",
                  coalesce(t.failures, 0) as "failures!",
                  f.failed_at as "failed_here_at?",
                  now() as "now!"
           from (values (1)) as one (n)
           left join accounts a on a.email_key = $1
           left join address_state t on t.address_hmac = $2
           left join failed_logins f on f.address_hmac = $2 and f.network = $3"#,
        key,
        address_hmac,
        network,
    )
    .fetch_one(executor)
    .await
}

/// Replaces a hash by one with today's parameters, unless the password changed since.
pub(crate) async fn replace_password_hash(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    old: &str,
    new: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update accounts set password_hash = $3 where id = $1 and password_hash = $2",
        id,
        old,
        new
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Whom a password belongs to.
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) display_name: String,
    /// The account was deleted.
    pub(crate) deleted: bool,
}

impl Person {
    /// Words that a password of theirs must not be made of.
    pub(crate) fn words(&self, email: &Email) -> Vec<String> {
        let mut words = email.words();
        words.extend(self.display_name.split_whitespace().map(str::to_owned));
        words
    }
}

pub(crate) async fn person(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        r#"select email, display_name, deleted_at is not null as "deleted!" from accounts where id = $1"#,
        id,
    )
    .fetch_optional(executor)
    .await
}

/// Sets another password and raises the security version, so that older tokens are outdated, and the version of events. None when
/// the account is locked or disabled.
pub(crate) async fn set_password(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    hash: &str,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        "update accounts
         set password_hash = $2, security_version = security_version + 1, event_version = event_version + 1
         where id = $1 and disabled_at is null
         returning id, email, roles, security_version, revision, created_at, event_version",
        id,
        hash,
    )
    .fetch_optional(executor)
    .await
}

/// Raises the security version, so that older tokens are outdated, and the version of events.
pub(crate) async fn outdate_tokens(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Account, sqlx::Error> {
    sqlx::query_as!(
        Account,
        "update accounts set security_version = security_version + 1, event_version = event_version + 1 where id = $1
         returning id, email, roles, security_version, revision, created_at, event_version",
        id,
    )
    .fetch_one(executor)
    .await
}

/// Gives a role. Raises the security version, so that tokens without the role are outdated, and the version of events. None when
/// the account has the role, or was deleted.
pub(crate) async fn grant_role(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    role: &str,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        "update accounts
         set roles = roles || $2::text, security_version = security_version + 1, revision = revision + 1,
             event_version = event_version + 1
         where id = $1 and not $2 = any (roles) and deleted_at is null
         returning id, email, roles, security_version, revision, created_at, event_version",
        id,
        role,
    )
    .fetch_optional(executor)
    .await
}

/// Gives the account another address, and raises the revision and the version of events. None when it is not what the change was asked
/// for any more: locked or disabled, of another security version, without the address `old`; or when another account has the new one.
pub(crate) async fn change_email(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    old: &Email,
    new: &Email,
    security_version: i64,
) -> Result<Option<Account>, sqlx::Error> {
    let (old, key) = (old.key(), new.key());
    let changed = sqlx::query_as!(
        Account,
        "update accounts
         set email = $3, email_key = $4, revision = revision + 1, event_version = event_version + 1
         where id = $1 and email_key = $2 and security_version = $5 and disabled_at is null
         returning id, email, roles, security_version, revision, created_at, event_version",
        id,
        old,
        new.as_str(),
        key,
        security_version,
    )
    .fetch_optional(executor)
    .await;
    match changed {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        changed => changed,
    }
}

/// An account as it is kept, but for the hash of its password and for counters.
pub(crate) struct Kept {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) locale: String,
    pub(crate) roles: Vec<String>,
    pub(crate) created_at: OffsetDateTime,
    /// Since when it has been locked, or disabled.
    pub(crate) disabled_at: Option<OffsetDateTime>,
}

pub(crate) async fn kept(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        "select id, email, display_name, locale, roles, created_at, disabled_at from accounts where id = $1",
        id,
    )
    .fetch_optional(executor)
    .await
}

/// What other services may know.
pub(crate) struct DirectoryEntry {
    pub(crate) id: Uuid,
    /// Locked, or disabled.
    pub(crate) held: bool,
    pub(crate) display_name: String,
    pub(crate) locale: String,
}

/// Of accounts that were not deleted.
pub(crate) async fn directory(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<DirectoryEntry>, sqlx::Error> {
    sqlx::query_as!(
        DirectoryEntry,
        r#"select id, disabled_at is not null as "held!", display_name, locale from accounts
           where id = any ($1) and deleted_at is null"#,
        ids,
    )
    .fetch_all(executor)
    .await
}
