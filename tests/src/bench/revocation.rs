//! From the answer of a logout to the refusal of its token at every gateway, with announcements and with all of them lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::sessions::{cheap_passwords, sign_in};
use super::system::{System, forget, options};
use crate::report::{self, Table, Target, milliseconds, percentile};
use crate::revocation::{Others, Refusal, Watcher, let_notify};

const NAME: &str = "revocation";

#[derive(Debug, clap::Args)]
pub struct Revocation {
    /// Logouts with announcements, and as many without
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    logouts: u32,
    /// Logouts at once while announcements are lost: each of them waits
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    at_once: u32,
}

/// Between two looks while announcements are lost; without it they would take the processors from what is measured.
const PAUSE: Duration = Duration::from_millis(5);

impl Revocation {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        forget(NAME)?;
        let mut options = options(NAME);
        options.environment.extend(cheap_passwords());
        // Each look is refused, and refusals are logged.
        let log = (
            "GRIMOIRE_LOG".to_owned(),
            "info,gateway::log_line=off".to_owned(),
        );
        options.overrides.insert("gateway".to_owned(), [log].into());
        let system = System::start(options).await?;
        let others = Others::start(system.environment("auth")?, system.environment("gateway")?);
        let others = others.await;
        let gateways = [system.gateway()?, others.gateway.address];
        let accounts = system.accounts(8).await?;

        let mut table = Table::new([
            "announcements",
            "seen by",
            "logouts",
            "p50 ms",
            "p99 ms",
            "max ms",
            "step p99 ms",
        ]);
        let mut slowest = Vec::new();
        for (announced, at_once, pause) in [(true, 1, Duration::ZERO), (false, self.at_once, PAUSE)]
        {
            eprintln!("signing in {} times", self.logouts);
            let tokens = sign_in(&system, &accounts, self.logouts as usize).await?;
            let mut shares = vec![Vec::new(); at_once as usize];
            for (number, token) in tokens.into_iter().flatten().enumerate() {
                shares[number % at_once as usize].push(token);
            }
            let_notify(system.instance(), announced).await?;
            let mut watching = JoinSet::new();
            for (number, tokens) in (0..at_once).zip(shares) {
                let watcher = Watcher::new(gateways, number, pause).await?;
                watching.spawn(log_out(watcher, tokens));
            }
            let mut refusals = Vec::new();
            while let Some(ended) = watching.join_next().await {
                refusals.extend(ended??);
            }
            let_notify(system.instance(), true).await?;
            ensure!(
                refusals.len() >= self.logouts as usize,
                "{} logouts",
                refusals.len()
            );

            let heard = if announced { "heard" } else { "lost" };
            let steps = sorted(&refusals, |refusal| refusal.step);
            for (by, times) in [
                ("its gateway", sorted(&refusals, |refusal| refusal.near)),
                ("the other", sorted(&refusals, |refusal| refusal.far)),
                (
                    "both",
                    sorted(&refusals, |refusal| refusal.near.max(refusal.far)),
                ),
            ] {
                table.row([
                    heard.to_owned(),
                    by.to_owned(),
                    times.len().to_string(),
                    milliseconds(percentile(&times, 0.5)),
                    milliseconds(percentile(&times, 0.99)),
                    milliseconds(percentile(&times, 1.0)),
                    milliseconds(percentile(&steps, 0.99)),
                ]);
                if by == "both" {
                    slowest.push(percentile(&times, 0.99).as_secs_f64() * 1e3);
                }
            }
        }
        drop(others);
        system.end().await?;
        println!("{table}");
        for (what, p99, most) in [
            ("logout to refusal at both gateways, p99", slowest[0], 50.0),
            ("the same with announcements lost, p99", slowest[1], 500.0),
        ] {
            report::verdict(what, p99, "ms", &Target::AtMost(most));
        }
        Ok(())
    }
}

/// Ends the sessions one after the other, at the gateways in turn.
async fn log_out(mut watcher: Watcher, tokens: Vec<String>) -> Result<Vec<Refusal>> {
    let mut refusals = Vec::with_capacity(tokens.len());
    for (number, token) in tokens.iter().enumerate() {
        refusals.push(watcher.log_out(token, number % 2).await?);
    }
    Ok(refusals)
}

fn sorted(refusals: &[Refusal], time: impl Fn(&Refusal) -> Duration) -> Vec<Duration> {
    let mut times: Vec<Duration> = refusals.iter().map(time).collect();
    times.sort_unstable();
    times
}
