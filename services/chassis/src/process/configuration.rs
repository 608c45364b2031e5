//! Reading the configuration: variables, files that hold their values, and everything that is wrong with them at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Command, Parser};

use super::explain::explain;

/// Where our own variables begin; one that nobody reads is a typing error.
const PREFIX: &str = "GRIMOIRE_";
/// The subcommand that is meant when none is given.
const SERVE: &str = "serve";

/// Reads the configuration from arguments and environment, or says everything that is wrong with it and exits with code 2.
///
/// - Each variable NAME can be given as NAME_FILE, a file with the value; both is an error. An empty variable is an unset one.
/// - A variable that begins with `GRIMOIRE_` and that nothing reads is an error.
/// - A command with a subcommand `serve` runs that one when none is given.
///
/// Call it first: it writes to the environment, which is sound only while the process has one thread.
pub fn configuration<C: Parser>() -> C {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let Resolved {
        changes,
        mut problems,
    } = resolve(&C::command(), &environment);
    write_to_environment(changes);

    // Made anew: a command takes its variables when it is made.
    let command = quiet(C::command());
    let arguments = with_subcommand(&command, std::env::args_os().collect());
    match command
        .clone()
        .try_get_matches_from(arguments)
        .and_then(|matches| C::from_arg_matches(&matches))
    {
        Ok(configuration) if problems.is_empty() => return configuration,
        Ok(_) => {}
        Err(error) => match explain(&error, &command) {
            Some(explained) => problems.extend(explained),
            None if error.use_stderr() && !problems.is_empty() => problems.push(error.to_string()),
            None => error.exit(),
        },
    }
    for problem in problems {
        eprintln!("error: {problem}");
    }
    eprintln!("`{} --help` lists every variable.", command.get_name());
    std::process::exit(2);
}

/// clap reads a value only from arguments or the environment: as a default value it would be checked by clap's debug assertions,
/// which panic.
#[allow(unsafe_code)]
fn write_to_environment(changes: Vec<(String, Option<String>)>) {
    for (name, value) in changes {
        // SAFETY: `configuration` is called first, while the process has one thread.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }
}

/// Reads a number of seconds, with a fraction or without.
pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a number of seconds, such as 5 or 0.5".to_owned())
}

/// Reads an address to listen on.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an address and a port, such as 127.0.0.1:9100 or 0.0.0.0:9100".to_owned())
}

#[derive(Default)]
struct Resolved {
    /// What must change in the environment: a value, or none to unset.
    changes: Vec<(String, Option<String>)>,
    problems: Vec<String>,
}

fn resolve(command: &Command, environment: &BTreeMap<String, String>) -> Resolved {
    let known = variables(command);
    let mut resolved = Resolved::default();
    for name in &known {
        let file_name = format!("{name}_FILE");
        let value = environment.get(name).filter(|value| !value.is_empty());
        let file = environment.get(&file_name).filter(|path| !path.is_empty());
        match (value, file) {
            (Some(_), Some(_)) => resolved.problems.push(format!(
                "{name} and {file_name} are both set: keep one of them"
            )),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(content) => resolved
                    .changes
                    .push((name.clone(), Some(content.trim().to_owned()))),
                Err(error) => resolved
                    .problems
                    .push(format!("{file_name}: cannot read {path}: {error}")),
            },
            (None, None) if environment.contains_key(name) => {
                resolved.changes.push((name.clone(), None))
            }
            _ => {}
        }
    }
    for name in environment.keys().filter(|name| name.starts_with(PREFIX)) {
        let plain = name.strip_suffix("_FILE").unwrap_or(name);
        if !known.iter().any(|known| known == name || known == plain) {
            resolved.problems.push(unknown(name, &known));
        }
    }
    resolved
}

/// The variables that `command` and its subcommands read, sorted.
fn variables(command: &Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()));
    let mut variables: Vec<String> = own
        .chain(command.get_subcommands().flat_map(variables))
        .collect();
    variables.sort();
    variables.dedup();
    variables
}

fn unknown(name: &str, known: &[String]) -> String {
    let nearest = known.iter().min_by_key(|known| distance(name, known));
    match nearest {
        Some(nearest) => {
            format!("{name} is not a variable of this program: the nearest one is {nearest}")
        }
        None => format!("{name} is not a variable of this program: it has none"),
    }
}

/// Levenshtein's distance: how many letters differ.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// Values of variables stay out of `--help`, where secrets would be seen; a flag can be set by `1` as well as by `true`.
fn quiet(command: Command) -> Command {
    command
        .mut_args(|argument| {
            let argument = argument.hide_env_values(true);
            if matches!(argument.get_action(), ArgAction::SetTrue) {
                argument.value_parser(clap::builder::BoolishValueParser::new())
            } else {
                argument
            }
        })
        .mut_subcommands(quiet)
}

fn with_subcommand(command: &Command, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let first = arguments
        .get(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    let about_all = ["-h", "--help", "-V", "--version"];
    let none =
        first.is_none_or(|first| first.starts_with('-') && !about_all.contains(&first.as_str()));
    if none && command.find_subcommand(SERVE).is_some() {
        arguments.insert(arguments.len().min(1), OsString::from(SERVE));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::process::Secret;

    /// A program of this test.
    #[allow(dead_code)] // only its arguments are looked at
    #[derive(Debug, clap::Parser)]
    enum Program {
        /// Serves.
        Serve(Serve),
        /// Migrates.
        Migrate {
            /// Address of the database
            #[arg(long, env = "TEST_DATABASE_URL")]
            database_url: Secret,
        },
    }

    #[allow(dead_code)]
    #[derive(Debug, clap::Args)]
    struct Serve {
        /// Where to listen
        #[arg(long, env = "GRIMOIRE_TEST_LISTEN", value_parser = address)]
        listen: SocketAddr,
        /// How long
        #[arg(long, env = "GRIMOIRE_TEST_DELAY", default_value = "0", value_parser = seconds)]
        delay: Duration,
        /// Whether
        #[arg(long, env = "GRIMOIRE_TEST_LOUD")]
        loud: bool,
        /// Key
        #[arg(long, env = "GRIMOIRE_TEST_SEAL")]
        seal: Option<Secret>,
    }

    fn resolved(environment: &[(&str, &str)]) -> Resolved {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        resolve(&Program::command(), &environment)
    }

    #[test]
    fn a_variable_can_be_read_from_a_file() {
        let path = std::env::temp_dir().join(format!("chassis-{}", uuid::Uuid::now_v7()));
        std::fs::write(&path, "postgres://somewhere\n").unwrap();
        let resolved = resolved(&[("TEST_DATABASE_URL_FILE", path.to_str().unwrap())]);
        std::fs::remove_file(path).unwrap();
        assert_eq!(
            resolved.changes,
            [(
                "TEST_DATABASE_URL".to_owned(),
                Some("postgres://somewhere".to_owned())
            )]
        );
        assert_eq!(resolved.problems, Vec::<String>::new());
    }

    #[test]
    fn a_variable_beside_its_file_is_refused() {
        let resolved = resolved(&[("TEST_DATABASE_URL", "a"), ("TEST_DATABASE_URL_FILE", "/b")]);
        assert_eq!(
            resolved.problems,
            ["TEST_DATABASE_URL and TEST_DATABASE_URL_FILE are both set: keep one of them"]
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named_with_its_variable() {
        let resolved = resolved(&[("TEST_DATABASE_URL_FILE", "/nowhere/url")]);
        assert!(
            resolved.problems[0].starts_with("TEST_DATABASE_URL_FILE: cannot read /nowhere/url: ")
        );
    }

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        assert_eq!(
            resolved(&[("GRIMOIRE_TEST_LISTEN", "")]).changes,
            [("GRIMOIRE_TEST_LISTEN".to_owned(), None)]
        );
    }

    #[test]
    fn a_variable_of_ours_that_nothing_reads_is_refused_with_the_nearest_one() {
        let resolved = resolved(&[
            ("GRIMOIRE_TEST_LISTNE", "x"),
            ("GRIMOIRE_TEST_DELAY_FILE", "/dev/null"),
            ("LANG", "C"),
        ]);
        assert_eq!(
            resolved.problems,
            [
                "GRIMOIRE_TEST_LISTNE is not a variable of this program: the nearest one is GRIMOIRE_TEST_LISTEN"
            ]
        );
    }

    #[test]
    fn a_program_serves_when_it_is_not_told_otherwise() {
        let command = quiet(Program::command());
        let shown = |arguments: &[&str]| {
            let arguments =
                with_subcommand(&command, arguments.iter().map(OsString::from).collect());
            arguments
                .into_iter()
                .map(|argument| argument.into_string().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&["program"]), ["program", "serve"]);
        assert_eq!(
            shown(&["program", "--listen", "x"]),
            ["program", "serve", "--listen", "x"]
        );
        assert_eq!(shown(&["program", "migrate"]), ["program", "migrate"]);
        assert_eq!(shown(&["program", "--help"]), ["program", "--help"]);
    }

    #[test]
    fn help_shows_variables_without_their_values() {
        let help = quiet(Program::command())
            .find_subcommand_mut("migrate")
            .unwrap()
            .render_help()
            .to_string();
        assert!(help.contains("[env: TEST_DATABASE_URL]"), "{help}");
    }
}
