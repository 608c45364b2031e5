//! Table `audit_records`.

use std::collections::BTreeMap;

use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// Stands for the account in a record that is about none: what an operator has done.
pub(crate) const NO_ACCOUNT: Uuid = Uuid::nil();

/// What an event says beside its account and time.
pub(crate) type Details = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    pub(crate) id: Uuid,
    pub(crate) r#type: String,
    pub(crate) account_id: Uuid,
    pub(crate) time: OffsetDateTime,
    pub(crate) trace_id: Option<String>,
    pub(crate) details: Json<Details>,
}

/// Which records to read; none and empty for all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) account_id: Option<Uuid>,
    pub(crate) r#type: Option<String>,
    pub(crate) trace_id: Option<String>,
    /// From this time on.
    pub(crate) start: Option<OffsetDateTime>,
    /// Before this time.
    pub(crate) end: Option<OffsetDateTime>,
}

/// Up to `limit` records, newest first, older than `before`.
pub(crate) async fn newest_first(
    pool: &PgPool,
    filter: &Filter,
    before: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<AuditRow>> {
    let (time, id) = before.unzip();
    let mut transaction = pool.begin().await?;
    // Each set of filters has an index of its own: the plan has to know which of them are there.
    sqlx::query!("set local plan_cache_mode = force_custom_plan")
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::query_as!(
        AuditRow,
        r#"select id, type as "type", account_id, time, trace_id, details as "details: Json<Details>"
           from audit_records
           where ($1::uuid is null or account_id = $1)
             and ($2::text is null or type = $2)
             and ($3::text is null or trace_id = $3)
             and ($4::timestamptz is null or time >= $4)
             and ($5::timestamptz is null or time < $5)
             and ($6::timestamptz is null or (time, id) < ($6, $7))
           order by time desc, id desc
           limit $8"#,
        filter.account_id,
        filter.r#type,
        filter.trace_id,
        filter.start,
        filter.end,
        time,
        id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(rows)
}

/// Adds those that are not there yet.
pub(crate) async fn add(db: impl PgExecutor<'_>, records: &[AuditRow]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = records.iter().map(|record| record.id).collect();
    let types: Vec<String> = records.iter().map(|record| record.r#type.clone()).collect();
    let accounts: Vec<Uuid> = records.iter().map(|record| record.account_id).collect();
    let times: Vec<OffsetDateTime> = records.iter().map(|record| record.time).collect();
    let traces: Vec<Option<String>> = records
        .iter()
        .map(|record| record.trace_id.clone())
        .collect();
    let details: Vec<&Json<Details>> = records.iter().map(|record| &record.details).collect();
    sqlx::query!(
        "insert into audit_records (id, type, account_id, time, trace_id, details)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::text[], $6::jsonb[])
         on conflict (id) do nothing",
        &ids,
        &types,
        &accounts,
        &times,
        &traces as &[Option<String>],
        &details as &[&Json<Details>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Up to `limit` records about an account, and as many of what it did to others.
pub(crate) async fn naming(
    db: impl PgExecutor<'_>,
    account: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<AuditRow>> {
    // Each half has an index of its own.
    sqlx::query_as!(
        AuditRow,
        r#"(select id as "id!", type as "type!", account_id as "account_id!", time as "time!", trace_id,
                   details as "details!: Json<Details>"
            from audit_records where account_id = $1 limit $3)
           union
           (select id, type, account_id, time, trace_id, details
            from audit_records where coalesce(details ->> 'by_account_id', details ->> 'by') = $2 limit $3)"#,
        account,
        account.to_string(),
        limit,
    )
    .fetch_all(db)
    .await
}

/// Writes accounts, traces and details of `records` over those that are there.
pub(crate) async fn replace(db: impl PgExecutor<'_>, records: &[AuditRow]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = records.iter().map(|record| record.id).collect();
    let accounts: Vec<Uuid> = records.iter().map(|record| record.account_id).collect();
    let traces: Vec<Option<String>> = records
        .iter()
        .map(|record| record.trace_id.clone())
        .collect();
    let details: Vec<&Json<Details>> = records.iter().map(|record| &record.details).collect();
    sqlx::query!(
        "update audit_records set account_id = new.account_id, trace_id = new.trace_id, details = new.details
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[]) as new (id, account_id, trace_id, details)
         where audit_records.id = new.id",
        &ids,
        &accounts,
        &traces as &[Option<String>],
        &details as &[&Json<Details>],
    )
    .execute(db)
    .await?;
    Ok(())
}
