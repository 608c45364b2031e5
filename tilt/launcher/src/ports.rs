//! Which port each process serves on, and who holds one that is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::keys;
use crate::topology::{Process, Topology};

/// Where ports come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// Those of `tilt/stack.yaml`, moved by variables such as `GATEWAY_PORT`.
    Topology,
    /// Free ones, held against other instances.
    Free,
}

/// The ports of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) port: Option<u16>,
    pub(crate) admin_port: Option<u16>,
    pub(crate) controller_port: Option<u16>,
}

/// The ports of every process, and what keeps free ones from being chosen twice.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    pub(crate) of: BTreeMap<String, Assigned>,
    held: Vec<FreePort>,
}

impl Assignment {
    pub(crate) fn new(
        topology: &Topology,
        source: Ports,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut assignment = Self::default();
        for (name, process) in &topology.processes {
            let assigned = match source {
                Ports::Topology => moved(name, process, environment)?,
                Ports::Free => assignment.free(process)?,
            };
            assignment.of.insert(name.clone(), assigned);
        }
        assignment.check_distinct()?;
        Ok(assignment)
    }

    fn free(&mut self, process: &Process) -> Result<Assigned> {
        let mut choose = |wanted: Option<u16>| -> Result<Option<u16>> {
            if wanted.is_none() {
                return Ok(None);
            }
            let held = FreePort::find()?;
            let port = held.port;
            self.held.push(held);
            Ok(Some(port))
        };
        Ok(Assigned {
            port: choose(process.port)?,
            admin_port: choose(process.admin_port)?,
            controller_port: choose(process.controller_port)?,
        })
    }

    pub(crate) fn check_distinct(&self) -> Result<()> {
        let mut taken = BTreeMap::new();
        for (name, assigned) in &self.of {
            for (kind, port) in assigned.list() {
                let variable = variable(name, kind);
                if let Some(other) = taken.insert(port, variable.clone()) {
                    bail!("{other} and {variable} are both {port}: give each a port of its own");
                }
            }
        }
        Ok(())
    }
}

impl Assigned {
    /// The ports with the ending of the variable that moves each.
    fn list(&self) -> impl Iterator<Item = (&'static str, u16)> {
        [
            ("PORT", self.port),
            ("ADMIN_PORT", self.admin_port),
            ("CONTROLLER_PORT", self.controller_port),
        ]
        .into_iter()
        .filter_map(|(kind, port)| port.map(|port| (kind, port)))
    }

    /// Refuses when somebody holds one of them.
    ///
    /// # Errors
    /// Names the process that holds it and the variable that moves it.
    pub(crate) fn check_free(&self, name: &str) -> Result<()> {
        for (kind, port) in self.list() {
            if !is_free(port) {
                let owner = owner(port).unwrap_or_else(|| "a process of another user".to_owned());
                let variable = variable(name, kind);
                bail!(
                    "port {port} of {name} is taken by {owner}: end that, or choose another port by {variable}"
                );
            }
        }
        Ok(())
    }
}

/// Whether nobody listens there. Looks again for a moment: a program that this process forks has a copy of every socket until its
/// exec, also of one that only tried the port.
fn is_free(port: u16) -> bool {
    const TRIES: u32 = 20;
    (0..TRIES).any(|before| {
        if before > 0 {
            thread::sleep(Duration::from_millis(10));
        }
        TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
}

/// Every variable that moves a port.
pub(crate) fn variables(topology: &Topology) -> BTreeSet<String> {
    let mut variables = BTreeSet::new();
    for (name, process) in &topology.processes {
        let assigned = Assigned {
            port: process.port,
            admin_port: process.admin_port,
            controller_port: process.controller_port,
        };
        variables.extend(assigned.list().map(|(kind, _)| variable(name, kind)));
    }
    variables
}

/// Who listens on a port of this machine: `name (pid 123)`; `None` where that cannot be seen.
fn owner(port: u16) -> Option<String> {
    if cfg!(target_os = "linux") {
        let sockets: BTreeSet<String> = listening(port)
            .iter()
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let processes = fs::read_dir("/proc").ok()?.flatten();
        for process in processes {
            // "self" and the like name processes a second time.
            let name = process.file_name();
            let Some(id) = name.to_str().filter(|name| name.parse::<u32>().is_ok()) else {
                continue;
            };
            let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
                continue;
            };
            let mut targets =
                descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
            if targets.any(|target| {
                target
                    .to_str()
                    .is_some_and(|target| sockets.contains(target))
            }) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return Some(format!("{} (pid {id})", name.trim()));
            }
        }
        None
    } else {
        let output = Command::new("lsof")
            .args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-Fpc"])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let field = |letter| text.lines().find_map(|line| line.strip_prefix(letter));
        Some(format!("{} (pid {})", field('c')?, field('p')?))
    }
}

/// Inodes of the sockets that listen on the port.
fn listening(port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..]
                && local.ends_with(&ending)
            {
                inodes.push(inode.to_owned());
            }
        }
    }
    inodes
}

fn variable(name: &str, kind: &str) -> String {
    format!("{}_{kind}", name.to_uppercase().replace('-', "_"))
}

fn moved(
    name: &str,
    process: &Process,
    environment: &BTreeMap<String, String>,
) -> Result<Assigned> {
    let value =
        |kind: &str, default: Option<u16>| -> Result<Option<u16>> {
            let variable = variable(name, kind);
            let (Some(default), Some(text)) = (default, environment.get(&variable)) else {
                return Ok(default);
            };
            let port = text.parse::<u16>().ok().filter(|port| *port != 0).with_context(|| {
            format!("{variable} is `{text}`: it must be a port from 1 to 65535, such as {default}")
        })?;
            Ok(Some(port))
        };
    let port = value("PORT", process.port)?;
    // The controller's port goes along with the broker's.
    let beside = process
        .controller_port
        .map(|default| match (port, process.port) {
            (Some(port), Some(usual)) if port != usual => port.wrapping_add(1),
            _ => default,
        });
    Ok(Assigned {
        port,
        admin_port: value("ADMIN_PORT", process.admin_port)?,
        controller_port: value("CONTROLLER_PORT", beside)?,
    })
}

/// A port and the locked file that keeps other instances off it.
#[derive(Debug)]
pub struct FreePort {
    port: u16,
    path: PathBuf,
    _lock: File,
}

impl FreePort {
    /// One below the range from which the system takes ports for outgoing connections: one that is free while its process restarts
    /// is not taken by those.
    ///
    /// # Errors
    /// When none of many is free.
    pub fn find() -> Result<Self> {
        for _ in 0..200 {
            let port = 20_000 + u16::from_le_bytes(keys::random::<2>()?) % 12_000;
            let path = std::env::temp_dir().join(format!("grimoire-port-{port}"));
            let Ok(lock) = File::create(&path) else {
                continue;
            };
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(Self {
                    port,
                    path,
                    _lock: lock,
                });
            }
        }
        bail!("found no free port between 20000 and 32000")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.port
    }
}

impl Drop for FreePort {
    fn drop(&mut self) {
        // What stays behind in the folder for temporary files does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        Topology::parse(include_str!("../../stack.yaml")).unwrap()
    }

    #[test]
    fn a_variable_moves_a_port_and_kafkas_controller_goes_along() {
        let environment = BTreeMap::from(
            [
                ("KAFKA_PORT", "7000"),
                ("EVENT_CONSUMER_ADMIN_PORT", "7005"),
            ]
            .map(|(k, v)| (k.into(), v.into())),
        );
        let assignment = Assignment::new(&topology(), Ports::Topology, &environment).unwrap();
        assert_eq!(assignment.of["kafka"].controller_port, Some(7001));
        assert_eq!(assignment.of["event-consumer"].admin_port, Some(7005));
        assert_eq!(assignment.of["gateway"].port, Some(5000));
    }

    #[test]
    fn a_malformed_or_doubled_port_is_refused_by_its_variable() {
        for (variable, value) in [
            ("AUTH_PORT", "x"),
            ("AUTH_PORT", "0"),
            ("AUTH_PORT", "5000"),
        ] {
            let environment = BTreeMap::from([(variable.to_owned(), value.to_owned())]);
            let error = Assignment::new(&topology(), Ports::Topology, &environment)
                .unwrap_err()
                .to_string();
            assert!(error.contains(variable), "{error}");
        }
    }

    #[test]
    fn free_ports_differ_and_can_be_bound() {
        let assignment = Assignment::new(&topology(), Ports::Free, &BTreeMap::new()).unwrap();
        for (name, assigned) in &assignment.of {
            assigned.check_free(name).unwrap();
        }
    }

    #[test]
    fn a_taken_port_names_its_owner_and_the_variable_that_moves_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let assigned = Assigned {
            port: Some(listener.local_addr().unwrap().port()),
            ..Assigned::default()
        };
        let error = assigned
            .check_free("event-consumer")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("(pid {})", std::process::id())),
            "{error}"
        );
        assert!(error.contains("EVENT_CONSUMER_PORT"), "{error}");
    }
}
