//! Tables signing_keys and key_set. Keys go pending -> active -> retiring -> retired; those that are not retired verify tokens.

use sqlx::PgExecutor;

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
