//! `event-consumer inbox`: what an operator decides about events that wait, each with an audit record of it.

use std::fmt::{self, Display, Formatter};

use inbox::jobs::{self, DeadKey};
use inbox::operator::{self, Discard, Gap, KeyOf, ParkedKey};
use sqlx::PgPool;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::{JobKey, ParkedKeyConfig, ResetConfig};
use crate::store::audit_records::{self, AuditRow, Details, NO_ACCOUNT};

/// As many of each kind as are listed.
const LISTED: i64 = 1_000;

/// What stands still, up to 1,000 of each.
#[derive(Debug)]
pub struct Waiting {
    /// Keys whose events wait, also those that are tried again by themselves.
    pub parked: Vec<ParkedKey>,
    /// Keys whose first job was given up.
    pub dead_jobs: Vec<DeadKey>,
}

impl Display for Waiting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for key in &self.parked {
            let state = if key.dead {
                "dead"
            } else {
                "to be tried again"
            };
            writeln!(
                f,
                "{} {} {}: {state}, {} records, {}: {}",
                key.subscriber, key.topic, key.key, key.records, key.cause, key.reason
            )?;
        }
        for job in &self.dead_jobs {
            let reason = job.reason.as_deref().unwrap_or_default();
            writeln!(f, "{} {}: dead job: {reason}", job.target, job.key)?;
        }
        Ok(())
    }
}

pub(crate) async fn list(pool: &PgPool) -> sqlx::Result<Waiting> {
    Ok(Waiting {
        parked: operator::parked(pool, None, LISTED).await?,
        dead_jobs: jobs::dead(pool, ("", ""), LISTED).await?,
    })
}

/// `false`: the key is not parked.
pub(crate) async fn retry(pool: &PgPool, key: &ParkedKeyConfig) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    if !operator::retry(&mut transaction, key_of(key), gap_of(key)).await? {
        return Ok(false);
    }
    let record = about_key("INBOX_RETRY", key, None);
    audit_records::add(&mut *transaction, &[record]).await?;
    transaction.commit().await?;
    Ok(true)
}

pub(crate) async fn discard(pool: &PgPool, key: &ParkedKeyConfig) -> sqlx::Result<Discard> {
    let mut transaction = pool.begin().await?;
    let discard = operator::discard(&mut transaction, key_of(key), gap_of(key)).await?;
    if let Discard::Discarded(offset) = discard {
        let record = about_key("INBOX_DISCARD", key, Some(("offset", offset.to_string())));
        audit_records::add(&mut *transaction, &[record]).await?;
        transaction.commit().await?;
    }
    Ok(discard)
}

/// `false`: the key has no dead job.
pub(crate) async fn retry_job(pool: &PgPool, job: &JobKey) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    if !jobs::retry(&mut transaction, &job.target, &job.key).await? {
        return Ok(false);
    }
    let record = about_job("INBOX_JOB_RETRY", job, None);
    audit_records::add(&mut *transaction, &[record]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The event whose job was given up; `None`: the key has no dead job.
pub(crate) async fn discard_job(pool: &PgPool, job: &JobKey) -> sqlx::Result<Option<Uuid>> {
    let mut transaction = pool.begin().await?;
    let Some(event) = jobs::discard(&mut transaction, &job.target, &job.key).await? else {
        return Ok(None);
    };
    let record = about_job("INBOX_JOB_DISCARD", job, Some(event));
    audit_records::add(&mut *transaction, &[record]).await?;
    transaction.commit().await?;
    Ok(Some(event))
}

/// `false`: the subscriber has no place there.
pub(crate) async fn reset(pool: &PgPool, place: &ResetConfig) -> sqlx::Result<bool> {
    let (subscriber, topic) = (&place.subscriber, &place.topic);
    let mut transaction = pool.begin().await?;
    let left = operator::reset(
        &mut transaction,
        subscriber,
        topic,
        place.partition,
        place.to,
    )
    .await?;
    let Some(left) = left else {
        return Ok(false);
    };
    let to = place
        .to
        .map_or_else(|| "oldest".to_owned(), |to| to.to_string());
    let details = [
        ("subscriber", subscriber.clone()),
        ("topic", topic.clone()),
        ("partition", place.partition.to_string()),
        ("old_offset", left.to_string()),
        ("new_offset", to),
    ];
    let record = record("INBOX_RESET", NO_ACCOUNT, details);
    audit_records::add(&mut *transaction, &[record]).await?;
    transaction.commit().await?;
    Ok(true)
}

fn key_of(key: &ParkedKeyConfig) -> KeyOf<'_> {
    KeyOf {
        subscriber: &key.subscriber,
        topic: &key.topic,
        key: &key.key,
    }
}

fn gap_of(key: &ParkedKeyConfig) -> Gap {
    if key.accept_gap {
        Gap::Accept
    } else {
        Gap::Refuse
    }
}

fn about_key(
    r#type: &str,
    key: &ParkedKeyConfig,
    more: Option<(&'static str, String)>,
) -> AuditRow {
    let details = [
        ("subscriber", key.subscriber.clone()),
        ("topic", key.topic.clone()),
        ("key", key.key.clone()),
        ("accept_gap", key.accept_gap.to_string()),
    ];
    record(r#type, account(&key.key), details.into_iter().chain(more))
}

fn about_job(r#type: &str, job: &JobKey, event: Option<Uuid>) -> AuditRow {
    let details = [("target", job.target.clone()), ("key", job.key.clone())];
    let event = event.map(|event| ("event", event.to_string()));
    record(r#type, account(&job.key), details.into_iter().chain(event))
}

/// Keys are account ids, but for those of addresses.
fn account(key: &str) -> Uuid {
    key.parse().unwrap_or(NO_ACCOUNT)
}

/// Who it was the database cannot know: whoever has its address may do this.
fn record(
    r#type: &str,
    account_id: Uuid,
    details: impl IntoIterator<Item = (&'static str, String)>,
) -> AuditRow {
    let by = ("by", "operator".to_owned());
    let details: Details = std::iter::once(by)
        .chain(details)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    AuditRow {
        id: Uuid::now_v7(),
        r#type: r#type.to_owned(),
        account_id,
        time: OffsetDateTime::now_utc(),
        trace_id: None,
        details: Json(details),
    }
}
