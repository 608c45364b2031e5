//! Tables signing_keys and key_set. Keys go pending -> active -> retiring -> retired; those that are not retired verify tokens.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

/// A key with its private part sealed.
pub(crate) struct SealedKey {
    pub(crate) kid: String,
    pub(crate) kek_id: String,
    pub(crate) sealed: Vec<u8>,
}

/// A key's public part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kid: String,
    pub(crate) x: Vec<u8>,
    pub(crate) y: Vec<u8>,
}

/// Holds every other changer of keys off until the transaction ends.
pub(crate) async fn lock(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    // The number is the lock's name: "keys" in ASCII.
    sqlx::query!("select pg_advisory_xact_lock(1801812339)")
        .execute(executor)
        .await
        .map(drop)
}

/// The oldest key in this state.
pub(crate) async fn sealed(
    executor: impl PgExecutor<'_>,
    state: &str,
) -> Result<Option<SealedKey>, sqlx::Error> {
    sqlx::query_as!(
        SealedKey,
        "select kid, kek_id, sealed from signing_keys where state = $1 order by created_at limit 1",
        state,
    )
    .fetch_optional(executor)
    .await
}

/// Raises the generation of the set of keys.
pub(crate) async fn next_generation(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("update key_set set generation = generation + 1 returning generation")
        .fetch_one(executor)
        .await
}

/// After a restore, which rewinds the generation: raises it above what any gateway can have seen, or gateways would take the keys
/// for older ones than theirs. The clock and not a count, as for the outbox: a second restore would count to the same number again.
pub(crate) async fn rebase_generation(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update key_set set generation = greatest(generation + 1, extract(epoch from clock_timestamp())::bigint)"
    )
    .execute(executor)
    .await
    .map(drop)
}

pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    key: &SealedKey,
    public: &PublicKey,
    state: &str,
    generation: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into signing_keys (kid, state, generation, x, y, kek_id, sealed, activated_at)
         values ($1, $2, $3, $4, $5, $6, $7, case when $2 = 'active' then now() end)",
        key.kid,
        state,
        generation,
        public.x,
        public.y,
        key.kek_id,
        key.sealed,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// When the pending key becomes the active one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Switch {
    /// When the active one has signed for so long, or is missing.
    When(std::time::Duration),
    /// Now, if every gateway knows it and nobody holds a set of keys without it.
    Asked,
    /// Now, whoever knows it.
    AtOnce,
}

/// Lets the pending key sign in place of the active one and says which it is; none where that must wait. Every follower whose lease
/// of 10 s has not run out must have acknowledged it, and it must have been published for `published` seconds.
pub(crate) async fn switch(
    connection: &mut PgConnection,
    when: Switch,
    published: f64,
) -> Result<Option<String>, sqlx::Error> {
    let (lifetime, at_once) = match when {
        Switch::When(lifetime) => (lifetime.as_secs_f64(), false),
        Switch::Asked => (0.0, false),
        Switch::AtOnce => (0.0, true),
    };
    let next = sqlx::query_scalar!(
        "select kid from signing_keys as next
         where state = 'pending'
           and not exists (
               select from signing_keys
               where state = 'active' and activated_at > clock_timestamp() - make_interval(secs => $1::float8))
           and ($3 or created_at <= clock_timestamp() - make_interval(secs => $2::float8)
               and not exists (
                   select from trust_followers
                   where seen_at > clock_timestamp() - interval '10 seconds'
                     and acknowledged_generation < next.generation))
         order by created_at limit 1",
        lifetime,
        published,
        at_once,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(kid) = next else {
        return Ok(None);
    };
    // One key is active at a time, which an index holds.
    sqlx::query!(
        "update signing_keys set state = 'retiring', retiring_at = clock_timestamp() where state = 'active'"
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update signing_keys set state = 'active', activated_at = clock_timestamp() where kid = $1",
        kid,
    )
    .execute(connection)
    .await?;
    Ok(Some(kid))
}

/// Retires keys that have been retiring for `unused` seconds; answers with how many.
pub(crate) async fn retire(executor: impl PgExecutor<'_>, unused: f64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "update signing_keys set state = 'retired'
         where state = 'retiring' and retiring_at < clock_timestamp() - make_interval(secs => $1::float8)",
        unused,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}

/// What a revoked key was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// There is no such key, or it was retired before.
    Unknown,
    Active,
    Other,
}

/// Retires a key, whatever it was.
pub(crate) async fn revoke(
    connection: &mut PgConnection,
    kid: &str,
) -> Result<Retired, sqlx::Error> {
    let state = sqlx::query_scalar!(
        "select state from signing_keys where kid = $1 and state <> 'retired' for update",
        kid,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(state) = state else {
        return Ok(Retired::Unknown);
    };
    sqlx::query!(
        "update signing_keys set state = 'retired' where kid = $1",
        kid
    )
    .execute(connection)
    .await?;
    Ok(match state.as_str() {
        "active" => Retired::Active,
        _ => Retired::Other,
    })
}

/// Seconds that the active key has signed; 0 where there is none.
pub(crate) async fn active_age(executor: impl PgExecutor<'_>) -> Result<f64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(extract(epoch from clock_timestamp() - max(activated_at)), 0)::float8 as "age!"
           from signing_keys where state = 'active'"#
    )
    .fetch_one(executor)
    .await
}

/// A key as an operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) kid: String,
    pub(crate) state: String,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) activated_at: Option<OffsetDateTime>,
    pub(crate) retiring_at: Option<OffsetDateTime>,
}

/// The keys that verify tokens, or will, the oldest first.
pub(crate) async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as!(
        Listed,
        "select kid, state, created_at, activated_at, retiring_at from signing_keys
         where state <> 'retired' order by created_at, kid",
    )
    .fetch_all(executor)
    .await
}

/// Deletes keys that retired 30 days after they were made, and verify nothing. The public part of a revoked one is of no use either.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from signing_keys where kid = any (array(
             select kid from signing_keys where state = 'retired' and created_at < now() - interval '30 days'
             limit $1 for update skip locked))",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}

/// The set of verification keys and its generation, read in one statement.
pub(crate) async fn verification_keys(
    executor: impl PgExecutor<'_>,
) -> Result<(i64, Vec<PublicKey>), sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.generation, k.kid as "kid?", k.x as "x?", k.y as "y?"
           from key_set s left join signing_keys k on k.state <> 'retired'
           order by k.created_at"#,
    )
    .fetch_all(executor)
    .await?;
    let generation = rows.first().ok_or(sqlx::Error::RowNotFound)?.generation;
    let keys = rows
        .into_iter()
        .filter_map(|row| {
            Some(PublicKey {
                kid: row.kid?,
                x: row.x?,
                y: row.y?,
            })
        })
        .collect();
    Ok((generation, keys))
}
