//! What watches the containers, and what docker-compose.test.yml runs beside them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{text, topology, yaml};

#[test]
fn prometheus_scrapes_the_admin_port_of_each_container_under_the_name_of_its_process() {
    let own = yaml("compose/prometheus.yaml");
    let scraped: BTreeMap<&str, Value> = own["scrape_configs"]
        .as_array()
        .expect("jobs")
        .iter()
        .map(|job| {
            let name = job["job_name"].as_str().expect("a name");
            (name, job["static_configs"][0]["targets"].clone())
        })
        .collect();
    let topology = topology();
    let mut expected: BTreeMap<&str, Value> = topology
        .services()
        .map(|(name, process)| {
            let port = process.admin_port.expect("an admin port");
            (name.as_str(), json!([format!("{name}:{port}")]))
        })
        .collect();
    expected.insert("collector", json!(["collector:8889"]));
    assert_eq!(scraped, expected);

    let beside_dev = yaml("observability/prometheus/prometheus.yaml");
    for part in ["global", "rule_files"] {
        assert_eq!(own[part], beside_dev[part], "{part}");
    }
}

#[test]
fn lines_of_our_programs_are_taken_apart_as_in_a_cluster() {
    let operators = |path: &str| {
        let file = yaml(path);
        let operators = file["receivers"]["file_log"]["operators"].as_array();
        operators.expect("operators").clone()
    };
    let (own, cluster) = (
        operators("compose/logs.yaml"),
        operators("observability/collector/logs-elasticsearch.yaml"),
    );
    // The first takes away what Docker, or Kubernetes, has put around a line.
    assert_eq!(own[0]["type"], "container");
    assert_eq!(own[1..], cluster[1..]);
}

#[test]
fn the_collector_is_of_the_version_that_our_configurations_are_tried_with() {
    let modules = text("observability/collector/program/go.mod");
    let version = modules
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("go.opentelemetry.io/collector/otelcol v")
        })
        .expect("a collector");
    let compose = text("docker-compose.yml");
    let images: BTreeSet<&str> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("image: otel/"))
        .collect();
    let image = format!("opentelemetry-collector-contrib:{version}");
    assert_eq!(images, BTreeSet::from([image.as_str()]));
    let program = text("observability/collector/program/main.go");
    assert!(program.contains(&format!("Version: \"{version}\"")));
}

#[test]
fn tests_beside_the_containers_ask_each_for_readiness_and_run_what_needs_engines() {
    let script = text("compose/tests.sh");
    let asked: BTreeSet<String> = script
        .lines()
        .find_map(|line| line.strip_prefix("for admin in ")?.strip_suffix("; do"))
        .expect("a loop")
        .split(' ')
        .map(str::to_owned)
        .collect();
    let topology = topology();
    let expected: BTreeSet<String> = topology
        .services()
        .map(|(name, process)| format!("{name}:{}", process.admin_port.expect("an admin port")))
        .collect();
    assert_eq!(asked, expected);

    let tested: BTreeSet<&str> = script
        .lines()
        .find_map(|line| line.strip_prefix("cargo test --locked --package "))
        .expect("crates")
        .split(" --package ")
        .collect();
    let services = std::fs::read_dir(tests::stack::root().join("services")).expect("services/");
    let names: Vec<String> = services
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name"))
        .collect();
    let with_engines: BTreeSet<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !name.ends_with(".md"))
        .filter(|name| text(&format!("services/{name}/Cargo.toml")).contains("\ntestkit."))
        .collect();
    assert_eq!(tested, with_engines);
}
