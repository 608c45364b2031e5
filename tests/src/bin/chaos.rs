//! The program behind `./dev chaos NAME`.

use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tests::chaos::Chaos;

/// Does something to the system as `./dev up --release` runs it, under load.
#[derive(Debug, Parser)]
#[command(name = "./dev chaos", bin_name = "./dev chaos")]
struct Arguments {
    #[command(subcommand)]
    chaos: Chaos,
}

// One worker: the load must leave the processors to what it is put on.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<ExitCode> {
    // While a process is away, each request that waits for it has a connection.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(Arguments::parse().chaos.run().await)
}
