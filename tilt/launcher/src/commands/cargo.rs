//! Builds by cargo.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// cargo, in the repository.
pub(crate) fn command(root: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root);
    command
}

/// Names of the crates of the workspace.
pub(crate) fn packages(root: &Path) -> Result<Vec<String>> {
    let mut cargo = command(root);
    let output = cargo
        .args(["metadata", "--no-deps", "--format-version=1"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let names = packages.filter_map(|package| package["name"].as_str().map(str::to_owned));
    Ok(names.collect())
}

/// The test programs of one crate. They are built with the whole workspace: with `-p` cargo would build the crates that it shares
/// with others once more, with other features.
pub(crate) fn test_programs(root: &Path, package: &str) -> Result<Vec<Command>> {
    let mut cargo = command(root);
    let output = cargo
        .args(["test", "--workspace", "--no-run", "--message-format=json"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the build failed");
    let mut programs = Vec::new();
    for line in output.stdout.lines() {
        let message: serde_json::Value = serde_json::from_str(&line?)?;
        let manifest = message["manifest_path"].as_str().map(Path::new);
        if let (Some(executable), Some(folder), Some(true)) = (
            message["executable"].as_str(),
            manifest.and_then(Path::parent),
            message["profile"]["test"].as_bool(),
        ) && is_of(&message["package_id"], package)
        {
            let mut program = Command::new(executable);
            // As cargo itself does.
            program
                .current_dir(folder)
                .env("CARGO", command(root).get_program());
            programs.push(program);
        }
    }
    Ok(programs)
}

/// An id ends with `/FOLDER#VERSION`, or with `#NAME@VERSION` where the folder has another name.
fn is_of(id: &serde_json::Value, package: &str) -> bool {
    let (place, version) = id
        .as_str()
        .and_then(|id| id.rsplit_once('#'))
        .unwrap_or_default();
    match version.split_once('@') {
        Some((name, _)) => name == package,
        None => place.rsplit('/').next() == Some(package),
    }
}

/// Builds binaries and copies them to `folder`: a build that runs meanwhile does not touch what runs.
pub(crate) fn build(root: &Path, release: bool, names: &[String], folder: &Path) -> Result<()> {
    if names.is_empty() {
        return Ok(()); // without --bin cargo would build everything
    }
    let mut cargo = command(root);
    // The whole workspace is named so that shared crates are built with the same features each time.
    cargo.args([
        "build",
        "--workspace",
        "--message-format=json-render-diagnostics",
    ]);
    cargo.args(release.then_some("--release"));
    for name in names {
        cargo.args(["--bin", name.as_str()]);
    }
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let mut built = BTreeMap::new();
    for line in BufReader::new(stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(&line?)?;
        if let (Some(name), Some(path)) = (
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
        ) {
            built.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    ensure!(child.wait()?.success(), "the build failed");
    fs::create_dir_all(folder)?;
    for name in names {
        let Some(path) = built.get(name) else {
            bail!("cargo built no `{name}`")
        };
        copy(path, &folder.join(name))
            .with_context(|| format!("cannot copy {}", path.display()))?;
    }
    Ok(())
}

/// Replaces a program that may be running, unless it is the same already.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let (source, modified) = (fs::metadata(from)?, fs::metadata(from)?.modified()?);
    if fs::metadata(to).is_ok_and(|had| {
        had.len() == source.len() && had.modified().is_ok_and(|time| time == modified)
    }) {
        return Ok(());
    }
    // Another build may be copying the same program.
    let new = to.with_extension(format!("{}.new", std::process::id()));
    fs::copy(from, &new)?;
    File::options()
        .write(true)
        .open(&new)?
        .set_modified(modified)?;
    fs::rename(&new, to)?;
    Ok(())
}
