//! How long a refused sign-in takes at least, so that its time does not tell what it was checked against.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a refusal takes at least: a fifth more than hashes with today's parameters take at present, so that it covers an account
/// whose hash is older and cheaper as well as an address that has none.
pub(crate) struct Floor(AtomicU64);

impl Floor {
    /// A hash with today's parameters took this long.
    pub(crate) fn observe(&self, took: Duration) {
        // A moving average; an observation that is lost to another thread's is no loss.
        let average = self.0.load(Ordering::Relaxed);
        self.0
            .store(average - average / 8 + nanos(took) / 8, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Duration {
        let average = self.0.load(Ordering::Relaxed);
        Duration::from_nanos(average + average / 5)
    }
}

impl From<Duration> for Floor {
    fn from(took: Duration) -> Self {
        Self(AtomicU64::new(nanos(took)))
    }
}

fn nanos(duration: Duration) -> u64 {
    // An hour at most: sums stay far from the end of the range.
    u64::try_from(duration.min(Duration::from_secs(3_600)).as_nanos()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_a_fifth_above_what_hashes_take_and_follows_them() {
        let floor = Floor::from(Duration::from_millis(20));
        assert_eq!(floor.get(), Duration::from_millis(24));
        for _ in 0..100 {
            floor.observe(Duration::from_millis(40));
        }
        let now = floor.get();
        assert!(
            now > Duration::from_millis(47) && now <= Duration::from_millis(48),
            "{now:?}"
        );
        floor.observe(Duration::MAX);
        assert!(floor.get() > now);
    }
}
