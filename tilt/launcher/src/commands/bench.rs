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

/// The program that measures, in the crate `tests`.
const PROGRAM: &str = "bench";

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let root = place::root()?;
        let folder = root.join(".dev/bench/bin");
        // One build for the services and what measures them: they share most of what they are made of.
        let topology = Topology::read(&root)?;
        let services = topology.services().map(|(name, _)| name.clone());
        let programs: Vec<String> = services.chain([PROGRAM.to_owned()]).collect();
        cargo::build(&root, true, &programs, &folder)?;

        let status = Command::new(folder.join(PROGRAM))
            .arg(&self.name)
            .args(&self.arguments)
            .env("TEST_BIN_DIR", &folder)
            .status()
            .context("cannot start the benchmark")?;
        Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
