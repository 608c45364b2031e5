//! A running instance, for the commands and for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;

use crate::event::Event;
use crate::instance::Instance;
use crate::layout::Layout;
use crate::observers::Observer;
use crate::ports::Ports;
use crate::process::Identity;
use crate::records::{self, Asked, InstanceLock, Record, State, polite_signal};
use crate::supervisor::Supervisor;

/// What to start, and where.
pub struct StackOptions {
    /// The repository.
    pub root: PathBuf,
    /// State of this instance; `None`: `.dev` in the repository.
    pub dev_dir: Option<PathBuf>,
    /// Binaries of the services; `None`: `bin` in the state's folder.
    pub bin_dir: Option<PathBuf>,
    /// Which ports it uses.
    pub ports: Ports,
    /// These processes and what they need; empty: all.
    pub only: Vec<String>,
    /// The caller's variables: moved ports, given engines, settings of services.
    pub environment: BTreeMap<String, String>,
    /// Variables of single processes (process, variable, value) that go before the topology's.
    pub overrides: BTreeMap<String, BTreeMap<String, String>>,
    /// What is started beside it to watch it.
    pub observers: Vec<Observer>,
    /// Whether the binaries are optimised ones, for those who ask.
    pub release: bool,
    /// Whether data outlive a crash of the machine; those of tests need not, and are written faster.
    pub durable: bool,
    /// Is told what happens.
    pub report: Arc<dyn Fn(Notice) + Send + Sync>,
}

impl StackOptions {
    /// Everything in `dev_dir` on free ports, for a test: silent, nothing taken from the caller's environment.
    pub fn for_test(
        root: impl Into<PathBuf>,
        dev_dir: impl Into<PathBuf>,
        bin_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            root: root.into(),
            dev_dir: Some(dev_dir.into()),
            bin_dir: Some(bin_dir.into()),
            ports: Ports::Free,
            only: Vec::new(),
            environment: BTreeMap::new(),
            overrides: BTreeMap::new(),
            observers: Vec::new(),
            release: false,
            durable: false,
            report: Arc::new(|_: Notice| {}),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Notice {
    /// What an earlier launcher left behind was ended.
    Leftover { what: String },
    /// Something takes a while.
    Busy { name: String, what: String },
    /// It answers.
    Ready {
        name: String,
        address: Option<String>,
    },
    /// It died and will be started again.
    Died {
        name: String,
        how: String,
        pause: Duration,
    },
    /// Everything is being ended.
    Stopping,
    /// It has ended.
    Ended { name: String },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leftover { what } => write!(
                formatter,
                "ended {what}, left behind by a launcher that died"
            ),
            Self::Busy { name, what } => write!(formatter, "{name:<15} {what}"),
            Self::Ready {
                name,
                address: Some(address),
            } => write!(formatter, "{name:<15} ready on {address}"),
            Self::Ready {
                name,
                address: None,
                ..
            } => write!(formatter, "{name:<15} done"),
            Self::Died { name, how, pause } => write!(
                formatter,
                "{name:<15} died, {how}; starting it again in {} ms",
                pause.as_millis()
            ),
            Self::Stopping => write!(formatter, "stopping"),
            Self::Ended { name } => write!(formatter, "{name:<15} ended"),
        }
    }
}

/// A running instance. It ends when the value is dropped.
pub struct Stack {
    instance: Arc<Instance>,
    shared: Arc<Shared>,
    sender: Sender<Event>,
    supervisor: Option<JoinHandle<Result<()>>>,
    _lock: InstanceLock,
}

/// Ends a stack from another thread.
#[derive(Clone)]
pub struct Stopper(Sender<Event>);

impl Stopper {
    /// Ends it in order; when that has begun, at once.
    pub fn stop(&self) {
        // It may have ended already.
        let _ = self.0.send(Event::Stop);
    }
}

impl Stack {
    /// Starts everything and waits until all of it is ready.
    ///
    /// # Errors
    /// When something cannot start or dies first; the rest is ended then.
    pub fn start(options: StackOptions) -> Result<Self> {
        let mut stack = Self::launch(options)?;
        stack.wait_until_ready()?;
        Ok(stack)
    }

    /// Starts everything without waiting for it.
    ///
    /// # Errors
    /// When the instance runs already, a port is taken, or a variable is wrong.
    pub fn launch(options: StackOptions) -> Result<Self> {
        let dev = options.dev_dir.unwrap_or_else(|| options.root.join(".dev"));
        let mut layout = Layout::at(&options.root, &dev);
        layout.bin = options.bin_dir.unwrap_or(layout.bin);
        layout.create()?;
        let mut instance = Instance::new(layout, options.ports, &options.environment)?;
        instance.override_environment(options.overrides)?;
        instance.durable = options.durable;
        let mut selected = instance.topology.select(&options.only)?;
        selected.extend(
            options
                .observers
                .iter()
                .map(|observer| observer.name.clone()),
        );
        instance.add_observers(options.observers)?;

        let lock = InstanceLock::take(&instance.layout, options.release, instance.environment())?;
        let kind_of = |name: &str| instance.topology.kind_of(name);
        for what in records::end_leftovers(&instance.layout, kind_of)? {
            (options.report)(Notice::Leftover { what });
        }
        for name in selected.iter().filter(|name| !instance.is_given(name)) {
            instance.assigned(name).check_free(name)?;
        }

        let (instance, shared) = (Arc::new(instance), Arc::new(Shared::default()));
        let (sender, events) = mpsc::channel();
        let supervisor = Supervisor::new(
            Arc::clone(&instance),
            &selected,
            Arc::clone(&shared),
            options.report,
            sender.clone(),
        )?;
        // Its children get their farewell signal when this thread ends, so nothing else may start them.
        let supervisor = std::thread::Builder::new()
            .name("supervisor".into())
            .spawn(move || supervisor.run(&events))?;
        Ok(Self {
            instance,
            shared,
            sender,
            supervisor: Some(supervisor),
            _lock: lock,
        })
    }

    /// Waits until all of it is ready.
    ///
    /// # Errors
    /// When something cannot start or dies first; the rest has ended then.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let settled = |records: &BTreeMap<String, Record>| {
            !records.is_empty()
                && records
                    .values()
                    .all(|record| matches!(record.state, State::Ready | State::Done | State::Given))
        };
        match self
            .shared
            .wait(None, |state| state.stopping || settled(&state.records))
        {
            Some(true) => self
                .wait()
                .and(Err(anyhow!("stopped before everything was ready"))),
            _ => Ok(()),
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it ended because something could not live.
    pub fn wait(&mut self) -> Result<()> {
        match self.supervisor.take() {
            Some(supervisor) => supervisor
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the supervisor did not end as it should"))),
            None => Ok(()),
        }
    }

    /// Ends everything, in order.
    pub fn stop(mut self) -> Result<()> {
        self.stopper().stop();
        self.wait()
    }

    /// What ends it from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.sender.clone())
    }

    /// What it is made of, and where.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Where a process serves.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        self.instance.address(name)
    }

    /// Where a process serves `/readyz` and `/metrics`.
    pub fn admin_address(&self, name: &str) -> Result<SocketAddr> {
        self.instance.admin_address(name)
    }

    /// What each process does now.
    pub fn records(&self) -> BTreeMap<String, Record> {
        self.shared.lock().records.clone()
    }

    /// The process of that name, as long as it runs.
    pub fn identity(&self, name: &str) -> Option<Identity> {
        self.shared.get(name)?.identity
    }

    /// Sends a signal. A death by it is followed by a start, and does not count towards giving up.
    pub fn kill(&self, name: &str, signal: Signal) -> Result<()> {
        self.signal(name, signal, Asked::Kill)
    }

    /// Ends a process, starts it again, and waits until it is ready.
    pub fn restart(&self, name: &str) -> Result<()> {
        let before = self
            .shared
            .get(name)
            .with_context(|| format!("{name} is not part of this stack"))?
            .restarts;
        let kind = self.instance.topology.process(name)?.kind;
        self.signal(name, polite_signal(Some(kind)), Asked::Restart)?;
        self.wait_ready_after(name, before, Duration::from_secs(60))
    }

    /// Waits until a process is ready, as after a kill.
    pub fn wait_ready(&self, name: &str, patience: Duration) -> Result<()> {
        self.wait_for(name, patience, |record| record.state == State::Ready)
    }

    /// Waits until a process is ready that was restarted more than `restarts` times.
    pub fn wait_ready_after(&self, name: &str, restarts: u32, patience: Duration) -> Result<()> {
        self.wait_for(name, patience, |record| {
            record.state == State::Ready && record.restarts > restarts
        })
    }

    fn wait_for(
        &self,
        name: &str,
        patience: Duration,
        reached: impl Fn(&Record) -> bool,
    ) -> Result<()> {
        let stopping = self.shared.wait(Some(patience), |state| {
            state.stopping || state.records.get(name).is_some_and(&reached)
        });
        match stopping {
            Some(false) => Ok(()),
            Some(true) => bail!("the stack stops"),
            None => bail!("{name} was not ready within {} s", patience.as_secs()),
        }
    }

    fn signal(&self, name: &str, signal: Signal, asked: Asked) -> Result<()> {
        let (reply, answer) = mpsc::channel();
        self.sender
            .send(Event::Signal(name.to_owned(), signal, asked, reply))
            .map_err(|_| anyhow!("the stack has ended"))?;
        answer.recv().context("the stack has ended")?
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.stopper().stop();
        // Who wants to know how it ended calls `stop`.
        let _ = self.wait();
    }
}

/// What the supervisor lets others see.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct Seen {
    records: BTreeMap<String, Record>,
    stopping: bool,
}

impl Shared {
    pub(crate) fn set(&self, record: Record) {
        self.lock().records.insert(record.name.clone(), record);
        self.changed.notify_all();
    }

    pub(crate) fn get(&self, name: &str) -> Option<Record> {
        self.lock().records.get(name).cloned()
    }

    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Waits until `reached`, and says whether everything stops; `None` when it took longer than `patience`.
    fn wait(&self, patience: Option<Duration>, reached: impl Fn(&Seen) -> bool) -> Option<bool> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut state = self.lock();
        while !reached(&state) {
            let left = deadline.map_or(Duration::from_secs(3600), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return None;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Some(state.stopping)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
