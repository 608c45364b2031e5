use chassis::process::{DevelopmentValue, Environment, Secret};

use crate::{RelayConfig, Topic};

const REPLICATION: &str = "GRIMOIRE_TOPIC_REPLICATION";
/// With two of three copies written, the loss of any one broker loses no event and stops no relay.
const SAFE_REPLICATION: i32 = 3;

/// Where a service's events go, as an operator decides it: to be flattened into the configuration of the service.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Events")]
pub struct KafkaConfig {
    /// Kafka brokers: host:port, separated by commas
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", value_name = "BROKERS")]
    pub kafka_bootstrap_servers: String,

    /// Partitions of topics; those of an existing topic must be as many. Default: 3 in development, 12 in production
    #[arg(long, env = "GRIMOIRE_TOPIC_PARTITIONS", value_name = "NUMBER",
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub topic_partitions: Option<i32>,

    /// Copies of each partition of a new topic. Default: 1 in development, 3 in production, which refuses less
    #[arg(long, env = REPLICATION, value_name = "NUMBER",
          value_parser = clap::value_parser!(i32).range(1..=10))]
    pub topic_replication: Option<i32>,
}

impl KafkaConfig {
    /// The relay of a service that calls itself `source` in the header `ce_source`, has its outbox in the database at
    /// `database_url` and writes `topics`.
    ///
    /// # Errors
    /// In production, for topics of which fewer than three copies are kept.
    pub fn relay(
        &self,
        environment: Environment,
        database_url: &Secret,
        source: &'static str,
        topics: &'static [Topic],
    ) -> Result<RelayConfig, DevelopmentValue> {
        let (partitions, replication) = match environment {
            Environment::Development => (3, 1),
            Environment::Production => (12, SAFE_REPLICATION),
        };
        let replication = self.topic_replication.unwrap_or(replication);
        environment.refuse(REPLICATION, replication < SAFE_REPLICATION)?;
        Ok(RelayConfig {
            database_url: database_url.expose().to_owned(),
            bootstrap_servers: self.kafka_bootstrap_servers.clone(),
            source,
            topics,
            partitions: self.topic_partitions.unwrap_or(partitions),
            replication,
            retention: RelayConfig::RETENTION,
            slot_bytes: RelayConfig::SLOT_BYTES,
            failpoint: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(
        environment: Environment,
        partitions: Option<i32>,
        replication: Option<i32>,
    ) -> Result<(i32, i32), String> {
        let config = KafkaConfig {
            kafka_bootstrap_servers: "127.0.0.1:9092".to_owned(),
            topic_partitions: partitions,
            topic_replication: replication,
        };
        let url = "postgres://localhost/auth".parse().unwrap();
        config
            .relay(environment, &url, "grimoire/auth", &[])
            .map(|relay| (relay.partitions, relay.replication))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn topics_are_small_in_development_and_kept_three_times_in_production() {
        assert_eq!(topics(Environment::Development, None, None), Ok((3, 1)));
        assert_eq!(topics(Environment::Production, None, None), Ok((12, 3)));
        assert_eq!(
            topics(Environment::Production, Some(24), Some(5)),
            Ok((24, 5))
        );
    }

    #[test]
    fn production_refuses_topics_that_one_broker_could_lose() {
        let refused = topics(Environment::Production, None, Some(2)).unwrap_err();
        assert!(
            refused.starts_with("GRIMOIRE_TOPIC_REPLICATION"),
            "{refused}"
        );
        assert_eq!(topics(Environment::Development, None, Some(2)), Ok((3, 2)));
    }
}
