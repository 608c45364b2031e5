//! Table `preferences`. Its writers hold the lock of the person's row in `profiles`.

use std::collections::HashMap;

use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

/// What a person has set; the default where they have set nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PreferencesRow {
    pub(crate) theme: i32,
    pub(crate) product_news: bool,
    pub(crate) weekly_summary: bool,
    pub(crate) labels: Json<HashMap<String, String>>,
    /// 0 before the first change.
    pub(crate) version: i64,
    pub(crate) update_time: Option<OffsetDateTime>,
}

pub(crate) async fn read(
    db: impl PgExecutor<'_>,
    id: Uuid,
) -> sqlx::Result<Option<PreferencesRow>> {
    sqlx::query_as!(
        PreferencesRow,
        r#"select theme, product_news, weekly_summary, labels as "labels: Json<HashMap<String, String>>", version,
                  update_time as "update_time?"
           from preferences
           where id = $1"#,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Forgets what the person has set.
pub(crate) async fn delete(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from preferences where id = $1", id)
        .execute(db)
        .await?;
    Ok(())
}

/// Writes what `row` says; returns it with its new version and time.
pub(crate) async fn write(
    db: impl PgExecutor<'_>,
    id: Uuid,
    row: PreferencesRow,
) -> sqlx::Result<PreferencesRow> {
    let written = sqlx::query!(
        "insert into preferences (id, theme, product_news, weekly_summary, labels)
         values ($1, $2, $3, $4, $5)
         on conflict (id) do update
         set theme = excluded.theme, product_news = excluded.product_news, weekly_summary = excluded.weekly_summary,
             labels = excluded.labels, version = preferences.version + 1, update_time = clock_timestamp()
         returning version, update_time",
        id,
        row.theme,
        row.product_news,
        row.weekly_summary,
        &row.labels as &Json<HashMap<String, String>>,
    )
    .fetch_one(db)
    .await?;
    Ok(PreferencesRow {
        version: written.version,
        update_time: Some(written.update_time),
        ..row
    })
}
