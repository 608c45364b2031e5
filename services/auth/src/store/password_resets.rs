//! Table password_resets.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// A new request.
pub(crate) struct NewReset<'a> {
    pub(crate) id: Uuid,
    pub(crate) address_hmac: &'a [u8],
    /// None: the address has no account.
    pub(crate) account: Option<Uuid>,
    pub(crate) token_hash: &'a [u8],
    pub(crate) expires_at: OffsetDateTime,
}

pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    reset: &NewReset<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into password_resets (id, address_hmac, account_id, token_hash, expires_at) values ($1, $2, $3, $4, $5)",
        reset.id,
        reset.address_hmac,
        reset.account,
        reset.token_hash,
        reset.expires_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Closes what is open for the address.
pub(crate) async fn supersede(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update password_resets set superseded_at = now()
         where address_hmac = $1 and used_at is null and superseded_at is null",
        address_hmac,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// A request, found by its token.
#[derive(Debug, Clone)]
pub(crate) struct Reset {
    pub(crate) id: Uuid,
    pub(crate) address_hmac: Vec<u8>,
    pub(crate) account: Option<Uuid>,
    pub(crate) used: bool,
    pub(crate) superseded: bool,
    pub(crate) expired: bool,
}

/// Looks a request up by the SHA-256 of its token.
pub(crate) async fn by_token(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
) -> Result<Option<Reset>, sqlx::Error> {
    sqlx::query_as!(
        Reset,
        r#"select id, address_hmac, account_id as account, used_at is not null as "used!",
                  superseded_at is not null as "superseded!", expires_at <= now() as "expired!"
           from password_resets where token_hash = $1"#,
        token_hash,
    )
    .fetch_optional(executor)
    .await
}

/// Takes the request: true for exactly one caller, while it is open.
pub(crate) async fn take(executor: impl PgExecutor<'_>, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update password_resets set used_at = now()
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
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
    pub(crate) used_at: Option<OffsetDateTime>,
    pub(crate) superseded_at: Option<OffsetDateTime>,
}

/// The requests about an account, newest first, those before `before` where given.
pub(crate) async fn kept(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        "select id, created_at, expires_at, used_at, superseded_at from password_resets
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
    sqlx::query!("delete from password_resets where account_id = $1", account)
        .execute(executor)
        .await
        .map(drop)
}

/// Deletes what expired a week ago, and with it the notification about it. Until then a late click learns why it is late.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from password_resets where id = any (array(
             select id from password_resets where expires_at < now() - interval '7 days'
             limit $1 for update skip locked))",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
