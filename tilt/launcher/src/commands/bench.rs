use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::{cargo, place};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Which one; `./dev bench list` shows them
    name: String,
    /// What the benchmark itself takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut cargo = cargo::command(&place::root()?);
        cargo
            .args([
                "run",
                "--quiet",
                "--release",
                "-p",
                "tests",
                "--bin",
                "bench",
                "--",
                self.name.as_str(),
            ])
            .args(&self.arguments);
        let status = cargo.status().context("cannot start cargo")?;
        Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
