use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::event::{Event, Received};

/// A batch whose versions, key by key, have no gap and no repeat.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs<'a> {
    pub(crate) keys: Vec<&'a str>,
    pub(crate) generations: Vec<i64>,
    /// The version before the first of each.
    pub(crate) before: Vec<i64>,
    /// The last version of each.
    pub(crate) last: Vec<i64>,
    /// All of the batch, in its order.
    pub(crate) events: Vec<&'a Event>,
}

impl<'a> Runs<'a> {
    /// None where a record cannot be read, or a version does not follow the one before it.
    pub(crate) fn of(records: &'a [Received]) -> Option<Self> {
        let mut runs = Self::default();
        let mut places = HashMap::new();
        for received in records {
            let Received::Event(event) = received else {
                return None;
            };
            let before = event.version.checked_sub(1)?;
            match places.entry((event.key.as_str(), event.generation)) {
                Entry::Vacant(place) => {
                    place.insert(runs.keys.len());
                    runs.keys.push(&event.key);
                    runs.generations.push(event.generation);
                    runs.before.push(before);
                    runs.last.push(event.version);
                }
                Entry::Occupied(place) => {
                    let last = runs.last.get_mut(*place.get())?;
                    if *last != before {
                        return None;
                    }
                    *last = event.version;
                }
            }
            runs.events.push(event);
        }
        Some(runs)
    }

    /// How many there are, one for each key and generation.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
