//! What an operator decides. `user serve --help` is the reference.

use chassis::database::PoolConfig;
use chassis::grpc::GrpcConfig;
use chassis::process::{ProcessConfig, Secret};
use chassis::upstream;
use http::Uri;
use outbox::RelayConfig;

use crate::topics;

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
    Outbox(OutboxCommand),
}

/// What can be done to the outbox.
#[derive(Debug, clap::Subcommand)]
pub enum OutboxCommand {
    /// Publishes what is left in the outbox as a new generation: needed once after the database was restored
    Rebase(DatabaseConfig),
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

/// Where events are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Events")]
pub struct KafkaConfig {
    /// Kafka brokers: host:port, separated by commas
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", value_name = "BROKERS")]
    pub kafka_bootstrap_servers: String,

    /// Partitions of topics; those of an existing topic must be as many
    #[arg(long, env = "GRIMOIRE_TOPIC_PARTITIONS", default_value = "3", value_name = "NUMBER",
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub topic_partitions: i32,

    /// Copies of each partition of a new topic
    #[arg(long, env = "GRIMOIRE_TOPIC_REPLICATION", default_value = "1", value_name = "NUMBER",
          value_parser = clap::value_parser!(i32).range(1..=10))]
    pub topic_replication: i32,
}

impl Config {
    pub(crate) fn relay(&self) -> RelayConfig {
        RelayConfig {
            database_url: self.database.database_url.expose().to_owned(),
            bootstrap_servers: self.kafka.kafka_bootstrap_servers.clone(),
            source: "grimoire/user",
            topics: topics::ALL,
            partitions: self.kafka.topic_partitions,
            replication: self.kafka.topic_replication,
            retention: RelayConfig::RETENTION,
            slot_bytes: RelayConfig::SLOT_BYTES,
            failpoint: None,
        }
    }
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
