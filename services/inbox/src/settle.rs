//! Decides what becomes of records, and lets the subscriber apply those whose turn it is. Everything happens in the
//! caller's transaction, which holds the lock of the partition.

mod runs;

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use sqlx::{Connection, PgConnection};

use crate::event::{Event, Received};
use crate::jobs::NewJob;
use crate::store;
use crate::subscriber::{Effects, Refusal, Subscriber};

pub(crate) use runs::Runs;

/// Why a key has to stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Refused,
    Gap,
    Undecodable,
}

impl Cause {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Gap => "gap",
            Self::Undecodable => "undecodable",
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Applied,
    /// It had taken effect before.
    Repeat,
    /// It could not take effect, and its key stands still from here on.
    Parked(Cause, String),
    /// Its key stood still already.
    Behind,
}

/// What to make of an event whose statements take longer than they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slow {
    /// The server is at fault, for all that is known: the end of the transaction.
    Unavailable,
    /// The event is at fault, as if the subscriber had refused it. Only under savepoints.
    Refused,
}

/// How to settle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// Under savepoints, so that an event that is refused leaves the others alone. Without them a refusal is the end of the
    /// transaction, which then has to be done again with them.
    pub(crate) savepoints: bool,
    /// Whether keys that are parked stand still; not so for the one that is being retried.
    pub(crate) heed_parked: bool,
    /// Whether versions count. They always do but in the tests of the tests.
    pub(crate) check_versions: bool,
    pub(crate) slow: Slow,
}

/// What became of each record, and what is to be done after the commit.
pub(crate) struct Settled {
    pub(crate) fates: Vec<Fate>,
    /// Targets that have new jobs.
    pub(crate) targets: HashSet<&'static str>,
}

/// Settles `records`, all of one topic and in the order in which they are to take effect.
pub(crate) async fn settle(
    connection: &mut PgConnection,
    subscriber: &dyn Subscriber,
    topic: &str,
    records: &[Received],
    mode: Mode,
) -> Result<Settled, Refusal> {
    let mut known = Known::read(connection, subscriber.name(), topic, records, mode).await?;
    let mut fates = decide(records, &mut known, mode);

    let mut jobs = Vec::new();
    let turn: Vec<(usize, &Event)> = records
        .iter()
        .zip(&fates)
        .enumerate()
        .filter_map(|(index, (received, fate))| match (received, fate) {
            (Received::Event(event), Fate::Applied) => Some((index, event)),
            _ => None,
        })
        .collect();
    if !turn.is_empty() {
        if mode.savepoints {
            apply_in_parts(
                connection, subscriber, turn, mode.slow, &mut fates, &mut jobs,
            )
            .await?;
            park_once(records, &mut fates);
        } else {
            let events: Vec<&Event> = turn.iter().map(|(_, event)| *event).collect();
            apply(subscriber, connection, &mut jobs, &events).await?;
        }
    }

    write_versions(connection, subscriber.name(), topic, records, &fates).await?;
    settled(connection, fates, &jobs).await
}

/// Lets the subscriber apply `events`, whose turn it is.
pub(crate) async fn settle_all(
    connection: &mut PgConnection,
    subscriber: &dyn Subscriber,
    events: &[&Event],
) -> Result<Settled, Refusal> {
    let mut jobs = Vec::new();
    apply(subscriber, connection, &mut jobs, events).await?;
    settled(connection, vec![Fate::Applied; events.len()], &jobs).await
}

/// Adds the jobs.
async fn settled(
    connection: &mut PgConnection,
    fates: Vec<Fate>,
    jobs: &[NewJob],
) -> Result<Settled, Refusal> {
    if !jobs.is_empty() {
        store::jobs::enqueue(connection, jobs).await?;
    }
    Ok(Settled {
        fates,
        targets: jobs.iter().map(|job| job.target).collect(),
    })
}

/// Versions and parked keys, as the database has them.
#[derive(Default)]
struct Known<'a> {
    last: HashMap<(&'a str, i64), i64>,
    parked: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    async fn read(
        connection: &mut PgConnection,
        subscriber: &str,
        topic: &str,
        records: &'a [Received],
        mode: Mode,
    ) -> sqlx::Result<Self> {
        // Generations start at 1: where the headers tell none, 0 finds no version, yet whether the key is parked.
        let places: HashSet<(&str, i64)> = records
            .iter()
            .map(|received| (received.key(), received.place().0.unwrap_or(0)))
            .collect();
        let (keys, generations): (Vec<&str>, Vec<i64>) = places.into_iter().unzip();
        let mut known = Self::default();
        for row in
            store::versions::known(connection, subscriber, topic, &keys, &generations).await?
        {
            let place = usize::try_from(row.place - 1).unwrap_or(usize::MAX);
            let (Some(&key), Some(&generation)) = (keys.get(place), generations.get(place)) else {
                continue;
            };
            if let Some(last) = row.last {
                known.last.insert((key, generation), last);
            }
            if row.parked && mode.heed_parked {
                known.parked.insert(key);
            }
        }
        Ok(known)
    }
}

fn decide<'a>(records: &'a [Received], known: &mut Known<'a>, mode: Mode) -> Vec<Fate> {
    records
        .iter()
        .map(|received| decide_one(received, known, mode))
        .collect()
}

fn decide_one<'a>(received: &'a Received, known: &mut Known<'a>, mode: Mode) -> Fate {
    let key = received.key();
    let (generation, version) = received.place();
    let last = generation.and_then(|generation| known.last.get(&(key, generation)).copied());
    if mode.check_versions
        && last
            .zip(version)
            .is_some_and(|(last, version)| version <= last)
    {
        return Fate::Repeat;
    }
    if known.parked.contains(key) {
        return Fate::Behind;
    }
    match received {
        Received::Undecodable(undecodable) => {
            known.parked.insert(key);
            Fate::Parked(Cause::Undecodable, undecodable.reason.clone())
        }
        Received::Event(event) => match last {
            Some(last) if mode.check_versions && event.version > last.saturating_add(1) => {
                known.parked.insert(key);
                Fate::Parked(
                    Cause::Gap,
                    format!("version {} follows version {last}", event.version),
                )
            }
            _ => {
                known.last.insert((key, event.generation), event.version);
                Fate::Applied
            }
        },
    }
}

/// Applies events under savepoints: what is refused is halved until the one at fault is found.
async fn apply_in_parts(
    connection: &mut PgConnection,
    subscriber: &dyn Subscriber,
    events: Vec<(usize, &Event)>,
    slow: Slow,
    fates: &mut [Fate],
    jobs: &mut Vec<NewJob>,
) -> Result<(), Refusal> {
    let mut parked: HashSet<&str> = HashSet::new();
    let mut parts = vec![events];
    while let Some(mut part) = parts.pop() {
        part.retain(|(index, event)| {
            let free = !parked.contains(event.key.as_str());
            if !free && let Some(fate) = fates.get_mut(*index) {
                *fate = Fate::Behind;
            }
            free
        });
        let Some(&(index, event)) = part.first() else {
            continue;
        };

        let jobs_before = jobs.len();
        let Err(refusal) = apply_part(connection, subscriber, &part, jobs).await else {
            continue;
        };
        let reason = match refusal {
            Refusal::Refused(reason) => reason,
            slowness if slow == Slow::Refused && slowness.is_slow() => {
                "it takes longer than a statement may".to_owned()
            }
            refusal => return Err(refusal),
        };
        jobs.truncate(jobs_before);
        if part.len() == 1 {
            parked.insert(&event.key);
            if let Some(fate) = fates.get_mut(index) {
                *fate = Fate::Parked(Cause::Refused, reason);
            }
        } else {
            // The earlier half is on top, so events keep their order.
            let later = part.split_off(part.len() / 2);
            parts.push(later);
            parts.push(part);
        }
    }
    Ok(())
}

/// A gap behind an event that was refused in the end is no failure of its own: its key stood still before.
fn park_once(records: &[Received], fates: &mut [Fate]) {
    let mut parked = HashSet::new();
    for (received, fate) in records.iter().zip(fates) {
        if matches!(fate, Fate::Parked(..)) && !parked.insert(received.key()) {
            *fate = Fate::Behind;
        }
    }
}

async fn apply_part(
    connection: &mut PgConnection,
    subscriber: &dyn Subscriber,
    part: &[(usize, &Event)],
    jobs: &mut Vec<NewJob>,
) -> Result<(), Refusal> {
    let events: Vec<&Event> = part.iter().map(|(_, event)| *event).collect();
    let mut savepoint = connection.begin().await?;
    match apply(subscriber, &mut savepoint, jobs, &events).await {
        Ok(()) => Ok(savepoint.commit().await?),
        Err(refusal) => {
            savepoint.rollback().await.map_err(Refusal::Unavailable)?;
            Err(refusal)
        }
    }
}

/// A panic is the fault of an event like any other: it must not stop the partition for all keys. What it left is rolled back.
async fn apply(
    subscriber: &dyn Subscriber,
    connection: &mut PgConnection,
    jobs: &mut Vec<NewJob>,
    events: &[&Event],
) -> Result<(), Refusal> {
    let mut effects = Effects::new(connection, jobs);
    let applying = AssertUnwindSafe(subscriber.apply(&mut effects, events));
    let applied = applying.catch_unwind().await;
    applied.unwrap_or_else(|_| Err(Refusal::refused("the subscriber panicked")))
}

async fn write_versions(
    connection: &mut PgConnection,
    subscriber: &str,
    topic: &str,
    records: &[Received],
    fates: &[Fate],
) -> sqlx::Result<()> {
    let mut last: HashMap<(&str, i64), i64> = HashMap::new();
    for (received, fate) in records.iter().zip(fates) {
        if let (Received::Event(event), Fate::Applied) = (received, fate) {
            last.insert((event.key.as_str(), event.generation), event.version);
        }
    }
    if last.is_empty() {
        return Ok(());
    }
    let mut keys = Vec::with_capacity(last.len());
    let mut generations = Vec::with_capacity(last.len());
    let mut versions = Vec::with_capacity(last.len());
    for ((key, generation), version) in last {
        keys.push(key);
        generations.push(generation);
        versions.push(version);
    }
    store::versions::write(
        connection,
        subscriber,
        topic,
        &keys,
        &generations,
        &versions,
    )
    .await
}

#[cfg(test)]
mod tests;
