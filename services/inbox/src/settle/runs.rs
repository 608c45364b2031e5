use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::event::Received;

/// The versions of a batch, key by key and without a gap.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs<'a> {
    pub(crate) keys: Vec<&'a str>,
    pub(crate) generations: Vec<i64>,
    /// First version of each.
    pub(crate) first: Vec<i64>,
    /// Last version of each.
    pub(crate) last: Vec<i64>,
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
            match places.entry((event.key.as_str(), event.generation)) {
                Entry::Vacant(place) => {
                    place.insert(runs.keys.len());
                    runs.keys.push(&event.key);
                    runs.generations.push(event.generation);
                    runs.first.push(event.version);
                    runs.last.push(event.version);
                }
                Entry::Occupied(place) => {
                    let last = runs.last.get_mut(*place.get())?;
                    if last.checked_add(1) != Some(event.version) {
                        return None;
                    }
                    *last = event.version;
                }
            }
        }
        Some(runs)
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
