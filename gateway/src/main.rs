//! The gateway as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::run(chassis::process::configuration())
}
