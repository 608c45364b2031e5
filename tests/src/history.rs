//! Holds what was acknowledged, what Kafka holds and what took effect against each other, row by row: nothing acknowledged is lost,
//! nothing takes effect twice, and each aggregate's effects come in the order of its versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

/// How often something was asked for, and how often the answer said that it was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calls {
    pub attempts: usize,
    pub acknowledged: usize,
}

/// What one person's client saw.
#[derive(Debug, Clone, Default)]
pub struct Person {
    pub email: String,
    pub account: Option<Uuid>,
    pub register: Calls,
    pub complete: Calls,
    /// Logins beside the one of CompleteRegistration.
    pub login: Calls,
    /// Updates of the profile that differ from each other. One that got no answer was sent again until it got one, so
    /// each counts once.
    pub updates: usize,
}

/// One event, as a topic or an effect shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub topic: String,
    /// The aggregate: an account id, or for notices the HMAC of an address.
    pub key: String,
    pub version: i64,
    pub id: Uuid,
    /// `LOGGED_IN`, `PROFILE_UPDATED`, ...
    pub name: String,
}

/// What can be seen from outside when all has settled. Lists are in the order in which things took effect.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// What the topics hold, repeats included, in the order of each partition.
    pub published: Vec<Event>,
    /// Ids of the audit records.
    pub audit: Vec<Uuid>,
    /// Ids of the activities.
    pub activities: Vec<Uuid>,
    /// Ids of the events that a mail came for, and the address that it came to.
    pub mails: Vec<(Uuid, String)>,
    /// Last version of each (topic, key) as the owner's database has it.
    pub committed: BTreeMap<(String, String), i64>,
    /// Ids of all events in the order in which they took effect, repeats included; only where the planted programs run.
    pub journal: Option<Vec<Uuid>>,
    /// Keys that stand parked.
    pub parked: i64,
    /// What was not at rest, so that the rest of this may not be the last word.
    pub on_its_way: Vec<String>,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

const NOTICES: &str = "grimoire.auth.notice.v1";
const ACTIVITIES: [&str; 5] = [
    "ACCOUNT_REGISTERED",
    "LOGGED_IN",
    "LOGGED_OUT",
    "PROFILE_UPDATED",
    "PREFERENCES_UPDATED",
];

/// Everything that is wrong; empty where nothing is.
pub fn check(people: &[Person], observed: &Observed) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut wrong = |what: String| violations.push(Violation(what));

    let events: BTreeMap<Uuid, &Event> = observed
        .published
        .iter()
        .map(|event| (event.id, event))
        .collect();
    let mut versions: BTreeMap<(&str, &str), BTreeMap<i64, BTreeSet<Uuid>>> = BTreeMap::new();
    for event in events.values() {
        versions
            .entry((&event.topic, &event.key))
            .or_default()
            .entry(event.version)
            .or_default()
            .insert(event.id);
    }

    // Kafka holds each committed version of each aggregate, and one event for each.
    for ((topic, key), last) in &observed.committed {
        let published = versions.get(&(topic.as_str(), key.as_str()));
        for version in 1..=*last {
            match published
                .and_then(|versions| versions.get(&version))
                .map_or(0, BTreeSet::len)
            {
                1 => {}
                0 => wrong(format!(
                    "{topic} {key}: version {version} was committed and never published"
                )),
                count => wrong(format!(
                    "{topic} {key}: version {version} was published as {count} different events"
                )),
            }
        }
    }
    for ((topic, key), versions) in &versions {
        let last = observed
            .committed
            .get(&((*topic).to_owned(), (*key).to_owned()))
            .copied()
            .unwrap_or(0);
        for version in versions.keys().filter(|version| **version > last) {
            wrong(format!(
                "{topic} {key}: version {version} was published and never committed"
            ));
        }
    }
    // First appearances come in the order of versions.
    in_order(
        "published",
        observed.published.iter().map(|event| event.id),
        &events,
        true,
        &mut wrong,
    );

    // Each event has its effects, once, in order.
    let of_accounts = |event: &&&Event| event.topic != NOTICES;
    effects(
        "audit record",
        &observed.audit,
        events.values().filter(of_accounts).map(|event| event.id),
        &mut wrong,
    );
    effects(
        "activity",
        &observed.activities,
        events
            .values()
            .filter(of_accounts)
            .filter(|event| ACTIVITIES.contains(&event.name.as_str()))
            .map(|event| event.id),
        &mut wrong,
    );
    in_order(
        "audit records",
        observed.audit.iter().copied(),
        &events,
        false,
        &mut wrong,
    );
    in_order(
        "activities",
        observed.activities.iter().copied(),
        &events,
        false,
        &mut wrong,
    );

    if let Some(journal) = &observed.journal {
        effects("journal entry", journal, events.keys().copied(), &mut wrong);
        in_order(
            "journal entries",
            journal.iter().copied(),
            &events,
            false,
            &mut wrong,
        );
    }

    // Each acknowledgement has its events and its mail.
    for person in people {
        let email = &person.email;
        let mails = observed
            .mails
            .iter()
            .filter(|(_, address)| address == email)
            .count();
        if mails < person.register.acknowledged || mails > person.register.attempts {
            wrong(format!("{email}: {mails} mails for {:?}", person.register));
        }
        let Some(account) = person.account.map(|account| account.to_string()) else {
            continue;
        };
        let count = |name: &str| {
            events
                .values()
                .filter(|event| event.key == account && event.name == name)
                .count()
        };
        if count("ACCOUNT_REGISTERED") != 1 {
            wrong(format!(
                "{email}: {} AccountRegistered for {:?}",
                count("ACCOUNT_REGISTERED"),
                person.complete
            ));
        }
        let logins = count("LOGGED_IN");
        if logins < person.complete.acknowledged + person.login.acknowledged
            || logins > 1 + person.login.attempts
        {
            wrong(format!(
                "{email}: {logins} LoggedIn for {:?} and {:?}",
                person.complete, person.login
            ));
        }
        if count("PROFILE_UPDATED") != person.updates {
            wrong(format!(
                "{email}: {} ProfileUpdated for {} updates",
                count("PROFILE_UPDATED"),
                person.updates
            ));
        }
    }
    for (id, address) in &observed.mails {
        if !events.contains_key(id) {
            wrong(format!(
                "{address}: a mail for event {id}, which was never published"
            ));
        }
    }
    if observed.parked > 0 {
        wrong(format!("{} keys stand parked", observed.parked));
    }
    for what in &observed.on_its_way {
        wrong(format!("{what} is still on its way"));
    }
    violations
}

/// Each expected event took effect once, and nothing else did.
fn effects(
    what: &str,
    seen: &[Uuid],
    expected: impl Iterator<Item = Uuid>,
    wrong: &mut impl FnMut(String),
) {
    let mut counts: BTreeMap<Uuid, usize> = BTreeMap::new();
    for id in seen {
        *counts.entry(*id).or_default() += 1;
    }
    for id in expected {
        match counts.remove(&id).unwrap_or(0) {
            1 => {}
            count => wrong(format!("event {id} has {count} effects of the kind {what}")),
        }
    }
    for id in counts.into_keys() {
        wrong(format!("{what} {id} belongs to no event"));
    }
}

/// Versions of an aggregate rise; with `repeats`, an event that was seen before is passed over.
fn in_order(
    what: &str,
    ids: impl Iterator<Item = Uuid>,
    events: &BTreeMap<Uuid, &Event>,
    repeats: bool,
    wrong: &mut impl FnMut(String),
) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for id in ids {
        let Some(event) = events.get(&id) else {
            continue;
        };
        if !seen.insert(id) && repeats {
            continue;
        }
        let last = last.entry((&event.topic, &event.key)).or_insert(0);
        if event.version <= *last {
            wrong(format!(
                "{what}: {} {}: version {} after {last}",
                event.topic, event.key, event.version
            ));
        }
        *last = event.version;
    }
}

#[cfg(test)]
mod tests;
