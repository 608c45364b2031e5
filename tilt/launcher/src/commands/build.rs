use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use launcher::layout::Layout;
use launcher::topology::{Kind, Topology};

use super::{cargo, place};

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Services of tilt/stack.yaml; without a name all of them
    names: Vec<String>,
    /// Optimised binaries, as production runs them
    #[arg(long)]
    release: bool,
}

impl Build {
    pub(crate) fn run(mut self) -> Result<ExitCode> {
        let root = place::root()?;
        let topology = Topology::read(&root)?;
        for name in &self.names {
            let kind = topology.process(name)?.kind;
            ensure!(
                kind == Kind::Service,
                "{name} is no service: there is nothing to build"
            );
        }
        if self.names.is_empty() {
            self.names = topology.services().map(|(name, _)| name.clone()).collect();
        }
        cargo::build(&root, self.release, &self.names, &Layout::new(&root).bin)?;
        Ok(ExitCode::SUCCESS)
    }
}
