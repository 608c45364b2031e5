//! Memory of the services when nobody asks them for anything.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::system::System;
use crate::load::{self, Pace, Shot, request};
use crate::process;
use crate::report::{self, Table, Target};

#[derive(Debug, clap::Args)]
pub struct Memory {
    /// Seconds without a request before it is measured
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

const SERVICES: [&str; 4] = ["gateway", "auth", "user", "event-consumer"];
const MIB: f64 = 1024.0 * 1024.0;

impl Memory {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        let system = System::fresh("memory").await?;
        // A little use, so that every connection, cache and plan is there.
        let accounts = system.accounts(4).await?;
        let shots = accounts.iter().map(|account| {
            let request = request("GET", "/v1/users/me", &[&account.authorization], "");
            Shot::new(request, &account.id)
        });
        let pace = Pace {
            duration: Duration::from_secs(2),
            per_second: Some(200),
        };
        load::run(system.gateway()?, shots.collect(), pace)
            .await
            .map_err(|error| anyhow!(error))?;

        eprintln!("idle for {} s", self.idle);
        tokio::time::sleep(Duration::from_secs(self.idle)).await;
        let mut table = Table::new(["process", "PSS MiB"]);
        let mut together = 0.0;
        for name in SERVICES {
            let size = process::pss(system.pid(name)?) as f64 / MIB;
            table.row([name.to_owned(), format!("{size:.1}")]);
            together += size;
        }
        system.end().await?;
        println!("{table}");
        report::verdict(
            "the four services together",
            together,
            "MiB",
            &Target::AtMost(120.0),
        );
        Ok(())
    }
}
