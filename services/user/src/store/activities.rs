//! Table `activities`. An account may have no profile that could be locked, so there is one lock for all: who records shares it, and who
//! erases has it alone. Nobody records, then, who has not seen who was erased.

use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActivityRow {
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) r#type: String,
    pub(crate) time: OffsetDateTime,
    pub(crate) session_id: Option<Uuid>,
    pub(crate) fields: Vec<String>,
}

/// Up to `limit` activities of an account, newest first, older than `before`; `of_type` none for all.
pub(crate) async fn newest_first(
    db: impl PgExecutor<'_>,
    account: Uuid,
    of_type: Option<&str>,
    before: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<ActivityRow>> {
    let (time, id) = before.unzip();
    sqlx::query_as!(
        ActivityRow,
        r#"select id, account_id, type as "type", time, session_id, fields
           from activities
           where account_id = $1
             and ($2::text is null or type = $2)
             and ($3::timestamptz is null or (time, id) < ($3, $4))
           order by time desc, id desc
           limit $5"#,
        account,
        of_type,
        time,
        id,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Records those that are not there yet, in the order of ids, so that two batches cannot wait for each other. What an account did that is
/// erased by now is left out.
pub(crate) async fn record(pool: &PgPool, activities: &[ActivityRow]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = activities.iter().map(|activity| activity.id).collect();
    let accounts: Vec<Uuid> = activities
        .iter()
        .map(|activity| activity.account_id)
        .collect();
    let types: Vec<String> = activities
        .iter()
        .map(|activity| activity.r#type.clone())
        .collect();
    let times: Vec<OffsetDateTime> = activities.iter().map(|activity| activity.time).collect();
    let sessions: Vec<Option<Uuid>> = activities
        .iter()
        .map(|activity| activity.session_id)
        .collect();
    // unnest would flatten an array of arrays; the names of fields hold no comma.
    let fields: Vec<String> = activities
        .iter()
        .map(|activity| activity.fields.join(","))
        .collect();
    let mut transaction = pool.begin().await?;
    // A statement of its own: the next one then sees whatever was committed before the lock was had.
    sqlx::query!("select pg_advisory_xact_lock_shared(1701994867)")
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        "insert into activities (id, account_id, type, time, session_id, fields)
         select id, account_id, type, time, session_id, string_to_array(fields, ',')
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[])
              as new (id, account_id, type, time, session_id, fields)
         where not exists (
             select from profiles where profiles.id = new.account_id and profiles.erased_at is not null)
         order by id
         on conflict (id) do nothing",
        &ids,
        &accounts,
        &types,
        &times,
        &sessions as &[Option<Uuid>],
        &fields,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Waits until nobody records, and holds all who would off until the transaction ends.
pub(crate) async fn hold_off(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    // The number is the lock's name: "eras" in ASCII.
    sqlx::query!("select pg_advisory_xact_lock(1701994867)")
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes up to `most` activities of an account; how many there were.
pub(crate) async fn delete(db: impl PgExecutor<'_>, account: Uuid, most: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from activities where id = any (array(
             select id from activities where account_id = $1 limit $2))",
        account,
        most,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
