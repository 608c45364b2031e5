//! Second start on existing data: how long until somebody can sign in.

use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::{Method, StatusCode};

use super::system::{System, forget, login, options};
use crate::report::{self, Table, Target, mean};

const NAME: &str = "startup";

#[derive(Debug, clap::Args)]
pub struct Startup {
    /// Starts that are measured
    #[arg(long, default_value_t = 3)]
    runs: u32,
}

impl Startup {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        forget(NAME)?;
        let system = System::start(options(NAME)).await?;
        let account = system.accounts(1).await?.remove(0);
        system.stop().await?;

        let mut table = Table::new(["run", "first login answered s", "all ready s"]);
        let mut answered = Vec::new();
        for run in 1..=self.runs {
            let begun = Instant::now();
            let system = System::launch(options(NAME)).await?;
            first_login(&system, &account.email).await?;
            let first = begun.elapsed().as_secs_f64();
            let system = system.ready().await?;
            let all = begun.elapsed().as_secs_f64();
            system.stop().await?;
            table.row([run.to_string(), format!("{first:.2}"), format!("{all:.2}")]);
            answered.push(first);
        }
        forget(NAME)?;
        println!("{table}");
        report::verdict(
            "start to the first answered login",
            mean(&answered),
            "s",
            &Target::AtMost(3.0),
        );
        Ok(())
    }
}

/// Tries until it is answered with 200.
async fn first_login(system: &System, email: &str) -> Result<()> {
    let client = system.client()?;
    let body = login(email).to_string();
    let tried = async {
        loop {
            let answer = client
                .send(Method::POST, "/v1/sessions:login", Some(body.clone()))
                .await;
            if answer.is_ok_and(|answer| answer.status == StatusCode::OK) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(60), tried).await?)
}
