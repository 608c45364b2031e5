//! A record of Kafka, and the event that it carries.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::Refusal;

/// A record as it lies in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Topic that it is in.
    pub topic: Arc<str>,
    /// Partition that it is in.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Its key; empty where it has none.
    pub key: Bytes,
    /// Its headers, in their order; bytes that are not text are replaced by U+FFFD.
    pub headers: Vec<(String, String)>,
    /// Its value; empty where it has none.
    pub payload: Bytes,
}

/// An event: a record whose headers say what it is (CloudEvents 1.0, binary mode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id (`ce_id`), the same in every copy.
    pub id: Uuid,
    /// Full name of the protobuf message (`ce_type`).
    pub event_type: String,
    /// Who published it (`ce_source`).
    pub source: String,
    /// The aggregate that it is about (`ce_subject`).
    pub subject: String,
    /// When the change was made (`ce_time`).
    pub time: OffsetDateTime,
    /// The record's key as text; hexadecimal after `\x` where it is no text.
    pub key: String,
    /// Version of the aggregate after the change (`ce_sequence`): 1, 2, 3, ... within a generation.
    pub version: i64,
    /// Generation of the stream (`ce_generation`): a restored producer starts the next one.
    pub generation: i64,
    /// Trace that made the change.
    pub traceparent: Option<String>,
    /// The record that carried it.
    pub record: Record,
}

impl Event {
    /// The payload as a message of type `M`; `None` if the event is of another type.
    ///
    /// # Errors
    /// [`Refusal::Refused`] where the payload is not a message of that type.
    pub fn decode<M: prost::Message + prost::Name + Default>(&self) -> Result<Option<M>, Refusal> {
        if self.event_type != M::full_name() {
            return Ok(None);
        }
        match M::decode(self.record.payload.clone()) {
            Ok(message) => Ok(Some(message)),
            Err(error) => Err(Refusal::refused(format_args!(
                "payload is no {}: {error}",
                self.event_type
            ))),
        }
    }
}

/// A record whose headers do not say what it is.
#[derive(Debug, Clone)]
pub(crate) struct Undecodable {
    pub(crate) record: Record,
    pub(crate) key: String,
    pub(crate) generation: Option<i64>,
    pub(crate) version: Option<i64>,
    pub(crate) reason: String,
}

/// What a record turned out to be.
#[derive(Debug, Clone)]
pub(crate) enum Received {
    Event(Event),
    Undecodable(Undecodable),
}

impl Received {
    pub(crate) fn new(record: Record) -> Self {
        let key = key_text(&record.key);
        match read_headers(&record) {
            Ok(headers) => Self::Event(Event {
                id: headers.id,
                event_type: headers.event_type,
                source: headers.source,
                subject: headers.subject,
                time: headers.time,
                key,
                version: headers.version,
                generation: headers.generation,
                traceparent: header(&record, "traceparent").map(str::to_owned),
                record,
            }),
            Err(reason) => Self::Undecodable(Undecodable {
                key,
                generation: parsed(&record, "ce_generation").ok(),
                version: parsed(&record, "ce_sequence").ok(),
                reason,
                record,
            }),
        }
    }

    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Event(event) => &event.key,
            Self::Undecodable(undecodable) => &undecodable.key,
        }
    }

    /// Generation and version, as far as the headers tell them.
    pub(crate) fn place(&self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Event(event) => (Some(event.generation), Some(event.version)),
            Self::Undecodable(undecodable) => (undecodable.generation, undecodable.version),
        }
    }

    pub(crate) fn record(&self) -> &Record {
        match self {
            Self::Event(event) => &event.record,
            Self::Undecodable(undecodable) => &undecodable.record,
        }
    }
}

struct Headers {
    id: Uuid,
    event_type: String,
    source: String,
    subject: String,
    time: OffsetDateTime,
    version: i64,
    generation: i64,
}

fn read_headers(record: &Record) -> Result<Headers, String> {
    let time = required(record, "ce_time")?;
    Ok(Headers {
        id: parsed(record, "ce_id")?,
        event_type: required(record, "ce_type")?.to_owned(),
        source: required(record, "ce_source")?.to_owned(),
        subject: required(record, "ce_subject")?.to_owned(),
        time: OffsetDateTime::parse(time, &Rfc3339)
            .map_err(|error| format!("header ce_time: {error}"))?,
        version: parsed(record, "ce_sequence")?,
        generation: parsed(record, "ce_generation")?,
    })
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record
        .headers
        .iter()
        .find(|(given, _)| given == name)
        .map(|(_, value)| value.as_str())
}

fn required<'a>(record: &'a Record, name: &str) -> Result<&'a str, String> {
    header(record, name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("header {name} is missing"))
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(record: &Record, name: &str) -> Result<T, String> {
    required(record, name)?
        .parse()
        .map_err(|error| format!("header {name}: {error}"))
}

/// PostgreSQL's text holds neither broken UTF-8 nor NUL, and a key that it refuses would stop the whole partition.
fn key_text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains('\0') => text.to_owned(),
        _ => key
            .iter()
            .fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(change: impl FnOnce(&mut Vec<(String, String)>)) -> Record {
        let mut headers = [
            ("ce_id", "01935b3e-7c00-7000-8000-000000000001"),
            ("ce_type", "grimoire.events.v1.LoggedIn"),
            ("ce_source", "grimoire/auth"),
            ("ce_subject", "a"),
            ("ce_time", "2026-11-24T12:00:00.5Z"),
            ("ce_sequence", "7"),
            ("ce_generation", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        change(&mut headers);
        Record {
            topic: "t".into(),
            partition: 0,
            offset: 3,
            key: Bytes::from_static(b"a"),
            headers,
            payload: Bytes::new(),
        }
    }

    #[test]
    fn headers_say_what_a_record_is() {
        let Received::Event(event) = Received::new(record(|_| ())) else {
            panic!("an event")
        };
        assert_eq!(
            (event.version, event.generation, event.key.as_str()),
            (7, 1, "a")
        );
        assert_eq!(event.time.unix_timestamp(), 1_795_521_600);
        assert_eq!(event.traceparent, None);
    }

    #[test]
    fn a_record_without_an_id_keeps_its_key_and_version() {
        let received = Received::new(record(|headers| {
            headers.retain(|(name, _)| name != "ce_id")
        }));
        let Received::Undecodable(undecodable) = received else {
            panic!("no event")
        };
        assert_eq!(undecodable.reason, "header ce_id is missing");
        assert_eq!(
            (undecodable.key.as_str(), undecodable.version),
            ("a", Some(7))
        );
    }

    #[test]
    fn a_key_that_is_no_text_is_written_in_hexadecimal() {
        assert_eq!(key_text(b"abc"), "abc");
        assert_eq!(key_text(&[0xff, 0x01]), "\\xff01");
        assert_eq!(key_text(b"a\0"), "\\x6100");
    }
}
