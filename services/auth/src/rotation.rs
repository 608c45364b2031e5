//! Signing keys take turns. Every replica looks; under one lock, so whoever comes first changes keys and the others find nothing to do.
//!
//! A pending key becomes active when the active one has had its time, the pending one is known to every gateway, and others may not
//! hold a set of keys without it any more. So no gateway refuses a good token because of a rotation.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use telemetry::{metrics, names};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::keys::KeyRing;
use crate::signing_keys::{LEARNT_WITHIN, SigningKeyError, generate};
use crate::store::revocations::Target;
use crate::store::signing_keys::{Retired, Switch};
use crate::store::{revocations, signing_keys};
use crate::tokens::LONGEST_ACCESS_TOKEN;

/// How far the clocks of gateways may be behind, and more.
const LEEWAY: Duration = Duration::from_secs(60);
const LOOK_MOST: Duration = Duration::from_secs(60);
const LOOK_LEAST: Duration = Duration::from_secs(1);

/// When keys take turns.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    pub(crate) pool: PgPool,
    pub(crate) keks: KeyRing,
    /// How long a key signs.
    pub(crate) lifetime: Duration,
    /// How long a key is published before it signs.
    pub(crate) published: Duration,
}

impl Rotation {
    /// Looks until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let age = metrics::float_gauge(
            names::AUTH_SIGNING_KEY_AGE,
            "Seconds that the active signing key has signed",
        );
        let mut tick = interval((self.lifetime / 8).clamp(LOOK_LEAST, LOOK_MOST));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            match self.look().await {
                Ok(seconds) => age.set(seconds),
                Err(error) => {
                    tracing::warn!(%error, "signing keys cannot take turns; the active one goes on");
                }
            }
        }
    }

    /// Does what is due. Answers with the age of the active key in seconds.
    async fn look(&self) -> Result<f64, SigningKeyError> {
        let mut transaction = self.pool.begin().await?;
        signing_keys::lock(&mut *transaction).await?;
        self.turn(&mut transaction, Switch::When(self.lifetime))
            .await?;
        let age = signing_keys::active_age(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(age)
    }

    /// Lets the pending key sign now. False: a gateway does not know it yet, or it was published too lately.
    pub(crate) async fn ask(&self) -> Result<bool, SigningKeyError> {
        let mut transaction = self.pool.begin().await?;
        signing_keys::lock(&mut *transaction).await?;
        let switched = self.turn(&mut transaction, Switch::Asked).await?;
        transaction.commit().await?;
        Ok(switched)
    }

    /// Lets the pending key sign if `when` and what is known of gateways allow it, and retires keys whose last token has expired. The
    /// caller holds the lock. Whether another key signs now.
    async fn turn(
        &self,
        connection: &mut PgConnection,
        when: Switch,
    ) -> Result<bool, SigningKeyError> {
        let unused = LEARNT_WITHIN + LONGEST_ACCESS_TOKEN + LEEWAY;
        let retired = signing_keys::retire(&mut *connection, unused.as_secs_f64()).await?;
        let published = self.published.as_secs_f64();
        let switched = signing_keys::switch(&mut *connection, when, published).await?;
        if let Some(kid) = &switched {
            tracing::info!(kid, "another key signs access tokens");
        }
        self.renew_pending(connection, switched.is_some() || retired > 0)
            .await?;
        Ok(switched.is_some())
    }

    /// Tokens of a key are refused everywhere, at once, and if it was the active one the pending one signs from now on: those who do
    /// not know it yet ask for it. False: there is no such key, or it verifies nothing any more.
    pub(crate) async fn revoke(&self, kid: &str) -> Result<bool, SigningKeyError> {
        let mut transaction = self.pool.begin().await?;
        signing_keys::lock(&mut *transaction).await?;
        match signing_keys::revoke(&mut *transaction, kid).await? {
            Retired::Unknown => return Ok(false),
            Retired::Other => {}
            Retired::Active => {
                let next = signing_keys::switch(&mut *transaction, Switch::AtOnce, 0.0).await?;
                if next.is_none() {
                    return Err(SigningKeyError::NoActiveKey);
                }
            }
        }
        revocations::insert(
            &mut *transaction,
            &Target::Key(kid.to_owned()),
            LONGEST_ACCESS_TOKEN.as_secs_f64(),
        )
        .await?;
        self.renew_pending(&mut transaction, true).await?;
        transaction.commit().await?;
        tracing::warn!(kid, "a signing key was revoked");
        Ok(true)
    }

    /// Makes the next key where it is missing; a set that has changed gets a new generation.
    async fn renew_pending(
        &self,
        connection: &mut PgConnection,
        changed: bool,
    ) -> Result<(), SigningKeyError> {
        let missing = signing_keys::sealed(&mut *connection, "pending")
            .await?
            .is_none();
        if !missing && !changed {
            return Ok(());
        }
        let generation = signing_keys::next_generation(&mut *connection).await?;
        if missing {
            let (sealed, public) = generate(&self.keks)?;
            signing_keys::insert(&mut *connection, &sealed, &public, "pending", generation).await?;
            tracing::info!(kid = sealed.kid, generation, "made a signing key");
        }
        Ok(())
    }
}
