//! Programs, topology, reference and example name the same variables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use launcher::Ports;
use launcher::instance::Instance;
use launcher::layout::Layout;
use launcher::topology::Topology;
use tests::configuration::{programs, reference, variables};
use tests::stack::root;

/// A line of .env.example, commented out or not.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) active: bool,
    /// The line above says something.
    explained: bool,
}

pub(super) fn example() -> Vec<Line> {
    let text = fs::read_to_string(root().join(".env.example")).expect(".env.example");
    let mut above = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with(|first: char| first.is_ascii_uppercase()) {
            let (name, value) = bare.split_once('=').expect("NAME=VALUE");
            lines.push(Line {
                name: name.to_owned(),
                value: value.trim_matches('"').to_owned(),
                active: bare == line,
                explained: above.starts_with("# "),
            });
        }
        above = line;
    }
    lines
}

fn names<T: IntoIterator<Item = String>>(names: T) -> BTreeSet<String> {
    names.into_iter().collect()
}

#[test]
fn the_reference_is_what_the_programs_say() {
    let path = root().join("docs/configuration.md");
    let rendered = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, rendered).expect("docs/ can be written");
        return;
    }
    assert!(
        fs::read_to_string(&path).expect("docs/configuration.md") == rendered,
        "docs/configuration.md is not what the programs say: renew it by ./dev prepare"
    );
}

#[test]
fn a_variable_of_a_program_is_in_its_entry_of_the_topology_and_nothing_else_is() {
    let topology = Topology::read(&root()).expect("a topology");
    assert_eq!(
        names(topology.services().map(|(name, _)| name.clone())),
        names(programs().iter().map(|(name, _)| (*name).to_owned()))
    );
    for (name, command) in programs() {
        let process = topology.process(name).expect("a process");
        let given = process.env.keys().chain(process.settings.keys()).cloned();
        let read = variables(&command)
            .into_iter()
            .map(|variable| variable.name);
        assert_eq!(names(given), names(read), "{name}");
    }
}

#[test]
fn programs_that_read_the_same_variable_have_the_same_default() {
    let mut defaults: BTreeMap<String, (&str, Option<String>)> = BTreeMap::new();
    for (program, command) in programs() {
        for variable in variables(&command) {
            // Each serves on a port of its own.
            if variable.name == "GRIMOIRE_LISTEN" {
                continue;
            }
            let name = variable.name;
            let (other, default) = defaults
                .entry(name.clone())
                .or_insert((program, variable.default.clone()));
            assert_eq!(
                *default, variable.default,
                "{name} of {other} and of {program}"
            );
        }
    }
}

#[test]
fn the_example_has_every_variable_once_with_a_comment_and_nothing_else() {
    let lines = example();
    let read = programs()
        .into_iter()
        .flat_map(|(_, command)| variables(&command))
        .map(|variable| variable.name);
    assert_eq!(
        names(lines.iter().map(|line| line.name.clone())),
        names(read)
    );
    let mut seen = BTreeSet::new();
    for line in &lines {
        assert!(seen.insert(&line.name), "{} is there twice", line.name);
        assert!(line.explained, "{} has no comment above it", line.name);
    }
}

#[test]
fn each_value_of_the_example_is_one_that_its_programs_take() {
    // 32 bytes in base64: the example has no secret.
    let key = format!("{}=", "A".repeat(43));
    for (program, command) in programs() {
        let mut arguments = vec![program.to_owned()];
        if command.find_subcommand("serve").is_some() {
            arguments.push("serve".to_owned());
        }
        for variable in variables(&command) {
            let line = example()
                .into_iter()
                .find(|line| line.name == variable.name)
                .expect("a line");
            let value = if line.value.is_empty() {
                &key
            } else {
                &line.value
            };
            arguments.push(format!("--{}={value}", variable.option));
        }
        if let Err(error) = command.try_get_matches_from(arguments) {
            panic!("{program}: {error}");
        }
    }
}

#[test]
fn what_is_not_commented_out_in_the_example_says_what_holds_without_it() {
    let active: BTreeMap<String, String> = example()
        .into_iter()
        .filter(|line| line.active)
        .map(|line| (line.name, line.value))
        .collect();
    for (program, command) in programs() {
        for variable in variables(&command) {
            if let (Some(value), Some(default)) = (active.get(&variable.name), &variable.default) {
                assert_eq!(value, default, "{} of {program}", variable.name);
            }
        }
    }
    // The launcher takes it, and starts all of its own engines.
    let dev = root().join(".dev/test/example");
    let instance = Instance::new(Layout::at(&root(), &dev), Ports::Topology, &active)
        .unwrap_or_else(|error| panic!("{error:#}"));
    for engine in ["postgres", "kafka"] {
        assert!(!instance.is_given(engine), "{engine}");
    }
}
