//! What the gateway costs: one read with a token, over REST, answered by a service over gRPC.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use testkit::Redis;

use super::stand_in;
use super::system::{self, Account, LOAD, Meter, System};
use crate::load::{self, Pace, Shot, request};
use crate::program::{Replica, calling};
use crate::report::{
    self, Table, Target, mean, microseconds_each, milliseconds, percentile, significant,
};

#[derive(Debug, clap::Args)]
pub struct Gateway {
    /// Keep-alive connections, each from an address and with a token of its own
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds of one round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Share limits through a Redis beside it, as several gateways do; it has none of its own to share with
    #[arg(long)]
    shared_limits: bool,
}

const MEASURED: [&str; 4] = ["gateway", "user", "postgres", LOAD];

impl Gateway {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        let mut options = system::options("gateway");
        let mut redis = None;
        if self.shared_limits {
            let url = redis.insert(Redis::start().await).url();
            options.environment.insert("RATE_LIMIT_URL".to_owned(), url);
        }
        system::forget("gateway")?;
        let system = System::start(options).await?;
        let accounts = system.accounts(self.connections).await?;
        // The first read of each makes its profile.
        get_own_profiles(system.gateway()?, &accounts, Duration::from_secs(2)).await?;

        let gateway = system.gateway()?;
        let environment = system.environment("gateway")?;
        let alone = calling(environment, "user", stand_in::serve());
        let alone = Replica::start("gateway", alone).await;
        let duration = Duration::from_secs(self.seconds);

        let mut table = Table::new([
            "round",
            "of",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "gateway us",
            "user us",
            "postgres us",
            "load us",
        ]);
        let mut costs = Vec::new();
        for round in 1..=self.rounds {
            let meter = system.meter(MEASURED)?;
            let shots = get_own_profiles(gateway, &accounts, duration).await?;
            let used = meter
                .read()?
                .map(|used| microseconds_each(used, shots.answered()));
            table.row(row(round, "user", &shots, used.map(significant)));
            costs.push(used[0]);

            let meter = Meter::of([alone.pid()]);
            let shots = get_own_profiles(alone.address, &accounts, duration).await?;
            let [used] = meter.read()?;
            let used = significant(microseconds_each(used, shots.answered()));
            table.row(row(round, "a stand-in", &shots, only(used)));

            let meter = system.meter(["gateway"])?;
            let shots = get_keys(gateway, self.connections, duration).await?;
            let [used] = meter.read()?;
            let used = significant(microseconds_each(used, shots.answered()));
            table.row(row(round, "nobody", &shots, only(used)));
        }
        drop(alone);
        system.end().await?;
        println!("{table}");
        report::verdict(
            "CPU of the gateway for one request",
            mean(&costs),
            "us",
            &Target::AtMost(60.0),
        );
        Ok(())
    }
}

/// Costs of which only that of the gateway says something.
fn only(gateway: String) -> [String; 4] {
    [gateway, String::new(), String::new(), String::new()]
}

fn row(round: u32, of: &str, shots: &load::Shots, costs: [String; 4]) -> [String; 9] {
    let [gateway, user, postgres, load] = costs;
    [
        round.to_string(),
        of.to_owned(),
        format!("{:.0}", shots.rate()),
        milliseconds(percentile(&shots.latencies, 0.5)),
        milliseconds(percentile(&shots.latencies, 0.99)),
        gateway,
        user,
        postgres,
        load,
    ]
}

/// What the gateway answers itself, from the same connections: its cost without a token, a call and a transcoding.
async fn get_keys(
    gateway: SocketAddr,
    connections: usize,
    duration: Duration,
) -> Result<load::Shots> {
    let shots = (0..connections).map(|_| {
        let request = request("GET", "/.well-known/jwks.json", &[], "");
        Shot::new(request, "\"keys\"")
    });
    let pace = Pace {
        duration,
        per_second: None,
    };
    let (shots, _) = load::run(gateway, shots.collect(), pace)
        .await
        .map_err(|error| anyhow!(error))?;
    Ok(shots)
}

/// Every account reads its profile at a gateway over and over; each answer must be 200 and show the account.
pub(super) async fn get_own_profiles(
    gateway: SocketAddr,
    accounts: &[Account],
    duration: Duration,
) -> Result<load::Shots> {
    let shots = accounts.iter().map(|account| {
        let request = request("GET", "/v1/users/me", &[&account.authorization], "");
        Shot::new(request, &account.id)
    });
    let pace = Pace {
        duration,
        per_second: None,
    };
    let (shots, _) = load::run(gateway, shots.collect(), pace)
        .await
        .map_err(|error| anyhow!(error))?;
    Ok(shots)
}
