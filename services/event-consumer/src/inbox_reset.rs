//! `event-consumer inbox reset`: an operator moves a subscriber, and it is on record that they did.

use sqlx::PgPool;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::ResetConfig;
use crate::store::audit_records::{self, AuditRow, Details, NO_ACCOUNT};

/// `false`: the subscriber has no place there.
pub(crate) async fn reset(pool: &PgPool, place: &ResetConfig) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    let left = inbox::operator::reset(
        &mut transaction,
        &place.subscriber,
        &place.topic,
        place.partition,
        place.to,
    )
    .await?;
    let Some(left) = left else {
        return Ok(false);
    };
    audit_records::add(&mut *transaction, &[record(place, left)]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Who it was the database cannot know: whoever has its address may do this.
fn record(place: &ResetConfig, left: i64) -> AuditRow {
    let to = place
        .to
        .map_or_else(|| "oldest".to_owned(), |to| to.to_string());
    let details = [
        ("by", "operator".to_owned()),
        ("subscriber", place.subscriber.clone()),
        ("topic", place.topic.clone()),
        ("partition", place.partition.to_string()),
        ("old_offset", left.to_string()),
        ("new_offset", to),
    ];
    AuditRow {
        id: Uuid::now_v7(),
        r#type: "INBOX_RESET".to_owned(),
        account_id: NO_ACCOUNT,
        time: OffsetDateTime::now_utc(),
        trace_id: None,
        details: Json(Details::from(
            details.map(|(name, value)| (name.to_owned(), value)),
        )),
    }
}
