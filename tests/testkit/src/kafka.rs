//! The real Apache Kafka: topics of one test, and what they hold.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Where it listens: `host:port`.
pub fn bootstrap() -> String {
    crate::engine("TEST_KAFKA_BOOTSTRAP_SERVERS")
}

/// A name that no other test uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}.{}", uuid::Uuid::now_v7().simple())
}

/// Makes a topic.
pub async fn create_topic(name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .create()
        .unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    for result in admin.create_topics([&topic], &options).await.unwrap() {
        result.unwrap();
    }
}

/// One record of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Partition that it is in.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Its key; empty where it has none.
    pub key: Vec<u8>,
    /// Its headers, as text.
    pub headers: BTreeMap<String, String>,
    /// Its value.
    pub payload: Vec<u8>,
}

/// Every record of `topic` from the beginning to where it ends at the time of the call, in the order of each partition.
pub async fn read_all(topic: &str) -> Vec<Record> {
    read_all_from(&bootstrap(), topic).await
}

/// As [`read_all`], at another Kafka.
pub async fn read_all_from(bootstrap: &str, topic: &str) -> Vec<Record> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || read_to_the_end(&bootstrap, &topic))
        .await
        .unwrap()
}

const TIMEOUT: Duration = Duration::from_secs(20);

fn read_to_the_end(bootstrap: &str, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", unique("testkit"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
    let mut remaining = HashMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition.id(), TIMEOUT)
            .unwrap();
        if high > low {
            remaining.insert(partition.id(), high);
            assignment
                .add_partition_offset(topic, partition.id(), Offset::Offset(low))
                .unwrap();
        }
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    while !remaining.is_empty() {
        let message = consumer
            .poll(TIMEOUT)
            .expect("a record before the end of the topic")
            .unwrap();
        let headers = message.headers().map(|headers| {
            headers
                .iter()
                .map(|header| {
                    (
                        header.key.to_owned(),
                        String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned(),
                    )
                })
                .collect()
        });
        if message.offset() + 1 >= remaining[&message.partition()] {
            remaining.remove(&message.partition());
        }
        records.push(Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            headers: headers.unwrap_or_default(),
            payload: message.payload().unwrap_or_default().to_vec(),
        });
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}
