//! Budgets of addresses and accounts: GCRA, kept in bounded maps, and shared with other gateways through a store.

pub(crate) mod client;
mod fields;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
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

use crate::config::{LimitConfig, Per, Rate};
use crate::metrics;
use client::{Client, Network};
use store::Store;

/// How often budgets that are whole again are forgotten.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Every budget.
pub(crate) struct Limits {
    address: Arc<Limit>,
    account: Arc<Limit>,
    /// By the names that contracts give them.
    classes: BTreeMap<String, Arc<Limit>>,
    /// Where other gateways take from the same budgets; none where this one counts for itself.
    store: Option<Store>,
}

/// What is left of a budget after a request was let through.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    limit: Arc<Limit>,
    remaining: u32,
}

/// A request over its budget.
#[derive(Clone, Debug)]
pub(crate) struct Exceeded {
    limit: Arc<Limit>,
    /// When one more will be let through.
    pub(crate) wait: Duration,
}

impl Limits {
    pub(crate) fn new(config: &LimitConfig) -> Self {
        let limit =
            |name: &str, rate, per| Arc::new(Limit::new(name, rate, per, config.limit_keys));
        let classes = config.limit_classes.0.iter();
        Self {
            address: limit("address", config.limit_address, Per::Address),
            account: limit("account", config.limit_account, Per::Account),
            classes: classes
                .map(|(name, class)| (name.clone(), limit(name, class.rate, class.per)))
                .collect(),
            store: config.rate_limit_url.as_ref().map(Store::new),
        }
    }

    /// The class of that name; none where the configuration has none.
    pub(crate) fn class(&self, name: &str) -> Option<&Arc<Limit>> {
        self.classes.get(name)
    }

    /// Takes one from the budget of an address.
    pub(crate) async fn address(&self, address: IpAddr) -> Result<Standing, Exceeded> {
        self.class_of_address(&self.address, address).await
    }

    /// Takes one from the budget of an address for a class.
    pub(crate) async fn class_of_address(
        &self,
        class: &Arc<Limit>,
        address: IpAddr,
    ) -> Result<Standing, Exceeded> {
        let network = Network::of(address, class.is_full());
        self.take(class, Client::Network(network)).await
    }

    /// Takes one from the budget of an account. Only who has a good token gets here, so the accounts bound this map.
    pub(crate) async fn account(&self, account: Uuid) -> Result<Standing, Exceeded> {
        self.class_of_account(&self.account, account).await
    }

    /// Takes one from the budget of an account for a class.
    pub(crate) async fn class_of_account(
        &self,
        class: &Arc<Limit>,
        account: Uuid,
    ) -> Result<Standing, Exceeded> {
        self.take(class, Client::Account(account)).await
    }

    /// Who is over what this gateway alone has let through need not be asked for elsewhere. Without the store this is all there is.
    async fn take(&self, limit: &Arc<Limit>, client: Client) -> Result<Standing, Exceeded> {
        let exceeded = |wait| {
            limit.refused.inc();
            let limit = limit.clone();
            Exceeded { limit, wait }
        };
        let mut remaining = limit.take(&client).map_err(exceeded)?;
        if let Some(store) = &self.store
            && let Some(shared) = store.take(&limit.name, limit.rate, client).await
        {
            remaining = remaining.min(shared.map_err(exceeded)?);
        }
        let limit = limit.clone();
        Ok(Standing { limit, remaining })
    }

    /// The limits of a route as a `RateLimit-Policy`.
    pub(crate) fn policy(&self, class: Option<&Limit>, signed_in: bool) -> HeaderValue {
        let account = signed_in.then_some(&*self.account);
        let limits = [Some(&*self.address), class, account];
        let policies = limits.into_iter().flatten();
        fields::policy(policies.map(|limit| (limit.name.as_str(), limit.rate)))
    }

    /// Forgets what need not be remembered, and keeps the store at hand, until `stop`.
    pub(crate) async fn keep_house(&self, stop: CancellationToken) {
        let forgetting = async {
            let mut ticks = tokio::time::interval(HOUSEKEEPING);
            loop {
                ticks.tick().await;
                let general = [&self.address, &self.account].into_iter();
                general
                    .chain(self.classes.values())
                    .for_each(|limit| limit.keep_house());
            }
        };
        let connected = async {
            match &self.store {
                Some(store) => store.stay_connected().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = forgetting => {}
            () = connected => {}
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        use clap::Parser as _;
        Self::new(&crate::Config::parse_from(["gateway", "--upstreams", ""]).limits)
    }
}

impl Standing {
    /// The standing that leaves less.
    pub(crate) fn tighter(self, other: Option<Self>) -> Self {
        other
            .filter(|other| other.remaining < self.remaining)
            .unwrap_or(self)
    }

    /// As a `RateLimit` header. Who has nothing left is told how long one more takes at the most.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let wait = (self.remaining == 0).then_some(self.limit.rate.interval);
        fields::standing(&self.limit.name, self.remaining, wait)
    }
}

impl Exceeded {
    /// Name of the limit.
    pub(crate) fn limit(&self) -> &str {
        &self.limit.name
    }

    /// As a `RateLimit` header.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        fields::standing(&self.limit.name, 0, Some(self.wait))
    }
}

type Limiter =
    RateLimiter<Client, DashMapStateStore<Client>, DefaultClock, StateInformationMiddleware>;

/// The budgets of all clients under one name.
pub(crate) struct Limit {
    name: String,
    /// Whose requests it counts.
    pub(crate) per: Per,
    rate: Rate,
    limiter: Limiter,
    clock: DefaultClock,
    capacity: usize,
    full: AtomicBool,
    refused: IntCounter,
    keys: IntGauge,
}

impl Limit {
    fn new(name: &str, rate: Rate, per: Per, capacity: usize) -> Self {
        // `Rate` has refused an interval of zero.
        let quota = Quota::with_period(rate.interval)
            .unwrap_or_else(|| Quota::per_second(std::num::NonZeroU32::MIN));
        let clock = DefaultClock::default();
        Self {
            name: name.to_owned(),
            per,
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

    /// What is left of what this gateway lets through, or when one more is.
    fn take(&self, client: &Client) -> Result<u32, Duration> {
        match self.limiter.check_key(client) {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_until) => Err(not_until.wait_time_from(self.clock.now())),
        }
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
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

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limit").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_burst_is_let_through_and_the_next_one_told_when_to_come_back() {
        let limits = Limits::for_tests();
        let class = limits.class("credentials").unwrap();
        let take = |address| limits.class_of_address(class, ip(address));
        for left in (0..10).rev() {
            assert_eq!(take("192.0.2.1").await.unwrap().remaining, left);
        }
        let exceeded = take("192.0.2.1").await.unwrap_err();
        assert_eq!(exceeded.limit(), "credentials");
        assert!(
            exceeded.wait > Duration::from_secs(5) && exceeded.wait <= Duration::from_secs(6),
            "{exceeded:?}"
        );
        assert!(take("192.0.2.2").await.is_ok());
    }

    #[tokio::test]
    async fn a_class_per_account_counts_each_account_by_itself() {
        let limits = Limits::for_tests();
        let search = limits.class("search").unwrap();
        assert_eq!(search.per, Per::Account);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..50 {
            assert!(limits.class_of_account(search, one).await.is_ok());
        }
        assert!(limits.class_of_account(search, one).await.is_err());
        assert!(limits.class_of_account(search, other).await.is_ok());
        assert!(limits.class("nothing").is_none());
    }

    #[tokio::test]
    async fn the_tightest_budget_is_told_and_the_policy_has_all_of_them() {
        let limits = Limits::for_tests();
        let class = limits.class("credentials").map(|class| &**class);
        assert_eq!(
            limits.policy(class, true),
            "\"address\";q=100;w=5, \"credentials\";q=10;w=60, \"account\";q=200;w=4"
        );
        let account = limits.account(Uuid::nil()).await.unwrap();
        let address = limits.address(ip("192.0.2.1")).await.unwrap();
        let tighter = account.tighter(Some(address));
        assert_eq!(tighter.header().unwrap(), "\"address\";r=99");
    }

    #[tokio::test]
    async fn who_has_nothing_left_is_told_when_there_is_more() {
        let limits = Limits::for_tests();
        let class = limits.class("credentials").unwrap();
        let take = || limits.class_of_address(class, ip("192.0.2.1"));
        let mut last = take().await.unwrap();
        while last.remaining > 0 {
            last = take().await.unwrap();
        }
        assert_eq!(last.header().unwrap(), "\"credentials\";r=0;t=6");
        let exceeded = take().await.unwrap_err();
        assert_eq!(exceeded.header().unwrap(), "\"credentials\";r=0;t=6");
    }
}
