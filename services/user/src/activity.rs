//! Activities: the rules of their fields.

use chassis::wire;
use grimoire_proto::user::v1::{Activity, ActivityRecord};
use uuid::Uuid;

use crate::store::activities::ActivityRow;

/// An activity to be kept; or the field that is wrong, and how.
pub(crate) fn row(record: ActivityRecord) -> Result<ActivityRow, (&'static str, &'static str)> {
    if !is_event_name(&record.r#type) {
        return Err(("type", NO_EVENT_NAME));
    }
    if !record.fields.iter().all(|field| is_path(field)) {
        return Err(("fields", "has an entry that is no path of a field"));
    }
    let session_id = match record.session_id.as_str() {
        "" => None,
        session => Some(
            session
                .parse::<Uuid>()
                .map_err(|_| ("session_id", "is no session id"))?,
        ),
    };
    Ok(ActivityRow {
        id: record
            .event
            .parse()
            .map_err(|_| ("event", "is no event id"))?,
        account_id: record
            .account
            .parse()
            .map_err(|_| ("account", "is no account id"))?,
        r#type: record.r#type,
        time: record
            .time
            .as_ref()
            .and_then(wire::time)
            .ok_or(("time", "is no time"))?,
        session_id,
        fields: record.fields,
    })
}

/// An activity as its owner sees it.
pub(crate) fn message(row: ActivityRow) -> Activity {
    Activity {
        id: row.id.to_string(),
        r#type: row.r#type,
        time: Some(wire::timestamp(row.time)),
        session_id: row
            .session_id
            .map(|session| session.to_string())
            .unwrap_or_default(),
        fields: row.fields,
    }
}

/// Whether `text` could name an event. Which events lead to activities is not this service's business.
pub(crate) fn is_event_name(text: &str) -> bool {
    is_name(text, |byte| byte.is_ascii_uppercase())
}

/// What is wrong with a text that could not.
pub(crate) const NO_EVENT_NAME: &str = "is no name of an event, such as LOGGED_IN";

/// Longest name of an event or path of a field, in characters.
const NAME: usize = 100;

fn is_path(text: &str) -> bool {
    is_name(text, |byte| byte.is_ascii_lowercase() || byte == b'.')
}

fn is_name(text: &str, letter: impl Fn(u8) -> bool) -> bool {
    (1..=NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| letter(byte) || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    fn record() -> ActivityRecord {
        ActivityRecord {
            event: Uuid::now_v7().to_string(),
            account: Uuid::now_v7().to_string(),
            r#type: "PREFERENCES_UPDATED".into(),
            time: Some(Timestamp {
                seconds: 1_770_109_500,
                nanos: 5_000,
            }),
            session_id: String::new(),
            fields: vec!["notifications.product_news".into()],
        }
    }

    #[test]
    fn a_sound_record_is_kept_as_it_is() {
        let row = row(record()).unwrap();
        assert_eq!((row.session_id, row.time.microsecond()), (None, 5));
        assert_eq!(message(row).fields, ["notifications.product_news"]);
    }

    #[test]
    fn each_field_is_judged() {
        let wrong = |change: fn(&mut ActivityRecord)| {
            let mut record = record();
            change(&mut record);
            row(record).unwrap_err().0
        };
        assert_eq!(wrong(|record| record.event = "1".into()), "event");
        assert_eq!(wrong(|record| record.account = "me".into()), "account");
        assert_eq!(wrong(|record| record.r#type = "logged in".into()), "type");
        assert_eq!(wrong(|record| record.r#type = String::new()), "type");
        assert_eq!(wrong(|record| record.time = None), "time");
        assert_eq!(
            wrong(|record| record.time = Some(Timestamp {
                seconds: i64::MAX,
                nanos: 0
            })),
            "time"
        );
        assert_eq!(
            wrong(|record| record.time = Some(Timestamp {
                seconds: -62_135_596_801,
                nanos: 0
            })),
            "time"
        );
        assert_eq!(wrong(|record| record.session_id = "s".into()), "session_id");
        assert_eq!(
            wrong(|record| record.fields = vec!["bio,locale".into()]),
            "fields"
        );
    }
}
