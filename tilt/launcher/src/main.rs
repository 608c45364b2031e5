//! `./dev`: see `./dev --help`.

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(commands::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("./dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}
