//! What an operator decides. `user serve --help` is the reference.

use chassis::database::PoolConfig;
use chassis::grpc::GrpcConfig;
use chassis::process::{ProcessConfig, Secret};
use chassis::upstream;
use http::Uri;
use outbox::{KafkaConfig, OutboxCommand};

/// Where the address of the database comes from.
pub(crate) const DATABASE_URL: &str = "USER_DATABASE_URL";

/// Profiles, preferences and activities.
#[derive(Debug, clap::Parser)]
#[command(name = "user", version)]
pub enum Command {
    /// Serves; what it does when no command is given
    Serve(Box<Config>),
    /// Applies the migrations of this release to the database and ends
    Migrate(DatabaseConfig),
    /// Looks after the outbox
    #[command(subcommand)]
    Outbox(OutboxCommand<DatabaseConfig>),
}

/// What serving needs.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// The process.
    #[command(flatten)]
    pub process: ProcessConfig,
    /// Its gRPC port.
    #[command(flatten)]
    pub grpc: GrpcConfig,
    /// Its database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Connections to it.
    #[command(flatten)]
    pub pool: PoolConfig,
    /// Where its events go.
    #[command(flatten)]
    pub kafka: KafkaConfig,

    /// Address of auth, which knows the accounts
    #[arg(long, env = "GRIMOIRE_AUTH_URL", default_value = "http://auth:50051", value_name = "URL", value_parser = upstream::address)]
    pub auth_url: Uri,
}

/// The user database.
#[derive(Debug, clap::Args)]
pub struct DatabaseConfig {
    /// Address of the user database, such as postgres://USER:PASSWORD@HOST:5432/user
    #[arg(long, env = DATABASE_URL, value_name = "URL")]
    pub database_url: Secret,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Command::command().debug_assert();
    }
}
