//! The OpenTelemetry collector: a release of it, or one that Go builds of the module in the repository, which has the checksum of everything it
//! is made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::check::{self, installed};

const MODULE: &str = "observability/collector/program";
const BUILT: &str = ".dev/tools/collector/otelcol";
/// It has every component, so it goes first.
const RELEASE: &str = "otelcol-contrib";

/// Builds it where it is not there, or says why it cannot.
pub(super) fn get(root: &Path) -> Option<PathBuf> {
    if let Some(program) = there(root) {
        return Some(program);
    }
    let wanted = format!("there is no {RELEASE} on the PATH");
    if !installed("go") {
        eprintln!("{wanted}, and no go to build a collector: traces are not kept");
        return None;
    }
    if check::installs_nothing() {
        eprintln!(
            "{wanted}, and --no-install forbids to get what a collector is made of: traces are not kept"
        );
        return None;
    }
    eprintln!(
        "{wanted}: building a collector by go, into .dev/tools; the first time takes some minutes"
    );
    if let Err(error) = build(root) {
        eprintln!("no collector was built, so traces are not kept: {error:#}");
    }
    there(root)
}

/// Where it is.
pub(super) fn there(root: &Path) -> Option<PathBuf> {
    if installed(RELEASE) {
        return Some(PathBuf::from(RELEASE));
    }
    let program = root.join(BUILT);
    // Of what the repository names now.
    let fits = fs::read(made_of(&program)).ok()? == fs::read(modules(root)).ok()?;
    (fits && program.exists()).then_some(program)
}

fn build(root: &Path) -> Result<()> {
    let program = root.join(BUILT);
    if let Some(folder) = program.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"])
        .arg("-o")
        .arg(&program)
        .arg(".")
        .current_dir(root.join(MODULE));
    check::run(&mut go)?;
    fs::copy(modules(root), made_of(&program))?;
    Ok(())
}

fn modules(root: &Path) -> PathBuf {
    root.join(MODULE).join("go.mod")
}

/// A copy of its go.mod, beside it.
fn made_of(program: &Path) -> PathBuf {
    program.with_extension("mod")
}
