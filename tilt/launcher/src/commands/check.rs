//! What CI runs. Each stage is timed; the first that fails ends it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use launcher::topology::Topology;
use launcher::{Notice, Stack, StackOptions};

use super::{cargo, collector, npm, place, python, schemathesis};

/// What evaluates the Tiltfile where there is no tilt: a workspace of its own, whose Cargo.toml says why.
const TILTFILE: &str = "tests/tiltfile/Cargo.toml";

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Only the tests of this crate, or those whose names contain this
    filter: Option<String>,
    /// 10,000 random schedules of the outbox, where 300 do otherwise, the API against its description by Schemathesis, and a trace through a
    /// collector that is built for it
    #[arg(long)]
    full: bool,
}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let root = place::root()?;
        let mut stages = Stages::default();
        let result = self.stages(&root, &mut stages);
        stages.print();
        result.map(|()| ExitCode::SUCCESS)
    }

    fn stages(&self, root: &Path, stages: &mut Stages) -> Result<()> {
        if self.filter.is_none() {
            fast(root, stages)?;
        }
        let folder = root.join(".dev/test");
        let bin = folder.join("bin");
        let names: Vec<String> = Topology::read(root)?
            .services()
            .map(|(name, _)| name.clone())
            .collect();
        stages.run("tools", || {
            python::KUBERNETES.get(root);
            python::OPENAPI.get(root);
            npm::get(root);
            if self.full {
                python::SCHEMATHESIS.get(root);
                collector::get(root);
            } else if self.filter.is_none() && collector::there(root).is_none() {
                eprintln!(
                    "there is no collector: what needs a real one will not run (./dev test --full builds it)"
                );
            }
            Ok(())
        })?;
        stages.run("build", || {
            cargo::build(root, false, &names, &bin)?;
            run(cargo::command(root).args(["test", "--workspace", "--no-run"]))?;
            if installed("tilt") {
                return Ok(());
            }
            // Built by the test that needs it, it would take the processors from tests that measure time.
            let evaluator = ["build", "--locked", "--manifest-path", TILTFILE];
            run(cargo::command(root).args(evaluator))
        })?;
        let stack = stages.run("engines", || {
            forget_earlier(root, &folder)?;
            let mut options = StackOptions::for_test(root, &folder, &bin);
            options.only = vec!["postgres".into(), "kafka".into()];
            options.report = Arc::new(|notice: Notice| eprintln!("{notice}"));
            Stack::start(options)
        })?;
        stages.run("tests", || self.tests(root, &bin, &stack))?;
        stack.stop()?;
        if self.full && self.filter.is_none() {
            stages.run("api", || schemathesis::run(root, &bin))?;
        }
        Ok(())
    }

    fn tests(&self, root: &Path, bin: &Path, stack: &Stack) -> Result<()> {
        let mut tests = match &self.filter {
            Some(name) if cargo::packages(root)?.contains(name) => {
                cargo::test_programs(root, name)?
            }
            filter => {
                let mut all = cargo::command(root);
                all.args(["test", "--no-fail-fast", "--workspace"])
                    .args(filter);
                vec![all]
            }
        };
        let collector = collector::there(root);
        for test in &mut tests {
            if self.full {
                test.env("OUTBOX_SCHEDULES", "10000");
            }
            test.env("TEST_POSTGRES_URL", stack.instance().superuser_url()?);
            test.env(
                "TEST_KAFKA_BOOTSTRAP_SERVERS",
                stack.instance().bootstrap()?,
            );
            test.env("TEST_BIN_DIR", bin);
            if let Some(collector) = &collector {
                test.env("TEST_COLLECTOR", collector);
            }
            run(test)?;
        }
        Ok(())
    }
}

/// Tests begin with empty engines. Only the programs stay, which the build stage has just put there, and the lock.
fn forget_earlier(root: &Path, folder: &Path) -> Result<()> {
    launcher::forget(root, folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("bin") && !path.ends_with("run") {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}

pub(crate) fn check() -> Result<ExitCode> {
    let mut stages = Stages::default();
    let result = fast(&place::root()?, &mut stages);
    stages.print();
    result.map(|()| ExitCode::SUCCESS)
}

/// What needs no engine. That clippy compiles shows that .sqlx fits the statements, too.
fn fast(root: &Path, stages: &mut Stages) -> Result<()> {
    stages.run("format", || {
        run(cargo::command(root).args(["fmt", "--all", "--check"])).context("run cargo fmt")?;
        let tiltfile = ["fmt", "--check", "--manifest-path", TILTFILE];
        run(cargo::command(root).args(tiltfile)).context("run cargo fmt for it, too")
    })?;
    stages.run("clippy", || {
        let clippy = run(cargo::command(root).args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]));
        clippy.context("where a statement lacks its description, run ./dev prepare")
    })?;
    if installed("cargo-deny") {
        stages.run("deny", || run(cargo::command(root).args(["deny", "check"])))?;
    } else {
        eprintln!(
            "cargo-deny is not installed: licences and advisories were not checked (cargo install --locked cargo-deny)"
        );
    }
    Ok(())
}

pub(super) fn installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder: PathBuf| folder.join(program).is_file())
    })
}

/// Whether `./dev --no-install` was said.
pub(super) fn installs_nothing() -> bool {
    std::env::var_os("DEV_INSTALL").is_some_and(|install| install == "no")
}

pub(super) fn run(command: &mut Command) -> Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| word.display().to_string()).collect();
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed", line.join(" "));
    }
    Ok(())
}

/// How long each stage took.
#[derive(Default)]
struct Stages(Vec<(&'static str, Duration, bool)>);

impl Stages {
    fn run<T>(&mut self, name: &'static str, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("== {name}");
        let began = Instant::now();
        let result = stage();
        self.0.push((name, began.elapsed(), result.is_ok()));
        result.with_context(|| name)
    }

    fn print(&self) {
        println!("\nstage         time");
        for (name, time, passed) in &self.0 {
            println!(
                "{name:<8}{:>8.1} s  {}",
                time.as_secs_f32(),
                if *passed { "" } else { "FAILED" }
            );
        }
        let total: Duration = self.0.iter().map(|(_, time, _)| *time).sum();
        println!("{:<8}{:>8.1} s", "all", total.as_secs_f32());
    }
}
