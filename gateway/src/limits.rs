//! Budgets of addresses and accounts: GCRA, kept in bounded maps.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::HeaderValue;
use telemetry::prometheus::{IntCounter, IntGauge};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{LimitConfig, Rate};
use crate::metrics;

/// How often budgets that are whole again are forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// A class that the contracts name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Tries or sets a password.
    Credentials,
}

/// Every budget.
pub(crate) struct Limits {
    address: Limit<Network>,
    account: Limit<Uuid>,
    credentials: Limit<Network>,
}

/// What is left of a budget after a request was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    name: &'static str,
    remaining: u32,
}

/// A request over its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) name: &'static str,
    /// When one more will be let through.
    pub(crate) wait: Duration,
}

impl Class {
    pub(crate) fn named(name: &str) -> Option<Self> {
        (name == "credentials").then_some(Self::Credentials)
    }
}

impl Limits {
    pub(crate) fn new(config: &LimitConfig) -> Self {
        Self {
            address: Limit::new("address", config.limit_address, config.limit_keys),
            account: Limit::new("account", config.limit_account, config.limit_keys),
            credentials: Limit::new("credentials", config.limit_credentials, config.limit_keys),
        }
    }

    /// Takes one from the budget of an address.
    pub(crate) fn address(&self, address: IpAddr) -> Result<Standing, Exceeded> {
        self.address
            .take(&Network::of(address, self.address.is_full()))
    }

    /// Takes one from the budget of an address for a class.
    pub(crate) fn class(&self, class: Class, address: IpAddr) -> Result<Standing, Exceeded> {
        let Class::Credentials = class;
        self.credentials
            .take(&Network::of(address, self.credentials.is_full()))
    }

    /// Takes one from the budget of an account. Only who has a good token gets here, so the accounts bound this map.
    pub(crate) fn account(&self, account: Uuid) -> Result<Standing, Exceeded> {
        self.account.take(&account)
    }

    /// The limits of a route as a `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11).
    pub(crate) fn policy(&self, class: Option<Class>, signed_in: bool) -> HeaderValue {
        let mut items = vec![self.address.policy()];
        if class == Some(Class::Credentials) {
            items.push(self.credentials.policy());
        }
        if signed_in {
            items.push(self.account.policy());
        }
        HeaderValue::try_from(items.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Forgets what need not be remembered, until `stop`.
    pub(crate) async fn keep_house(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.address.keep_house();
            self.account.keep_house();
            self.credentials.keep_house();
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let rate = |text: &str| text.parse().unwrap();
        Self::new(&LimitConfig {
            limit_address: rate("20/s burst 100"),
            limit_account: rate("50/s burst 200"),
            limit_credentials: rate("10/min"),
            limit_keys: 1000,
            trusted_proxies: 0,
        })
    }
}

impl Standing {
    /// The standing that leaves less.
    pub(crate) fn tighter(self, other: Option<Self>) -> Self {
        other
            .filter(|other| other.remaining < self.remaining)
            .unwrap_or(self)
    }

    /// As a `RateLimit` header.
    pub(crate) fn header(self) -> Option<HeaderValue> {
        header(self.name, self.remaining, None)
    }
}

impl Exceeded {
    /// As a `RateLimit` header.
    pub(crate) fn header(self) -> Option<HeaderValue> {
        header(self.name, 0, Some(self.wait))
    }
}

fn header(name: &str, remaining: u32, wait: Option<Duration>) -> Option<HeaderValue> {
    let mut text = String::with_capacity(32);
    let _ = write!(text, "\"{name}\";r={remaining}");
    if let Some(wait) = wait {
        let _ = write!(text, ";t={}", wait.as_millis().div_ceil(1000).max(1));
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

struct Limit<K: std::hash::Hash + Eq + Clone> {
    name: &'static str,
    rate: Rate,
    limiter: Limiter<K>,
    clock: DefaultClock,
    capacity: usize,
    full: AtomicBool,
    refused: IntCounter,
    keys: IntGauge,
}

impl<K: std::hash::Hash + Eq + Clone> Limit<K> {
    fn new(name: &'static str, rate: Rate, capacity: usize) -> Self {
        // `Rate` has refused an interval of zero.
        let quota = Quota::with_period(rate.interval)
            .unwrap_or_else(|| Quota::per_second(std::num::NonZeroU32::MIN));
        let clock = DefaultClock::default();
        Self {
            name,
            rate,
            limiter: RateLimiter::dashmap_with_clock(quota.allow_burst(rate.burst), clock.clone())
                .with_middleware(),
            clock,
            capacity,
            full: AtomicBool::new(false),
            refused: metrics::rate_limited(name),
            keys: metrics::limit_keys(name),
        }
    }

    fn take(&self, key: &K) -> Result<Standing, Exceeded> {
        match self.limiter.check_key(key) {
            Ok(state) => Ok(Standing {
                name: self.name,
                remaining: state.remaining_burst_capacity(),
            }),
            Err(not_until) => {
                self.refused.inc();
                Err(Exceeded {
                    name: self.name,
                    wait: not_until.wait_time_from(self.clock.now()),
                })
            }
        }
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn policy(&self) -> String {
        let window = self.rate.window().as_millis().div_ceil(1000).max(1);
        format!("\"{}\";q={};w={window}", self.name, self.rate.burst)
    }

    fn keep_house(&self) {
        self.limiter.retain_recent();
        let keys = self.limiter.len();
        self.keys.set(keys as i64);
        let full = keys > self.capacity;
        if self.full.swap(full, Ordering::Relaxed) != full && full {
            tracing::warn!(
                limit = self.name,
                keys,
                "too many clients to tell apart: neighbours share budgets"
            );
        }
    }
}

/// The addresses that share a budget. One client has a whole IPv6 /64; while there are too many clients to remember, an IPv4
/// /16 and an IPv6 /32 share one, so that a flood from everywhere cannot fill the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(u64);

impl Network {
    pub(crate) fn of(address: IpAddr, coarse: bool) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let address = u64::from(address.to_bits());
                // An IPv4 address takes the place of a /64 in ::/32, which no client has.
                Self(if coarse {
                    address & 0xffff_0000
                } else {
                    address
                })
            }
            IpAddr::V6(address) => {
                let prefix = (address.to_bits() >> 64) as u64;
                Self(if coarse {
                    prefix & 0xffff_ffff_0000_0000
                } else {
                    prefix
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_let_through_and_the_next_one_told_when_to_come_back() {
        let limits = Limits::for_tests();
        let address = ip("192.0.2.1");
        for left in (0..10).rev() {
            assert_eq!(
                limits.class(Class::Credentials, address).unwrap().remaining,
                left
            );
        }
        let exceeded = limits.class(Class::Credentials, address).unwrap_err();
        assert_eq!(exceeded.name, "credentials");
        assert!(
            exceeded.wait > Duration::from_secs(5) && exceeded.wait <= Duration::from_secs(6),
            "{exceeded:?}"
        );
        assert!(limits.class(Class::Credentials, ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn an_ipv6_client_has_one_budget_for_its_whole_network() {
        assert_eq!(
            Network::of(ip("2001:db8:1:2::1"), false),
            Network::of(ip("2001:db8:1:2:ffff::9"), false)
        );
        assert_ne!(
            Network::of(ip("2001:db8:1:2::1"), false),
            Network::of(ip("2001:db8:1:3::1"), false)
        );
        assert_eq!(
            Network::of(ip("::ffff:192.0.2.1"), false),
            Network::of(ip("192.0.2.1"), false)
        );
    }

    #[test]
    fn neighbours_share_a_budget_while_there_are_too_many_clients() {
        assert_eq!(
            Network::of(ip("192.0.2.1"), true),
            Network::of(ip("192.0.99.1"), true)
        );
        assert_ne!(
            Network::of(ip("192.0.2.1"), true),
            Network::of(ip("192.1.2.1"), true)
        );
        assert_eq!(
            Network::of(ip("2001:db8:1:2::1"), true),
            Network::of(ip("2001:db8:9::1"), true)
        );
    }

    #[test]
    fn budgets_are_told_as_structured_fields() {
        let limits = Limits::for_tests();
        let policy = limits.policy(Some(Class::Credentials), true);
        assert_eq!(
            policy,
            "\"address\";q=100;w=5, \"credentials\";q=10;w=60, \"account\";q=200;w=4"
        );
        let account = limits.account(Uuid::nil()).unwrap();
        let address = limits.address(ip("192.0.2.1")).unwrap();
        assert_eq!(
            account.tighter(Some(address)).header().unwrap(),
            "\"address\";r=99"
        );
        let exceeded = Exceeded {
            name: "address",
            wait: Duration::from_millis(50),
        };
        assert_eq!(exceeded.header().unwrap(), "\"address\";r=0;t=1");
    }
}
