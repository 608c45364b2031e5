//! What is rebuilt when something changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use launcher::topology::Kind;
use serde_json::Value;
use tests::stack::root;

use super::evaluation::{everything, words};
use super::topology;

/// What every program depends on.
const WORKSPACE: [&str; 4] = ["Cargo.toml", "Cargo.lock", ".cargo", "rust-toolchain.toml"];

#[test]
fn a_process_is_rebuilt_when_what_the_topology_names_changes_and_all_of_that_is_there() {
    for (name, process) in &topology().processes {
        let own = &everything().resource(name)["DeployTarget"];
        let watched: BTreeSet<PathBuf> = words(&own["Deps"])
            .into_iter()
            .map(|path| {
                Path::new(path)
                    .strip_prefix(root())
                    .expect("ours")
                    .to_owned()
            })
            .collect();
        let mut expected: BTreeSet<PathBuf> = process.watch.iter().cloned().collect();
        for folder in &expected {
            assert!(
                root().join(folder).is_dir(),
                "{name} watches {}, which is not there",
                folder.display()
            );
        }
        if process.kind == Kind::Service {
            expected.extend(WORKSPACE.map(PathBuf::from));
        }
        assert_eq!(watched, expected, "{name}");
    }
    for path in WORKSPACE {
        assert!(root().join(path).exists(), "{path} is not there");
    }
}

#[test]
fn what_a_service_is_made_of_is_watched() {
    let crates = crates();
    for (name, process) in topology().services() {
        let own = crates
            .iter()
            .find(|(_, made)| made.name == *name)
            .map(|(folder, _)| folder.clone())
            .unwrap_or_else(|| panic!("there is no crate {name}"));
        let mut parts = BTreeSet::new();
        let mut found = vec![own];
        while let Some(folder) = found.pop() {
            if parts.insert(folder.clone()) {
                found.extend(crates[&folder].made_of.iter().cloned());
            }
        }
        let watched: BTreeSet<PathBuf> = process.watch.iter().cloned().collect();
        let missing: Vec<&PathBuf> = parts.difference(&watched).collect();
        assert!(missing.is_empty(), "{name} does not watch {missing:?}");
    }
}

/// A crate of the workspace, and the folders of those it is made of.
struct Crate {
    name: String,
    made_of: BTreeSet<PathBuf>,
}

/// By folder, relative to the repository.
fn crates() -> BTreeMap<PathBuf, Crate> {
    let output = Command::new(std::env::var_os("CARGO").expect("cargo runs tests"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().map(made).collect()
}

fn made(package: &Value) -> (PathBuf, Crate) {
    let manifest = package["manifest_path"].as_str().expect("a path");
    let dependencies = package["dependencies"].as_array().expect("a list");
    let made_of = dependencies
        .iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["path"].as_str())
        .map(relative)
        .collect();
    let folder = Path::new(manifest).parent().expect("a folder");
    let name = package["name"].as_str().expect("a name").to_owned();
    (
        relative(&folder.display().to_string()),
        Crate { name, made_of },
    )
}

fn relative(path: &str) -> PathBuf {
    let path = Path::new(path).strip_prefix(root());
    path.expect("it is in the repository").to_owned()
}
