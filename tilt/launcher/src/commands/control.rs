//! Commands about the running system. They read .dev/run and send signals; the launcher notices by itself.

use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use launcher::instance::Instance;
use launcher::process::Identity;
use launcher::records::{self, Asked, InstanceLock, Record, Running, State};
use launcher::topology::Kind;
use launcher::{Signal, alone, readiness};

use super::up::print_table;
use super::{cargo, place};

#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// A process of tilt/stack.yaml
    name: String,
    /// Signal by name or number, such as TERM, -STOP or -9
    #[arg(default_value = "KILL", allow_hyphen_values = true, value_parser = signal)]
    signal: Signal,
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// A process of tilt/stack.yaml
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Kill {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        let identity = match alone::one(&instance.layout, &self.name)? {
            // Nobody watches it who would have to know why it ends.
            Some(identity) => identity,
            None => self.watched(&instance)?,
        };
        identity.signal(self.signal)?;
        writeln!(
            stdout(),
            "sent {} to {} (process {})",
            self.signal,
            self.name,
            identity.pid
        )?;
        Ok(ExitCode::SUCCESS)
    }

    /// The process of the running system, whose launcher is told when the signal ends it.
    fn watched(&self, instance: &Instance) -> Result<Identity> {
        let (_, _, identity) = running_process(instance, &self.name)?;
        let ends = !matches!(
            self.signal,
            Signal::SIGSTOP
                | Signal::SIGCONT
                | Signal::SIGHUP
                | Signal::SIGUSR1
                | Signal::SIGUSR2
                | Signal::SIGWINCH
        );
        if ends {
            records::ask(&instance.layout, &self.name, Asked::Kill)?;
        }
        Ok(identity)
    }
}

impl Restart {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        let (running, before, identity) = running_process(&instance, &self.name)?;
        let kind = instance.topology.process(&self.name)?.kind;
        if kind == Kind::Service {
            cargo::build(
                &instance.layout.root,
                running.release,
                std::slice::from_ref(&self.name),
                &instance.layout.bin,
            )?;
        }
        records::ask(&instance.layout, &self.name, Asked::Restart)?;
        identity.end(records::polite_signal(Some(kind)), Duration::from_secs(15))?;
        let record = wait_until_ready_again(&instance, &self.name, before.restarts)?;
        writeln!(
            stdout(),
            "{} is ready again (process {})",
            self.name,
            record.identity.map_or(0, |identity| identity.pid)
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(crate) fn status() -> Result<ExitCode> {
    let instance = place::instance()?;
    let Some(running) = records::running(&instance.layout) else {
        let left: Vec<String> = leftovers(&instance)?;
        ensure!(
            left.is_empty(),
            "nothing runs, but a launcher that died left {} behind: ./dev stop ends that",
            left.join(", ")
        );
        let alone: Vec<String> = alone::all(&instance)?
            .into_iter()
            .map(|(name, identity)| format!("{name} (process {})", identity.pid))
            .collect();
        if alone.is_empty() {
            writeln!(stdout(), "nothing runs; ./dev up starts the system")?;
            return Ok(ExitCode::FAILURE);
        }
        writeln!(
            stdout(),
            "no ./dev up runs; ./dev run became {}",
            alone.join(", ")
        )?;
        return Ok(ExitCode::SUCCESS);
    };
    writeln!(
        stdout(),
        "./dev up runs as process {}, on {} binaries",
        running.launcher.pid,
        if running.release {
            "optimised"
        } else {
            "development"
        }
    )?;
    let mut records = records::records(&instance.layout)?;
    let mut missing = Vec::new();
    for (name, record) in &mut records {
        // What watches the system is no process of the topology.
        let process = instance.topology.processes.get(name);
        let path = process.and_then(|process| process.readiness.as_deref());
        // What was ready may have lost what it needs.
        if let (State::Ready, Some(path)) = (record.state, path) {
            match readiness::get(instance.admin_address(name)?, path) {
                Ok((200, _)) => continue,
                Ok((status, body)) => {
                    missing.push(format!("{name} answers {status}: {}", body.trim()))
                }
                Err(error) => missing.push(format!("{name} does not answer: {error}")),
            }
            record.state = State::Starting;
        }
    }
    print_table(&records)?;
    let died = records.values().filter(|record| record.restarts > 0);
    missing.extend(died.map(|record| {
        format!(
            "{} was started again, last after {}",
            record.name,
            record.last_end.as_deref().unwrap_or("its end")
        )
    }));
    if !missing.is_empty() {
        writeln!(stdout(), "\n{}", missing.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn stop() -> Result<ExitCode> {
    let instance = place::instance()?;
    let mut ended = alone::end(&instance)?;
    let Some(running) = records::running(&instance.layout) else {
        // No launcher starts meanwhile, whose records would be taken for those of the leftovers.
        let _lock = InstanceLock::take(&instance.layout, false, instance.environment())?;
        let kind_of = |name: &str| instance.topology.kind_of(name);
        ended.extend(records::end_leftovers(&instance.layout, kind_of)?);
        writeln!(
            stdout(),
            "{}",
            if ended.is_empty() {
                "nothing runs".to_owned()
            } else {
                format!("ended {}", ended.join(", "))
            }
        )?;
        return Ok(ExitCode::SUCCESS);
    };
    running.launcher.signal(Signal::SIGTERM)?;
    ensure!(
        running.launcher.wait(Duration::from_secs(60)),
        "the launcher, process {}, has not ended within 60 s: end it by kill -9 {0}, and then run ./dev stop again",
        running.launcher.pid
    );
    writeln!(stdout(), "stopped")?;
    Ok(ExitCode::SUCCESS)
}

impl Reset {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        let layout = &instance.layout;
        ensure!(
            records::running(layout).is_none(),
            "the system runs: end it by ./dev stop first"
        );
        ensure!(
            leftovers(&instance)?.is_empty(),
            "a launcher that died left something behind: end it by ./dev stop first"
        );
        if !self.yes
            && !confirmed(&format!(
                "Forget all databases, events, keys, mail and logs in {}?",
                layout.dev.display()
            ))?
        {
            bail!("nothing was removed");
        }
        launcher::forget(&layout.root, &layout.dev)?;
        writeln!(stdout(), "forgotten")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A process of the running system, the launcher that watches it, and its record.
fn running_process(instance: &Instance, name: &str) -> Result<(Running, Record, Identity)> {
    instance.topology.process(name)?;
    let running =
        records::running(&instance.layout).context("nothing runs: start the system by ./dev up")?;
    let record = records::records(&instance.layout)?
        .remove(name)
        .with_context(|| format!("{name} is not part of what runs"))?;
    let identity = record
        .identity
        .clone()
        .with_context(|| format!("{name} has no process: it is {}", record.state))?;
    Ok((running, record, identity))
}

fn wait_until_ready_again(instance: &Instance, name: &str, restarts: u32) -> Result<Record> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        ensure!(
            records::running(&instance.layout).is_some(),
            "the system stopped"
        );
        let record = records::records(&instance.layout)?.remove(name);
        if let Some(record) =
            record.filter(|record| record.restarts > restarts && record.state == State::Ready)
        {
            return Ok(record);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{name} was not ready again within 60 s: see ./dev logs {name}")
}

fn leftovers(instance: &Instance) -> Result<Vec<String>> {
    let records = records::records(&instance.layout)?.into_values();
    Ok(records
        .filter(|record| record.identity.as_ref().is_some_and(Identity::alive))
        .map(|record| record.name)
        .collect())
}

fn confirmed(question: &str) -> Result<bool> {
    ensure!(
        std::io::stdin().is_terminal(),
        "{question} Nobody is there to ask: use --yes"
    );
    print!("{question} [y/N] ");
    stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn signal(text: &str) -> Result<Signal> {
    let word = text.trim_start_matches('-').to_uppercase();
    if let Ok(number) = word.parse::<i32>() {
        return Signal::try_from(number).map_err(|_| anyhow!("there is no signal {number}"));
    }
    let name = if word.starts_with("SIG") {
        word
    } else {
        format!("SIG{word}")
    };
    Signal::from_str(&name).map_err(|_| {
        anyhow!("there is no signal {name}: use one such as KILL, TERM, STOP, CONT or 9")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_by_name_or_number() {
        for (text, expected) in [
            ("-9", Signal::SIGKILL),
            ("term", Signal::SIGTERM),
            ("-SIGSTOP", Signal::SIGSTOP),
            ("15", Signal::SIGTERM),
        ] {
            assert_eq!(signal(text).unwrap(), expected);
        }
        assert!(
            signal("-FOO")
                .unwrap_err()
                .to_string()
                .contains("no signal SIGFOO")
        );
    }
}
