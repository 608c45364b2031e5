//! Deletes what is of no use any more, a few thousand rows at a time. Every replica does, and finds what the others left.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::{
    address_state, known_devices, notifications, registrations, revocations, sessions,
    trust_followers,
};

const EVERY: Duration = Duration::from_secs(600);

pub(crate) async fn run(pool: PgPool, stop: CancellationToken) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        match sweep(&pool).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "deleted what is of no use any more"),
            Err(error) => tracing::warn!(%error, "what is of no use any more was not deleted"),
        }
    }
}

/// One round over every table; how many rows were touched.
pub(crate) async fn sweep(pool: &PgPool) -> Result<u64, sqlx::Error> {
    Ok(notifications::sweep(pool).await?
        + registrations::sweep(pool).await?
        + sessions::sweep(pool).await?
        + revocations::sweep(pool).await?
        + known_devices::sweep(pool).await?
        + address_state::sweep(pool).await?
        + trust_followers::sweep(pool).await?)
}
