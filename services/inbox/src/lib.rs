//! The consume side of events: from a record in Kafka to an effect in the database, exactly once and in the order of its
//! aggregate. A service writes [`Subscriber`]s, and [`jobs::Worker`]s for what it has to do outside of its database, and runs
//! them with a [`Consumer`]. README.md tells how it works and why.

mod apply;
mod assignment;
mod consumer;
mod event;
pub mod jobs;
mod metrics;
pub mod operator;
mod partition;
mod reader;
mod retry;
mod settle;
mod store;
mod subscriber;
mod topic_id;
mod trace;

use sqlx::PgPool;
use sqlx::migrate::{MigrateError, Migrator};

pub use consumer::{Assigned, Consumer, ConsumerConfig, ConsumerError, Faults};
pub use event::{Event, Record};
pub use subscriber::{DeadLetters, Effects, Refusal, Subscriber};

/// The migrations of the schema `inbox`, noted in a table of that schema.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Brings the schema `inbox` up to date. Its migrations are noted in that schema, beside those of the service.
///
/// # Errors
/// When the database is away, or newer than this program.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATOR.run(pool).await
}
