//! What access tokens are judged by: verification keys and revocations, as auth's trust stream tells them.

pub(crate) mod follow;
pub(crate) mod keys;
pub(crate) mod revocations;
pub(crate) mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use grimoire_proto::auth::v1::FollowResponse;
use tokio::sync::{Notify, watch};

use crate::metrics;
use keys::KeyRing;
use revocations::Revocations;

/// Trust older than this is stale: routes with `fresh_trust` refuse, and an unknown key may be one that was not heard of yet.
pub(crate) const STALE: Duration = Duration::from_secs(5);
/// How long a token with an unknown key waits for the keys to be sent again.
const ASK: Duration = Duration::from_secs(1);

/// The trust of this gateway. It only grows: what an older view says never replaces what a newer one has said.
pub(crate) struct Trust {
    keys: ArcSwap<KeyRing>,
    revocations: Revocations,
    clock: Instant,
    /// Nanoseconds from `clock` to the read that trust comes from; 0: none yet.
    as_of: AtomicU64,
    snapshots: watch::Sender<u64>,
    /// Whether the stream that is followed has said everything that was live when it began.
    whole: AtomicBool,
    asking: AtomicBool,
    /// Nanoseconds from `clock` to the last question; 0: none yet.
    asked: AtomicU64,
    ask: Notify,
    metrics: TrustMetrics,
}

struct TrustMetrics {
    age: telemetry::prometheus::Gauge,
    keys: telemetry::prometheus::IntGauge,
    revocations: telemetry::prometheus::IntGauge,
}

impl Trust {
    pub(crate) fn new() -> Self {
        let metrics = TrustMetrics {
            age: metrics::trust_age(),
            keys: metrics::trust_keys(),
            revocations: metrics::revocations(),
        };
        Self {
            keys: ArcSwap::from_pointee(KeyRing::default()),
            revocations: Revocations::default(),
            clock: Instant::now(),
            as_of: AtomicU64::new(0),
            snapshots: watch::Sender::new(0),
            whole: AtomicBool::new(false),
            asking: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            ask: Notify::new(),
            metrics,
        }
    }

    /// Says that a stream begins: until it has said everything, trust is as old as what the one before has said.
    pub(crate) fn begin_stream(&self) {
        self.whole.store(false, Ordering::Release);
    }

    /// Takes in what the stream says. Answers the generation to acknowledge, when there are new keys.
    pub(crate) fn learn(&self, message: FollowResponse) -> Option<u64> {
        self.revocations.merge(message.revocations);
        let installed = message.keys.and_then(|keys| {
            let ring = KeyRing::new(keys);
            if ring.generation() < self.keys.load().generation() {
                return None;
            }
            let generation = ring.generation();
            self.metrics.keys.set(ring.len() as i64);
            self.keys.store(Arc::new(ring));
            Some(generation)
        });
        // Revocations are in before the age says so, and before a snapshot counts. A part of a snapshot has no age: what was
        // revoked while nobody was followed may be in another part.
        let whole = message.complete || self.whole.load(Ordering::Acquire);
        let age = message.age.filter(|_| whole);
        if let Some(age) = age.and_then(|age| Duration::try_from(age).ok()) {
            let as_of = self.clock.elapsed().saturating_sub(age);
            self.as_of.fetch_max(nanos(as_of), Ordering::Release);
        }
        if message.complete {
            self.whole.store(true, Ordering::Release);
            self.asking.store(false, Ordering::Release);
            self.snapshots.send_modify(|snapshots| *snapshots += 1);
        }
        installed
    }

    /// Whether the first complete snapshot is in.
    pub(crate) fn is_known(&self) -> bool {
        *self.snapshots.borrow() > 0
    }

    /// Waits for the first complete snapshot.
    pub(crate) async fn known(&self) {
        let _ = self
            .snapshots
            .subscribe()
            .wait_for(|snapshots| *snapshots > 0)
            .await;
    }

    /// Age of the read that trust comes from; none before the first.
    pub(crate) fn age(&self) -> Option<Duration> {
        match self.as_of.load(Ordering::Acquire) {
            0 => None,
            as_of => Some(
                self.clock
                    .elapsed()
                    .saturating_sub(Duration::from_nanos(as_of)),
            ),
        }
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.age().is_none_or(|age| age > STALE)
    }

    pub(crate) fn keys(&self) -> arc_swap::Guard<Arc<KeyRing>> {
        self.keys.load()
    }

    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The public keys as a JSON Web Key Set.
    pub(crate) fn jwks(&self) -> Bytes {
        self.keys.load().jwks()
    }

    /// Asks for the keys to be sent again and waits for them, within a bound. Any number of callers make one question, and
    /// invented keys make no more than one in that time: new keys are told unasked. While nobody answers nobody is asked; a new
    /// stream begins with everything.
    pub(crate) async fn ask_again(&self) {
        if self.is_stale() {
            return;
        }
        let mut snapshots = self.snapshots.subscribe();
        if !self.asking.load(Ordering::Acquire) {
            let now = nanos(self.clock.elapsed());
            let asked = self.asked.load(Ordering::Acquire);
            if asked != 0 && now.saturating_sub(asked) < nanos(ASK) {
                return;
            }
            if !self.asking.swap(true, Ordering::AcqRel) {
                self.asked.store(now, Ordering::Release);
                self.ask.notify_one();
            }
        }
        let _ = tokio::time::timeout(ASK, snapshots.changed()).await;
    }

    /// Forgets some of what is over and writes the gauges; each second.
    pub(crate) fn keep_house(&self) {
        let remembered = self
            .revocations
            .forget_expired(std::time::SystemTime::now());
        self.metrics.revocations.set(remembered as i64);
        self.metrics.age.set(
            self.age()
                .unwrap_or_else(|| self.clock.elapsed())
                .as_secs_f64(),
        );
    }
}

/// At least 1, because 0 stands for never.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use grimoire_proto::auth::v1::{KeySet, VerificationKey};

    use super::*;

    fn keys(generation: u64, kids: &[&str]) -> FollowResponse {
        let keys = kids.iter().map(|kid| VerificationKey {
            kid: (*kid).to_owned(),
            x: vec![1; 32],
            y: vec![2; 32],
        });
        FollowResponse {
            keys: Some(KeySet {
                generation,
                keys: keys.collect(),
            }),
            ..FollowResponse::default()
        }
    }

    #[test]
    fn an_older_view_never_replaces_a_newer_one() {
        let trust = Trust::new();
        assert_eq!(trust.learn(keys(2, &["b"])), Some(2));
        assert_eq!(trust.learn(keys(1, &["a"])), None);
        assert!(trust.keys().get("b").is_some() && trust.keys().get("a").is_none());
        assert_eq!(trust.learn(keys(3, &["b", "c"])), Some(3));
    }

    #[test]
    fn trust_is_as_old_as_the_read_it_comes_from() {
        let trust = Trust::new();
        assert!(trust.is_stale() && trust.age().is_none());
        let age = |seconds| FollowResponse {
            age: Some(prost_types::Duration { seconds, nanos: 0 }),
            complete: true,
            ..FollowResponse::default()
        };
        trust.learn(age(0));
        assert!(!trust.is_stale());
        let before = trust.age().unwrap();
        trust.learn(age(60));
        assert!(
            trust.age().unwrap() < before + Duration::from_secs(1),
            "a late message makes trust no older"
        );
    }

    fn fresh(complete: bool) -> FollowResponse {
        FollowResponse {
            age: Some(prost_types::Duration::default()),
            complete,
            ..FollowResponse::default()
        }
    }

    #[test]
    fn a_part_of_a_snapshot_makes_trust_no_younger() {
        let trust = Trust::new();
        trust.begin_stream();
        trust.learn(fresh(false));
        assert!(trust.is_stale() && !trust.is_known());
        trust.learn(fresh(true));
        let known = trust.age().unwrap();
        assert!(!trust.is_stale());

        trust.begin_stream();
        trust.learn(fresh(false));
        assert!(trust.age().unwrap() >= known, "trust grows older");
        trust.learn(fresh(true));
        trust.learn(fresh(false));
        assert!(!trust.is_stale(), "a heartbeat after the snapshot counts");
    }

    #[tokio::test]
    async fn nobody_waits_for_an_answer_that_nobody_gives() {
        let trust = Trust::new();
        assert!(
            futures::FutureExt::now_or_never(trust.ask_again()).is_some(),
            "waits"
        );
        assert!(
            futures::FutureExt::now_or_never(trust.ask.notified()).is_none(),
            "asked"
        );
    }

    #[tokio::test]
    async fn any_number_of_unknown_keys_ask_once() {
        let trust = Arc::new(Trust::new());
        trust.learn(fresh(true));
        let asking = futures::future::join_all((0..8).map(|_| trust.ask_again()));
        let answering = async {
            trust.ask.notified().await;
            trust.learn(FollowResponse {
                complete: true,
                ..FollowResponse::default()
            });
        };
        tokio::join!(asking, answering);
        assert!(trust.is_known());
        trust.ask_again().await;
        assert!(
            futures::FutureExt::now_or_never(trust.ask.notified()).is_none(),
            "asked twice"
        );
    }
}
