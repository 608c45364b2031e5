//! Deletes what is of no use any more, a few thousand rows at a time and until nothing is left. Every replica does, and passes over
//! the rows that another one holds. And wipes the addresses of deleted accounts whose last mail has not left in time.

use std::time::Duration;

use outbox::{AppendError, Wake};
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::deletion;
use crate::email::Pseudonyms;
use crate::store::{
    address_state, email_changes, failed_logins, known_devices, notifications, password_resets,
    registrations, revocations, sessions, signing_keys, trust_followers,
};

const EVERY: Duration = Duration::from_secs(60);
/// Rows of a table that one statement deletes, so that none runs long.
const BATCH: u32 = 5_000;

/// Addresses of deleted accounts that are wiped in one round, each in a transaction of its own.
const ADDRESSES: u32 = 100;

pub(crate) struct Housekeeping {
    pub(crate) pool: PgPool,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) relay: Wake,
}

impl Housekeeping {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rows = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.round().await {
                Ok(round) => {
                    rows += round.rows;
                    if round.full {
                        tick.reset_immediately();
                    } else if rows > 0 {
                        tracing::info!(rows, "deleted what is of no use any more");
                        rows = 0;
                    }
                }
                Err(error) => tracing::warn!(%error, "what is of no use any more was not deleted"),
            }
        }
    }

    async fn round(&self) -> Result<Round, AppendError> {
        let swept = sweep(&self.pool).await?;
        let most = i64::from(ADDRESSES);
        let wiped = deletion::wipe_overdue(&self.pool, &self.pseudonyms, &self.relay, most).await?;
        Ok(Round {
            rows: swept.rows + wiped,
            full: swept.full || wiped >= u64::from(ADDRESSES),
        })
    }
}

struct Round {
    /// Rows that were deleted or emptied.
    rows: u64,
    /// A table may hold more.
    full: bool,
}

/// One batch of each table.
async fn sweep(pool: &PgPool) -> Result<Round, sqlx::Error> {
    let most = i64::from(BATCH);
    let swept = [
        notifications::sweep(pool, most).await?,
        registrations::sweep(pool, most).await?,
        password_resets::sweep(pool, most).await?,
        email_changes::sweep(pool, most).await?,
        sessions::sweep(pool, most).await?,
        revocations::sweep(pool, most).await?,
        known_devices::sweep(pool, most).await?,
        address_state::sweep(pool, most).await?,
        failed_logins::sweep(pool, most).await?,
        trust_followers::sweep(pool, most).await?,
        signing_keys::sweep(pool, most).await?,
    ];
    Ok(Round {
        rows: swept.iter().sum(),
        full: swept.iter().any(|rows| *rows >= u64::from(BATCH)),
    })
}
