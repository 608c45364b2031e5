//! Every event of an account leads to one audit record. One that was deleted leaves its records under a pseudonym.

use std::collections::BTreeMap;

use grimoire_proto::events::v1::{AccountDeleted, ErasureCompleted};
use inbox::jobs::NewJob;
use inbox::{Effects, Event, Refusal, Subscriber};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;
use sqlx::types::Json;
use tonic::async_trait;
use uuid::Uuid;

use crate::store::audit_records::{AuditRow, Details};
use crate::store::erased_accounts;
use crate::subscribers::account;
use crate::workers::erase_audit;
use crate::{audit_log, event_type, topics};

pub(crate) struct Audit;

#[async_trait]
impl Subscriber for Audit {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn topics(&self) -> Vec<String> {
        vec![topics::ACCOUNT.to_owned(), topics::PROFILE.to_owned()]
    }

    async fn apply(&self, effects: &mut Effects<'_>, events: &[&Event]) -> Result<(), Refusal> {
        let records = events
            .iter()
            .map(|event| record(event))
            .collect::<Result<Vec<_>, _>>()?;
        // Before anything is recorded: whatever is, is hidden then. What was recorded before is for the job.
        for event in events {
            if event.decode::<AccountDeleted>()?.is_some() {
                let pseudonym = Uuid::now_v7();
                erased_accounts::add(effects.connection, account(event)?, pseudonym).await?;
                effects.enqueue(NewJob::of(event, erase_audit::TARGET, Vec::<u8>::new()));
            }
        }
        audit_log::add(effects.connection, records).await?;
        for event in events {
            if event.decode::<ErasureCompleted>()?.is_some() {
                let account = account(event)?;
                erased_accounts::forget_pseudonym(&mut *effects.connection, account).await?;
            }
        }
        Ok(())
    }
}

fn record(event: &Event) -> Result<AuditRow, Refusal> {
    Ok(AuditRow {
        id: event.id,
        r#type: event_type::name(&event.event_type),
        account_id: account(event)?,
        time: event.time,
        trace_id: event
            .traceparent
            .as_deref()
            .and_then(trace_id)
            .map(str::to_owned),
        details: Json(details(event)?),
    })
}

/// What the event says beside its account, by the names of its fields, and its version. An event that this build does not know
/// is refused: it waits for the build that does, because a record without its details could not be completed later.
fn details(event: &Event) -> Result<Details, Refusal> {
    let descriptor = grimoire_proto::descriptors()
        .get_message_by_name(&event.event_type)
        .ok_or_else(|| {
            Refusal::refused(format_args!(
                "{} is an event that this build does not know",
                event.event_type
            ))
        })?;
    let message = DynamicMessage::decode(descriptor, event.record.payload.clone())
        .map_err(Refusal::refused)?;
    let options = SerializeOptions::new()
        .skip_default_fields(false)
        .use_proto_field_name(true);
    let fields = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(Refusal::refused)?;
    let mut details = BTreeMap::from([("version".to_owned(), event.version.to_string())]);
    for (name, value) in fields.as_object().into_iter().flatten() {
        let value = text(value);
        if name != "account_id" && !value.is_empty() {
            details.insert(name.clone(), value);
        }
    }
    Ok(details)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // jsonb keeps no NUL.
        Value::String(text) => text.replace('\0', "\u{fffd}"),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The trace id of a W3C `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use grimoire_proto::events::v1::{LoggedIn, ProfileUpdated};
    use inbox::Record;
    use prost::{Message, Name};
    use time::OffsetDateTime;

    use super::*;

    fn event<M: Message + Name>(message: &M) -> Event {
        Event {
            id: Uuid::now_v7(),
            event_type: M::full_name(),
            source: "grimoire/auth".into(),
            subject: Uuid::nil().to_string(),
            time: OffsetDateTime::UNIX_EPOCH,
            key: Uuid::nil().to_string(),
            version: 7,
            generation: 1,
            traceparent: Some("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01".into()),
            record: Record {
                topic: topics::ACCOUNT.into(),
                partition: 0,
                offset: 0,
                key: Uuid::nil().to_string().into(),
                headers: vec![],
                payload: message.encode_to_vec().into(),
            },
        }
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Details {
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_record_says_what_the_event_says() {
        let login = LoggedIn {
            account_id: Uuid::nil().to_string(),
            session_id: "s".into(),
            new_device: false,
        };
        let record = record(&event(&login)).unwrap();
        assert_eq!(
            (record.r#type.as_str(), record.account_id),
            ("LOGGED_IN", Uuid::nil())
        );
        assert_eq!(
            record.trace_id.as_deref(),
            Some("0123456789abcdef0123456789abcdef")
        );
        assert_eq!(
            record.details.0,
            pairs([
                ("version", "7"),
                ("session_id", "s"),
                ("new_device", "false")
            ])
        );
    }

    #[test]
    fn a_list_is_joined_and_what_is_empty_left_out() {
        let update = ProfileUpdated {
            fields: vec!["bio".into(), "locale".into()],
            ..ProfileUpdated::default()
        };
        assert_eq!(
            details(&event(&update)).unwrap(),
            pairs([("version", "7"), ("fields", "bio,locale")])
        );
    }

    #[test]
    fn an_event_that_is_unknown_or_garbled_or_of_no_account_is_refused() {
        let sound = event(&LoggedIn::default());
        let unknown = Event {
            event_type: "grimoire.events.v1.Unheard".into(),
            ..sound.clone()
        };
        let mut garbled = sound.clone();
        garbled.record.payload = vec![0xff].into();
        let nobody = Event {
            key: "nobody".into(),
            ..sound
        };
        for event in [unknown, garbled, nobody] {
            assert!(
                matches!(record(&event), Err(Refusal::Refused(_))),
                "{event:?}"
            );
        }
    }

    #[test]
    fn a_broken_traceparent_is_none() {
        for broken in [
            "",
            "00",
            "00-xyz-0-01",
            "00-0123456789abcdef0123456789abcdeg-0123456789abcdef-01",
        ] {
            assert_eq!(trace_id(broken), None, "{broken}");
        }
    }
}
