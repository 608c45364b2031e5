//! Every variable there is: what the four programs read, as their command lines tell it, and what moves a port.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};
use launcher::topology::Topology;

use crate::stack::root;

/// A variable as one program reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    /// Its option on the command line, without the hyphens.
    pub option: String,
    pub meaning: String,
    pub default: Option<String>,
    pub required: bool,
}

/// The programs by their names in the topology, with their command lines.
pub fn programs() -> Vec<(&'static str, Command)> {
    vec![
        ("gateway", gateway::Config::command()),
        ("auth", auth::Command::command()),
        ("user", user::config::Command::command()),
        ("event-consumer", event_consumer::config::Command::command()),
    ]
}

/// The variables that a command and its subcommands read, each once.
pub fn variables(command: &Command) -> Vec<Variable> {
    let own = command.get_arguments().filter_map(Variable::of);
    let below = command.get_subcommands().flat_map(variables);
    let mut seen = BTreeSet::new();
    own.chain(below)
        .filter(|variable| seen.insert(variable.name.clone()))
        .collect()
}

/// docs/configuration.md.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    let all = by_name();
    let mut readers: Vec<Vec<&str>> = Vec::new();
    for (_, read) in &all {
        let programs = programs_of(read);
        if !readers.contains(&programs) {
            readers.push(programs);
        }
    }
    readers.sort_by_key(|programs| std::cmp::Reverse(programs.len()));
    for programs in readers {
        let title = match programs.len() {
            4 => "Every process".to_owned(),
            _ => listed(&programs),
        };
        let _ = write!(text, "\n## {title}\n{HEAD}");
        for (_, read) in all.iter().filter(|(_, read)| programs_of(read) == programs) {
            rows(&mut text, read);
        }
    }
    text.push_str(PORTS);
    for (variable, port, process) in ports() {
        let _ = writeln!(text, "| `{variable}` | {port} | {process} |");
    }
    text.push_str(TOOLS);
    text
}

/// The variables that move a port: name, usual port, whose.
pub fn ports() -> Vec<(String, u16, String)> {
    let topology = Topology::read(&root()).expect("tilt/stack.yaml is valid");
    let mut ports = Vec::new();
    for (name, process) in &topology.processes {
        let prefix = name.to_uppercase().replace('-', "_");
        for (kind, whose, port) in [
            ("PORT", "", process.port),
            ("ADMIN_PORT", ": admin", process.admin_port),
            ("CONTROLLER_PORT", ": controller", process.controller_port),
        ] {
            if let Some(port) = port {
                ports.push((format!("{prefix}_{kind}"), port, format!("{name}{whose}")));
            }
        }
    }
    ports
}

impl Variable {
    fn of(argument: &Arg) -> Option<Self> {
        let name = argument.get_env()?.to_str()?.to_owned();
        let mut meaning = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let values = argument.get_possible_values();
        let choices: Vec<String> = values
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !choices.is_empty() {
            let _ = write!(meaning, " ({})", choices.join(" or "));
        }
        let defaults: Vec<String> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        Some(Self {
            name,
            option: argument.get_long()?.to_owned(),
            meaning,
            default: (!defaults.is_empty()).then(|| defaults.join(",")),
            required: argument.is_required_set(),
        })
    }
}

type Read = Vec<(&'static str, Variable)>;

/// Each variable with the programs that read it, in the order in which they name it.
fn by_name() -> Vec<(String, Read)> {
    let mut all: Vec<(String, Read)> = Vec::new();
    for (program, command) in programs() {
        for variable in variables(&command) {
            match all.iter_mut().find(|(name, _)| *name == variable.name) {
                Some((_, read)) => read.push((program, variable)),
                None => all.push((variable.name.clone(), vec![(program, variable)])),
            }
        }
    }
    all
}

fn programs_of(read: &Read) -> Vec<&'static str> {
    read.iter().map(|(program, _)| *program).collect()
}

/// One row, or one for each way in which programs read the variable.
fn rows(text: &mut String, read: &Read) {
    let mut ways: Vec<(Vec<&str>, &Variable)> = Vec::new();
    for (program, variable) in read {
        match ways.iter_mut().find(|(_, way)| *way == variable) {
            Some((programs, _)) => programs.push(program),
            None => ways.push((vec![program], variable)),
        }
    }
    let differ = ways.len() > 1;
    for (programs, variable) in ways {
        let default = match (&variable.default, variable.required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "must be set".to_owned(),
            (None, false) => "unset".to_owned(),
        };
        let whose = if differ {
            format!("{}: ", listed(&programs))
        } else {
            String::new()
        };
        let meaning = variable.meaning.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {default} | {whose}{meaning} |",
            variable.name
        );
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

const HEAD: &str = "| variable | default | meaning |\n| --- | --- | --- |\n";

const INTRODUCTION: &str = "\
# Configuration

Every process is configured by environment variables, or by the options of the same meaning that `PROGRAM serve --help` (`gateway --help`) lists. This page is
made from the programs: `./dev prepare` renews it, and a test compares.

- Any variable `NAME` can be given as `NAME_FILE`, the path of a file with the value; both at once is an error. An empty variable is an unset one.
- A variable that begins with `GRIMOIRE_` and that the process does not read is an error, with the nearest name that it reads.
- What is missing, unknown or unreadable is said at once, without repeating secrets, and the exit code is 2. What only a start can find ends it with 1.
- `GRIMOIRE_ENV=production` refuses values that are for development only.
- `./dev` gives each process what its entry in [tilt/stack.yaml](../tilt/stack.yaml) names and nothing else. What stands there under `settings` is taken from
  your environment where you set it; what stands under `env` is fixed. A `GRIMOIRE_` variable that no entry takes ends `./dev up` with an error.
- `docker compose` reads `.env`, a copy of .env.example; nothing else does ([compose/](../compose/README.md)).

[.env.example](../.env.example) has every variable with a value for development.
";

const PORTS: &str = "
## Ports of `./dev`
Read by the launcher. All are ports of 127.0.0.1; one that is taken ends the start with the name of its owner. The controller of Kafka goes
along when only `KAFKA_PORT` is moved.

| variable | default | port of |
| --- | --- | --- |
";

const TOOLS: &str = "
## Engines and tools of `./dev`
- `KAFKA_BOOTSTRAP_SERVERS` names a Kafka of yours: no private one is started. `./dev up` ends with an error when it does not answer within 30 s.
- `AUTH_DATABASE_URL`, `USER_DATABASE_URL` and `EVENTS_DATABASE_URL` name databases of yours: no private PostgreSQL is started. One or two of the three are
  an error.
- `PROMETHEUS_PORT` (9090), `COLLECTOR_PORT` (4317), `COLLECTOR_ADMIN_PORT` (8889), `JAEGER_PORT` (16686) and `JAEGER_ADMIN_PORT` (14317) move what
  `./dev up --observe` starts.
- `PG_BIN` is the folder of PostgreSQL's programs, where they are not found by themselves; `JAVA_HOME` the Java runtime; `CARGO_TARGET_DIR` the
  folder of compiled programs, `target` by default.
";
