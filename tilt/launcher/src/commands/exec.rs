use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail, ensure};
use clap::Args;
use launcher::topology::Kind;

use super::place;

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// A service of tilt/stack.yaml
    name: String,
    /// What its program takes, such as `inbox list`
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Exec {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        let kind = instance.topology.process(&self.name)?.kind;
        ensure!(
            kind == Kind::Service,
            "{} is no service: it has no program of ours",
            self.name
        );
        let program = instance.layout.bin.join(&self.name);
        ensure!(
            program.exists(),
            "{} is not built: run ./dev build {}",
            program.display(),
            self.name
        );
        let error = Command::new(&program)
            .args(&self.arguments)
            .env_clear()
            .envs(instance.environment_of(&self.name)?)
            .exec();
        bail!("cannot start {}: {error}", program.display())
    }
}
