//! Fault runs: a system of their own under load, to which something is done. Each prints what became of every request, and says whether
//! that is what was promised. What is promised is in docs/operating.md.

pub mod restarts;
pub mod rotation;

use std::process::ExitCode;
use std::sync::Arc;

use launcher::{Notice, StackOptions};

use crate::contracts_folder::ContractsFolder;
use crate::report;
use crate::stack::TestStack;

/// One of them, with its parameters.
#[derive(Debug, clap::Subcommand)]
pub enum Chaos {
    /// Every process is restarted in turn, then killed, and contracts change: no request is lost that need not be
    Restarts(restarts::Plan),
    /// Signing keys take turns, with two gateways and two replicas of auth: no good token is refused
    Rotation(rotation::Plan),
    /// Show this list
    List,
}

impl Chaos {
    /// Runs it; the result goes to standard output, progress to standard error. Fails where something was not as promised.
    pub async fn run(self) -> ExitCode {
        let kept = match self {
            Self::Restarts(plan) => {
                report::begin(&plan);
                let contracts = ContractsFolder::new("restarts");
                let system = measured("restarts", restarts::system(&contracts)).await;
                let report = restarts::run(system, &contracts, &plan).await;
                println!("{report}");
                report.failures().is_empty()
            }
            Self::Rotation(plan) => {
                report::begin(&plan);
                let lifetime = plan.lifetime;
                let system = measured("rotation", move |options| {
                    rotation::system(options, lifetime);
                });
                let report = rotation::run(system.await, &plan).await;
                println!("{report}");
                report.failures().is_empty()
            }
            Self::List => {
                report::list::<Self>("chaos");
                true
            }
        };
        if kept {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// A system as `./dev up --release` runs it.
async fn measured(
    name: &'static str,
    change: impl FnOnce(&mut StackOptions) + Send + 'static,
) -> TestStack {
    let start = move || {
        TestStack::start(name, |options| {
            options.release = true;
            options.durable = true;
            options.report = Arc::new(|notice: Notice| eprintln!("{notice}"));
            change(options);
        })
    };
    tokio::task::spawn_blocking(start).await.expect("a system")
}
