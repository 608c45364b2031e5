//! What is decided about events and jobs that wait, on the command line (`event-consumer inbox`) or by a call, each with an audit
//! record of it.

use std::fmt::{self, Display, Formatter};

use chassis::caller::AccountId;
use inbox::jobs::{self, DeadKey};
use inbox::operator::{self, Discard, Filter, Gap, KeyOf, ParkedKey};
use sqlx::PgPool;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit_log;
use crate::config::{JobKey, ResetConfig};
use crate::store::audit_records::{AuditRow, Details, NO_ACCOUNT};

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

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decider {
    /// Whoever has the address of the database: who that is it cannot know.
    Operator,
    /// Who makes a call.
    Administrator(AccountId),
}

impl Display for Decider {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Administrator(account) => Display::fmt(account, f),
        }
    }
}

/// What to make of versions that are missing.
pub(crate) fn gap(accept: bool) -> Gap {
    if accept { Gap::Accept } else { Gap::Refuse }
}

pub(crate) async fn list(pool: &PgPool) -> sqlx::Result<Waiting> {
    Ok(Waiting {
        parked: operator::parked(pool, Filter::default(), None, LISTED).await?,
        dead_jobs: jobs::dead(pool, ("", ""), LISTED).await?,
    })
}

/// `false`: the key is not parked.
pub(crate) async fn retry(
    pool: &PgPool,
    by: Decider,
    key: KeyOf<'_>,
    gap: Gap,
) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    if !operator::retry(&mut transaction, key, gap).await? {
        return Ok(false);
    }
    let record = about_key("INBOX_RETRY", by, key, gap, None);
    audit_log::add(&mut transaction, vec![record]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// `expected`: the first record of the key as whoever decides has seen it; `None`: whichever it is.
pub(crate) async fn discard(
    pool: &PgPool,
    by: Decider,
    key: KeyOf<'_>,
    gap: Gap,
    expected: Option<i64>,
) -> sqlx::Result<Discard> {
    let mut transaction = pool.begin().await?;
    let discard = operator::discard(&mut transaction, key, gap, expected).await?;
    if let Discard::Discarded(offset) = discard {
        let offset = ("offset", offset.to_string());
        let record = about_key("INBOX_DISCARD", by, key, gap, Some(offset));
        audit_log::add(&mut transaction, vec![record]).await?;
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
    audit_log::add(&mut transaction, vec![record]).await?;
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
    audit_log::add(&mut transaction, vec![record]).await?;
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
    let record = record("INBOX_RESET", Decider::Operator, NO_ACCOUNT, details);
    audit_log::add(&mut transaction, vec![record]).await?;
    transaction.commit().await?;
    Ok(true)
}

fn about_key(
    r#type: &str,
    by: Decider,
    key: KeyOf<'_>,
    gap: Gap,
    more: Option<(&'static str, String)>,
) -> AuditRow {
    let details = [
        ("subscriber", key.subscriber.to_owned()),
        ("topic", key.topic.to_owned()),
        ("key", key.key.to_owned()),
        ("accept_gap", (gap == Gap::Accept).to_string()),
    ];
    let details = details.into_iter().chain(more);
    record(r#type, by, account(key.key), details)
}

fn about_job(r#type: &str, job: &JobKey, event: Option<Uuid>) -> AuditRow {
    let details = [("target", job.target.clone()), ("key", job.key.clone())];
    let event = event.map(|event| ("event", event.to_string()));
    let details = details.into_iter().chain(event);
    record(r#type, Decider::Operator, account(&job.key), details)
}

/// Keys are account ids, but for those of addresses.
fn account(key: &str) -> Uuid {
    key.parse().unwrap_or(NO_ACCOUNT)
}

fn record(
    r#type: &str,
    by: Decider,
    account_id: Uuid,
    details: impl IntoIterator<Item = (&'static str, String)>,
) -> AuditRow {
    let by = ("by", by.to_string());
    let details: Details = std::iter::once(by)
        .chain(details)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    AuditRow {
        id: Uuid::now_v7(),
        r#type: r#type.to_owned(),
        account_id,
        time: OffsetDateTime::now_utc(),
        trace_id: telemetry::propagation::current_trace_id(),
        details: Json(details),
    }
}
