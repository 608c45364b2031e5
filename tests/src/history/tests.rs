use super::*;

const ACCOUNTS: &str = "grimoire.auth.account.v1";
const PROFILES: &str = "grimoire.user.profile.v1";

/// One person who registered and changed the profile once, and everything as it should be.
fn settled() -> (Vec<Person>, Observed) {
    let account = Uuid::now_v7();
    let event = |topic: &str, key: &str, version, name: &str| Event {
        topic: topic.into(),
        key: key.into(),
        version,
        id: Uuid::now_v7(),
        name: name.into(),
    };
    let key = account.to_string();
    let published = vec![
        event(NOTICES, "address", 1, "REGISTRATION_REQUESTED"),
        event(ACCOUNTS, &key, 1, "ACCOUNT_REGISTERED"),
        event(ACCOUNTS, &key, 2, "LOGGED_IN"),
        event(PROFILES, &key, 1, "PROFILE_UPDATED"),
    ];
    let ids: Vec<Uuid> = published[1..].iter().map(|event| event.id).collect();
    let committed = [
        ((NOTICES, "address"), 1),
        ((ACCOUNTS, key.as_str()), 2),
        ((PROFILES, key.as_str()), 1),
    ]
    .map(|((topic, key), last)| ((topic.to_owned(), key.to_owned()), last));
    let observed = Observed {
        mails: vec![(published[0].id, "a@example.com".into())],
        published,
        audit: ids.clone(),
        activities: ids,
        committed: committed.into(),
        ..Observed::default()
    };
    let once = Calls {
        attempts: 1,
        acknowledged: 1,
    };
    let person = Person {
        email: "a@example.com".into(),
        account: Some(account),
        register: once,
        complete: once,
        login: Calls::default(),
        updates: 1,
    };
    (vec![person], observed)
}

fn violations(spoil: impl FnOnce(&mut Vec<Person>, &mut Observed)) -> Vec<Violation> {
    let (mut people, mut observed) = settled();
    spoil(&mut people, &mut observed);
    check(&people, &observed)
}

#[test]
fn a_history_in_which_all_is_well_has_no_violation() {
    assert_eq!(violations(|_, _| {}), []);
}

#[test]
fn an_event_published_twice_is_no_violation_as_long_as_it_takes_effect_once() {
    assert_eq!(
        violations(|_, observed| observed.published.push(observed.published[1].clone())),
        []
    );
}

#[test]
fn a_lost_a_doubled_and_a_swapped_effect_are_found() {
    assert!(!violations(|_, observed| observed.audit.truncate(2)).is_empty());
    assert!(!violations(|_, observed| observed.audit.push(observed.audit[0])).is_empty());
    assert!(!violations(|_, observed| observed.audit.swap(0, 1)).is_empty());
    assert!(!violations(|_, observed| observed.activities.truncate(2)).is_empty());
    assert!(!violations(|_, observed| observed.activities.swap(0, 1)).is_empty());
}

#[test]
fn a_committed_version_that_kafka_lacks_and_one_that_it_has_out_of_order_are_found() {
    assert!(!violations(|_, observed| drop(observed.published.pop())).is_empty());
    assert!(!violations(|_, observed| observed.published.swap(1, 2)).is_empty());
}

#[test]
fn a_lost_a_doubled_and_a_swapped_entry_of_the_journal_are_found() {
    let journal = |spoil: fn(&mut Vec<Uuid>)| {
        violations(|_, observed| {
            let mut journal = observed.published.iter().map(|event| event.id).collect();
            spoil(&mut journal);
            observed.journal = Some(journal);
        })
    };
    assert_eq!(journal(|_| {}), []);
    assert!(!journal(|journal| journal.truncate(journal.len() - 1)).is_empty());
    assert!(!journal(|journal| journal.push(journal[3])).is_empty());
    assert!(!journal(|journal| journal.swap(1, 2)).is_empty());
}

#[test]
fn what_is_still_on_its_way_is_found() {
    assert!(!violations(|_, observed| observed.on_its_way.push("a job".into())).is_empty());
}

#[test]
fn a_missing_mail_and_a_mail_that_nobody_asked_for_are_found() {
    assert!(!violations(|_, observed| observed.mails.clear()).is_empty());
    assert!(
        !violations(|_, observed| observed
            .mails
            .push((Uuid::now_v7(), "a@example.com".into())))
        .is_empty()
    );
}

#[test]
fn an_acknowledged_update_without_an_event_is_found() {
    assert!(!violations(|people, _| people[0].updates = 2).is_empty());
}
