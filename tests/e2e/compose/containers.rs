//! Which containers there are, where they listen, when they start and whom they call.

use std::collections::{BTreeMap, BTreeSet};

use launcher::topology::Kind;

use super::files::{File, MAIN};
use super::{migration, topology};

#[test]
fn each_service_is_a_container_of_its_own_image_and_so_are_its_migrations() {
    let mut expected = BTreeMap::new();
    for (name, process) in topology().services() {
        let image = format!("ghcr.io/grimoire/{name}:dev");
        if process.database.is_some() {
            let made_of = (image.clone(), name.clone(), "migrate".to_owned());
            expected.insert(migration(name), made_of);
        }
        expected.insert(name.clone(), (image, name.clone(), "serve".to_owned()));
    }
    let file = File::read(MAIN);
    let mut built = BTreeMap::new();
    for (name, service) in file.services() {
        if let Some(target) = service.target() {
            let (image, task) = (service.image().to_owned(), service.task().to_owned());
            built.insert(name.to_owned(), (image, target.to_owned(), task));
        }
    }
    assert_eq!(built, expected);
}

#[test]
fn a_container_listens_on_the_ports_of_the_topology() {
    let file = File::read(MAIN);
    for (name, process) in topology().services() {
        let environment = file.service(name).environment();
        for (variable, port) in [
            ("GRIMOIRE_LISTEN", process.port),
            ("GRIMOIRE_ADMIN_LISTEN", process.admin_port),
        ] {
            let port = port.expect("a service has both");
            assert_eq!(environment[variable], format!("0.0.0.0:{port}"), "{name}");
        }
    }
}

#[test]
fn the_gateway_and_pages_are_published_to_this_machine_and_nothing_else_is() {
    let file = File::read(MAIN);
    let mut published = BTreeSet::new();
    for (name, service) in file.services() {
        for port in service.ports() {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            published.insert(name);
        }
    }
    let expected = ["gateway", "grafana", "kafka-ui", "kibana", "prometheus"];
    assert_eq!(published, BTreeSet::from(expected));
    let port = topology().processes["gateway"].port.expect("a port");
    let ports = file.service("gateway").ports();
    assert_eq!(ports, [format!("127.0.0.1:{port}:{port}")]);
}

#[test]
fn a_container_starts_after_what_its_process_needs() {
    const DONE: &str = "service_completed_successfully";
    let (file, topology) = (File::read(MAIN), topology());
    for (name, process) in topology.services() {
        let mut expected = BTreeMap::new();
        for need in &process.needs {
            match topology.kind_of(need) {
                Some(Kind::Setup) => expected.insert(migration(name), DONE.to_owned()),
                _ => expected.insert(need.clone(), "service_started".to_owned()),
            };
        }
        assert_eq!(file.service(name).waits_for(), expected, "{name}");
        if process.database.is_some() {
            let waits_for = file.service(&migration(name)).waits_for();
            let expected = BTreeMap::from([("setup".to_owned(), DONE.to_owned())]);
            assert_eq!(waits_for, expected, "migrations of {name}");
        }
    }
    let needs = topology.processes["setup"].needs.iter();
    let expected: BTreeMap<String, String> = needs
        .map(|need| (need.clone(), "service_healthy".to_owned()))
        .collect();
    assert_eq!(file.service("setup").waits_for(), expected);
}

#[test]
fn a_container_is_told_where_those_are_whom_its_process_calls_and_nobody_else() {
    let (file, topology) = (File::read(MAIN), topology());
    let containers: BTreeSet<&str> = file.services().map(|(name, _)| name).collect();
    for (name, process) in topology.services() {
        let environment = file.service(name).environment();
        let mut called = BTreeSet::new();
        for (host, port) in environment.values().flat_map(|value| places(value)) {
            if !containers.contains(host) {
                continue;
            }
            called.insert(host);
            // Engines have the ports of their images.
            let expected = match topology.kind_of(host) {
                Some(Kind::Service) => topology.processes[host].port,
                _ => None,
            };
            if let Some(expected) = expected {
                assert_eq!(port, expected.to_string(), "{name} calls {host}");
            }
        }
        // Traces go there, which the topology leaves out.
        assert!(called.remove("collector"), "{name} sends no traces");
        // So it does a store of limits, which one gateway of ./dev has no use for.
        assert_eq!(called.remove("limits"), name == "gateway", "{name}");
        // setup.sh writes the address into a file.
        if let Some(database) = &process.database {
            let file = format!("{}_FILE", database.variable);
            assert!(environment.contains_key(&file), "{name} lacks {file}");
            called.insert("postgres");
        }
        let expected: BTreeSet<&str> = process.calls.iter().map(String::as_str).collect();
        assert_eq!(called, expected, "{name}");
    }
}

/// Every HOST:PORT in a value.
fn places(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value
        .split([',', '=', '/'])
        .filter_map(|part| part.split_once(':'))
}
