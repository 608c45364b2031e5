//! One instance of the topology: its folders, its ports, and the environment of each of its processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::keys;
use crate::layout::Layout;
use crate::observers::Observer;
use crate::ports::{self, Assigned, Assignment, Ports};
use crate::process::Helpers;
use crate::template;
use crate::topology::{Kind, Topology};

/// An instance of the topology, running or not.
#[derive(Debug)]
pub struct Instance {
    /// What it is made of.
    pub topology: Topology,
    /// Where it lies.
    pub layout: Layout,
    /// The caller's variables that it takes.
    environment: BTreeMap<String, String>,
    /// Whether data outlive a crash of the machine; those of tests need not.
    pub durable: bool,
    /// Variables of single processes that go before everything else.
    overrides: BTreeMap<String, BTreeMap<String, String>>,
    /// What watches it, by name.
    observers: BTreeMap<String, Observer>,
    ports: Assignment,
    given_databases: bool,
    pub(crate) helpers: Helpers,
}

/// Gives Kafka's address in place of a private one.
pub(crate) const BOOTSTRAP: &str = "KAFKA_BOOTSTRAP_SERVERS";

/// Variables that every process inherits: how programs are found and speak, nothing of ours.
const INHERITED: [&str; 10] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "JAVA_HOME",
    "RUST_BACKTRACE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

impl Instance {
    /// Resolves ports and given engines. `environment` is the caller's; of it only what the topology names is taken.
    ///
    /// # Errors
    /// Names a malformed port, a part of the database URLs that is missing, or a `GRIMOIRE_*` variable that no process takes.
    pub fn new(
        layout: Layout,
        source: Ports,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let topology = Topology::read(&layout.root)?;
        refuse_unknown(&topology, environment)?;
        let moving = ports::variables(&topology);
        let named = |variable: &str| {
            moving.contains(variable)
                || topology
                    .services()
                    .any(|(_, process)| process.settings.contains_key(variable))
        };
        let environment: BTreeMap<String, String> = environment
            .iter()
            .filter(|(variable, value)| named(variable) && !value.is_empty())
            .map(|(variable, value)| (variable.clone(), value.clone()))
            .collect();
        let given_databases = all_or_none(&topology, &environment)?;
        let ports = Assignment::new(&topology, source, &environment)?;
        Ok(Self {
            topology,
            layout,
            environment,
            overrides: BTreeMap::new(),
            observers: BTreeMap::new(),
            ports,
            given_databases,
            durable: true,
            helpers: Helpers::default(),
        })
    }

    /// Sets variables of single processes: process, variable, value. They go before the topology's.
    ///
    /// # Errors
    /// Names a process that does not exist.
    pub fn override_environment(
        &mut self,
        overrides: BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<()> {
        for name in overrides.keys() {
            self.topology.process(name)?;
        }
        self.overrides = overrides;
        Ok(())
    }

    /// Adds programs that are started and ended with it.
    ///
    /// # Errors
    /// Names one that is called as a process of the topology, or two ports that are the same.
    pub(crate) fn add_observers(&mut self, observers: Vec<Observer>) -> Result<()> {
        for observer in observers {
            let name = observer.name.clone();
            let process = observer.process();
            let assigned = Assigned {
                port: process.port,
                admin_port: process.admin_port,
                controller_port: None,
            };
            let earlier = self.topology.processes.insert(name.clone(), process);
            ensure!(earlier.is_none(), "{name} is the name of another process");
            self.ports.of.insert(name.clone(), assigned);
            self.observers.insert(name, observer);
        }
        self.ports.check_distinct()
    }

    pub(crate) fn observer(&self, name: &str) -> Result<&Observer> {
        let observer = self.observers.get(name);
        observer.with_context(|| format!("{name} watches nothing"))
    }

    /// The caller's variables that this instance takes: enough to describe it again.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Whether a process is replaced by one that the caller named: `KAFKA_BOOTSTRAP_SERVERS`, or the URL of each database.
    pub fn is_given(&self, name: &str) -> bool {
        match self.topology.kind_of(name) {
            Some(Kind::Postgres) => self.given_databases,
            Some(Kind::Kafka) => self.environment.contains_key(BOOTSTRAP),
            _ => false,
        }
    }

    /// Where a process serves.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        self.topology.process(name)?;
        Ok(loopback(
            self.assigned(name)
                .port
                .with_context(|| format!("{name} serves nothing"))?,
        ))
    }

    /// Where a process serves `/readyz` and `/metrics`.
    pub fn admin_address(&self, name: &str) -> Result<SocketAddr> {
        self.topology.process(name)?;
        Ok(loopback(
            self.assigned(name)
                .admin_port
                .with_context(|| format!("{name} has no admin port"))?,
        ))
    }

    /// Kafka's `host:port`, given or private.
    pub fn bootstrap(&self) -> Result<String> {
        match self.environment.get(BOOTSTRAP) {
            Some(given) => Ok(given.clone()),
            None => Ok(loopback(self.port_of(Kind::Kafka)?).to_string()),
        }
    }

    /// URL of a database as its owner uses it: given, or in the private PostgreSQL.
    pub fn database_url(&self, name: &str) -> Result<String> {
        let known = || {
            self.topology
                .databases()
                .map(|(_, database)| database.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (_, database) = self
            .topology
            .databases()
            .find(|(_, database)| database.name == name)
            .with_context(|| format!("there is no database `{name}`: there are {}", known()))?;
        match self.environment.get(&database.variable) {
            Some(given) => Ok(given.clone()),
            None => {
                let password = keys::database_password(&self.layout, name)?;
                Ok(format!(
                    "postgres://{name}:{password}@{}/{name}",
                    loopback(self.port_of(Kind::Postgres)?)
                ))
            }
        }
    }

    /// URL of the private PostgreSQL's superuser.
    pub fn superuser_url(&self) -> Result<String> {
        let password = keys::database_password(&self.layout, "superuser")?;
        Ok(format!(
            "postgres://postgres:{password}@{}/postgres",
            loopback(self.port_of(Kind::Postgres)?)
        ))
    }

    /// The whole environment of a service. Secrets that are missing are made.
    pub fn environment_of(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let process = self.topology.process(name)?;
        let mut environment = inherited();
        for (variable, text) in &process.env {
            environment.insert(variable.clone(), self.fill(name, text)?);
        }
        for (variable, default) in &process.settings {
            if let Some(value) = self.environment.get(variable) {
                environment.insert(variable.clone(), value.clone());
            } else if let Some(text) = default {
                environment.insert(variable.clone(), self.fill(name, text)?);
            }
        }
        environment.extend(self.overrides.get(name).cloned().unwrap_or_default());
        Ok(environment)
    }

    pub(crate) fn assigned(&self, name: &str) -> Assigned {
        self.ports.of.get(name).copied().unwrap_or_default()
    }

    fn port_of(&self, kind: Kind) -> Result<u16> {
        self.topology
            .processes
            .iter()
            .find(|(_, process)| process.kind == kind)
            .and_then(|(name, _)| self.assigned(name).port)
            .with_context(|| format!("tilt/stack.yaml has no process of kind {kind:?}"))
    }

    fn fill(&self, name: &str, text: &str) -> Result<String> {
        template::fill(text, |reference| {
            let (scope, what) = reference.split_once('.').unwrap_or((reference, ""));
            let process = if scope == "self" { name } else { scope };
            Ok(match (scope, what) {
                ("database", database) => self.database_url(database)?,
                ("kafka", "bootstrap") => self.bootstrap()?,
                ("directory", "mail") => self.layout.mail().display().to_string(),
                ("secret", secret) => keys::secret(&self.layout, secret)?,
                (_, "port") => self.address(process)?.port().to_string(),
                (_, "admin_port") => self.admin_address(process)?.port().to_string(),
                _ => bail!("${{{reference}}} names nothing"),
            })
        })
    }
}

/// What every process inherits from the launcher's environment.
pub(crate) fn inherited() -> BTreeMap<String, String> {
    INHERITED
        .iter()
        .filter_map(|name| {
            std::env::var(name)
                .ok()
                .map(|value| ((*name).to_owned(), value))
        })
        .collect()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Whether the caller gave all database URLs.
fn all_or_none(topology: &Topology, environment: &BTreeMap<String, String>) -> Result<bool> {
    let variables: Vec<&str> = topology
        .databases()
        .map(|(_, database)| database.variable.as_str())
        .collect();
    let missing: Vec<&str> = variables
        .iter()
        .copied()
        .filter(|variable| !environment.contains_key(*variable))
        .collect();
    if !missing.is_empty() && missing.len() < variables.len() {
        bail!(
            "{} is not set, and others of {} are: set all of them to use your own PostgreSQL, or none for a private one",
            missing.join(" and "),
            variables.join(", ")
        );
    }
    Ok(missing.is_empty())
}

/// A misspelt variable would have no effect, silently.
fn refuse_unknown(topology: &Topology, environment: &BTreeMap<String, String>) -> Result<()> {
    for variable in environment
        .keys()
        .filter(|variable| variable.starts_with("GRIMOIRE_"))
    {
        if topology
            .services()
            .any(|(_, process)| process.settings.contains_key(variable))
        {
            continue;
        }
        if topology
            .services()
            .any(|(_, process)| process.env.contains_key(variable))
        {
            bail!(
                "{variable} is fixed by tilt/stack.yaml: unset it (ports are moved by variables such as GATEWAY_PORT)"
            );
        }
        bail!(
            "no process of tilt/stack.yaml takes {variable}: unset it, or add it to the settings of the process that reads it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn instance(environment: &[(&str, &str)]) -> Result<Instance> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let dev =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Instance::new(Layout::at(&root, &dev), Ports::Topology, &environment)
    }

    #[test]
    fn every_service_of_the_stack_gets_its_whole_environment() {
        let instance = instance(&[
            ("GRIMOIRE_LOG", "debug"),
            ("GATEWAY_PORT", "7000"),
            ("SECRET_OF_MINE", "x"),
        ])
        .unwrap();
        for (name, _) in instance.topology.services() {
            let environment = instance.environment_of(name).unwrap();
            assert_eq!(environment["GRIMOIRE_LOG"], "debug");
            assert!(!environment.contains_key("SECRET_OF_MINE"));
            assert!(
                environment.values().all(|value| !value.contains("${")),
                "{environment:?}"
            );
        }
        assert_eq!(
            instance.environment_of("gateway").unwrap()["GRIMOIRE_LISTEN"],
            "127.0.0.1:7000"
        );
        let key = |instance: &Instance| {
            instance.environment_of("auth").unwrap()["GRIMOIRE_KEY_ENCRYPTION_KEY"].clone()
        };
        assert_eq!(key(&instance), key(&instance));
        std::fs::remove_dir_all(&instance.layout.dev).unwrap();
    }

    #[test]
    fn given_engines_replace_ours() {
        let urls = [
            ("AUTH_DATABASE_URL", "postgres://a"),
            ("USER_DATABASE_URL", "postgres://b"),
            ("EVENTS_DATABASE_URL", "postgres://c"),
        ];
        let instance = instance(&[&urls[..], &[(BOOTSTRAP, "broker:9092")]].concat()).unwrap();
        assert!(instance.is_given("postgres") && instance.is_given("kafka"));
        assert_eq!(instance.database_url("user").unwrap(), "postgres://b");
        assert_eq!(instance.bootstrap().unwrap(), "broker:9092");
    }

    #[test]
    fn one_database_url_alone_is_refused_with_those_that_are_missing() {
        let error = instance(&[("USER_DATABASE_URL", "postgres://b")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("AUTH_DATABASE_URL and EVENTS_DATABASE_URL is not set"),
            "{error}"
        );
    }

    #[test]
    fn a_variable_that_nobody_takes_is_refused() {
        let error = instance(&[("GRIMOIRE_LOGG", "debug")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("GRIMOIRE_LOGG"), "{error}");
        let error = instance(&[("GRIMOIRE_LISTEN", "0.0.0.0:1")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("fixed by tilt/stack.yaml"), "{error}");
    }
}
