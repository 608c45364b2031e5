//! From a name in the topology to a program that can be started: what `up` starts and `run` becomes.

use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::instance::Instance;
use crate::process::Program;
use crate::topology::Kind;
use crate::{alone, kafka, postgres, records};

/// Prepares a process that stays: an engine's data are made, a service's environment is put together.
pub(crate) fn prepare(instance: &Instance, name: &str, say: &dyn Fn(&str)) -> Result<Program> {
    match instance.topology.process(name)?.kind {
        Kind::Postgres => postgres::program(instance, name, say),
        Kind::Kafka => kafka::program(instance, name, say),
        Kind::Service => {
            let program = instance.layout.bin.join(name);
            ensure!(
                program.exists(),
                "{} is not built: run ./dev up, which builds it",
                program.display()
            );
            let mut command = Command::new(program);
            command
                .env_clear()
                .envs(instance.environment_of(name)?)
                .current_dir(&instance.layout.root);
            Ok(Program::new(command))
        }
        Kind::Observer => Ok(Program::new(instance.observer(name)?.command(instance))),
        Kind::Setup => bail!("{name} does not stay"),
    }
}

/// Becomes a process of the topology, with this process's output; returns when it cannot, or when the process is a setup.
///
/// # Errors
/// Says when the caller gave another in its place, or somebody holds its ports.
pub fn run(instance: &Instance, name: &str) -> Result<()> {
    let kind = instance.topology.process(name)?.kind;
    ensure!(
        !instance.is_given(name),
        "{name} is not ours to run: your variables name another"
    );
    instance.layout.create()?;
    let hold = records::hold(&instance.layout)?;
    if kind == Kind::Setup {
        return crate::setup::run(instance);
    }
    instance.assigned(name).check_free(name)?;
    let mut program = prepare(instance, name, &|what| eprintln!("{name}: {what}"))?;
    program.keep.push(hold);
    alone::note(&instance.layout, name)?;
    Err(program.replace_this_process())
}
