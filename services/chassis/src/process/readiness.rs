//! The conditions under which a process may be sent work.

use std::collections::BTreeMap;
use std::sync::Arc;

use telemetry::{metrics, names};
use tokio::sync::watch;

/// What a process waits for before it may be sent work: conditions by name. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<State>>);

/// One thing that must hold before the process is ready.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    conditions: BTreeMap<&'static str, bool>,
    stopping: bool,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// A new condition, which does not hold yet. `name` is what `/readyz` says while it does not. Asking twice for a name gives
    /// the same condition.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.change(|state| {
            state.conditions.entry(name).or_insert(false);
        });
        Condition {
            name,
            readiness: self.clone(),
        }
    }

    /// Whether every condition holds and the process is not about to end.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// What is missing, by name; `stopping` once the stop signal has come.
    pub fn missing(&self) -> Vec<&'static str> {
        let state = self.0.borrow();
        let unmet = state
            .conditions
            .iter()
            .filter(|(_, holds)| !**holds)
            .map(|(name, _)| *name);
        unmet.chain(state.stopping.then_some("stopping")).collect()
    }

    pub(crate) fn stopping(&self) {
        self.change(|state| state.stopping = true);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.send_modify(change);
        metrics::gauge(
            names::READY,
            "Whether /readyz says that the process is ready",
        )
        .set(i64::from(self.is_ready()));
    }
}

impl Condition {
    /// Says whether the condition holds.
    pub fn set(&self, holds: bool) {
        let before = self.readiness.0.borrow().conditions.get(self.name).copied();
        if before == Some(holds) {
            return;
        }
        self.readiness.change(|state| {
            state.conditions.insert(self.name, holds);
        });
    }
}

impl State {
    pub(crate) fn is_ready(&self) -> bool {
        !self.stopping && self.conditions.values().all(|holds| *holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_condition_holds() {
        let readiness = Readiness::new();
        let database = readiness.condition("database");
        let trust = readiness.condition("trust");
        database.set(true);
        assert!(!readiness.is_ready());
        assert_eq!(readiness.missing(), ["trust"]);
        trust.set(true);
        assert!(readiness.is_ready());
        database.set(false);
        assert_eq!(readiness.missing(), ["database"]);
    }

    #[test]
    fn a_process_that_stops_is_not_ready() {
        let readiness = Readiness::new();
        readiness.condition("database").set(true);
        readiness.stopping();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.missing(), ["stopping"]);
    }
}
