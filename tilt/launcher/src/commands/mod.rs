//! The command line: one file for each group of commands.

mod accounts;
mod bench;
mod build;
mod cargo;
mod check;
mod collector;
mod control;
mod database;
mod exec;
mod load;
mod logs;
mod mail;
mod npm;
mod observe;
mod place;
mod prepare;
mod python;
mod rest;
mod schemathesis;
mod seed;
mod trace;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Grimoire on this machine: builds it, runs it with a private PostgreSQL and Apache Kafka, and tests it.
///
/// State lives in .dev. Ports are moved by variables such as GATEWAY_PORT, AUTH_ADMIN_PORT, POSTGRES_PORT and KAFKA_PORT.
/// KAFKA_BOOTSTRAP_SERVERS, and AUTH_DATABASE_URL, USER_DATABASE_URL and EVENTS_DATABASE_URL together, name engines of yours
/// in place of the private ones. Other variables that tilt/stack.yaml lists as settings reach the services.
#[derive(Debug, Parser)]
#[command(name = "./dev", bin_name = "./dev", max_term_width = 120)]
pub(crate) struct Arguments {
    /// Take the launcher as it was built last, and what `run` starts, too; goes before the command
    #[arg(long)]
    no_build: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and start the system; Ctrl-C drains and stops it
    ///
    /// Shows progress, then a table of what runs and lines to try. A process that dies before it was ready brings everything
    /// down; one that dies later is started again, with growing pauses, until it dies five times in a row within 10 seconds each.
    /// A second Ctrl-C ends everything at once.
    Up(up::Up),
    /// Build services and put them where `run` and `up` take them from
    Build(build::Build),
    /// Prepare and become one process of tilt/stack.yaml, an engine included
    ///
    /// `run setup` makes databases, roles, migrations and development secrets, and ends.
    Run(up::Run),
    /// Send a signal to a process of the running system, or to one that `run` became, to see what a fault does
    Kill(control::Kill),
    /// Build one service again and restart it in the running system, or restart an engine
    Restart(control::Restart),
    /// Show what runs, since when, how often it was restarted, and its memory
    Status,
    /// Show what the processes wrote
    Logs(logs::Logs),
    /// Show a trace as a tree, and what all processes wrote of it; the newest traces without an id
    Trace(trace::Trace),
    /// Stop the running system; ends what `run` became, and what a launcher that died left behind, too
    Stop,
    /// Forget all data, keys, mail and logs (asks first)
    Reset(control::Reset),
    /// Run every check that CI runs: format, clippy, cargo-deny where present, unit, integration and end-to-end tests
    ///
    /// Starts a PostgreSQL and a Kafka of its own, so it runs beside `./dev up`. With a name, only the tests of
    /// that crate, or whose names contain it, and no other check.
    Test(check::Test),
    /// Run the fast part of `test`: format, clippy, and whether .sqlx fits the code
    Check,
    /// Renew what is generated and checked in: .sqlx, docs/configuration.md, docs/reference.md, the routes of mesh/, dashboards and rules
    Prepare,
    /// Open a shell in a database: auth, user or events
    Psql(database::Psql),
    /// Run a command of a service's program, such as `exec event-consumer inbox list`, with the variables that the service has
    Exec(exec::Exec),
    /// Make an account that is ready to sign in
    User(accounts::User),
    /// Make an account an admin
    Admin(accounts::Admin),
    /// Print a fresh access token of an account that `./dev user` made
    Token(accounts::Token),
    /// Show the newest mail, waiting up to 10 seconds for one
    Mail(mail::Mail),
    /// Make accounts with plausible profiles
    Seed(seed::Seed),
    /// Make bounded, realistic traffic for the running system
    ///
    /// A few people sign in, read, change their profiles and preferences, refresh their tokens and sign out, at a steady rate
    /// that stays below the limits of the gateway.
    Load(load::Load),
    /// Run a benchmark and print its figures
    Bench(bench::Bench),
    /// Restart, kill or change something under load, and say what became of every request
    Chaos(bench::Chaos),
}

/// Runs a command; the code is that of a program it ran.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Up(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Run(command) => command.run(arguments.no_build),
        Command::Kill(command) => command.run(),
        Command::Restart(command) => command.run(),
        Command::Status => control::status(),
        Command::Logs(command) => command.run(),
        Command::Trace(command) => command.run(),
        Command::Stop => control::stop(),
        Command::Reset(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Check => check::check(),
        Command::Prepare => prepare::run(),
        Command::Psql(command) => command.run(),
        Command::Exec(command) => command.run(),
        Command::User(command) => command.run(),
        Command::Admin(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Mail(command) => command.run(),
        Command::Seed(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Chaos(command) => command.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_option_before_a_command_is_for_the_launcher_and_one_behind_a_program_for_that() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).unwrap();
        assert!(parse("./dev --no-build run auth").no_build);
        let behind = parse("./dev exec event-consumer inbox retry --no-build");
        assert!(!behind.no_build);
        assert!(matches!(behind.command, Command::Exec(_)));
    }
}
