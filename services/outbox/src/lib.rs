//! From a committed row to a record in Kafka, in order and without a loss: the commit side of Grimoire's events.
//!
//! [`append`] writes an event in the transaction of the change that it tells of. A [`Relay`] in each replica publishes what was
//! committed; one of them at a time holds the lease. README.md says how the pieces fit and why they are so.

mod append;
mod command;
mod config;
mod rebase;
mod relay;
#[doc(hidden)] // Its property test drives it against a real server.
pub mod window;

pub use append::{AppendError, Encoded, append, append_encoded};
pub use command::OutboxCommand;
pub use config::KafkaConfig;
pub use rebase::{Rebased, ResumeError, rebase, resume};
pub use relay::{Failpoint, Relay, RelayConfig, Step, Wake};
pub use sqlx::migrate::MigrateError;

use sqlx::PgPool;
use sqlx::migrate::Migrator;

/// A topic that a service publishes to. Services keep a `const` list, which is held against `tilt/stack.yaml` by a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// Its name in Kafka.
    pub name: &'static str,
    /// Largest payload in bytes that [`append`] takes. At most 900 KiB: brokers refuse a record above 1 MiB.
    pub max_payload: usize,
}

/// The migrations of the schema `outbox`, recorded in that schema.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Brings the schema `outbox` of this database up to date. Safe to call from several processes at once.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    MIGRATOR.run(pool).await
}
