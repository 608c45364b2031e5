//! Table sessions. A session is live while it has not ended and its refresh token has not expired.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::refresh::Rotation;

/// A new session.
pub(crate) struct NewSession<'a> {
    pub(crate) id: Uuid,
    pub(crate) account: Uuid,
    pub(crate) secret: &'a [u8],
    pub(crate) refresh_kid: &'a str,
    /// Seconds that a refresh token may lie unused.
    pub(crate) idle: f64,
    /// Seconds that a session may last.
    pub(crate) absolute: f64,
    pub(crate) amr: &'a [String],
    pub(crate) user_agent: &'a str,
    pub(crate) address: &'a str,
}

/// When a new session began and when its refresh token ends.
pub(crate) struct Opened {
    pub(crate) now: OffsetDateTime,
    pub(crate) refresh_expires_at: OffsetDateTime,
}

pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    session: &NewSession<'_>,
) -> Result<Opened, sqlx::Error> {
    sqlx::query_as!(
        Opened,
        r#"insert into sessions (id, account_id, secret, refresh_kid, refresh_expires_at, absolute_expires_at, amr,
                                 user_agent, address)
           values ($1, $2, $3, $4, now() + make_interval(secs => least($5::float8, $6::float8)),
                   now() + make_interval(secs => $6::float8), $7, $8, $9)
           returning now() as "now!", refresh_expires_at"#,
        session.id,
        session.account,
        session.secret,
        session.refresh_kid,
        session.idle,
        session.absolute,
        session.amr,
        session.user_agent,
        session.address,
    )
    .fetch_one(executor)
    .await
}

/// What a refresh is decided on, and what its tokens say.
pub(crate) struct Refreshable {
    pub(crate) account: Uuid,
    pub(crate) secret: Vec<u8>,
    pub(crate) refresh_kid: String,
    pub(crate) counter: i64,
    pub(crate) prev: Option<i64>,
    pub(crate) rotated_at: OffsetDateTime,
    pub(crate) refresh_expires_at: OffsetDateTime,
    pub(crate) auth_time: OffsetDateTime,
    pub(crate) amr: Vec<String>,
    pub(crate) live: bool,
    pub(crate) roles: Vec<String>,
    pub(crate) security_version: i64,
    /// The account is locked, disabled or deleted.
    pub(crate) held: bool,
    pub(crate) now: OffsetDateTime,
}

pub(crate) async fn refreshable(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Refreshable>, sqlx::Error> {
    sqlx::query_as!(
        Refreshable,
        r#"select s.account_id as account, s.secret, s.refresh_kid, s.counter, s.prev, s.rotated_at, s.refresh_expires_at,
                  s.auth_time, s.amr, s.ended_at is null and s.refresh_expires_at > now() as "live!",
                  a.roles, a.security_version, a.disabled_at is not null as "held!", now() as "now!"
           from sessions s join accounts a on a.id = s.account_id
           where s.id = $1"#,
        id,
    )
    .fetch_optional(executor)
    .await
}

/// When a rotation happened and when the new refresh token ends.
pub(crate) struct Rotated {
    pub(crate) now: OffsetDateTime,
    pub(crate) refresh_expires_at: OffsetDateTime,
}

/// Replaces the rotation state by compare-and-set: none when another refresh came first or the session has ended.
pub(crate) async fn rotate(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    seen: &Rotation,
    counter: i64,
    prev: i64,
    refresh_kid: &str,
    idle: f64,
) -> Result<Option<Rotated>, sqlx::Error> {
    sqlx::query_as!(
        Rotated,
        r#"update sessions
           set counter = $4, prev = $5, rotated_at = now(), refresh_kid = $6,
               refresh_expires_at = least(now() + make_interval(secs => $7::float8), absolute_expires_at)
           where id = $1 and counter = $2 and rotated_at = $3 and ended_at is null and refresh_expires_at > now()
           returning rotated_at as now, refresh_expires_at"#,
        id,
        seen.counter,
        seen.rotated_at,
        counter,
        prev,
        refresh_kid,
        idle,
    )
    .fetch_optional(executor)
    .await
}

/// Ends a session and says whose it was; none when it has ended before. One whose refresh token has expired is ended too: gateways
/// take its access token for some seconds more, and who signs out is told that it is over.
pub(crate) async fn end(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "update sessions set ended_at = now() where id = $1 and ended_at is null returning account_id",
        id,
    )
    .fetch_optional(executor)
    .await
}

/// Ends the live sessions of an account but for `kept`; answers with how many there were.
pub(crate) async fn end_all(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    kept: Option<Uuid>,
) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "update sessions set ended_at = now()
         where account_id = $1 and ended_at is null and refresh_expires_at > now() and ($2::uuid is null or id <> $2)",
        account,
        kept,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}

/// Whose session it is, or was.
pub(crate) async fn owner(
    executor: impl PgExecutor<'_>,
    id: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select account_id from sessions where id = $1", id)
        .fetch_optional(executor)
        .await
}

/// Notes that the owner of a live session has just proven who they are; false when there is no such session.
pub(crate) async fn renew_proof(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    account: Uuid,
    amr: &[String],
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update sessions set auth_time = now(), amr = $3
         where id = $1 and account_id = $2 and ended_at is null and refresh_expires_at > now()",
        id,
        account,
        amr,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// As [`end`], for a live session whose rotation state is still what the decision was made on.
pub(crate) async fn end_if_unchanged(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    seen: &Rotation,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "update sessions set ended_at = now()
         where id = $1 and counter = $2 and rotated_at = $3 and ended_at is null and refresh_expires_at > now()
         returning account_id",
        id,
        seen.counter,
        seen.rotated_at,
    )
    .fetch_optional(executor)
    .await
}

/// A session as its owner sees it.
pub(crate) struct Listed {
    pub(crate) id: Uuid,
    pub(crate) user_agent: String,
    pub(crate) address: String,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) rotated_at: OffsetDateTime,
}

/// The live sessions of an account, newest first (ids are UUIDv7), those before `before` where given.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as!(
        Listed,
        "select id, user_agent, address, created_at, rotated_at from sessions
         where account_id = $1 and ended_at is null and refresh_expires_at > now() and ($2::uuid is null or id < $2)
         order by id desc limit $3",
        account,
        before,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// A session as it is kept, but for what tokens are made of.
pub(crate) struct Kept {
    pub(crate) id: Uuid,
    pub(crate) user_agent: String,
    pub(crate) address: String,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) rotated_at: OffsetDateTime,
    pub(crate) auth_time: OffsetDateTime,
    pub(crate) amr: Vec<String>,
    pub(crate) refresh_expires_at: OffsetDateTime,
    pub(crate) ended_at: Option<OffsetDateTime>,
}

/// The sessions of an account, also those that have ended, newest first, those before `before` where given.
pub(crate) async fn kept(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        "select id, user_agent, address, created_at, rotated_at, auth_time, amr, refresh_expires_at, ended_at from sessions
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
    sqlx::query!("delete from sessions where account_id = $1", account)
        .execute(executor)
        .await
        .map(drop)
}

/// Deletes sessions whose refresh token expired 90 days ago, and with them the notifications about them.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from sessions where id = any (array(
             select id from sessions where refresh_expires_at < now() - interval '90 days'
             limit $1 for update skip locked))",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
