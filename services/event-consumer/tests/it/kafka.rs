//! Publishes events as the relays of auth and user do. Topics have their real names, so all tests share them, and each test
//! looks only at what is its own.

use std::time::Duration;

use event_consumer::topics;
use grimoire_proto::events::v1::LoggedIn;
use prost::{Message, Name};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// An event before it is published.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) version: i64,
    pub(crate) event_type: String,
    pub(crate) payload: Vec<u8>,
    /// A header beside those of every event.
    pub(crate) filler: String,
}

impl Event {
    pub(crate) fn new<M: Message + Name>(
        topic: &'static str,
        key: impl ToString,
        version: i64,
        message: &M,
    ) -> Self {
        let (event_type, payload) = (M::full_name(), message.encode_to_vec());
        Self {
            id: Uuid::now_v7(),
            topic,
            key: key.to_string(),
            version,
            event_type,
            payload,
            filler: String::new(),
        }
    }

    /// Somebody signs in.
    pub(crate) fn login(account: Uuid, version: i64, new_device: bool) -> Self {
        let login = LoggedIn {
            account_id: account.to_string(),
            session_id: Uuid::now_v7().to_string(),
            new_device,
        };
        Self::new(topics::ACCOUNT, account, version, &login)
    }

    pub(crate) async fn publish(&self) {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", testkit::kafka::bootstrap())
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        let (id, version, traceparent) = (
            self.id.to_string(),
            self.version.to_string(),
            format!("00-{TRACE}-b7ad6b7169203331-01"),
        );
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", id.as_str()),
            ("ce_type", self.event_type.as_str()),
            ("ce_source", "grimoire/test"),
            ("ce_time", "2026-11-24T12:00:00.123456Z"),
            ("ce_subject", self.key.as_str()),
            ("ce_sequence", version.as_str()),
            ("ce_generation", "1"),
            ("content-type", "application/protobuf"),
            ("traceparent", traceparent.as_str()),
            ("filler", self.filler.as_str()),
        ]
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        });
        let record = FutureRecord::to(self.topic)
            .key(&self.key)
            .payload(&self.payload)
            .headers(headers);
        producer
            .send(record, Duration::from_secs(20))
            .await
            .unwrap();
    }
}

/// Makes the topics that are read, unless an earlier test has.
pub(crate) async fn make_topics() {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", testkit::kafka::bootstrap())
        .create()
        .unwrap();
    let new = [topics::ACCOUNT, topics::NOTICE, topics::PROFILE]
        .map(|name| NewTopic::new(name, 3, TopicReplication::Fixed(1)));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for made in admin.create_topics(&new, &options).await.unwrap() {
        assert!(
            matches!(
                made,
                Ok(_) | Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists))
            ),
            "{made:?}"
        );
    }
}
