use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::event::{Record, Undecodable};

const MODE: Mode = Mode {
    savepoints: false,
    heed_parked: true,
    check_versions: true,
    slow: Slow::Unavailable,
};

fn record(key: &str) -> Record {
    Record {
        topic: "t".into(),
        partition: 0,
        offset: 0,
        key: Bytes::copy_from_slice(key.as_bytes()),
        headers: Vec::new(),
        payload: Bytes::new(),
    }
}

fn event(key: &str, generation: i64, version: i64) -> Received {
    Received::Event(Event {
        id: Uuid::nil(),
        event_type: "T".into(),
        source: "s".into(),
        subject: key.into(),
        time: OffsetDateTime::UNIX_EPOCH,
        key: key.into(),
        version,
        generation,
        traceparent: None,
        record: record(key),
    })
}

fn undecodable(key: &str, version: Option<i64>) -> Received {
    Received::Undecodable(Undecodable {
        record: record(key),
        key: key.into(),
        generation: Some(1),
        version,
        reason: "broken".into(),
    })
}

fn gap(version: i64, last: i64) -> Fate {
    Fate::Parked(
        Cause::Gap,
        format!("version {version} follows version {last}"),
    )
}

#[test]
fn the_first_version_that_is_seen_is_the_baseline_and_repeats_are_dropped() {
    let records = [
        event("a", 1, 5),
        event("a", 1, 6),
        event("a", 1, 6),
        event("a", 1, 5),
        event("a", 1, 7),
    ];
    let fates = decide(&records, &mut Known::default(), MODE);
    assert_eq!(
        fates,
        [
            Fate::Applied,
            Fate::Applied,
            Fate::Repeat,
            Fate::Repeat,
            Fate::Applied
        ]
    );
}

#[test]
fn a_gap_parks_its_key_and_no_other() {
    let records = [
        event("a", 1, 1),
        event("a", 1, 3),
        event("b", 1, 1),
        event("a", 1, 2),
        event("a", 1, 1),
    ];
    let fates = decide(&records, &mut Known::default(), MODE);
    assert_eq!(
        fates,
        [
            Fate::Applied,
            gap(3, 1),
            Fate::Applied,
            Fate::Behind,
            Fate::Repeat
        ]
    );
}

#[test]
fn a_new_generation_starts_its_own_versions() {
    let records = [
        event("a", 1, 9),
        event("a", 2, 4),
        event("a", 1, 9),
        event("a", 2, 5),
    ];
    let fates = decide(&records, &mut Known::default(), MODE);
    assert_eq!(
        fates,
        [Fate::Applied, Fate::Applied, Fate::Repeat, Fate::Applied]
    );
}

#[test]
fn an_undecodable_record_parks_its_key_unless_its_version_has_taken_effect() {
    let records = [
        event("a", 1, 1),
        undecodable("a", Some(1)),
        undecodable("a", Some(2)),
        event("a", 1, 3),
    ];
    let fates = decide(&records, &mut Known::default(), MODE);
    let parked = Fate::Parked(Cause::Undecodable, "broken".into());
    assert_eq!(fates, [Fate::Applied, Fate::Repeat, parked, Fate::Behind]);
}

#[test]
fn a_key_is_parked_at_the_first_of_its_failures() {
    let records = [event("a", 1, 1), event("a", 1, 3), event("b", 1, 1)];
    let refused = Fate::Parked(Cause::Refused, "no".into());
    let mut fates = [refused.clone(), gap(3, 1), Fate::Applied];
    park_once(&records, &mut fates);
    assert_eq!(fates, [refused, Fate::Behind, Fate::Applied]);
}

#[test]
fn with_the_version_check_off_everything_takes_effect() {
    let records = [event("a", 1, 2), event("a", 1, 2), event("a", 1, 9)];
    let fates = decide(
        &records,
        &mut Known::default(),
        Mode {
            check_versions: false,
            ..MODE
        },
    );
    assert_eq!(fates, [Fate::Applied, Fate::Applied, Fate::Applied]);
}

#[test]
fn versions_without_a_gap_are_runs_of_their_keys_and_generations() {
    let records = [
        event("a", 1, 5),
        event("b", 1, 1),
        event("a", 1, 6),
        event("a", 2, 1),
    ];
    let runs = Runs::of(&records).unwrap();
    assert_eq!(runs.keys, ["a", "b", "a"]);
    assert_eq!(runs.generations, [1, 1, 2]);
    assert_eq!((runs.before, runs.last), (vec![4, 0, 0], vec![6, 1, 1]));
    assert_eq!(runs.events.len(), 4);
}

#[test]
fn a_batch_with_a_gap_a_repeat_or_a_record_that_cannot_be_read_has_no_runs() {
    for second in [
        event("a", 1, 3),
        event("a", 1, 1),
        undecodable("b", Some(1)),
        event("b", 1, i64::MIN),
    ] {
        assert_eq!(Runs::of(&[event("a", 1, 1), second]), None);
    }
}
