//! tilt/stack.yaml, the contracts, the programs and services/ tell the same story.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use grimoire_proto::access::{self, Level};
use grimoire_proto::{descriptors, upstream};
use launcher::topology::{Kind, Topology};
use tests::stack::root;

fn topology() -> Topology {
    Topology::read(&root()).expect("tilt/stack.yaml is valid")
}

/// The process that the gateway is; it serves none of the contracts' services.
const EDGE: &str = "gateway";

#[test]
fn topics_and_their_owners_are_those_of_the_programs() {
    let written: BTreeSet<(&str, &str)> = [
        ("auth", auth::topics::ALL),
        ("user", user::topics::ALL),
        ("event-consumer", event_consumer::topics::ALL),
    ]
    .into_iter()
    .flat_map(|(owner, topics)| topics.iter().map(move |topic| (topic.name, owner)))
    .collect();
    let topology = topology();
    let listed: BTreeSet<(&str, &str)> = topology
        .topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.owner.as_str()))
        .collect();
    assert_eq!(listed, written);
    assert_eq!(
        topology.topics.len(),
        listed.len(),
        "a topic is there twice"
    );

    for (topic, owner) in [
        (event_consumer::topics::ACCOUNT, "auth"),
        (event_consumer::topics::NOTICE, "auth"),
        (event_consumer::topics::PROFILE, "user"),
    ] {
        assert!(
            listed.contains(&(topic, owner)),
            "{topic} is read and not written"
        );
    }
}

/// Who calls whom, as the contracts say: the edge whatever clients may call, and the callers of a method for processes.
fn calls() -> BTreeSet<(String, String)> {
    let mut calls = BTreeSet::new();
    for service in descriptors().services() {
        let served_by = upstream::of(&service)
            .unwrap_or_else(|| panic!("nothing says who serves {}", service.full_name()));
        for method in service.methods() {
            let access = access::of(&method).expect("an access option");
            let callers = match access.level() {
                Level::Mesh => access.callers,
                _ => vec![EDGE.to_owned()],
            };
            calls.extend(
                callers
                    .into_iter()
                    .map(|caller| (caller, served_by.clone())),
            );
        }
    }
    calls
}

#[test]
fn a_process_calls_those_services_that_the_contracts_let_it_call() {
    let topology = topology();
    let mut listed = BTreeSet::new();
    for (name, process) in topology.services() {
        for other in &process.calls {
            if topology.process(other).expect("a process").kind == Kind::Service {
                listed.insert((name.clone(), other.clone()));
            }
        }
    }
    assert_eq!(listed, calls());
}

#[test]
fn the_edge_is_told_where_each_service_of_the_contracts_is() {
    let topology = topology();
    let upstreams = &topology.processes[EDGE].env["GRIMOIRE_UPSTREAMS"];
    let told: BTreeMap<&str, &str> = upstreams
        .split(',')
        .filter_map(|entry| entry.split_once('='))
        .collect();
    let served: BTreeSet<String> = descriptors()
        .services()
        .filter_map(|service| upstream::of(&service))
        .collect();
    assert_eq!(
        told.keys()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>(),
        served
    );
    for (name, url) in told {
        assert_eq!(url, format!("http://127.0.0.1:${{{name}.port}}"));
    }
}

#[test]
fn a_process_calls_the_engines_that_its_variables_lead_to() {
    let topology = topology();
    for (name, process) in topology.services() {
        for (engine, used) in [
            ("postgres", process.database.is_some()),
            ("kafka", process.names_variable("KAFKA_BOOTSTRAP_SERVERS")),
        ] {
            let listed = process.calls.iter().any(|other| other == engine);
            assert_eq!(listed, used, "{name} and {engine}");
        }
    }
}

#[test]
fn an_account_is_erased_when_each_service_with_a_database_has_erased_it() {
    let topology = topology();
    let keep_data: BTreeSet<&str> = topology
        .databases()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(keep_data, BTreeSet::from(auth::ERASING_SERVICES));
}

#[test]
fn services_readme_lists_the_deployables_of_the_topology_and_the_other_folders_as_parts() {
    let text = fs::read_to_string(root().join("services/README.md")).expect("services/README.md");
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let folder = cells[0].trim_matches('`').trim_end_matches('/');
        let kind = cells.last().expect("a kind");
        listed.insert(folder.to_owned(), (*kind).to_owned());
    }
    let topology = topology();
    let deployables: BTreeSet<&str> = topology
        .services()
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != EDGE)
        .collect();
    let folders = fs::read_dir(root().join("services")).expect("services/");
    let expected: BTreeMap<String, String> = folders
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a name"))
        .map(|name| {
            let kind = if deployables.contains(name.as_str()) {
                "deployable"
            } else {
                "part"
            };
            (name, kind.to_owned())
        })
        .collect();
    assert_eq!(listed, expected);
    for deployable in deployables {
        assert!(
            expected.contains_key(deployable),
            "services/{deployable} is missing"
        );
    }
}

#[test]
fn prometheus_scrapes_the_admin_port_of_each_service_under_its_name() {
    let path = root().join("observability/prometheus/prometheus.yaml");
    let text = fs::read_to_string(path).expect("prometheus.yaml");
    let values = |key: &'static str| {
        text.lines()
            .filter_map(move |line| line.trim().strip_prefix(key))
    };
    let scraped: BTreeSet<(String, String)> = values("- job_name: ")
        .map(str::to_owned)
        .zip(values("- targets: ").map(str::to_owned))
        .collect();
    let topology = topology();
    let served: BTreeSet<(String, String)> = topology
        .services()
        .map(|(name, process)| {
            let port = process.admin_port.expect("an admin port");
            (name.clone(), format!("[\"127.0.0.1:{port}\"]"))
        })
        .collect();
    assert_eq!(scraped, served);
}
