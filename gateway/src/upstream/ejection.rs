//! Addresses that are passed over for a while, because nothing could be reached there. What a service answers says nothing here: it is the
//! same everywhere. After Envoy's outlier detection, for failures of connections only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use telemetry::prometheus::{IntCounter, IntGauge};

use crate::metrics;

/// How long the first time, doubled each time after it, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// One that failed longer ago than this fails for the first time again.
const FORGOTTEN: Duration = Duration::from_secs(120);
/// How long the first call after that time has to say how it went, before another one tries.
const PROBE: Duration = Duration::from_secs(3);
/// When most fail, the fault is not an address's: so long all of them are used.
const ALL: Duration = Duration::from_secs(1);

pub(super) struct Ejections {
    upstream: String,
    /// How many are passed over: most of the time none, and then nothing else is looked at.
    out: AtomicUsize,
    past: Mutex<Past>,
    ejected: IntGauge,
    ejections: IntCounter,
}

#[derive(Default)]
struct Past {
    addresses: HashMap<SocketAddr, Ejected>,
    /// Until then nothing is passed over.
    all_until: Option<Instant>,
}

struct Ejected {
    /// In a row.
    times: u32,
    until: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Out,
    /// A call tries it.
    Probed,
    /// In use again; remembered for the next time.
    Back,
}

impl Ejections {
    pub(super) fn new(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            out: AtomicUsize::new(0),
            past: Mutex::default(),
            ejected: metrics::ejected(upstream),
            ejections: metrics::ejections(upstream),
        }
    }

    /// Which of `addresses` this turn leads to; none where there are none. The first turn after the time of one tries it.
    pub(super) fn pick(&self, addresses: &[SocketAddr], turn: usize) -> Option<usize> {
        let all = turn.checked_rem(addresses.len())?;
        if self.out.load(Ordering::Relaxed) == 0 {
            return Some(all);
        }
        let picked = self.lock().pick(addresses, turn, Instant::now());
        Some(picked.unwrap_or(all))
    }

    /// Nothing could be reached at this one of `addresses`.
    pub(super) fn failed(&self, address: SocketAddr, addresses: &[SocketAddr]) {
        // The only one is used, whatever it does.
        if addresses.len() > 1 && addresses.contains(&address) {
            self.failed_at(address, addresses.len(), Instant::now());
        }
    }

    fn failed_at(&self, address: SocketAddr, count: usize, now: Instant) {
        let mut past = self.lock();
        if past.all_until.is_some_and(|until| until > now) {
            return;
        }
        let before = past.addresses.get(&address);
        let stage = before.map_or(Stage::Back, |before| before.stage);
        if stage == Stage::Out {
            // Told by a call that was on its way.
            return;
        }
        let out = past.out();
        if stage == Stage::Back && out + 1 > count / 2 {
            past.all_until = Some(now + ALL);
            for ejected in past.addresses.values_mut() {
                ejected.stage = Stage::Back;
            }
            tracing::warn!(
                upstream = self.upstream,
                "most addresses fail: all are used"
            );
            self.count(&past);
            return;
        }
        let recent = before.filter(|before| before.until + FORGOTTEN > now);
        let times = recent.map_or(1, |before| before.times + 1);
        let length = jittered(
            FIRST
                .saturating_mul(2_u32.saturating_pow(times - 1))
                .min(LONGEST),
        );
        tracing::warn!(upstream = self.upstream, %address, ?length, "an address is passed over");
        let ejected = Ejected {
            times,
            until: now + length,
            stage: Stage::Out,
        };
        past.addresses.insert(address, ejected);
        self.ejections.inc();
        self.count(&past);
    }

    /// The service was reached there.
    pub(super) fn reached(&self, address: SocketAddr) {
        if self.out.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut past = self.lock();
        if let Some(ejected) = past.addresses.get_mut(&address)
            && ejected.stage == Stage::Probed
        {
            ejected.stage = Stage::Back;
            ejected.until = Instant::now();
            tracing::info!(upstream = self.upstream, %address, "an address is used again");
            self.count(&past);
        }
    }

    /// The name leads to these now. What it does not lead to is forgotten.
    pub(super) fn keep(&self, addresses: &[SocketAddr]) {
        let mut past = self.lock();
        past.addresses
            .retain(|address, _| addresses.contains(address));
        self.count(&past);
    }

    fn count(&self, past: &Past) {
        let out = past.out();
        let before = self.out.swap(out, Ordering::Relaxed);
        self.ejected.add(out as i64 - before as i64);
    }

    fn lock(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same service at another address has the same gauge.
impl Drop for Ejections {
    fn drop(&mut self) {
        self.ejected.sub(self.out.load(Ordering::Relaxed) as i64);
    }
}

impl Past {
    fn pick(&mut self, addresses: &[SocketAddr], turn: usize, now: Instant) -> Option<usize> {
        let mut used = Vec::with_capacity(addresses.len());
        for (at, address) in addresses.iter().enumerate() {
            match self.addresses.get_mut(address) {
                Some(ejected) if ejected.is_out() && ejected.until > now => {}
                Some(ejected) if ejected.is_out() => {
                    ejected.stage = Stage::Probed;
                    ejected.until = now + PROBE;
                    return Some(at);
                }
                _ => used.push(at),
            }
        }
        used.get(turn.checked_rem(used.len())?).copied()
    }

    fn out(&self) -> usize {
        let addresses = self.addresses.values();
        addresses.filter(|ejected| ejected.is_out()).count()
    }
}

impl Ejected {
    fn is_out(&self) -> bool {
        self.stage != Stage::Back
    }
}

/// Gateways that have passed one over together do not try it together.
fn jittered(length: Duration) -> Duration {
    length.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count)
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
            .collect()
    }

    /// Where ten turns lead to.
    fn turns(ejections: &Ejections, addresses: &[SocketAddr], now: Instant) -> Vec<usize> {
        let mut past = ejections.lock();
        (0..10)
            .filter_map(|turn| past.pick(addresses, turn, now))
            .collect()
    }

    #[test]
    fn one_that_fails_is_passed_over_and_then_tried_by_one_call() {
        let (ejections, all, now) = (Ejections::new("one"), addresses(4), Instant::now());
        ejections.failed_at(all[1], 4, now);
        assert_eq!(ejections.ejected.get(), 1);
        assert_eq!(turns(&ejections, &all, now), [0, 2, 3, 0, 2, 3, 0, 2, 3, 0]);
        // The others of the same moment change nothing.
        ejections.failed_at(all[1], 4, now);
        assert_eq!(ejections.ejections.get(), 1);

        let later = now + FIRST;
        let tried = turns(&ejections, &all, later);
        assert_eq!(tried.iter().filter(|at| **at == 1).count(), 1);
        ejections.reached(all[1]);
        assert_eq!(ejections.ejected.get(), 0);
        assert_eq!(ejections.pick(&all, 1), Some(1));
    }

    #[test]
    fn the_time_grows_with_each_failure_in_a_row_and_has_a_bound() {
        let (ejections, all) = (Ejections::new("grows"), addresses(2));
        let mut now = Instant::now();
        for times in 0..12 {
            ejections.failed_at(all[0], 2, now);
            let until = ejections.lock().addresses[&all[0]].until;
            let whole = FIRST.saturating_mul(1 << times).min(LONGEST);
            assert!(until >= now + whole / 2 && until <= now + whole, "{times}");
            now = until;
            assert_eq!(turns(&ejections, &all, now)[0], 0);
        }
        ejections.reached(all[0]);
        let now = Instant::now() + 2 * FORGOTTEN;
        ejections.failed_at(all[0], 2, now);
        assert_eq!(ejections.lock().addresses[&all[0]].times, 1);
    }

    #[test]
    fn a_call_that_tries_and_says_nothing_is_followed_by_another() {
        let (ejections, all, now) = (Ejections::new("silent"), addresses(2), Instant::now());
        ejections.failed_at(all[0], 2, now);
        let first = now + FIRST;
        assert_eq!(turns(&ejections, &all, first)[..3], [0, 1, 1]);
        assert_eq!(turns(&ejections, &all, first + PROBE)[..3], [0, 1, 1]);
    }

    #[test]
    fn no_more_than_half_are_passed_over_and_when_most_fail_none_is() {
        let (ejections, all, now) = (Ejections::new("half"), addresses(5), Instant::now());
        ejections.failed_at(all[0], 5, now);
        ejections.failed_at(all[1], 5, now);
        assert_eq!(ejections.ejected.get(), 2);
        ejections.failed_at(all[2], 5, now);
        assert_eq!(ejections.ejected.get(), 0);
        // For a while; then it begins anew.
        ejections.failed_at(all[2], 5, now);
        assert_eq!(ejections.ejected.get(), 0);
        ejections.failed_at(all[2], 5, now + ALL);
        assert_eq!(ejections.ejected.get(), 1);
    }

    #[test]
    fn the_only_address_is_always_used() {
        let (ejections, all) = (Ejections::new("only"), addresses(1));
        ejections.failed(all[0], &all);
        assert_eq!(ejections.pick(&all, 3), Some(0));
        assert_eq!(ejections.pick(&[], 3), None);
    }

    #[test]
    fn what_the_name_leads_to_no_more_is_forgotten() {
        let (ejections, all) = (Ejections::new("left"), addresses(4));
        ejections.failed(all[0], &all);
        assert_eq!(ejections.ejected.get(), 1);
        ejections.keep(&all[1..]);
        assert_eq!(ejections.ejected.get(), 0);
    }
}
