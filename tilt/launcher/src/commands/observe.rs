//! What `./dev up --observe` starts beside the system: Prometheus and, where they can be had, a collector and a store of traces.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use launcher::collector::{Beside, Components};
use launcher::instance::Instance;
use launcher::layout::Layout;
use launcher::{Observer, Ports, observers, traces};
use serde_json::json;

use super::check::installed;
use super::collector;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What is to be started, and where it is looked at.
#[derive(Default)]
pub(super) struct Watching {
    pub(super) observers: Vec<Observer>,
    links: Vec<(&'static str, String)>,
}

impl Watching {
    /// Makes their programs and configurations. `environment` is the caller's; in it the services are told where traces go.
    pub(super) fn prepare(
        layout: &Layout,
        environment: &mut BTreeMap<String, String>,
    ) -> Result<Self> {
        let mut watching = Self::default();
        let root = &layout.root;
        fs::create_dir_all(layout.observe())?;
        let given = environment.get(ENDPOINT).filter(|given| !given.is_empty());
        let mut scraped = Vec::new();
        if let Some(given) = given {
            watching.link("traces", format!("at {given}, where {ENDPOINT} sends them"));
        } else if let Some(program) = collector::get(root) {
            // One that Go builds of its module has no pages, so it is not built.
            let store = if installed("jaeger") {
                Some(watching.jaeger(layout, environment)?)
            } else {
                None
            };
            let (otlp, metrics) = watching.collector(layout, environment, program, store)?;
            scraped.push(("collector", metrics));
            environment.insert(ENDPOINT.to_owned(), format!("http://{otlp}"));
            watching.link(
                "traces",
                "./dev trace shows the newest, ./dev trace ID one and what was logged of it"
                    .to_owned(),
            );
        }
        if installed("prometheus") {
            watching.prometheus(layout, environment, &scraped)?;
        } else {
            eprintln!(
                "there is no prometheus on the PATH: ./dev installs it unless --no-install is given"
            );
        }
        Ok(watching)
    }

    /// What to open.
    pub(super) fn print(&self) -> io::Result<()> {
        if !self.links.is_empty() {
            writeln!(stdout())?;
        }
        for (name, place) in &self.links {
            writeln!(stdout(), "{name:<16}{place}")?;
        }
        Ok(())
    }

    fn link(&mut self, name: &'static str, place: String) {
        self.links.push((name, place));
    }

    fn prometheus(
        &mut self,
        layout: &Layout,
        environment: &BTreeMap<String, String>,
        scraped: &[(&str, SocketAddr)],
    ) -> Result<()> {
        let address = address(environment, "PROMETHEUS_PORT", 9090)?;
        let instance = Instance::new(layout.clone(), Ports::Topology, environment)?;
        let file = write(
            layout,
            "prometheus.yaml",
            &observers::prometheus(&instance, scraped)?,
        )?;
        self.observers.push(Observer {
            name: "prometheus".to_owned(),
            program: PathBuf::from("prometheus"),
            arguments: vec![
                format!("--config.file={}", file.display()),
                format!(
                    "--storage.tsdb.path={}",
                    layout.observe().join("prometheus").display()
                ),
                format!("--web.listen-address={address}"),
            ],
            port: address.port(),
            admin_port: None,
            readiness: (address, "/-/ready".to_owned()),
        });
        self.link(
            "Prometheus",
            format!("http://{address}, its alerts at http://{address}/alerts"),
        );
        Ok(())
    }

    /// Where it takes traces, and where it has metrics.
    fn collector(
        &mut self,
        layout: &Layout,
        environment: &BTreeMap<String, String>,
        program: PathBuf,
        store: Option<SocketAddr>,
    ) -> Result<(SocketAddr, SocketAddr)> {
        let otlp = address(environment, "COLLECTOR_PORT", 4317)?;
        let metrics = address(environment, "COLLECTOR_ADMIN_PORT", 8889)?;
        let place = Beside {
            otlp,
            metrics,
            file: &layout.observe().join(traces::FILE),
            store,
        };
        let (configuration, missing) = Components::of(&program)?.beside(&layout.root, &place)?;
        if !missing.is_empty() {
            let missing: Vec<String> = missing.into_iter().collect();
            eprintln!(
                "{} does without {}; a release, otelcol-contrib, has all",
                program.display(),
                missing.join(", ")
            );
        }
        let file = write(layout, "collector.yaml", &configuration)?;
        self.observers.push(Observer {
            name: "collector".to_owned(),
            program,
            arguments: vec![format!("--config={}", file.display())],
            port: otlp.port(),
            admin_port: Some(metrics.port()),
            readiness: (metrics, "/metrics".to_owned()),
        });
        Ok((otlp, metrics))
    }

    /// Where it takes traces.
    fn jaeger(
        &mut self,
        layout: &Layout,
        environment: &BTreeMap<String, String>,
    ) -> Result<SocketAddr> {
        let pages = address(environment, "JAEGER_PORT", 16686)?;
        let otlp = address(environment, "JAEGER_ADMIN_PORT", 14317)?;
        let configuration = json!({
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": otlp}}}},
            "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
            "extensions": {
                "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 20_000}}}},
                "jaeger_query": {
                    "storage": {"traces": "memory"},
                    "enable_tracing": false,
                    "http": {"endpoint": pages},
                    "grpc": {"endpoint": "127.0.0.1:0"},
                },
            },
            "service": {
                "extensions": ["jaeger_storage", "jaeger_query"],
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
                "telemetry": {"metrics": {"level": "none"}},
            },
        });
        let file = write(
            layout,
            "jaeger.yaml",
            &serde_json::to_string_pretty(&configuration)?,
        )?;
        self.observers.push(Observer {
            name: "jaeger".to_owned(),
            program: PathBuf::from("jaeger"),
            arguments: vec![format!("--config={}", file.display())],
            port: pages.port(),
            admin_port: Some(otlp.port()),
            readiness: (pages, "/".to_owned()),
        });
        self.link("Jaeger", format!("http://{pages}"));
        Ok(otlp)
    }
}

/// On loopback, where the variable does not move it.
fn address(
    environment: &BTreeMap<String, String>,
    variable: &str,
    usual: u16,
) -> Result<SocketAddr> {
    let moved = environment.get(variable).filter(|value| !value.is_empty());
    let port = moved.map_or(Ok(usual), |value| value.parse());
    let port = port.with_context(|| format!("{variable} is not a port"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn write(layout: &Layout, name: &str, text: &str) -> Result<PathBuf> {
    let path = layout.observe().join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
