//! Table registrations.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// A new attempt to register.
pub(crate) struct NewRegistration<'a> {
    pub(crate) id: Uuid,
    pub(crate) address_hmac: &'a [u8],
    pub(crate) email: &'a str,
    pub(crate) display_name: &'a str,
    pub(crate) locale: &'a str,
    pub(crate) token_hash: &'a [u8],
    pub(crate) expires_at: OffsetDateTime,
}

pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    registration: &NewRegistration<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into registrations (id, address_hmac, email, display_name, locale, token_hash, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        registration.id,
        registration.address_hmac,
        registration.email,
        registration.display_name,
        registration.locale,
        registration.token_hash,
        registration.expires_at,
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
        "update registrations set superseded_at = now()
         where address_hmac = $1 and used_at is null and superseded_at is null",
        address_hmac,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// A registration, found by its token.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) id: Uuid,
    pub(crate) address_hmac: Vec<u8>,
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) locale: String,
    pub(crate) used: bool,
    pub(crate) superseded: bool,
    pub(crate) expired: bool,
}

/// Looks a registration up by the SHA-256 of its token.
pub(crate) async fn by_token(
    executor: impl PgExecutor<'_>,
    token_hash: &[u8],
) -> Result<Option<Registration>, sqlx::Error> {
    sqlx::query_as!(
        Registration,
        r#"select id, address_hmac, email, display_name, locale, used_at is not null as "used!",
                  superseded_at is not null as "superseded!", expires_at <= now() as "expired!"
           from registrations where token_hash = $1"#,
        token_hash,
    )
    .fetch_optional(executor)
    .await
}

/// Takes the registration: true for exactly one caller, while it is open.
pub(crate) async fn take(executor: impl PgExecutor<'_>, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update registrations set used_at = now()
         where id = $1 and used_at is null and superseded_at is null and expires_at > now()",
        id,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Forgets an address that an account which was deleted had.
pub(crate) async fn delete(
    executor: impl PgExecutor<'_>,
    address_hmac: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from registrations where address_hmac = $1",
        address_hmac,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Deletes what expired a week ago, and with it the notification about it. Until then a late click learns that its token has expired
/// or was used; nothing else asks, and the row holds the address of somebody who may never have wanted an account.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from registrations where id = any (array(
             select id from registrations where expires_at < now() - interval '7 days'
             limit $1 for update skip locked))",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
