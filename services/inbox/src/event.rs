//! A record of Kafka, and the event that it carries.

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
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

impl Record {
    /// The key as text, the way [`Event::key`] has it.
    #[must_use]
    pub fn key_text(&self) -> String {
        key_text(&self.key)
    }
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
    /// The record's key as text; hexadecimal after `\x` where it is no text that PostgreSQL keeps, and the SHA-256 of it
    /// after `\h` where that would be longer than 1,024 bytes.
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
        let key = record.key_text();
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

/// Bytes of a key as text. An index row of PostgreSQL takes some 2,700, the names beside the key included.
const LONGEST_KEY: usize = 1_024;

/// PostgreSQL's text holds neither broken UTF-8 nor NUL, its indexes hold nothing long, and a key that it refuses would stop
/// the whole partition: not even parking it would work.
fn key_text(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        // A backslash begins the forms below.
        Ok(text)
            if text.len() <= LONGEST_KEY && !text.contains('\0') && !text.starts_with('\\') =>
        {
            text.to_owned()
        }
        _ if 2 * (key.len() + 1) <= LONGEST_KEY => hexadecimal("\\x", key),
        _ => hexadecimal("\\h", digest(&SHA256, key).as_ref()),
    }
}

fn hexadecimal(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
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
        assert_eq!(key_text(b"\\x6100"), "\\x5c7836313030");
    }

    #[test]
    fn a_key_that_is_too_long_for_an_index_is_known_by_its_hash() {
        let (long, longer) = ("k".repeat(LONGEST_KEY), "k".repeat(LONGEST_KEY + 1));
        assert_eq!(key_text(long.as_bytes()), long);
        assert!(key_text(&[0xff; LONGEST_KEY / 2 - 1]).starts_with("\\xff"));
        for long in [longer.as_bytes(), &[0xff; LONGEST_KEY / 2][..]] {
            let text = key_text(long);
            assert!(text.starts_with("\\h"), "{text}");
            assert_eq!(text.len(), 2 + 64);
        }
        assert_ne!(
            key_text(longer.as_bytes()),
            key_text("l".repeat(LONGEST_KEY + 1).as_bytes())
        );
    }
}
