//! Benchmarks: each starts a system of its own, prints what it measured beside its target, and stops the system. What each measures,
//! and why so, is in docs/performance.md.

mod connections;
mod drain;
mod events;
mod gateway;
mod logins;
mod memory;
mod revocation;
mod sessions;
mod stand_in;
mod startup;
mod system;
mod telemetry;

use anyhow::Result;

use crate::report;

/// One of them, with its parameters.
#[derive(Debug, clap::Subcommand)]
pub enum Benchmark {
    /// Second start on existing data: seconds until the first login is answered
    Startup(startup::Startup),
    /// Memory of the four services after a minute without requests
    Memory(memory::Memory),
    /// Memory of the gateway for connections that ask for nothing
    Connections(connections::Connections),
    /// CPU time of the gateway for one GET /v1/users/me
    Gateway(gateway::Gateway),
    /// Logins per CPU second, against what hashing alone would allow
    Logins(logins::Logins),
    /// Refreshes and logouts per CPU second
    Sessions(sessions::Sessions),
    /// From the answer of a logout to the refusal of its token at every gateway
    Revocation(revocation::Revocation),
    /// CPU time of the gateway with traces, and without
    Telemetry(telemetry::Telemetry),
    /// From the commit of a change to the commit of its effect
    Events(events::Events),
    /// How fast a backlog of the outbox gets to Kafka
    Drain(drain::Drain),
    /// Show this list
    List,
}

impl Benchmark {
    /// Runs it; the result goes to standard output, progress to standard error.
    ///
    /// # Errors
    /// When the system does not start, or answers otherwise than it should. A target that is missed is no error.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Startup(benchmark) => benchmark.run().await,
            Self::Memory(benchmark) => benchmark.run().await,
            Self::Connections(benchmark) => benchmark.run().await,
            Self::Gateway(benchmark) => benchmark.run().await,
            Self::Logins(benchmark) => benchmark.run().await,
            Self::Sessions(benchmark) => benchmark.run().await,
            Self::Revocation(benchmark) => benchmark.run().await,
            Self::Telemetry(benchmark) => benchmark.run().await,
            Self::Events(benchmark) => benchmark.run().await,
            Self::Drain(benchmark) => benchmark.run().await,
            Self::List => {
                report::list::<Self>("bench");
                Ok(())
            }
        }
    }
}
