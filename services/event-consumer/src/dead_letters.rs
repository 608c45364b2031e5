//! Where copies of events go that could not be handled: `<topic>.dlq`, through this service's own outbox.

use inbox::{DeadLetters, Record, Refusal};
use outbox::{AppendError, Encoded};
use sqlx::PgConnection;
use tonic::async_trait;

use crate::store::dead_letter_keys;
use crate::topics;

/// Bytes of a record's own headers that its dead letter repeats, names included: with the payload they are one record.
const MOST_HEADERS: usize = 32 * 1024;
/// Begins the name of each of them.
const ORIGINAL: &str = "original_";
/// Characters of a reason, which may quote what was refused.
pub(crate) const LONGEST_REASON: usize = 2_000;

/// Writes dead letters into the outbox.
pub(crate) struct DeadLetterTopics;

#[async_trait]
impl DeadLetters for DeadLetterTopics {
    async fn publish(
        &self,
        connection: &mut PgConnection,
        subscriber: &str,
        record: &Record,
        reason: &str,
    ) -> Result<(), Refusal> {
        let topic = topics::dead_letters_of(&record.topic).ok_or_else(|| {
            Refusal::refused(format_args!(
                "{} has no topic for dead letters",
                record.topic
            ))
        })?;
        let key = record.key_text();
        let mut headers = vec![
            ("dead_subscriber".to_owned(), subscriber.to_owned()),
            (
                "dead_reason".to_owned(),
                text(reason).chars().take(LONGEST_REASON).collect(),
            ),
            ("dead_topic".to_owned(), record.topic.to_string()),
            ("dead_partition".to_owned(), record.partition.to_string()),
            ("dead_offset".to_owned(), record.offset.to_string()),
        ];
        let size: usize = record
            .headers
            .iter()
            .map(|(name, value)| ORIGINAL.len() + name.len() + value.len())
            .sum();
        // The record in its own topic is whole, and the offset says where it is.
        let repeats_headers = size <= MOST_HEADERS;
        if repeats_headers {
            headers.extend(
                record
                    .headers
                    .iter()
                    .map(|(name, value)| (format!("{ORIGINAL}{}", text(name)), text(value))),
            );
        } else {
            headers.push(("dead_headers_omitted".to_owned(), size.to_string()));
        }
        let mut payload = &record.payload[..];
        if payload.len() > topic.max_payload {
            headers.push(("dead_payload_omitted".to_owned(), payload.len().to_string()));
            payload = &[];
        }

        let version =
            dead_letter_keys::next_event_version(&mut *connection, topic.name, &key).await?;
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let own = |name| original(record, name).filter(|_| repeats_headers);
        let letter = Encoded {
            event_type: own("ce_type").unwrap_or("unknown"),
            payload,
            headers: &headers,
            traceparent: own("traceparent").map(text),
        };
        match outbox::append_encoded(connection, topic, &key, version, letter).await {
            Ok(_) => Ok(()),
            Err(AppendError::Database(error)) => Err(error.into()),
            Err(error @ AppendError::TooLarge { .. }) => Err(Refusal::refused(error)),
        }
    }
}

fn original<'a>(record: &'a Record, header: &str) -> Option<&'a str> {
    let found = record
        .headers
        .iter()
        .find(|(name, value)| name == header && !value.is_empty() && !value.contains('\0'));
    found.map(|(_, value)| value.as_str())
}

/// PostgreSQL keeps no NUL.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
