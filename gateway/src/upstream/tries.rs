//! Whether a call that failed is tried again, and when.
//!
//! A service that is restarted in its place refuses connections for some 100 ms. A call that it provably did not see waits for it, trying
//! now and then, as long as its deadline allows. Neither the time nor the number of those that wait is without bound: a service that
//! takes no call for longer is away, and whoever calls it then is told so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Upstream;

/// How long a service that takes no calls is waited for.
const AWAY: Duration = Duration::from_secs(5);
/// How many calls wait for it.
const WAITING: usize = 2_048;
/// The second try follows at once, at another address where there is one. The third follows after this, and each later one after twice as
/// long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);
/// How often a call is repeated that the service may have seen: it may have ended because of it. More than once, because a service that
/// was killed takes several connections with it, and not all are known to be dead when the first one is.
const REPEATS: u32 = 2;
/// A try that has less left than this is not begun.
const WORTH_A_TRY: Duration = Duration::from_millis(5);

/// The tries of one call.
pub(crate) struct Tries {
    turn: usize,
    /// How many failed.
    failed: u32,
    /// How many of them the service may have seen.
    seen: u32,
    /// Until the next one.
    pause: Duration,
    /// Held from the first pause until the call is over, or has come to the service.
    place: Option<OwnedSemaphorePermit>,
}

/// Whether a service takes calls, and who waits for it.
pub(super) struct Away {
    begun: Instant,
    /// The millisecond since `begun` in which it took no call; 0 while it takes them.
    since: AtomicU64,
    places: Arc<Semaphore>,
}

impl Tries {
    /// Of a call that begins now.
    pub(crate) fn of(upstream: &Upstream) -> Self {
        Self {
            turn: upstream.turn(),
            failed: 0,
            seen: 0,
            pause: Duration::ZERO,
            place: None,
        }
    }

    /// Waits until the next try is due and says its turn. Neighbouring turns lead to different addresses, where there are some.
    pub(crate) async fn next(&mut self) -> usize {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        self.turn.wrapping_add(self.failed as usize)
    }

    /// The call has come to the service: it waits no more, however long its answer takes.
    pub(crate) fn arrived(&mut self) {
        self.place = None;
    }

    /// Whether there is another try after one that failed with its connection; it is counted. `seen`: the service may have seen the call;
    /// then it is repeated only if it is `repeatable`. `left`: until the deadline.
    pub(crate) fn again(
        &mut self,
        upstream: &Upstream,
        seen: bool,
        repeatable: bool,
        left: Duration,
    ) -> bool {
        let allowed = if seen {
            self.seen += 1;
            repeatable && self.seen <= REPEATS
        } else {
            upstream.away.lasts() <= AWAY
        };
        let pause = pause_after(self.failed);
        if !allowed || left < pause + WORTH_A_TRY {
            return false;
        }
        if !pause.is_zero() && self.place.is_none() {
            self.place = upstream.away.places.clone().try_acquire_owned().ok();
            if self.place.is_none() {
                return false;
            }
        }
        self.pause = pause;
        self.failed += 1;
        upstream.metrics.retried();
        true
    }
}

fn pause_after(failed: u32) -> Duration {
    match failed {
        0 => Duration::ZERO,
        failed => FIRST_PAUSE
            .saturating_mul(1 << (failed - 1).min(8))
            .min(LONGEST_PAUSE),
    }
}

impl Away {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            since: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// A call has come to the service.
    pub(super) fn ends(&self) {
        // Every call comes here, and hardly one has anything to write.
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
    }

    /// For how long no call has come to the service, of which one just failed to.
    fn lasts(&self) -> Duration {
        let now = self.begun.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX).max(1);
        let first = self
            .since
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let since = first.err().unwrap_or(now);
        Duration::from_millis(now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_call_that_nobody_saw_waits_longer_and_longer_and_goes_to_the_next_turn_each_time() {
        let upstream = Upstream::for_tests();
        let mut tries = Tries::of(&upstream);
        let mut pauses = Vec::new();
        let first = tries.next().await;
        for _ in 0..7 {
            assert!(tries.again(&upstream, false, false, LONG));
            pauses.push(tries.pause.as_millis());
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 160]);
        tries.pause = Duration::ZERO;
        assert_eq!(tries.next().await, first + 7);
    }

    #[tokio::test]
    async fn a_call_that_may_have_been_seen_is_repeated_twice_and_only_where_that_does_no_harm() {
        let upstream = Upstream::for_tests();
        assert!(!Tries::of(&upstream).again(&upstream, true, false, LONG));
        let mut tries = Tries::of(&upstream);
        assert!(tries.again(&upstream, true, true, LONG));
        assert!(tries.again(&upstream, false, true, LONG));
        assert!(tries.again(&upstream, true, true, LONG));
        assert!(!tries.again(&upstream, true, true, LONG));
    }

    #[tokio::test]
    async fn nobody_waits_past_the_deadline() {
        let upstream = Upstream::for_tests();
        let mut tries = Tries::of(&upstream);
        assert!(!tries.again(&upstream, false, true, Duration::from_millis(4)));
        assert!(tries.again(&upstream, false, true, Duration::from_millis(6)));
        assert!(!tries.again(&upstream, false, true, Duration::from_millis(14)));
    }

    #[tokio::test]
    async fn a_service_that_is_away_for_long_is_waited_for_no_more_until_a_call_gets_through() {
        let mut upstream = Upstream::for_tests();
        upstream.away.begun -= AWAY + Duration::from_secs(2);
        upstream.away.since.store(1, Ordering::Relaxed);
        assert!(!Tries::of(&upstream).again(&upstream, false, true, LONG));
        upstream.away.ends();
        assert!(Tries::of(&upstream).again(&upstream, false, true, LONG));
    }

    #[tokio::test]
    async fn no_more_calls_wait_than_there_are_places() {
        let mut upstream = Upstream::for_tests();
        upstream.away.places = Arc::new(Semaphore::new(1));
        let waiting = || {
            let mut tries = Tries::of(&upstream);
            assert!(tries.again(&upstream, false, false, LONG));
            (tries.again(&upstream, false, false, LONG), tries)
        };
        let (waits, mut first) = waiting();
        assert!(waits);
        assert!(!waiting().0);
        first.arrived();
        let (waits, second) = waiting();
        assert!(waits);
        assert!(!waiting().0);
        drop(second);
        assert!(waiting().0);
    }
}
