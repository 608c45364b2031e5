use sqlx::PgPool;

use crate::rebase::{ResumeError, rebase, resume};

/// What an operator does to an outbox whose database is not what it was, as a command of its service: `auth outbox rebase`.
/// `D` says where the database is.
#[derive(Debug, clap::Subcommand)]
pub enum OutboxCommand<D: clap::Args> {
    /// After a restore of the database: publishes what is left in the outbox as a new stream
    Rebase(D),
    /// After a fail-over that lost nothing: publishes on from where it was
    Resume(D),
}

impl<D: clap::Args> OutboxCommand<D> {
    /// Where the database is.
    pub fn database(&self) -> &D {
        match self {
            Self::Rebase(database) | Self::Resume(database) => database,
        }
    }

    /// Does it, and says on standard output what came of it.
    pub async fn run(&self, pool: &PgPool) -> Result<(), ResumeError> {
        match self {
            Self::Rebase(_) => {
                let rebased = rebase(pool).await?;
                println!(
                    "{} events will be published as stream {}",
                    rebased.entries, rebased.generation
                );
            }
            Self::Resume(_) => {
                resume(pool).await?;
                println!("the relay goes on where it was");
            }
        }
        Ok(())
    }
}
