//! What traces cost the gateway: the same requests to two gateways in turn, one of which sends a share of its traces to a collector.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::gateway::get_own_profiles;
use super::system::{Account, Meter, System};
use crate::collector::Collector;
use crate::program::Replica;
use crate::report::{
    self, Table, Target, mean, microseconds_each, milliseconds, percentile, significant,
};

#[derive(Debug, clap::Args)]
pub struct Telemetry {
    /// Keep-alive connections, each from an address and with a token of its own
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Share of the traces that is sent, 0 to 1
    #[arg(long, default_value_t = 0.05)]
    share: f64,
    /// Seconds at one gateway in one round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[arg(long, default_value_t = 6)]
    rounds: u32,
}

/// One of the two, and what its requests have cost.
struct Measured {
    what: &'static str,
    address: SocketAddr,
    pid: i32,
    costs: Vec<f64>,
}

impl Telemetry {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        let system = System::fresh("telemetry").await?;
        let accounts = system.accounts(self.connections).await?;
        let collector = Collector::start();
        let mut environment = system.environment("gateway")?;
        environment.extend([
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.url()),
            ("OTEL_TRACES_SAMPLER_ARG".to_owned(), self.share.to_string()),
        ]);
        let tracing = Replica::start("gateway", environment).await;
        let mut gateways = [
            Measured {
                what: "off",
                address: system.gateway()?,
                pid: system.pid("gateway")?,
                costs: Vec::new(),
            },
            Measured {
                what: "on",
                address: tracing.address,
                pid: tracing.pid(),
                costs: Vec::new(),
            },
        ];
        // Connections, caches, and the profile of each account.
        for gateway in &gateways {
            get_own_profiles(gateway.address, &accounts, Duration::from_secs(2)).await?;
        }

        let mut table = Table::new([
            "round",
            "traces",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "gateway us",
        ]);
        for round in 1..=self.rounds {
            for gateway in &mut gateways {
                table.row(self.measure(round, gateway, &accounts).await?);
            }
            // Whoever comes first in one round is the second in the next one.
            gateways.reverse();
        }
        drop(tracing);
        system.end().await?;
        println!("{table}");
        let sent = collector.spans().len();
        ensure!(sent > 0, "no trace has come to the collector");
        println!("{sent} spans were sent");
        let cost = |what: &str| {
            let measured = gateways.iter().find(|gateway| gateway.what == what);
            measured.map_or(0.0, |gateway| mean(&gateway.costs))
        };
        report::verdict(
            "CPU of the gateway for one request, more with traces than without",
            (cost("on") / cost("off") - 1.0) * 100.0,
            "%",
            &Target::AtMost(5.0),
        );
        Ok(())
    }

    async fn measure(
        &self,
        round: u32,
        gateway: &mut Measured,
        accounts: &[Account],
    ) -> Result<[String; 6]> {
        let meter = Meter::of([gateway.pid]);
        let duration = Duration::from_secs(self.seconds);
        let shots = get_own_profiles(gateway.address, accounts, duration).await?;
        let [used] = meter.read()?;
        let cost = microseconds_each(used, shots.answered());
        gateway.costs.push(cost);
        Ok([
            round.to_string(),
            gateway.what.to_owned(),
            format!("{:.0}", shots.rate()),
            milliseconds(percentile(&shots.latencies, 0.5)),
            milliseconds(percentile(&shots.latencies, 0.99)),
            significant(cost),
        ])
    }
}
