//! What watches the system: programs that are started beside it and end after its services, and what they are told of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::instance::{Instance, inherited};
use crate::topology::{Kind, Process};

/// A program that watches the system and is no part of it, such as Prometheus.
#[derive(Debug, Clone)]
pub struct Observer {
    /// What it is called among the processes.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// What it is started with.
    pub arguments: Vec<String>,
    /// Where it serves those who use it, on loopback.
    pub port: u16,
    /// A second port that it needs, on loopback.
    pub admin_port: Option<u16>,
    /// Where a GET is answered by 200 when it is ready.
    pub readiness: (SocketAddr, String),
}

impl Observer {
    /// It as a process of an instance: it needs nothing, and nothing needs it.
    pub(crate) fn process(&self) -> Process {
        Process {
            kind: Kind::Observer,
            port: Some(self.port),
            admin_port: self.admin_port,
            controller_port: None,
            needs: Vec::new(),
            calls: Vec::new(),
            readiness: None,
            database: None,
            env: BTreeMap::new(),
            settings: BTreeMap::new(),
            watch: Vec::new(),
            labels: Vec::new(),
        }
    }

    pub(crate) fn command(&self, instance: &Instance) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(inherited())
            .current_dir(&instance.layout.root);
        command
    }
}

/// The configuration of Prometheus in the repository with the ports of this instance, and jobs of more targets.
///
/// # Errors
/// When it has no target for a service.
pub fn prometheus(instance: &Instance, more: &[(&str, SocketAddr)]) -> Result<String> {
    let room = instance.layout.root.join("observability/prometheus");
    let path = room.join("prometheus.yaml");
    let rules = room.join("rules/*.yaml").display().to_string();
    let mut text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .replace("rules/*.yaml", &rules);
    for (name, process) in instance.topology.services() {
        let usual = process.admin_port.context("a service has an admin port")?;
        let target = format!("\"127.0.0.1:{usual}\"");
        ensure!(
            text.contains(&target),
            "{}: nothing scrapes {name} at {target}",
            path.display()
        );
        // Marked, so that a port which is another's usual one is not replaced again.
        let address = instance.admin_address(name)?;
        text = text.replace(&target, &format!("\"{address}/\""));
    }
    text = text.replace("/\"]", "\"]");
    for (job, address) in more {
        text.push_str(&format!(
            "  - job_name: {job}\n    static_configs:\n      - targets: [\"{address}\"]\n"
        ));
    }
    Ok(text)
}
