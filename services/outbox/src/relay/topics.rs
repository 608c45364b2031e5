use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::runtime::Handle;

use super::RelayConfig;
use super::failure::Failure;

/// Creates those of `names` that Kafka has not, and refuses one whose number of partitions is not the configured one.
pub(super) async fn ensure(config: &RelayConfig, names: Vec<String>) -> Result<(), Failure> {
    let config = config.clone();
    let runtime = Handle::current();
    // Asking for metadata blocks, and so does the end of an admin client.
    tokio::task::spawn_blocking(move || ensure_blocking(&config, &names, &runtime))
        .await
        .unwrap_or(Err(Failure::Kafka(KafkaError::Canceled)))
}

/// For each question to the brokers.
const WITHIN: Duration = Duration::from_secs(3);

fn ensure_blocking(
    config: &RelayConfig,
    names: &[String],
    runtime: &Handle,
) -> Result<(), Failure> {
    let admin: AdminClient<Quiet> = ClientConfig::new()
        .set("bootstrap.servers", &config.bootstrap_servers)
        .create_with_context(Quiet)?;
    // Of all topics: asking for one by name may create it, with the settings of the broker.
    let metadata = admin.inner().fetch_metadata(None, WITHIN)?;
    let mut missing = Vec::new();
    for name in names {
        match metadata.topics().iter().find(|topic| topic.name() == name) {
            Some(topic) if topic.partitions().len() as i64 != i64::from(config.partitions) => {
                return Err(Failure::Partitions {
                    topic: name.clone(),
                    expected: config.partitions,
                    found: topic.partitions().len(),
                });
            }
            Some(_) => {}
            None => missing.push(name.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }

    let retention = config.retention.as_millis().to_string();
    let in_sync = if config.replication >= 3 { "2" } else { "1" };
    let topics: Vec<NewTopic<'_>> = missing
        .into_iter()
        .map(|name| {
            NewTopic::new(
                name,
                config.partitions,
                TopicReplication::Fixed(config.replication),
            )
            .set("retention.ms", &retention)
            .set("min.insync.replicas", in_sync)
        })
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(WITHIN))
        .request_timeout(Some(WITHIN));
    for result in runtime.block_on(admin.create_topics(&topics, &options))? {
        match result {
            Ok(topic) => tracing::info!(topic, "topic created"),
            // By a relay of another replica, between the look and the attempt.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code).into()),
        }
    }
    Ok(())
}

/// A broker that is away fills a log with lines that say one thing, and the relay says it.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(?level, facility, text, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}
