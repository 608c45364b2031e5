//! Table `profiles`. The row of somebody who was erased stays, and is nobody's profile.

use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) bio: String,
    pub(crate) avatar_uri: String,
    pub(crate) locale: String,
    pub(crate) time_zone: String,
    pub(crate) version: i64,
    pub(crate) create_time: OffsetDateTime,
    pub(crate) update_time: OffsetDateTime,
}

/// What a new profile starts with.
#[derive(Debug, Clone)]
pub(crate) struct NewProfile {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) locale: String,
}

pub(crate) async fn read(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<ProfileRow>> {
    sqlx::query_as!(
        ProfileRow,
        "select id, display_name, bio, avatar_uri, locale, time_zone, version, create_time, update_time
         from profiles
         where id = $1 and erased_at is null",
        id,
    )
    .fetch_optional(db)
    .await
}

/// As [`read`], and keeps every other writer of this person away until the transaction ends.
pub(crate) async fn lock(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<ProfileRow>> {
    sqlx::query_as!(
        ProfileRow,
        "select id, display_name, bio, avatar_uri, locale, time_zone, version, create_time, update_time
         from profiles
         where id = $1 and erased_at is null
         for update",
        id,
    )
    .fetch_optional(db)
    .await
}

/// Those of `ids` that have no profile and never had one.
pub(crate) async fn missing(db: impl PgExecutor<'_>, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"select distinct wanted.id as "id!"
           from unnest($1::uuid[]) as wanted (id)
           where not exists (select from profiles where profiles.id = wanted.id)"#,
        ids,
    )
    .fetch_all(db)
    .await
}

/// Makes the profiles that do not exist yet. In the order of ids, so that two batches with the same ids cannot wait for each
/// other.
pub(crate) async fn make(db: impl PgExecutor<'_>, profiles: &[NewProfile]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = profiles.iter().map(|profile| profile.id).collect();
    let display_names: Vec<String> = profiles
        .iter()
        .map(|profile| profile.display_name.clone())
        .collect();
    let locales: Vec<String> = profiles
        .iter()
        .map(|profile| profile.locale.clone())
        .collect();
    sqlx::query!(
        "insert into profiles (id, display_name, locale)
         select id, display_name, locale
         from unnest($1::uuid[], $2::text[], $3::text[]) as new (id, display_name, locale)
         order by id
         on conflict (id) do nothing",
        &ids,
        &display_names,
        &locales,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What an update drew from the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Updated {
    pub(crate) version: i64,
    pub(crate) event_version: i64,
    pub(crate) update_time: OffsetDateTime,
}

/// Writes the texts of `row`, which the transaction has locked.
pub(crate) async fn update(db: impl PgExecutor<'_>, row: &ProfileRow) -> sqlx::Result<Updated> {
    sqlx::query_as!(
        Updated,
        "update profiles
         set display_name = $2, bio = $3, avatar_uri = $4, locale = $5, time_zone = $6,
             version = version + 1, event_version = event_version + 1, update_time = clock_timestamp()
         where id = $1
         returning version, event_version, update_time",
        row.id,
        row.display_name,
        row.bio,
        row.avatar_uri,
        row.locale,
        row.time_zone,
    )
    .fetch_one(db)
    .await
}

/// Draws the version of the next event about this person.
pub(crate) async fn next_event_version(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "update profiles set event_version = event_version + 1 where id = $1 returning event_version",
        id,
    )
    .fetch_one(db)
    .await
}

/// Empties the row, or makes an empty one, for good. The version of the event that tells of it; none when that was done before.
pub(crate) async fn erase(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "insert into profiles (id, erased_at, event_version)
         values ($1, clock_timestamp(), 1)
         on conflict (id) do update
         set display_name = '', bio = '', avatar_uri = '', locale = '', time_zone = '', version = profiles.version + 1,
             event_version = profiles.event_version + 1, create_time = excluded.erased_at, update_time = excluded.erased_at,
             erased_at = excluded.erased_at
         where profiles.erased_at is null
         returning event_version",
        id,
    )
    .fetch_optional(db)
    .await
}

/// A person who was found by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) avatar_uri: String,
    /// How well the name fits, up to 1,000,000.
    pub(crate) rank: i32,
}

/// Up to `limit` people whose display name resembles `query`, the best fit first, behind `after`: how much of the query is in the name
/// counts as much as how much of the name is in the query. Who has no name is never found. A search that takes longer than 2 s fails
/// (SQLSTATE 57014).
pub(crate) async fn resembling(
    pool: &PgPool,
    query: &str,
    after: Option<(i32, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<FoundRow>> {
    let (rank, id) = after.unzip();
    let mut transaction = pool.begin().await?;
    sqlx::query!("set local statement_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    // A search takes one core.
    sqlx::query!("set local max_parallel_workers_per_gather = 0")
        .execute(&mut *transaction)
        .await?;
    // What has no trigrams for this database would walk the whole index. A rank is a whole number, so that a page token has it exactly.
    let rows = sqlx::query_as!(
        FoundRow,
        r#"select id as "id!", display_name as "display_name!", avatar_uri as "avatar_uri!", rank as "rank!"
           from (select id, display_name, avatar_uri,
                        round(500000 * (word_similarity($1, display_name) + similarity($1, display_name)))::integer as rank
                 from profiles
                 where cardinality(show_trgm($1)) > 0 and $1::text <% display_name) as found
           where $2::integer is null or rank < $2 or (rank = $2 and id > $3)
           order by rank desc, id
           limit $4"#,
        query,
        rank,
        id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(rows)
}
