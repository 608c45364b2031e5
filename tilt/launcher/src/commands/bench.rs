//! Programs of the crate `tests` that measure optimised services, or do something to them.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use launcher::topology::Topology;

use super::{cargo, place};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Which one: `./dev bench list` shows them, `./dev bench help NAME` the parameters of one
    name: String,
    /// What the benchmark itself takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Chaos {
    /// Which one: `./dev chaos list` shows them, `./dev chaos help NAME` the parameters of one
    name: String,
    /// What the run itself takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        run("bench", &self.name, &self.arguments)
    }
}

impl Chaos {
    pub(crate) fn run(self) -> Result<ExitCode> {
        run("chaos", &self.name, &self.arguments)
    }
}

/// Builds the services and a program of the crate `tests`, and runs that.
fn run(program: &str, name: &str, arguments: &[String]) -> Result<ExitCode> {
    let root = place::root()?;
    let folder = root.join(".dev/bench/bin");
    // One build for the services and what measures them: they share most of what they are made of.
    let topology = Topology::read(&root)?;
    let services = topology.services().map(|(name, _)| name.clone());
    let programs: Vec<String> = services.chain([program.to_owned()]).collect();
    cargo::build(&root, true, &programs, &folder)?;

    let status = Command::new(folder.join(program))
        .arg(name)
        .args(arguments)
        .env("TEST_BIN_DIR", &folder)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
