//! What can be clicked does something that ./dev can do.

use std::collections::BTreeSet;
use std::process::Command;

use clap::Parser as _;
use event_consumer::config::Command as EventConsumer;
use serde_json::Value;

use super::evaluation::{everything, words};
use super::topology;

#[test]
fn a_button_starts_one_command_at_a_resource_that_is_there() {
    let buttons: BTreeSet<&String> = everything()
        .objects("uibuttons")
        .map(|(name, _)| name)
        .collect();
    let mut started = BTreeSet::new();
    for (name, command) in everything().objects("cmds") {
        let by = words(&command["spec"]["startOn"]["uiButtons"]);
        let [button] = by[..] else {
            panic!("{name} is started by {by:?}")
        };
        assert!(started.insert(button.to_owned()), "{button} starts two");
        let log = command["metadata"]["annotations"]["tilt.dev/resource"].as_str();
        let log = log.expect("a place for what it says");
        assert!(
            log == "(Tiltfile)" || everything().names().any(|name| name == log),
            "{name} writes to {log}"
        );
    }
    assert_eq!(started.iter().collect::<BTreeSet<_>>(), buttons);

    for (name, button) in everything().objects("uibuttons") {
        let place = &button["spec"]["location"];
        let id = place["componentID"].as_str().expect("a place");
        match place["componentType"].as_str() {
            Some("Global") => assert_eq!(id, "nav", "{name}"),
            _ => {
                everything().resource(id);
            }
        }
    }
}

#[test]
fn every_process_can_be_killed_and_frozen_and_people_be_made() {
    let buttons: BTreeSet<&str> = everything()
        .objects("uibuttons")
        .map(|(name, _)| name.as_str())
        .collect();
    let topology = topology();
    // A setup ends by itself.
    for (name, _) in topology
        .processes
        .iter()
        .filter(|(_, process)| process.port.is_some())
    {
        for fault in ["kill", "stop", "cont"] {
            let button = format!("{name}-{fault}");
            assert!(buttons.contains(button.as_str()), "there is no {button}");
        }
    }
    for button in [
        "user", "token", "mail", "seed", "load", "parked", "retry", "reset",
    ] {
        assert!(buttons.contains(button), "there is no {button}");
    }
    let (_, reset) = everything()
        .objects("uibuttons")
        .find(|(name, _)| *name == "reset")
        .expect("it is there");
    assert_eq!(reset["spec"]["requiresConfirmation"], true);
}

#[test]
fn the_variables_of_a_command_are_the_inputs_of_its_button() {
    for (name, button) in everything().objects("uibuttons") {
        let inputs = button["spec"]["inputs"].as_array().into_iter().flatten();
        let inputs: BTreeSet<&str> = inputs.filter_map(|input| input["name"].as_str()).collect();
        let script = script_of(name);
        let variables: BTreeSet<&str> = script
            .split('$')
            .skip(1)
            .map(|rest| {
                rest.split(|letter: char| !letter.is_ascii_uppercase())
                    .next()
            })
            .map(|variable| variable.unwrap_or_default())
            .collect();
        assert_eq!(variables, inputs, "{name}: {script}");
    }
}

#[test]
fn a_command_is_one_that_the_launcher_knows() {
    let mut commands: Vec<Vec<String>> = Vec::new();
    for (name, button) in everything().objects("uibuttons") {
        let script = ticked(script_of(name), button);
        for command in script.split(['&', ';', '{', '}']) {
            let words = command.split_whitespace();
            let words = words.map(|word| word.trim_matches('"').to_owned());
            commands.push(words.collect());
        }
    }
    for name in everything().names() {
        let own = &everything().resource(name)["DeployTarget"];
        for command in [&own["UpdateCmdSpec"]["args"], &own["ServeCmd"]["Argv"]] {
            let command = words(command).into_iter().map(str::to_owned);
            commands.push(command.collect());
        }
    }
    for command in commands.iter().filter(|command| !command.is_empty()) {
        check(command);
    }
}

/// The script with every option that can be ticked.
fn ticked(script: &str, button: &Value) -> String {
    let inputs = button["spec"]["inputs"].as_array().into_iter().flatten();
    inputs.fold(script.to_owned(), |script, input| {
        let (name, option) = (&input["name"], &input["bool"]["trueString"]);
        match (name.as_str(), option.as_str()) {
            (Some(name), Some(option)) => script.replace(&format!("${name}"), option),
            _ => script,
        }
    })
}

fn check(command: &[String]) {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words[..] {
        ["./dev", "--no-build", ref rest @ ..] | ["./dev", ref rest @ ..] => dev(rest),
        // Tilt's own: starts a resource again.
        ["tilt", "trigger", name] => {
            everything().resource(name);
        }
        _ => panic!("{command:?} is no command of ./dev"),
    }
}

/// A command with its arguments, without `./dev`.
fn dev(words: &[&str]) {
    let [command, arguments @ ..] = words else {
        panic!("./dev without a command")
    };
    let help = help(command);
    match (*command, arguments) {
        ("exec", [name, arguments @ ..]) => {
            assert_eq!(*name, "event-consumer");
            let (verb, rest) = arguments.split_at(2);
            let database: &[&str] = &["--database-url", "postgres://x"];
            let program: [&[&str]; 4] = [&[*name], verb, database, rest];
            EventConsumer::try_parse_from(program.concat())
                .unwrap_or_else(|error| panic!("{words:?}: {error}"));
            return;
        }
        ("run" | "build" | "kill", [name, ..]) => {
            topology().process(name).expect("a process");
        }
        _ => {}
    }
    for option in arguments.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "{words:?}: {help}");
    }
}

/// What the launcher says of a command.
fn help(command: &str) -> String {
    // The tests are in target/debug/deps, and the launcher, which has built them, above that.
    let own = std::env::current_exe().expect("this program");
    let folder = own.ancestors().nth(2).expect("a folder");
    let output = Command::new(folder.join("launcher"))
        .args(["--no-build", command, "--help"])
        .output()
        .expect("the launcher is built");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "./dev {command}: {said}");
    said
}

/// What a button runs in a shell.
fn script_of(button: &str) -> &'static str {
    let started_by = |command: &Value| words(&command["spec"]["startOn"]["uiButtons"]) == [button];
    let (_, command) = everything()
        .objects("cmds")
        .find(|&(_, command)| started_by(command))
        .unwrap_or_else(|| panic!("{button} starts nothing"));
    let ["sh", "-c", script] = words(&command["spec"]["args"])[..] else {
        panic!("{button} runs no script")
    };
    script
}
