//! The program behind `./dev bench NAME`.

use clap::Parser;
use tests::bench::Benchmark;

/// Measures the system as `./dev up --release` runs it.
#[derive(Debug, Parser)]
#[command(name = "./dev bench", bin_name = "./dev bench")]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

// One worker: the load must leave the processors to what it is put on.
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    Arguments::parse().benchmark.run().await
}
