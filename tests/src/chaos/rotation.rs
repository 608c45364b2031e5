//! Signing keys take turns while people use tokens of all of them, at two gateways, each of which follows a replica of auth of its own.
//!
//! Not one good token may be refused.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use launcher::StackOptions;

use crate::program::{Replica, calling};
use crate::report::{Table, milliseconds, percentile};
use crate::rest::Client;
use crate::stack::{TestStack, set, under_load};
use crate::traffic::{Kind, Mix, Outcome, People, Place, Request, Traffic};

#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Requests in a second
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub per_second: u32,
    /// Seconds that a key signs
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub lifetime: u32,
    /// How often keys take turns
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rotations: u32,
    /// Accounts that ask
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub people: u32,
}

/// Keys that signed, and what became of every request.
pub struct Report {
    pub keys: BTreeSet<String>,
    pub requests: Vec<Request>,
}

/// How often keys are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How the system is started.
pub fn system(options: &mut StackOptions, lifetime: u32) {
    options.environment.extend(under_load());
    let keys = [
        ("GRIMOIRE_SIGNING_KEY_LIFETIME", lifetime.to_string()),
        ("GRIMOIRE_SIGNING_KEY_PUBLISHED", "0".to_owned()),
    ];
    set(options, "auth", &keys);
}

/// Carries the plan out. Panics when keys take three times as long for their turns as they should.
pub async fn run(system: TestStack, plan: &Plan) -> Report {
    let people = People::sign_up(&system, plan.people as usize).await;
    let admin = system.admin().await;
    let auth = Replica::start("auth", system.environment("auth")).await;
    let gateway = calling(system.environment("gateway"), "auth", auth.address);
    let gateway = Replica::start("gateway", gateway).await;
    let gateways = [
        Place {
            address: system.stack.address("gateway").expect("it serves"),
            admin: system.stack.admin_address("gateway").expect("it says so"),
        },
        Place {
            address: gateway.address,
            admin: gateway.admin,
        },
    ];
    let traffic = Traffic::begin(&gateways, people, Mix::Tokens, plan.per_second);
    let mut keys = BTreeSet::from([active(&admin.client).await]);
    let at_most = Duration::from_secs(plan.lifetime.into()) * plan.rotations * 3;
    let mut look = tokio::time::interval(LOOK);
    while keys.len() <= plan.rotations as usize {
        look.tick().await;
        assert!(traffic.elapsed() < at_most, "keys take no turns: {keys:?}");
        if keys.insert(active(&admin.client).await) {
            eprintln!(
                "{:.1} s: another key signs",
                traffic.elapsed().as_secs_f64()
            );
        }
    }
    Report {
        keys,
        requests: traffic.end().await,
    }
}

/// The key that signs, as an administrator sees it.
async fn active(admin: &Client) -> String {
    let keys = admin.get("/v1/admin/signingKeys").await.ok();
    let keys = keys["signingKeys"].as_array().expect("a list").iter();
    let mut active = keys.filter(|key| key["state"] == "SIGNING_KEY_STATE_ACTIVE");
    let kid = active.next().and_then(|key| key["kid"].as_str());
    kid.expect("a key signs").to_owned()
}

impl Report {
    /// Requests that were not answered as they should be: all of their tokens were good.
    pub fn failures(&self) -> Vec<&Request> {
        let failed = self.requests.iter();
        failed
            .filter(|request| request.outcome != Outcome::Answered)
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["request", "answered", "refused", "p50 ms", "p99 ms"]);
        for kind in Kind::ALL {
            let of_kind = self.requests.iter().filter(|request| request.kind == kind);
            let mut latencies: Vec<Duration> = of_kind.map(|request| request.took).collect();
            if latencies.is_empty() {
                continue;
            }
            latencies.sort_unstable();
            let failures = self.failures();
            let refused = failures
                .iter()
                .filter(|request| request.kind == kind)
                .count();
            table.row([
                kind.to_string(),
                (latencies.len() - refused).to_string(),
                refused.to_string(),
                milliseconds(percentile(&latencies, 0.5)),
                milliseconds(percentile(&latencies, 0.99)),
            ]);
        }
        writeln!(formatter, "{table}")?;
        for request in self.failures() {
            writeln!(
                formatter,
                "{:>8.3} s  {:<26} {}",
                request.sent.as_secs_f64(),
                request.kind,
                request.outcome
            )?;
        }
        write!(
            formatter,
            "{} keys signed; {} of {} requests with a good token were refused",
            self.keys.len(),
            self.failures().len(),
            self.requests.len()
        )
    }
}
