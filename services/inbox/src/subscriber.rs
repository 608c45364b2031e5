//! What a service writes: a subscriber, and where its dead letters go.

use std::fmt::Display;

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::event::{Event, Record};
use crate::jobs::NewJob;

/// A named set of effects with its own offsets, versions and parked keys.
#[async_trait]
pub trait Subscriber: Send + Sync + 'static {
    /// Its name; kept in the database, so it never changes.
    fn name(&self) -> &'static str;

    /// Topics that it hears.
    fn topics(&self) -> Vec<String>;

    /// Whether `event` can have an effect. One that cannot is applied as well, only later: together with others, or after
    /// [`idle_wait`](crate::ConsumerConfig::idle_wait).
    fn heeds(&self, _event: &Event) -> bool {
        true
    }

    /// Applies `events`: each exactly once, those of one key in the order of their versions. All of them are in one
    /// transaction, which also moves the offset, so write to `effects.connection` alone and leave everything outside of
    /// that database to a job. Never commit or roll back.
    ///
    /// # Errors
    /// [`Refusal::Refused`] if one of them cannot be applied: they are then tried again in smaller and smaller groups, and
    /// the key of the one at fault is parked. [`Refusal::Unavailable`] if the database is away: all are tried again.
    async fn apply(&self, effects: &mut Effects<'_>, events: &[&Event]) -> Result<(), Refusal>;
}

/// Where a subscriber writes.
pub struct Effects<'a> {
    /// The transaction.
    pub connection: &'a mut PgConnection,
    jobs: &'a mut Vec<NewJob>,
}

impl<'a> Effects<'a> {
    pub(crate) fn new(connection: &'a mut PgConnection, jobs: &'a mut Vec<NewJob>) -> Self {
        Self { connection, jobs }
    }

    /// Adds a job to the transaction: it is worked after the commit, behind the earlier ones of its target and key.
    pub fn enqueue(&mut self, job: NewJob) {
        self.jobs.push(job);
    }
}

/// Why an event did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The event itself is at fault: another try soon is no better.
    #[error("{0}")]
    Refused(String),
    /// The database is at fault: the event may be fine.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
}

impl Refusal {
    /// A refusal of the event for `reason`.
    pub fn refused(reason: impl Display) -> Self {
        // A reason may quote a payload, and PostgreSQL's text holds no NUL.
        Self::Refused(reason.to_string().replace('\0', "\u{fffd}"))
    }

    /// Whether a statement took longer than it may. Nothing tells yet whether the server is at fault or the event.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Unavailable(sqlx::Error::Database(error)) if error.code().as_deref() == Some("57014"))
    }

    /// Whether the server answers, so that others may have more luck.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::Unavailable(sqlx::Error::Database(_))
        )
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if at_fault_is_the_data(&error) {
            Self::refused(error)
        } else {
            Self::Unavailable(error)
        }
    }
}

/// Gets a copy of each event that was given up.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Takes `record`, which `subscriber` could not apply for `reason`, in the transaction that gives it up. Called once
    /// for each record.
    ///
    /// # Errors
    /// Whatever keeps the copy from being written; giving up is then tried again later.
    async fn publish(
        &self,
        connection: &mut PgConnection,
        subscriber: &str,
        record: &Record,
        reason: &str,
    ) -> Result<(), Refusal>;
}

/// SQLSTATE classes that the values of a statement bring about, whatever the state of the server. Not those of a grant or a table
/// that is missing (42): they meet every event, and parking all of them would help nobody. 25P02 follows an error that a handler
/// has swallowed.
fn at_fault_is_the_data(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            code == "25P02"
                || ["21", "22", "23", "44", "54", "P0"]
                    .iter()
                    .any(|class| code.starts_with(class))
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::InvalidArgument(_) => true,
        _ => false,
    }
}
