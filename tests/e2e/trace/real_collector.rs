//! The same trace through a real collector, configured as `./dev up --observe` does it; and what its `validate` says of every configuration.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use launcher::collector::{Beside, Components};
use launcher::{FreePort, Observer, logs, traces};
use serde_json::Value;
use tests::collector::Span;
use tests::stack::{SERVICES, TestStack, eventually, root, send_traces};

use super::{assert_way, await_activities, is_whole, update};

/// What the collector that we build lacks. Whatever else a configuration names has to be known.
const LACKING: [&str; 2] = ["elasticsearch", "service_graph"];

#[tokio::test]
async fn a_real_collector_receives_the_trace_and_each_process_on_its_way_logs_its_id() {
    let Some(program) = program() else { return };
    let ports = [(); 2].map(|()| FreePort::find().expect("a free port"));
    let [otlp, metrics] = [0, 1].map(|at: usize| local(ports[at].number()));
    let folder = folder("observe");
    let file = folder.join(traces::FILE);
    let place = Beside {
        otlp,
        metrics,
        file: &file,
        store: None,
    };
    let components = Components::of(&program).expect("a collector");
    let (configuration, _) = components.beside(&root(), &place).expect("a configuration");
    let path = write(&folder, "collector.yaml", &configuration);
    let observer = Observer {
        name: "collector".to_owned(),
        program,
        arguments: vec![format!("--config={}", path.display())],
        port: otlp.port(),
        admin_port: Some(metrics.port()),
        readiness: (metrics, "/metrics".to_owned()),
    };
    let system = tokio::task::spawn_blocking(move || {
        TestStack::start("collected", |options| {
            options.observers.push(observer);
            send_traces(options, &format!("http://{otlp}"));
            for name in SERVICES {
                let variables = options.overrides.entry(name.to_owned()).or_default();
                // Each answer of the gateway, and each statement of the services.
                let levels = "info,gateway=debug,sqlx::query=debug";
                variables.insert("GRIMOIRE_LOG".to_owned(), levels.to_owned());
            }
        })
    });
    let system = system.await.expect("a stack");
    let admin = system.admin().await;
    await_activities(&admin, 3).await;

    let (trace, caller) = update(&system, &admin).await;
    let kept = eventually(
        "the spans of the update in the collector's file",
        || async {
            let kept = traces::of_trace(&folder, &trace).expect("spans");
            is_whole(&spans(&kept)).then_some(kept)
        },
    )
    .await;
    let tree = traces::tree(&kept);
    println!("{tree}");
    assert_way(&spans(&kept), &trace, &caller);
    assert_eq!(tree.lines().count(), kept.len(), "{tree}");

    let layout = &system.stack.instance().layout;
    let lines = logs::of_trace(layout, &trace).expect("logs");
    for line in &lines {
        println!("{}: {}", line.process, line.text);
    }
    let wrote: BTreeSet<&str> = lines.iter().map(|line| line.process.as_str()).collect();
    assert_eq!(wrote, BTreeSet::from(["event-consumer", "gateway", "user"]));

    fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn its_own_validate_takes_every_configuration() {
    let Some(program) = program() else { return };
    let components = Components::of(&program).expect("a collector");
    let folder = folder("validate");
    for files in [
        &["collector/development.yaml"][..],
        &["collector/production.yaml"],
        &[
            "collector/production.yaml",
            "collector/logs-elasticsearch.yaml",
        ],
        &["collector/production.yaml", "collector/logs-loki.yaml"],
        // Alone it has nothing to do where there is no exporter for it.
        &["collector/development.yaml", "../compose/logs.yaml"],
    ] {
        let mut validate = Command::new(&program);
        validate.arg("validate");
        for (at, file) in files.iter().enumerate() {
            let text = fs::read_to_string(root().join("observability").join(file)).expect(file);
            let mut configuration: Value = serde_norway::from_str(&text).expect(file);
            let missing = components.cut(&mut configuration);
            let unknown: Vec<&String> = missing
                .iter()
                .filter(|name| !LACKING.contains(&name.as_str()))
                .collect();
            assert!(unknown.is_empty(), "{file}: no collector has {unknown:?}");
            let path = write(&folder, &format!("{at}.yaml"), &configuration.to_string());
            validate.arg(format!("--config={}", path.display()));
        }
        let output = validate.output().expect("a collector");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{files:?}: {said}");
    }
    fs::remove_dir_all(&folder).expect("a folder");
}

fn program() -> Option<PathBuf> {
    let program = std::env::var_os("TEST_COLLECTOR").map(PathBuf::from);
    if program.is_none() {
        eprintln!(
            "this needs a collector: ./dev test --full builds one by go, or put otelcol-contrib on the PATH"
        );
    }
    program
}

fn spans(kept: &[traces::Span]) -> Vec<Span> {
    kept.iter().map(Span::from).collect()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn folder(name: &str) -> PathBuf {
    let folder = root()
        .join(".dev/test")
        .join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path
}
