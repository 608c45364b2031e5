//! What clap finds wrong, said in terms of the variables that an operator sets.

use std::any::TypeId;
use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::Secret;

/// What `error` means in terms of variables; none where it is not about a value.
pub(super) fn explain(error: &clap::Error, command: &Command) -> Option<Vec<String>> {
    match error.kind() {
        ErrorKind::MissingRequiredArgument => match error.get(ContextKind::InvalidArg)? {
            ContextValue::Strings(missing) => missing
                .iter()
                .map(|shown| Some(explain_missing(find(command, shown)?)))
                .collect(),
            _ => None,
        },
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let ContextValue::String(shown) = error.get(ContextKind::InvalidArg)? else {
                return None;
            };
            let argument = find(command, shown)?;
            let value = match error.get(ContextKind::InvalidValue) {
                Some(ContextValue::String(value)) if !is_secret(argument) => format!(" `{value}`"),
                _ => String::new(),
            };
            Some(vec![format!(
                "{} has a wrong value{value}: {}",
                names(argument),
                right_value(error)
            )])
        }
        _ => None,
    }
}

fn explain_missing(argument: &Arg) -> String {
    let help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    format!("{} is not set: {help}", names(argument))
}

fn right_value(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("one of {}", values.join(", "))
        }
        _ => error
            .source()
            .map(ToString::to_string)
            .unwrap_or_else(|| "a value is needed".to_owned()),
    }
}

/// Which argument clap means by `shown`, such as `--admin-listen <ADDRESS>`.
fn find<'a>(command: &'a Command, shown: &str) -> Option<&'a Arg> {
    let long = shown.strip_prefix("--")?.split([' ', '=', '[']).next()?;
    let own = command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(long));
    own.or_else(|| {
        command
            .get_subcommands()
            .find_map(|subcommand| find(subcommand, shown))
    })
}

fn names(argument: &Arg) -> String {
    let long = argument.get_long().unwrap_or_default();
    match argument.get_env() {
        Some(variable) => format!("{} (--{long})", variable.to_string_lossy()),
        None => format!("--{long}"),
    }
}

/// Keys, and addresses because one may have a password in it, are not repeated even where they are wrong.
fn is_secret(argument: &Arg) -> bool {
    argument.get_value_parser().type_id() == TypeId::of::<Secret>()
        || argument
            .get_env()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.ends_with("_KEY") || name.ends_with("_URL"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use clap::CommandFactory as _;

    use super::*;
    use crate::process::{Environment, address, seconds};

    /// A program of this test.
    #[allow(dead_code)] // only its arguments are looked at
    #[derive(Debug, clap::Parser)]
    struct Program {
        /// Where to listen
        #[arg(long, env = "GRIMOIRE_TEST_LISTEN", value_parser = address)]
        listen: SocketAddr,
        /// How long
        #[arg(long, env = "GRIMOIRE_TEST_DELAY", default_value = "0", value_parser = seconds)]
        delay: Duration,
        /// Where
        #[arg(
            long,
            env = "GRIMOIRE_TEST_ENV",
            default_value = "development",
            value_enum
        )]
        environment: Environment,
        /// Most
        #[arg(long, env = "GRIMOIRE_TEST_SEAL_KEY", default_value = "1")]
        seal: u32,
    }

    fn problems(arguments: &[&str]) -> Vec<String> {
        let command = Program::command();
        let error = command.clone().try_get_matches_from(arguments).unwrap_err();
        explain(&error, &command).unwrap()
    }

    #[test]
    fn a_wrong_value_is_explained_by_its_variable_and_a_right_value() {
        assert_eq!(
            problems(&["program", "--listen", "127.0.0.1:1", "--delay", "soon"]),
            [
                "GRIMOIRE_TEST_DELAY (--delay) has a wrong value `soon`: a number of seconds, such as 5 or 0.5"
            ]
        );
        assert_eq!(
            problems(&[
                "program",
                "--listen",
                "127.0.0.1:1",
                "--environment",
                "prod"
            ]),
            [
                "GRIMOIRE_TEST_ENV (--environment) has a wrong value `prod`: one of development, production"
            ]
        );
    }

    #[test]
    fn a_key_with_a_wrong_value_is_not_repeated() {
        let problems = problems(&["program", "--listen", "127.0.0.1:1", "--seal", "hunter2"]);
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn a_missing_value_is_explained_by_its_variable() {
        assert_eq!(
            problems(&["program"]),
            ["GRIMOIRE_TEST_LISTEN (--listen) is not set: Where to listen"]
        );
    }

    #[test]
    fn what_is_no_value_is_left_to_clap() {
        let error = Program::command()
            .try_get_matches_from(["program", "--help"])
            .unwrap_err();
        assert_eq!(explain(&error, &Program::command()), None);
    }
}
