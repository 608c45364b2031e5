//! What a container gives to a program: each variable is one that the program reads, with a value that it takes, and none is missing.

use std::collections::BTreeMap;

use clap::Command;
use tests::configuration::{Variable, programs, variables};

/// Variables by name.
pub(crate) type Given = BTreeMap<String, String>;

/// Adds a variable. One that names a file gives a value of the kind that the file has.
pub(crate) fn give(given: &mut Given, name: &str, value: &str) {
    match name.strip_suffix("_FILE") {
        // The one address that is looked at before it is used.
        Some(name @ "RATE_LIMIT_URL") => {
            given.insert(name.to_owned(), "redis://:secret@limits".to_owned())
        }
        // 32 bytes in base64, which is a key, and as a secret text anything.
        Some(name) => given.insert(name.to_owned(), format!("{}=", "A".repeat(43))),
        None => given.insert(name.to_owned(), value.to_owned()),
    };
}

/// What is wrong with what a program is given for a task: `serve`, or another command of it. Somebody else reads what is `of_others`.
pub(crate) fn complaints(
    process: &str,
    task: &str,
    given: &Given,
    of_others: &[&str],
) -> Vec<String> {
    let (_, program) = programs()
        .into_iter()
        .find(|(name, _)| *name == process)
        .expect("a program of that name");
    let read = variables(program.find_subcommand(task).unwrap_or(&program));

    let mut complaints = Vec::new();
    // A program refuses a variable that no task of it reads.
    let known = variables(&program);
    for name in given.keys() {
        let known = known.iter().any(|variable| variable.name == *name);
        if !known && !of_others.contains(&name.as_str()) {
            complaints.push(format!("{process}: {name} is read by nobody"));
        }
    }
    // An empty variable is an unset one.
    let mut set = given.clone();
    set.retain(|_, value| !value.is_empty());
    for variable in &read {
        if variable.required && !set.contains_key(&variable.name) {
            complaints.push(format!("{process}: {} is not set", variable.name));
        }
        if let Some(value) = of_this_machine(variable, &set) {
            complaints.push(format!(
                "{process}: {} is `{value}`, where nobody else gets to",
                variable.name
            ));
        }
    }
    complaints.extend(refused(program, task, &read, &set));
    complaints
}

/// A value that leads to the machine itself, given or by default, where it is production, or where others should connect.
fn of_this_machine(variable: &Variable, given: &Given) -> Option<String> {
    let production = given
        .get("GRIMOIRE_ENV")
        .is_some_and(|value| value == "production");
    let value = given.get(&variable.name).or(variable.default.as_ref())?;
    let here = value.contains("127.0.0.1") || value.contains("localhost");
    (here && (production || variable.name.ends_with("_LISTEN"))).then(|| value.clone())
}

/// What the program says to its command line.
fn refused(program: Command, task: &str, read: &[Variable], given: &Given) -> Option<String> {
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
