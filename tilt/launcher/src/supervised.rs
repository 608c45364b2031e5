//! One process of an instance, as its supervisor sees it.

use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::instance::Instance;
use crate::records::{self, Asked, Record, State, polite_signal};
use crate::restarts::Restarts;
use crate::topology::Kind;

/// How long a process may take to end after it was asked.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the supervisor knows of one process.
pub(crate) struct Supervised {
    pub(crate) kind: Kind,
    pub(crate) needs: Vec<String>,
    pub(crate) record: Record,
    pub(crate) child: Option<Child>,
    pub(crate) started: Instant,
    /// Counts its lives, so that news of an earlier one is not taken for news of this one.
    pub(crate) life: u32,
    pub(crate) restarts: Restarts,
    pub(crate) was_ready: bool,
    /// When a dead one is to be started again.
    pub(crate) due: Option<Instant>,
    /// When one that was asked to end is made to.
    pub(crate) deadline: Option<Instant>,
    /// What an operator or a test meant by the signal it sent.
    pub(crate) asked: Option<Asked>,
}

impl Supervised {
    pub(crate) fn new(instance: &Instance, name: &str) -> Result<Self> {
        let process = instance.topology.process(name)?;
        let address = if instance.is_given(name) {
            (process.kind == Kind::Kafka)
                .then(|| instance.bootstrap())
                .transpose()?
        } else {
            process
                .port
                .map(|_| instance.address(name))
                .transpose()?
                .map(|address| address.to_string())
        };
        let record = Record {
            name: name.to_owned(),
            identity: None,
            state: State::Waiting,
            since: records::now(),
            restarts: 0,
            last_end: None,
            address,
        };
        Ok(Self {
            kind: process.kind,
            needs: process.needs.clone(),
            record,
            child: None,
            started: Instant::now(),
            life: 0,
            restarts: Restarts::default(),
            was_ready: false,
            due: None,
            deadline: None,
            asked: None,
        })
    }

    /// Whether it must not end before `other`, given by its name: engines end after all services, a service after those that need it.
    pub(crate) fn must_outlive(&self, name: &str, other: &Self) -> bool {
        if self.kind == Kind::Service {
            other.needs.iter().any(|need| need == name)
        } else {
            other.kind == Kind::Service
        }
    }

    /// Sends it a signal; the end that may follow is meant.
    pub(crate) fn signal(&mut self, name: &str, signal: Signal, asked: Asked) -> Result<()> {
        let identity = self.record.identity.as_ref();
        let identity = identity.with_context(|| format!("{name} does not run"))?;
        self.asked = Some(asked);
        if asked == Asked::Restart {
            self.deadline = Some(Instant::now() + PATIENCE);
        }
        identity.signal(signal)
    }

    /// Asks it to end, if that was not done before.
    pub(crate) fn ask_to_end(&mut self) {
        if let (None, Some(identity)) = (self.deadline, &self.record.identity) {
            let asked = identity.signal(polite_signal(Some(self.kind)));
            let patience = if asked.is_ok() {
                PATIENCE
            } else {
                Duration::ZERO
            };
            self.deadline = Some(Instant::now() + patience);
        }
    }

    /// Ends it and its children at once. It was not waited for yet, so its number is still its own.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok())
        {
            // It may have ended in this moment.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
