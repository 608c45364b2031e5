//! What the Tiltfile makes: by tilt where there is one, else by tests/tiltfile, which answers in the same form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tests::stack::root;

use super::topology;

/// What `tilt alpha tiltfile-result` prints.
#[derive(Debug)]
pub(super) struct Evaluated(Value);

/// Without arguments, on a machine that moves nothing.
pub(super) fn everything() -> &'static Evaluated {
    static EVERYTHING: OnceLock<Evaluated> = OnceLock::new();
    EVERYTHING.get_or_init(|| Evaluated::with(&[], &[]).expect("a result"))
}

impl Evaluated {
    /// With arguments of the Tiltfile and variables.
    ///
    /// # Errors
    /// What is said when the Tiltfile fails.
    pub(super) fn with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = match on_path("tilt") {
            Some(tilt) => {
                let mut command = Command::new(tilt);
                command.args(["alpha", "tiltfile-result", "--"]);
                command
            }
            None => evaluator(),
        };
        for variable in moving() {
            command.env_remove(variable);
        }
        let output = command
            .args(arguments)
            .envs(environment.iter().copied())
            .env("DO_NOT_TRACK", "1")
            .current_dir(root())
            .output()
            .expect("it can be started");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(Self(serde_json::from_slice(&output.stdout).expect("JSON")))
    }

    /// Names of the resources.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let manifests = self.0["Manifests"].as_array().expect("resources");
        manifests
            .iter()
            .map(|manifest| manifest["Name"].as_str().expect("a name"))
    }

    /// One resource.
    pub(super) fn resource(&self, name: &str) -> &Value {
        let manifests = self.0["Manifests"].as_array().expect("resources");
        let found = manifests.iter().find(|manifest| manifest["Name"] == name);
        found.unwrap_or_else(|| panic!("there is no resource {name}"))
    }

    /// Names of the resources that are started.
    pub(super) fn enabled(&self) -> impl Iterator<Item = &str> {
        words(&self.0["EnabledManifests"]).into_iter()
    }

    /// Whether something below the folder was read.
    pub(super) fn reads(&self, folder: &Path) -> bool {
        words(&self.0["ConfigFiles"])
            .iter()
            .any(|path| Path::new(path).starts_with(folder))
    }

    /// Images that are built for what is deployed, each with its target in the Dockerfile.
    pub(super) fn images(&self) -> BTreeMap<&str, &str> {
        let manifests = self.0["Manifests"].as_array().expect("resources");
        let images = manifests
            .iter()
            .filter_map(|manifest| manifest["ImageTargets"].as_array())
            .flatten();
        images
            .map(|image| {
                let name = image["selector"].as_str().expect("a name");
                (
                    name,
                    image["BuildDetails"]["target"].as_str().expect("a target"),
                )
            })
            .collect()
    }

    /// Objects of one kind, such as `uibuttons`, by name.
    pub(super) fn objects(&self, kind: &str) -> impl Iterator<Item = (&String, &Value)> {
        let objects = &self.0["ObjectSet"][format!("tilt.dev/v1alpha1, Resource={kind}")];
        objects.as_object().expect("objects").iter()
    }

    pub(super) fn value(&self, name: &str) -> &Value {
        &self.0[name]
    }
}

/// A list of texts; nothing where there is none.
pub(super) fn words(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.map(|word| word.as_str().expect("a text")).collect()
}

/// Built by `./dev test` before tests run.
fn evaluator() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").expect("cargo runs tests"));
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        command.env("CARGO_TARGET_DIR", root().join("target"));
    }
    command
        .args(["run", "--quiet", "--locked", "--manifest-path"])
        .arg("tests/tiltfile/Cargo.toml")
        .arg("--")
        .arg(root());
    command
}

/// Variables that move ports or name engines: those of whoever runs the tests are not meant.
fn moving() -> Vec<String> {
    let topology = topology();
    let mut variables = vec!["KAFKA_BOOTSTRAP_SERVERS".to_owned()];
    for (name, process) in &topology.processes {
        let name = name.to_uppercase().replace('-', "_");
        variables.extend(["PORT", "ADMIN_PORT"].map(|kind| format!("{name}_{kind}")));
        variables.extend(
            process
                .database
                .iter()
                .map(|database| database.variable.clone()),
        );
    }
    variables
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|program| program.is_file())
}
