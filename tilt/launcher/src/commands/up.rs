use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Write as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use launcher::layout::Layout;
use launcher::readiness::block_on;
use launcher::records::{self, Record};
use launcher::topology::{Kind, Topology};
use launcher::{Notice, Ports, Stack, StackOptions, Stopper, process, program};

use tokio::signal::unix::{SignalKind, signal};

use super::observe::Watching;
use super::{cargo, place};

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Only these processes and what they need, such as `--only gateway,user`
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Start Prometheus beside it and, where they can be had, a collector and Jaeger
    ///
    /// The collector is otelcol-contrib, or built by Go; Jaeger, whose pages show traces, is taken from the PATH (version 2).
    /// With OTEL_EXPORTER_OTLP_ENDPOINT, traces go there in place of a collector of ours. PROMETHEUS_PORT, COLLECTOR_PORT,
    /// COLLECTOR_ADMIN_PORT, JAEGER_PORT and JAEGER_ADMIN_PORT move ports.
    #[arg(long)]
    observe: bool,
    /// Optimised binaries, as production runs them
    #[arg(long)]
    release: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A process of tilt/stack.yaml
    name: String,
    /// Optimised binaries, as production runs them
    #[arg(long)]
    release: bool,
}

const TRY_IT: &str = include_str!("../try-it.sh");

impl Up {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let root = place::root()?;
        let layout = Layout::new(&root);
        let topology = Topology::read(&root)?;
        let selected = topology.select(&self.only)?;
        layout.create()?;
        // Checked before the build, which may take long; held from the start on.
        refuse_second(&layout)?;
        cargo::build(
            &root,
            self.release,
            &binaries(&topology, &selected),
            &layout.bin,
        )?;
        let mut environment = place::environment();
        let watching = if self.observe {
            Watching::prepare(&layout, &mut environment)?
        } else {
            Watching::default()
        };

        let began = Instant::now();
        let mut stack = Stack::launch(StackOptions {
            root,
            dev_dir: None,
            bin_dir: None,
            ports: Ports::Topology,
            only: self.only,
            environment,
            overrides: BTreeMap::new(),
            observers: watching.observers.clone(),
            release: self.release,
            durable: true,
            report: Arc::new(move |notice: Notice| {
                // A terminal that is gone must not keep the rest from an orderly end.
                let _ = writeln!(
                    io::stderr(),
                    "{:>7.1} s  {notice}",
                    began.elapsed().as_secs_f32()
                );
            }),
        })?;
        stop_on_signals(stack.stopper())?;
        stack.wait_until_ready()?;
        // As with the report.
        let _ = print_table(&stack.records());
        let _ = watching.print();
        if selected.iter().any(|name| name == "gateway") {
            let address = stack.address("gateway")?;
            let _ = writeln!(
                stdout(),
                "\nTry it (./dev --help has the other commands; Ctrl-C stops):\n\n{}",
                TRY_IT
                    .replace("127.0.0.1:5000", &address.to_string())
                    .trim_end()
            );
        }
        stack.wait()?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    /// `built`: the programs are taken as they are.
    pub(crate) fn run(self, built: bool) -> Result<ExitCode> {
        let instance = place::instance()?;
        let kind = instance.topology.process(&self.name)?.kind;
        let names = match kind {
            Kind::Service => vec![self.name.clone()],
            Kind::Setup => instance
                .topology
                .databases()
                .map(|(name, _)| name.clone())
                .collect(),
            Kind::Postgres | Kind::Kafka | Kind::Observer => Vec::new(),
        };
        if !built {
            cargo::build(
                &instance.layout.root,
                self.release,
                &names,
                &instance.layout.bin,
            )?;
        }
        program::run(&instance, &self.name)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The binaries that the selected processes are; setup runs those of all databases.
fn binaries(topology: &Topology, selected: &[String]) -> Vec<String> {
    let sets_up = selected.iter().any(|name| {
        topology
            .processes
            .get(name)
            .is_some_and(|process| process.kind == Kind::Setup)
    });
    let wanted = topology.services().filter(|(name, process)| {
        selected.contains(name) || (sets_up && process.database.is_some())
    });
    wanted.map(|(name, _)| name.clone()).collect()
}

fn refuse_second(layout: &Layout) -> Result<()> {
    if let Some(running) = records::running(layout) {
        bail!(
            "./dev up runs already, as process {}: see ./dev status, or end it by ./dev stop",
            running.launcher.pid
        );
    }
    Ok(())
}

/// Listens on a thread of its own for Ctrl-C and for being asked to end.
fn stop_on_signals(stopper: Stopper) -> Result<()> {
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let Err(error) =
                block_on(stop_on_each(stopper)).and_then(|ended| ended.context("signals"));
            eprintln!("./dev: cannot listen for Ctrl-C: {error:#}");
        })?;
    Ok(())
}

async fn stop_on_each(stopper: Stopper) -> std::io::Result<Infallible> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        stopper.stop();
    }
}

/// Process, address, process id, memory.
pub(crate) fn print_table(records: &BTreeMap<String, Record>) -> io::Result<()> {
    writeln!(
        stdout(),
        "\n{:<16}{:<9}{:<23}{:>8}{:>10}{:>10}{:>10}",
        "process",
        "state",
        "address",
        "pid",
        "up",
        "restarts",
        "memory"
    )?;
    for (name, record) in records {
        let pid = record.identity.as_ref().map(|identity| identity.pid);
        let up = pid.map_or_else(String::new, |_| duration(records::now() - record.since));
        let memory = pid
            .and_then(process::memory)
            .map_or_else(String::new, |kib| format!("{:.1} MiB", kib as f64 / 1024.0));
        writeln!(
            stdout(),
            "{name:<16}{:<9}{:<23}{:>8}{up:>10}{:>10}{memory:>10}",
            record.state,
            record.address.as_deref().unwrap_or_default(),
            pid.map_or_else(String::new, |pid| pid.to_string()),
            record.restarts,
        )?;
    }
    Ok(())
}

fn duration(seconds: i64) -> String {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} m {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} m"),
    }
}
