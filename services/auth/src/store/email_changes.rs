//! Table email_changes.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// A new request.
pub(crate) struct NewChange<'a> {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    /// The session that asks.
    pub(crate) session: Uuid,
    pub(crate) email: &'a str,
    /// That of the account now.
    pub(crate) security_version: i64,
    pub(crate) token_hash: &'a [u8],
    pub(crate) expires_at: OffsetDateTime,
}

pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    change: &NewChange<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into email_changes (id, account_id, session_id, email, security_version, token_hash, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        change.id,
        change.account,
        change.session,
        change.email,
        change.security_version,
        change.token_hash,
        change.expires_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Closes what is open for the account.
pub(crate) async fn supersede(
    executor: impl PgExecutor<'_>,
    account: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update email_changes set superseded_at = now()
         where account_id = $1 and used_at is null and superseded_at is null",
        account,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// A request, found by its token.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    pub(crate) session: Uuid,
    pub(crate) email: String,
    pub(crate) security_version: i64,
    pub(crate) used: bool,
    pub(crate) superseded: bool,
    pub(crate) expired: bool,
}

/// Looks a request up by the SHA-256 of its token.
pub(crate) async fn by_token(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
) -> Result<Option<Change>, sqlx::Error> {
    sqlx::query_as!(
        Change,
        r#"select id, account_id as account, session_id as session, email, security_version, used_at is not null as "used!",
                  superseded_at is not null as "superseded!", expires_at <= now() as "expired!"
           from email_changes where token_hash = $1"#,
        token_hash,
    )
    .fetch_optional(executor)
    .await
}

/// Takes the request: true for exactly one caller, while it is open.
pub(crate) async fn take(executor: impl PgExecutor<'_>, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update email_changes set used_at = now()
         where id = $1 and used_at is null and superseded_at is null and expires_at > now()",
        id,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// A request as it is kept, but for the hash of its token.
pub(crate) struct Kept {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) session: Uuid,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
    pub(crate) used_at: Option<OffsetDateTime>,
    pub(crate) superseded_at: Option<OffsetDateTime>,
}

/// The requests of an account, newest first, those before `before` where given.
pub(crate) async fn kept(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        "select id, email, session_id as session, created_at, expires_at, used_at, superseded_at from email_changes
         where account_id = $1 and ($2::uuid is null or id < $2)
         order by id desc limit $3",
        account,
        before,
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
    sqlx::query!("delete from email_changes where account_id = $1", account)
        .execute(executor)
        .await
        .map(drop)
}

/// Deletes what expired a week ago, and with it the notification about it. Until then a late click learns why it is late; longer
/// nobody's address is kept who did not answer.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from email_changes where id = any (array(
             select id from email_changes where expires_at < now() - interval '7 days'
             limit $1 for update skip locked))",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
