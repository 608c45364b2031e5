//! What gateways need to tell a good access token from a bad one: one task per process reads what changed and tells all followers.

mod feed;
mod follower;

use std::sync::Arc;
use std::time::Instant;

use chassis::wire::timestamp;
use grimoire_proto::auth::v1 as wire;
use sqlx::PgPool;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::revocations::{Revocation, Target};
use crate::store::signing_keys::{self, PublicKey};

pub(crate) use follower::follow;

/// A follower that is further behind is let go: it comes back and merges.
const BACKLOG: usize = 256;

/// The trust of this process in tokens, as its followers hear it.
pub(crate) struct Trust {
    pool: PgPool,
    /// This process among the replicas of auth, for as long as it lives.
    instance: Uuid,
    updates: broadcast::Sender<Arc<Update>>,
    revoked: Notify,
    /// Of the set of keys, as it was last read.
    generation: watch::Sender<i64>,
    stop: CancellationToken,
}

/// Something that all followers are told.
struct Update {
    keys: Option<wire::KeySet>,
    revocations: Vec<wire::Revocation>,
    /// When the read began that this comes from.
    read_began: Instant,
}

impl Trust {
    /// Streams end with `stop`.
    pub(crate) fn new(pool: PgPool, stop: CancellationToken) -> Arc<Self> {
        let (updates, _) = broadcast::channel(BACKLOG);
        Arc::new(Self {
            pool,
            instance: Uuid::now_v7(),
            updates,
            revoked: Notify::new(),
            generation: watch::Sender::new(0),
            stop,
        })
    }

    /// Call it after the commit of a revocation: followers of every replica are told at once. Cheap and never blocking.
    pub(crate) fn revoked(&self) {
        self.revoked.notify_one();
    }

    /// Changes when the set of keys has.
    pub(crate) fn generation(&self) -> watch::Receiver<i64> {
        self.generation.subscribe()
    }

    /// Reads and tells until the process stops.
    pub(crate) async fn run(self: Arc<Self>) {
        feed::run(&self).await;
    }

    async fn keys(&self) -> Result<wire::KeySet, sqlx::Error> {
        let (generation, keys) = signing_keys::verification_keys(&self.pool).await?;
        Ok(wire::KeySet {
            generation: u64::try_from(generation).unwrap_or(0),
            keys: keys
                .into_iter()
                .map(|PublicKey { kid, x, y }| wire::VerificationKey { kid, x, y })
                .collect(),
        })
    }
}

fn on_the_wire(revocations: Vec<Revocation>) -> Vec<wire::Revocation> {
    revocations
        .into_iter()
        .map(|Revocation { target, expires_at }| wire::Revocation {
            target: Some(match target {
                Target::Session(session) => wire::revocation::Target::Session(session.to_string()),
                Target::Account { id, min_version } => {
                    wire::revocation::Target::Account(wire::AccountVersion {
                        account: id.to_string(),
                        min_version: u64::try_from(min_version).unwrap_or(0),
                    })
                }
                Target::Key(kid) => wire::revocation::Target::Kid(kid),
            }),
            expire_time: Some(timestamp(expires_at)),
        })
        .collect()
}
