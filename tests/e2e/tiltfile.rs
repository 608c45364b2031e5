//! The Tiltfile says of each process what tilt/stack.yaml says of it.

mod buttons;
mod evaluation;
mod watched;

use std::collections::{BTreeMap, BTreeSet};

use launcher::topology::{Kind, Process, Topology};
use serde_json::{Value, json};
use tests::stack::root;

use evaluation::{Evaluated, everything, words};

fn topology() -> Topology {
    Topology::read(&root()).expect("tilt/stack.yaml is valid")
}

/// Resources that are no process.
const OTHERS: [&str; 3] = ["build", "check", "test"];

#[test]
fn each_process_is_a_resource_and_started_by_the_launcher() {
    let topology = topology();
    let names: BTreeSet<&str> = topology.processes.keys().map(String::as_str).collect();
    let names: BTreeSet<&str> = names.into_iter().chain(OTHERS).collect();
    let resources: BTreeSet<&str> = everything().names().collect();
    assert_eq!(resources, names);

    for (name, process) in &topology.processes {
        let name = name.as_str();
        let own = &everything().resource(name)["DeployTarget"];
        let (update, serve) = (
            words(&own["UpdateCmdSpec"]["args"]),
            words(&own["ServeCmd"]["Argv"]),
        );
        let stays = ["./dev", "--no-build", "run", name];
        match process.kind {
            Kind::Service => {
                assert_eq!(update, ["./dev", "build", name]);
                assert_eq!(serve, stays);
            }
            Kind::Setup => {
                assert_eq!(update, ["./dev", "run", name]);
                assert!(serve.is_empty(), "{name} ends by itself");
            }
            Kind::Postgres | Kind::Kafka | Kind::Observer => {
                assert!(update.is_empty(), "{name} is not built");
                assert_eq!(serve, stays);
            }
        }
    }
}

#[test]
fn a_process_waits_for_what_it_needs_and_a_program_for_the_first_build() {
    for (name, process) in &topology().processes {
        let resource = everything().resource(name);
        let waits: BTreeSet<&str> = words(&resource["ResourceDependencies"])
            .into_iter()
            .collect();
        let mut expected: BTreeSet<&str> = process.needs.iter().map(String::as_str).collect();
        if matches!(process.kind, Kind::Service | Kind::Setup) {
            expected.insert("build");
        }
        assert_eq!(waits, expected, "{name}");
    }
}

#[test]
fn resources_are_shown_in_the_groups_of_the_topology() {
    for (name, process) in &topology().processes {
        let labels = everything().resource(name)["Labels"].as_object();
        let labels: BTreeSet<&String> = labels.expect("labels").keys().collect();
        let expected: BTreeSet<&String> = process.labels.iter().collect();
        assert_eq!(labels, expected, "{name}");
    }
    for name in OTHERS {
        assert_eq!(
            everything().resource(name)["Labels"],
            json!({"workspace": "workspace"}),
            "{name}"
        );
    }
}

/// Where Tilt asks whether it is ready: port and, of HTTP, path.
fn probe(resource: &Value) -> Option<(u64, Option<&str>)> {
    let probe = resource["DeployTarget"]["ReadinessProbe"].as_object()?;
    let action = probe.get("httpGet").or_else(|| probe.get("tcpSocket"))?;
    assert_eq!(action["host"], "127.0.0.1");
    Some((action["port"].as_u64()?, action["path"].as_str()))
}

fn expected_probe(process: &Process) -> Option<(u64, Option<&str>)> {
    let port = process.admin_port.or(process.port)?;
    Some((u64::from(port), process.readiness.as_deref()))
}

#[test]
fn readiness_is_asked_where_the_topology_says() {
    for (name, process) in &topology().processes {
        let asked = probe(everything().resource(name));
        assert_eq!(asked, expected_probe(process), "{name}");
    }
}

#[test]
fn links_lead_to_the_ports_of_the_service() {
    for (name, process) in topology().services() {
        let links = &everything().resource(name)["DeployTarget"]["Links"];
        let links: Vec<(&str, &str)> = links
            .as_array()
            .expect("links")
            .iter()
            .filter_map(|link| Some((link["URL"]["Host"].as_str()?, link["URL"]["Path"].as_str()?)))
            .collect();
        let admin = format!("127.0.0.1:{}", process.admin_port.expect("an admin port"));
        for path in ["/readyz", "/metrics"] {
            assert!(
                links.contains(&(admin.as_str(), path)),
                "{name} lacks {path}"
            );
        }
        let port = format!("127.0.0.1:{}", process.port.expect("a port"));
        for (host, path) in links {
            assert!(host == admin || host == port, "{name}: {host}{path}");
        }
    }
}

#[test]
fn variables_move_ports_and_name_engines_of_others() {
    let moved = [
        ("GATEWAY_ADMIN_PORT", "7100"),
        ("EVENT_CONSUMER_ADMIN_PORT", "7103"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092"),
    ];
    let result = Evaluated::with(&[], &moved).expect("a result");
    for (name, port) in [("gateway", 7100), ("event-consumer", 7103)] {
        let asked = probe(result.resource(name)).map(|(port, _)| port);
        assert_eq!(asked, Some(port), "{name}");
    }
    assert!(result.names().all(|name| name != "kafka"));
    let waits = words(&result.resource("event-consumer")["ResourceDependencies"]);
    assert!(!waits.contains(&"kafka"), "{waits:?}");

    let topology = topology();
    let urls: Vec<(&str, &str)> = topology
        .databases()
        .map(|(_, database)| (database.variable.as_str(), "postgres://postgres.example/x"))
        .collect();
    let all = Evaluated::with(&[], &urls).expect("a result");
    assert!(all.names().all(|name| name != "postgres"));
    let some = Evaluated::with(&[], &urls[1..]).expect("a result");
    assert!(some.names().any(|name| name == "postgres"));
}

#[test]
fn an_argument_selects_a_process_and_what_it_needs() {
    let topology = topology();
    for wanted in [vec!["gateway"], vec!["kafka", "user"]] {
        let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let mut expected: BTreeSet<String> = topology
            .select(&names)
            .expect("names")
            .into_iter()
            .collect();
        expected.extend(OTHERS.map(str::to_owned));

        let result = Evaluated::with(&wanted, &[]).expect("a result");
        let enabled: BTreeSet<String> = result.enabled().map(str::to_owned).collect();
        assert_eq!(enabled, expected, "{wanted:?}");
    }
    let enabled: BTreeSet<&str> = everything().enabled().collect();
    let all: BTreeSet<&str> = everything().names().collect();
    assert_eq!(enabled, all);
}

#[test]
fn a_process_that_does_not_exist_is_refused_with_those_that_do() {
    let error = Evaluated::with(&["gatway", "user"], &[]).expect_err("there is no gatway");
    let known: Vec<String> = topology().processes.into_keys().collect();
    let expected = format!(
        "there is no process gatway: tilt/stack.yaml has {}",
        known.join(", ")
    );
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn in_a_cluster_the_overlay_is_deployed_and_no_process_started() {
    let overlay = root().join("mesh/overlays/kind");
    assert!(
        overlay.join("kustomization.yaml").is_file(),
        "{} is not there",
        overlay.display()
    );
    let result = Evaluated::with(&["k8s"], &[]).expect("a result");
    assert!(result.reads(&overlay), "{} is not read", overlay.display());
    assert!(result.names().next().is_some(), "nothing is deployed");
    for name in result.names() {
        let own = &result.resource(name)["DeployTarget"];
        let started = [&own["UpdateCmdSpec"]["args"], &own["ServeCmd"]["Argv"]];
        let started: Vec<&str> = started.into_iter().flat_map(words).collect();
        assert!(started.is_empty(), "{name}: {started:?}");
    }
}

#[test]
fn in_a_cluster_the_image_of_each_service_is_built_and_deployed() {
    let result = Evaluated::with(&["k8s"], &[]).expect("a result");
    let topology = topology();
    let images: BTreeMap<String, &str> = topology
        .services()
        .map(|(name, _)| (format!("ghcr.io/grimoire/{name}"), name.as_str()))
        .collect();
    let built: BTreeMap<String, &str> = result
        .images()
        .into_iter()
        .map(|(image, target)| (image.to_owned(), target))
        .collect();
    assert_eq!(built, images);
}

#[test]
fn checks_and_tests_run_when_they_are_asked_for() {
    // Tilt's TriggerModeManual: neither at the start nor on a change.
    const BY_HAND: u64 = 2;
    for name in ["check", "test"] {
        let resource = everything().resource(name);
        assert_eq!(resource["TriggerMode"], BY_HAND, "{name}");
        let command = words(&resource["DeployTarget"]["UpdateCmdSpec"]["args"]);
        assert_eq!(command, ["./dev", name]);
    }
}

#[test]
fn builds_and_tests_do_not_hold_each_other_back() {
    let parallel: BTreeMap<&str, bool> = everything()
        .names()
        .map(|name| {
            let own = &everything().resource(name)["DeployTarget"];
            (name, own["AllowParallel"] == true)
        })
        .collect();
    assert!(parallel.values().all(|parallel| *parallel), "{parallel:?}");
}

#[test]
fn nobody_is_told_how_tilt_is_used() {
    // wmclient's OptOut.
    assert_eq!(everything().value("AnalyticsOpt"), &json!(1));
}
