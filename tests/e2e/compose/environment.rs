//! What containers give to programs, and what of it `.env` decides.

use std::collections::BTreeSet;

use tests::configuration::ports;

use super::files::{File, MAIN, TEST, references};
use super::topology;
use crate::configuration::example;
use crate::environment::{self, Given, give};

/// Settings that `.env` does not reach: there is no mesh, mails go into a volume, and no file of the host is mounted for TLS.
const FIXED: [&str; 6] = [
    "GRIMOIRE_ALLOW_PLAINTEXT",
    "GRIMOIRE_MAIL_DIR",
    "GRIMOIRE_MESH_IDENTITIES",
    "GRIMOIRE_TLS_LISTEN",
    "GRIMOIRE_TLS_CERT",
    "GRIMOIRE_TLS_KEY",
];

#[test]
fn a_container_gives_its_program_what_it_reads_and_all_that_it_must_have() {
    assert_eq!(complaints(&File::read(MAIN)), [""; 0]);
}

#[test]
fn a_variable_that_nobody_reads_and_one_that_is_missing_are_found() {
    let mut file = File::read(MAIN);
    let environment = file.0["services"]["auth"]["environment"].as_object_mut();
    let environment = environment.expect("variables");
    environment.remove("KAFKA_BOOTSTRAP_SERVERS");
    environment.insert("GRIMOIRE_LISTNE".to_owned(), "0.0.0.0:50051".into());
    environment.insert("GRIMOIRE_ADMIN_LISTEN".to_owned(), "9101".into());
    let found = complaints(&file);
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

fn complaints(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (_, service) in file.services() {
        let Some(process) = service.target() else {
            continue;
        };
        let mut given = Given::new();
        for (name, value) in service.environment() {
            give(&mut given, &name, &value);
        }
        complaints.extend(environment::complaints(
            process,
            service.task(),
            &given,
            &[],
        ));
    }
    complaints
}

#[test]
fn what_env_sets_reaches_each_program_that_reads_it_and_what_is_fixed_stays() {
    let file = File::read(MAIN);
    let setup = file.service("setup").written();
    for (name, process) in topology().services() {
        let written = file.service(name).written();
        for setting in process.settings.keys() {
            let setting = setting.as_str();
            // What is secret goes through a file that setup.sh writes.
            let by_file = written.contains_key(format!("{setting}_FILE").as_str());
            let from = if by_file { &setup } else { &written };
            let taken = from.get(setting).copied().unwrap_or_default();
            let named: Vec<&str> = references(taken)
                .into_iter()
                .map(|reference| reference.name)
                .collect();
            if FIXED.contains(&setting) {
                assert_eq!(named, [""; 0], "{name}: {setting}");
            } else {
                assert_eq!(named, [setting], "{name} does not get {setting} from .env");
            }
        }
        for variable in process.env.keys() {
            let value = written[variable.as_str()];
            assert!(references(value).is_empty(), "{name}: {variable} is fixed");
        }
    }
}

#[test]
fn a_copy_of_the_example_is_enough_and_nothing_else_can_be_set_but_ports() {
    let lines = example();
    let mut moved: BTreeSet<String> = ports().into_iter().map(|(name, _, _)| name).collect();
    for (name, service) in File::read(MAIN).services() {
        if !service.ports().is_empty() {
            moved.insert(format!("{}_PORT", name.to_uppercase().replace('-', "_")));
        }
    }
    for name in [MAIN, TEST] {
        let text = File::read(name).0.to_string();
        for reference in references(&text) {
            let line = lines.iter().find(|line| line.name == reference.name);
            assert!(
                line.is_some() || moved.contains(reference.name),
                "{name}: {reference:?} is in .env.example, or moves a port"
            );
            assert!(
                reference.default.is_some() || line.is_some_and(|line| line.active),
                "{name}: nothing sets {reference:?}"
            );
        }
    }
}
