//! What connections cost that ask for nothing, and what they cost those who ask.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use super::report::{self, Table, Target};
use super::system::{self, System};
use crate::crowd::{self, Idle};
use crate::load::{self, Pace, Shot, request};
use crate::process;

#[derive(Debug, clap::Args)]
pub struct Connections {
    /// Connections at once
    #[arg(long, default_value_t = 10_000)]
    count: usize,
}

const KIB: f64 = 1024.0;
const NAME: &str = "connections";

impl Connections {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        let room = crowd::room(self.count);
        ensure!(
            room == self.count,
            "there is room for {room} connections: raise the hard limit of open files (ulimit -Hn)"
        );
        system::forget(NAME)?;
        let mut options = system::options(NAME);
        let most = (self.count + 100).to_string();
        for bound in [
            "GRIMOIRE_MAX_CONNECTIONS",
            "GRIMOIRE_MAX_CONNECTIONS_PER_ADDRESS",
        ] {
            options.environment.insert(bound.to_owned(), most.clone());
        }
        let system = System::start(options).await?;
        let (gateway, pid) = (system.gateway()?, system.pid("gateway")?);
        let accounts = system.accounts(1).await?;
        let account = accounts.first().context("an account")?;

        let mut table = Table::new(["each has", "KiB each", "p99 ms of others"]);
        let mut worst: f64 = 0.0;
        for idle in Idle::ALL {
            // Memory that the first crowd leaves behind is given to the second one, which must not need more.
            drop(crowd::open(gateway, idle, self.count).await?);
            let crowd = crowd::open(gateway, idle, self.count).await?;
            let each = process::pss(pid) as f64 / KIB / self.count as f64;
            let shot = Shot::new(
                request("GET", "/v1/users/me", &[&account.authorization], ""),
                &account.id,
            );
            let pace = Pace {
                duration: Duration::from_secs(3),
                per_second: Some(100),
            };
            let (shots, _) = load::run(gateway, vec![shot], pace)
                .await
                .map_err(|error| anyhow!(error))?;
            let p99 = shots.latencies[shots.latencies.len() * 99 / 100].as_secs_f64() * 1000.0;
            table.row([
                format!("{idle:?}"),
                format!("{each:.1}"),
                format!("{p99:.1}"),
            ]);
            worst = worst.max(each);
            drop(crowd);
        }
        system.end().await?;
        println!("{table}");
        report::verdict(
            "all memory of the gateway, for each connection",
            worst,
            "KiB",
            &Target::AtMost(32.0),
        );
        Ok(())
    }
}
