//! Table `activities`.

use sqlx::PgExecutor;
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

/// Records those that are not there yet, in the order of ids, so that two batches cannot wait for each other.
pub(crate) async fn record(
    db: impl PgExecutor<'_>,
    activities: &[ActivityRow],
) -> sqlx::Result<()> {
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
    sqlx::query!(
        "insert into activities (id, account_id, type, time, session_id, fields)
         select id, account_id, type, time, session_id, string_to_array(fields, ',')
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::text[])
              as new (id, account_id, type, time, session_id, fields)
         order by id
         on conflict (id) do nothing",
        &ids,
        &accounts,
        &types,
        &times,
        &sessions as &[Option<Uuid>],
        &fields,
    )
    .execute(db)
    .await?;
    Ok(())
}
