//! What pods give to programs: each variable is one that the program reads, with a value that it takes, and none is missing.

use std::collections::BTreeMap;

use clap::Command;
use serde_json::Value;
use tests::configuration::{Variable, programs, variables};

use super::documents::{Documents, items, strings, text};
use super::overlays;

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
    let (_, program) = programs()
        .into_iter()
        .find(|(name, _)| *name == process)
        .expect("a program of that name");
    let given = given(documents, container);
    let task = items(container, "/args").first().and_then(Value::as_str);
    let task = task.unwrap_or("serve");
    let read = variables(program.find_subcommand(task).unwrap_or(&program));

    let mut complaints = Vec::new();
    // A program refuses a variable that no task of it reads.
    let known = variables(&program);
    for name in given.keys() {
        let known = known.iter().any(|variable| variable.name == *name);
        if !known && !OF_THE_DRIVER.contains(&name.as_str()) {
            complaints.push(format!("{process}: {name} is read by nobody"));
        }
    }
    for variable in &read {
        if variable.required && !given.contains_key(&variable.name) {
            complaints.push(format!("{process}: {} is not set", variable.name));
        }
        if let Some(value) = of_this_machine(variable, &given) {
            complaints.push(format!(
                "{process}: {} is `{value}`, where nobody else gets to",
                variable.name
            ));
        }
    }
    complaints.extend(refused(program, task, &read, &given));
    complaints
}

/// A value that leads to the machine itself, given or by default, where it is production, or where others should connect.
fn of_this_machine(variable: &Variable, given: &BTreeMap<String, String>) -> Option<String> {
    let production = given
        .get("GRIMOIRE_ENV")
        .is_some_and(|value| value == "production");
    let value = given.get(&variable.name).or(variable.default.as_ref())?;
    let here = value.contains("127.0.0.1") || value.contains("localhost");
    (here && (production || variable.name.ends_with("_LISTEN"))).then(|| value.clone())
}

/// What the program says to its command line.
fn refused(
    program: Command,
    task: &str,
    read: &[Variable],
    given: &BTreeMap<String, String>,
) -> Option<String> {
    let name = program.get_name().to_owned();
    let mut arguments = vec![name.clone()];
    if program.find_subcommand(task).is_some() {
        arguments.push(task.to_owned());
    }
    for variable in read {
        if let Some(value) = given.get(&variable.name) {
            arguments.push(format!("--{}={value}", variable.option));
        }
    }
    let error = program.try_get_matches_from(arguments).err()?;
    Some(format!("{name}: {error}"))
}

/// Variables of a container by name, those that are read from files with a value that each of them takes.
fn given(documents: Documents<'_>, container: &Value) -> BTreeMap<String, String> {
    let mut given = BTreeMap::new();
    for source in items(container, "/envFrom") {
        let name = text(source, "/configMapRef/name");
        let map = documents.find("ConfigMap", name).expect("a ConfigMap");
        given.extend(strings(&map["data"]));
    }
    for variable in items(container, "/env") {
        let (name, value) = (text(variable, "/name"), text(variable, "/value"));
        match name.strip_suffix("_FILE") {
            // 32 bytes in base64, which is a key, and as a secret text anything.
            Some(name) => given.insert(name.to_owned(), format!("{}=", "A".repeat(43))),
            None => given.insert(name.to_owned(), value.to_owned()),
        };
    }
    given
}
