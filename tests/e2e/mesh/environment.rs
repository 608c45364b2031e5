//! What pods give to programs: each variable is one that the program reads, with a value that it takes, and none is missing.

use serde_json::Value;

use super::documents::{Documents, items, strings, text};
use super::overlays;
use crate::environment::{self, Given, give};

/// Read by the driver of PostgreSQL, as libpq does.
const OF_THE_DRIVER: [&str; 2] = ["PGSSLMODE", "PGSSLROOTCERT"];

#[test]
fn a_pod_gives_its_program_what_it_reads_and_all_that_it_must_have() {
    for overlay in overlays::all() {
        let documents = overlay.documents();
        let mut found = Vec::new();
        for deployment in documents.of_kind("Deployment") {
            for list in ["containers", "initContainers"] {
                for container in items(deployment, &format!("/spec/template/spec/{list}")) {
                    found.extend(complaints(documents, deployment, container));
                }
            }
        }
        assert_eq!(found, [""; 0], "{}", overlay.name);
    }
}

#[test]
fn a_variable_that_nobody_reads_and_one_that_is_missing_are_found() {
    let Some(overlay) = overlays::named("production") else {
        return;
    };
    let documents = overlay.documents();
    let deployment = documents.find("Deployment", "auth").expect("auth");
    let mut container = items(deployment, "/spec/template/spec/containers")[0].clone();
    container["env"][0]["name"] = "GRIMOIRE_LISTNE".into();
    container["env"][1]["value"] = "9101".into();
    container["envFrom"] = Value::Null;
    let found = complaints(documents, deployment, &container);
    for expected in [
        "auth: GRIMOIRE_LISTNE is read by nobody",
        "auth: KAFKA_BOOTSTRAP_SERVERS is not set",
    ] {
        assert!(found.iter().any(|one| one == expected), "{found:#?}");
    }
    let refused = found
        .iter()
        .any(|one| one.contains("an address and a port"));
    assert!(refused, "{found:#?}");
}

/// What is wrong with what a container is given.
fn complaints(documents: Documents<'_>, deployment: &Value, container: &Value) -> Vec<String> {
    let process = text(deployment, "/metadata/name");
    let task = items(container, "/args").first().and_then(Value::as_str);
    let given = given(documents, container);
    environment::complaints(process, task.unwrap_or("serve"), &given, &OF_THE_DRIVER)
}

fn given(documents: Documents<'_>, container: &Value) -> Given {
    let mut given = Given::new();
    for source in items(container, "/envFrom") {
        let name = text(source, "/configMapRef/name");
        let map = documents.find("ConfigMap", name).expect("a ConfigMap");
        given.extend(strings(&map["data"]));
    }
    for variable in items(container, "/env") {
        give(
            &mut given,
            text(variable, "/name"),
            text(variable, "/value"),
        );
    }
    given
}
