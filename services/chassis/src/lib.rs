//! What every process of Grimoire does alike. A service's main reads its configuration, hands its services to [`run`] and
//! [`grpc::serve`], and has a health endpoint, metrics, traces, access checks and an orderly end.

pub mod caller;
pub mod database;
mod deadline;
mod ending;
pub mod grpc;
pub mod page;
pub mod process;
pub mod status;
pub mod upstream;
pub mod wire;

use std::error::Error;
use std::process::ExitCode;

use process::{Process, ProcessConfig};

/// Runs a process to its end: telemetry, a runtime, the admin port and the stop signal are there before `body` begins. What
/// `body` fails with is logged and becomes exit code 1.
pub fn run<F>(service: &'static str, config: &ProcessConfig, body: F) -> ExitCode
where
    F: AsyncFnOnce(Process) -> anyhow::Result<()>,
{
    let telemetry = match telemetry::init(service, &config.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let result = runtime.block_on(async {
        let process = Process::start(service, config, axum::Router::new()).await?;
        body(process).await
    });
    // What is left are threads that nobody waits for.
    runtime.shutdown_background();
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the process ends because it failed"
            );
            ExitCode::FAILURE
        }
    };
    drop(telemetry);
    code
}

/// Runs a command that somebody waits for at a terminal, such as a migration: no admin port, no telemetry, and a failure is a
/// sentence on standard error with exit code 1.
pub fn command<F>(body: F) -> ExitCode
where
    F: AsyncFnOnce() -> anyhow::Result<()>,
{
    process::use_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(body()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &dyn Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
