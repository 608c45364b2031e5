use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Topic;

/// Why an event was not written. The transaction is unusable after [`AppendError::Database`] only.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The payload is larger than the topic allows, or the whole record larger than Kafka takes.
    #[error("an event of {size} bytes is too large for {topic}, which takes {limit}")]
    TooLarge {
        /// Name of the topic.
        topic: &'static str,
        /// Size in bytes: of the payload, or of the record with its key and its headers.
        size: usize,
        /// What may be, in bytes.
        limit: usize,
    },
    /// PostgreSQL refused the row.
    #[error("the event could not be written: {0}")]
    Database(#[from] sqlx::Error),
}

/// Writes `event` in the caller's transaction and returns its id, a UUIDv7. It is published after the commit.
///
/// `version` is the one that the same transaction has just given to the aggregate named by `key`, with
/// `update .. set event_version = event_version + 1 returning`. The lock of that update is what orders the writers of a key, so
/// append after it. The current span goes along as `traceparent`.
pub async fn append<M: prost::Message + prost::Name>(
    connection: &mut PgConnection,
    topic: &Topic,
    key: &str,
    version: i64,
    event: &M,
) -> Result<Uuid, AppendError> {
    let encoded = Encoded {
        event_type: &M::full_name(),
        payload: &event.encode_to_vec(),
        headers: &[],
        traceparent: telemetry::propagation::current_traceparent(),
    };
    append_encoded(connection, topic, key, version, encoded).await
}

/// An event whose bytes exist already, such as a copy of another one.
#[derive(Debug, Clone)]
pub struct Encoded<'a> {
    /// Full protobuf name of the message: the header `ce_type`.
    pub event_type: &'a str,
    /// The encoded message.
    pub payload: &'a [u8],
    /// Headers beside those of every event.
    pub headers: &'a [(&'a str, &'a str)],
    /// The span that caused the event, as W3C Trace Context.
    pub traceparent: Option<String>,
}

/// As [`append`], for an event that is encoded already.
pub async fn append_encoded(
    connection: &mut PgConnection,
    topic: &Topic,
    key: &str,
    version: i64,
    event: Encoded<'_>,
) -> Result<Uuid, AppendError> {
    for (size, limit) in [
        (event.payload.len(), topic.max_payload),
        (record_size(key, &event), RECORD),
    ] {
        if size > limit {
            return Err(AppendError::TooLarge {
                topic: topic.name,
                size,
                limit,
            });
        }
    }
    let id = Uuid::now_v7();
    let headers = (!event.headers.is_empty())
        .then(|| Json(event.headers.iter().copied().collect::<BTreeMap<_, _>>()));
    // A scalar subquery: without a current slot it is null and the row is refused, where `insert .. select` would write nothing.
    sqlx::query!(
        r#"insert into outbox.entries (slot, event_id, topic, key, version, event_type, headers, traceparent, payload)
           values ((select slot from outbox.current_slot), $1, $2, $3, $4, $5, $6, $7, $8)"#,
        id,
        topic.name,
        key,
        version,
        event.event_type,
        headers as _,
        event.traceparent,
        event.payload,
    )
    .execute(connection)
    .await?;
    Ok(id)
}

/// The producer sends no record above 1,000,000 bytes, and one that it refuses would stop all that come after it. The rest is for
/// what the relay adds to each.
const RECORD: usize = 950 * 1024;

/// What a header takes beside its name and its value: the lengths of the two.
const LENGTHS: usize = 10;

fn record_size(key: &str, event: &Encoded<'_>) -> usize {
    let headers = event.headers.iter();
    // The key goes along a second time, as `ce_subject`.
    2 * key.len()
        + event.event_type.len()
        + event.traceparent.as_ref().map_or(0, String::len)
        + event.payload.len()
        + headers
            .map(|(name, value)| name.len() + value.len() + LENGTHS)
            .sum::<usize>()
}
