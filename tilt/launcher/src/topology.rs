//! `tilt/stack.yaml`, parsed strictly and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::template;

/// Every process and topic of the system.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// What each process of kind `service` has beside its own.
    pub every_service: Shared,
    /// Processes by name.
    pub processes: BTreeMap<String, Process>,
    /// Kafka topics.
    pub topics: Vec<Topic>,
}

/// Variables that all services share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// Fixed variables; templates.
    pub env: BTreeMap<String, String>,
    /// Variables that the caller may set, with the template of the default.
    pub settings: BTreeMap<String, Option<String>>,
}

/// One process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// How it is started.
    pub kind: Kind,
    /// Where it serves.
    pub port: Option<u16>,
    /// Where it serves `/livez`, `/readyz` and `/metrics`.
    pub admin_port: Option<u16>,
    /// Kafka's controller listener.
    pub controller_port: Option<u16>,
    /// What must be ready before it starts.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Whom it calls while it runs.
    #[serde(default)]
    pub calls: Vec<String>,
    /// Path on the admin port that answers 200 when it is ready.
    pub readiness: Option<String>,
    /// The database that it owns.
    pub database: Option<Database>,
    /// Fixed variables; templates.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables that the caller may set, with the template of the default.
    #[serde(default)]
    pub settings: BTreeMap<String, Option<String>>,
    /// Folders whose change asks for a rebuild, relative to the repository.
    #[serde(default)]
    pub watch: Vec<PathBuf>,
    /// Groups for display.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// How a process is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The private PostgreSQL.
    Postgres,
    /// The private Apache Kafka.
    Kafka,
    /// Databases, roles, migrations and secrets: ends by itself.
    Setup,
    /// A binary of this workspace, named as the process.
    Service,
    /// A program that watches the system and is no part of it: an [`Observer`](crate::Observer), never of `stack.yaml`.
    #[serde(skip)]
    Observer,
}

/// A database and the variable that tells its owner where it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Name of the database and of the role that owns it.
    pub name: String,
    /// Variable with its URL.
    pub variable: String,
}

/// A Kafka topic and the process whose relay makes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The process that makes it and writes to it.
    pub owner: String,
}

impl Topology {
    /// Reads `tilt/stack.yaml` of the repository at `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join("tilt/stack.yaml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Parses and checks: names in `needs`, `calls` and `owner` exist, needs have no cycle, ports differ, templates resolve.
    pub fn parse(text: &str) -> Result<Self> {
        let mut topology: Self = serde_norway::from_str(text)?;
        let shared = topology.every_service.clone();
        for (name, process) in topology
            .processes
            .iter_mut()
            .filter(|(_, process)| process.kind == Kind::Service)
        {
            let repeated = shared
                .env
                .keys()
                .chain(shared.settings.keys())
                .find(|variable| process.names_variable(variable));
            ensure!(
                repeated.is_none(),
                "{name}: {} is in every_service already",
                repeated.map_or("", String::as_str)
            );
            process.env.extend(shared.env.clone());
            process.settings.extend(shared.settings.clone());
        }
        topology.check()?;
        Ok(topology)
    }

    /// A process by its name.
    ///
    /// # Errors
    /// Names those that exist.
    pub fn process(&self, name: &str) -> Result<&Process> {
        self.processes.get(name).with_context(|| {
            let names: Vec<&str> = self.processes.keys().map(String::as_str).collect();
            format!(
                "there is no process `{name}`: tilt/stack.yaml has {}",
                names.join(", ")
            )
        })
    }

    /// What kind of process that is; `None` if there is none of that name.
    pub fn kind_of(&self, name: &str) -> Option<Kind> {
        self.processes.get(name).map(|process| process.kind)
    }

    /// The named processes and what they need, in an order in which each comes after its needs. No name: all.
    pub fn select(&self, only: &[String]) -> Result<Vec<String>> {
        for name in only {
            self.process(name)?;
        }
        let mut order = Vec::new();
        for name in self
            .processes
            .keys()
            .filter(|name| only.is_empty() || only.contains(name))
        {
            self.visit(name, &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    /// Services by name.
    pub fn services(&self) -> impl Iterator<Item = (&String, &Process)> {
        self.processes
            .iter()
            .filter(|(_, process)| process.kind == Kind::Service)
    }

    /// Services that own a database, with it.
    pub fn databases(&self) -> impl Iterator<Item = (&String, &Database)> {
        self.services().filter_map(|(name, process)| {
            process.database.as_ref().map(|database| (name, database))
        })
    }

    /// Depth first: needs before the process itself. `path` is the way from where the search began.
    fn visit(&self, name: &str, path: &mut Vec<String>, order: &mut Vec<String>) -> Result<()> {
        ensure!(
            !path.iter().any(|passed| passed == name),
            "needs go in a circle: {} -> {name}",
            path.join(" -> ")
        );
        if order.iter().any(|done| done == name) {
            return Ok(());
        }
        path.push(name.to_owned());
        for need in &self.process(name)?.needs {
            self.visit(need, path, order)
                .with_context(|| format!("needs of {name}"))?;
        }
        path.pop();
        order.push(name.to_owned());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.select(&[])?;
        let mut ports = BTreeSet::new();
        for (name, process) in &self.processes {
            process.check().with_context(|| format!("process {name}"))?;
            for other in &process.calls {
                self.process(other)
                    .with_context(|| format!("calls of {name}"))?;
            }
            for port in [process.port, process.admin_port, process.controller_port]
                .into_iter()
                .flatten()
            {
                ensure!(
                    ports.insert(port),
                    "process {name}: port {port} is another's"
                );
            }
            for text in process
                .env
                .values()
                .chain(process.settings.values().flatten())
            {
                for reference in
                    template::references(text).with_context(|| format!("process {name}"))?
                {
                    self.check_reference(reference, process)
                        .with_context(|| format!("process {name}: {text}"))?;
                }
            }
        }
        for topic in &self.topics {
            self.process(&topic.owner)
                .with_context(|| format!("owner of topic {}", topic.name))?;
        }
        Ok(())
    }

    fn check_reference(&self, reference: &str, process: &Process) -> Result<()> {
        let Some((scope, name)) = reference.split_once('.') else {
            bail!("${{{reference}}} is not of the form ${{a.b}}")
        };
        let known = match (scope, name) {
            ("database", database) => self.databases().any(|(_, known)| known.name == database),
            ("kafka", "bootstrap") | ("directory", "mail") | ("secret", _) => true,
            ("self", "port") => process.port.is_some(),
            ("self", "admin_port") => process.admin_port.is_some(),
            (other, "port") => self.process(other)?.port.is_some(),
            (other, "admin_port") => self.process(other)?.admin_port.is_some(),
            _ => false,
        };
        ensure!(known, "${{{reference}}} names nothing");
        Ok(())
    }
}

impl Process {
    /// Whether its environment may hold `variable`.
    pub fn names_variable(&self, variable: &str) -> bool {
        self.env.contains_key(variable) || self.settings.contains_key(variable)
    }

    fn check(&self) -> Result<()> {
        let has = |what: &str, present: bool, wanted: bool| -> Result<()> {
            ensure!(
                present == wanted,
                "{what} is {}",
                if wanted {
                    "missing"
                } else {
                    "not for this kind"
                }
            );
            Ok(())
        };
        has("port", self.port.is_some(), self.kind != Kind::Setup)?;
        has(
            "controller_port",
            self.controller_port.is_some(),
            self.kind == Kind::Kafka,
        )?;
        has(
            "admin_port",
            self.admin_port.is_some(),
            self.kind == Kind::Service,
        )?;
        has(
            "readiness",
            self.readiness.is_some(),
            self.kind == Kind::Service,
        )?;
        let both = self
            .env
            .keys()
            .find(|variable| self.settings.contains_key(*variable));
        ensure!(
            both.is_none(),
            "{} is in env and in settings",
            both.map_or("", String::as_str)
        );
        if let Some(database) = &self.database {
            ensure!(
                self.settings.contains_key(&database.variable),
                "settings lack {}",
                database.variable
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
every_service: {env: {A: x}, settings: {}}
topics: []
processes:
  one: {kind: service, port: 1, admin_port: 2, readiness: /r, needs: [two]}
  two: {kind: service, port: 3, admin_port: 4, readiness: /r}
";

    #[test]
    fn needs_come_first_and_only_brings_them_along() {
        let topology = Topology::parse(SMALL).unwrap();
        assert_eq!(topology.select(&[]).unwrap(), ["two", "one"]);
        assert_eq!(topology.select(&["one".into()]).unwrap(), ["two", "one"]);
        assert_eq!(topology.select(&["two".into()]).unwrap(), ["two"]);
        assert_eq!(topology.processes["one"].env["A"], "x");
    }

    #[test]
    fn mistakes_are_refused_with_their_name() {
        for (right, wrong, expected) in [
            ("port: 3", "port: 1", "port 1 is another's"),
            ("needs: [two]", "needs: [three]", "no process `three`"),
            ("port: 3, ", "port: 3, needs: [one], ", "go in a circle"),
            (
                "needs: [two]",
                "needs: [two], calls: [nobody]",
                "no process `nobody`",
            ),
            ("needs: [two]", "colour: red", "colour"),
            ("A: x", "A: '${two.nothing}'", "names nothing"),
            ("A: x", "A: '${two.port'", "no closing brace"),
            (
                "readiness: /r}",
                "readiness: /r, env: {A: y}}",
                "A is in every_service already",
            ),
            (
                "topics: []",
                "topics: [{name: t, owner: nobody}]",
                "no process `nobody`",
            ),
            ("readiness: /r}", "}", "readiness is missing"),
        ] {
            let text = SMALL.replacen(right, wrong, 1);
            assert_ne!(text, SMALL);
            let error = format!("{:#}", Topology::parse(&text).unwrap_err());
            assert!(error.contains(expected), "{wrong}: {error}");
        }
    }
}
