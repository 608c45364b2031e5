//! Configurations of the OpenTelemetry collector, cut to what the program at hand has.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// What configurations define, by the names of its parts.
const KINDS: [&str; 5] = [
    "extensions",
    "receivers",
    "processors",
    "connectors",
    "exporters",
];
/// Where `development.yaml` sends traces.
const ONWARD: &str = "otlp_grpc/traces";

/// The components that a collector was built with.
#[derive(Debug)]
pub struct Components(BTreeSet<(String, String)>);

/// Where the collector beside the system listens, and what it does with traces.
#[derive(Debug)]
pub struct Beside<'a> {
    /// For OTLP by gRPC.
    pub otlp: SocketAddr,
    /// For Prometheus.
    pub metrics: SocketAddr,
    /// The file that spans are written to, see [`traces`](crate::traces).
    pub file: &'a Path,
    /// A store that takes OTLP by gRPC.
    pub store: Option<SocketAddr>,
}

impl Components {
    /// Asks a collector.
    ///
    /// # Errors
    /// When it cannot be started, or is no collector.
    pub fn of(program: &Path) -> Result<Self> {
        let output = Command::new(program)
            .arg("components")
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        ensure!(
            output.status.success(),
            "{} components: {}\n{}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Self::parse(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("{} is no collector", program.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_norway::from_str(text)?;
        let mut components = BTreeSet::new();
        for kind in KINDS {
            let listed = value[kind].as_array().into_iter().flatten();
            let names = listed.filter_map(|component| component["name"].as_str());
            components.extend(names.map(|name| (kind.to_owned(), name.to_owned())));
        }
        ensure!(!components.is_empty(), "it names no component");
        Ok(Self(components))
    }

    /// Takes out of a configuration what this collector does not have, and pipelines that then lead nowhere. What was taken out.
    pub fn cut(&self, configuration: &mut Value) -> BTreeSet<String> {
        let mut missing = BTreeSet::new();
        for kind in KINDS {
            let defined = configuration.get_mut(kind);
            let Some(defined) = defined.and_then(Value::as_object_mut) else {
                continue;
            };
            defined.retain(|id, _| {
                let name = id.split('/').next().unwrap_or(id);
                let has = self.0.contains(&(kind.to_owned(), name.to_owned()));
                if !has {
                    missing.insert(id.clone());
                }
                has
            });
        }
        let pipelines = configuration.pointer_mut("/service/pipelines");
        let Some(pipelines) = pipelines.and_then(Value::as_object_mut) else {
            return missing;
        };
        pipelines.retain(|_, pipeline| {
            ["receivers", "processors", "exporters"].iter().all(|part| {
                let names = pipeline.get_mut(*part);
                let Some(names) = names.and_then(Value::as_array_mut) else {
                    return *part == "processors";
                };
                names.retain(|name| name.as_str().is_none_or(|name| !missing.contains(name)));
                !names.is_empty() || *part == "processors"
            })
        });
        missing
    }

    /// `observability/collector/development.yaml` for a collector beside the system, as JSON, which is YAML; and what it lacks there.
    ///
    /// # Errors
    /// When that file is not what it was.
    pub fn beside(&self, root: &Path, place: &Beside<'_>) -> Result<(String, BTreeSet<String>)> {
        let path = root.join("observability/collector/development.yaml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut all: Value =
            serde_norway::from_str(&text).with_context(|| path.display().to_string())?;
        let missing = self.cut(&mut all);
        all["receivers"]["otlp"]["protocols"] = json!({"grpc": {"endpoint": place.otlp}});
        all["exporters"]["prometheus"]["endpoint"] = json!(place.metrics);
        all["exporters"]["file"] = json!({
            "path": place.file.display().to_string(),
            "rotation": {"max_megabytes": 64, "max_backups": 1},
        });
        let exporters = all["service"]["pipelines"]["traces"]["exporters"].as_array_mut();
        let exporters = exporters.with_context(|| format!("{}: no traces", path.display()))?;
        exporters.push(json!("file"));
        match place.store {
            Some(store) => all["exporters"][ONWARD]["endpoint"] = json!(store),
            None => {
                exporters.retain(|name| name != ONWARD);
                if let Some(defined) = all["exporters"].as_object_mut() {
                    defined.remove(ONWARD);
                }
            }
        }
        // Its own metrics would take one more port.
        all["service"]["telemetry"] = json!({"metrics": {"level": "none"}});
        Ok((serde_json::to_string_pretty(&all)?, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENTS: &str = "
buildinfo: {command: otelcol, version: 0.155.0}
receivers: [{name: otlp, stability: {traces: Stable}}]
processors: [{name: batch}, {name: memory_limiter}]
exporters: [{name: file}, {name: otlp_grpc}, {name: prometheus}]
connectors: [{name: span_metrics}]
extensions:
";

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn what_a_collector_lacks_is_taken_out_with_the_pipelines_that_were_for_it() {
        let components = Components::parse(COMPONENTS).unwrap();
        let mut configuration = json!({
            "receivers": {"otlp": null, "file_log": {}},
            "connectors": {"span_metrics": {}, "service_graph/calls": {}},
            "exporters": {"prometheus": null},
            "service": {"pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["span_metrics", "service_graph/calls"]},
                "metrics": {"receivers": ["service_graph/calls"], "exporters": ["prometheus"]},
                "logs": {"receivers": ["file_log"], "processors": ["batch"], "exporters": ["prometheus"]},
            }},
        });
        let missing = components.cut(&mut configuration);
        assert_eq!(
            missing,
            BTreeSet::from(["file_log".to_owned(), "service_graph/calls".to_owned()])
        );
        assert_eq!(
            configuration["service"]["pipelines"],
            json!({"traces": {"receivers": ["otlp"], "exporters": ["span_metrics"]}})
        );
    }

    #[test]
    fn without_a_store_traces_go_to_the_file_alone_and_with_one_to_both() {
        let components = Components::parse(COMPONENTS).unwrap();
        let [otlp, metrics, store] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        for (store, exporters) in [
            (None, json!(["span_metrics", "file"])),
            (
                Some(store),
                json!(["otlp_grpc/traces", "span_metrics", "file"]),
            ),
        ] {
            let place = Beside {
                otlp,
                metrics,
                file: Path::new("/x/traces.jsonl"),
                store,
            };
            let (text, missing) = components.beside(root(), &place).unwrap();
            assert_eq!(missing, BTreeSet::from(["service_graph".to_owned()]));
            let all: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                all["service"]["pipelines"]["traces"]["exporters"],
                exporters
            );
            assert_eq!(
                all["receivers"]["otlp"]["protocols"],
                json!({"grpc": {"endpoint": "127.0.0.1:1"}})
            );
            assert_eq!(all["exporters"].get(ONWARD).is_some(), store.is_some());
            assert!(!text.contains("service_graph"), "{text}");
        }
    }

    #[test]
    fn what_is_no_collector_is_said_to_be_none() {
        assert!(Components::parse("usage: nonsense").is_err());
    }
}
