//! One thread that starts the processes of an instance, watches over them, and ends them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use nix::sys::signal::Signal;

use crate::event::Event;
use crate::instance::Instance;
use crate::output;
use crate::process::{Identity, Program};
use crate::records::{self, Asked, State};
use crate::restarts::{Cause, Next};
use crate::stack::{Notice, Shared};
use crate::supervised::Supervised;
use crate::topology::Kind;
use crate::waiting;

/// How often it looks whether a process has ended.
const GLANCE: Duration = Duration::from_millis(20);

/// Runs until everything has ended: by [`Event::Stop`], or because something cannot live.
pub(crate) struct Supervisor {
    instance: Arc<Instance>,
    shared: Arc<Shared>,
    report: Arc<dyn Fn(Notice) + Send + Sync>,
    sender: Sender<Event>,
    processes: BTreeMap<String, Supervised>,
    /// Threads that make something ready; most have ended.
    preparing: Vec<JoinHandle<()>>,
    stopping: bool,
    failure: Option<Error>,
}

impl Supervisor {
    pub(crate) fn new(
        instance: Arc<Instance>,
        selected: &[String],
        shared: Arc<Shared>,
        report: Arc<dyn Fn(Notice) + Send + Sync>,
        sender: Sender<Event>,
    ) -> Result<Self> {
        let mut processes = BTreeMap::new();
        for name in selected {
            processes.insert(name.clone(), Supervised::new(&instance, name)?);
        }
        Ok(Self {
            instance,
            shared,
            report,
            sender,
            processes,
            preparing: Vec::new(),
            stopping: false,
            failure: None,
        })
    }

    pub(crate) fn run(mut self, events: &Receiver<Event>) -> Result<()> {
        let names: Vec<String> = self.processes.keys().cloned().collect();
        names.iter().for_each(|name| self.publish(name));
        loop {
            if !self.stopping {
                self.start_what_can();
            }
            match events.recv_timeout(GLANCE) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.stopping = true,
            }
            for name in &names {
                self.look_after(name);
            }
            if self.stopping && !self.stop_some() {
                break;
            }
        }
        // What they write to is the next launcher's as soon as this one has ended.
        for thread in self.preparing.drain(..) {
            let _ = thread.join();
        }
        records::clear(&self.instance.layout)?;
        self.shared.stop();
        self.failure.take().map_or(Ok(()), Err)
    }

    fn handle(&mut self, event: Event) {
        match event {
            // Its helpers were ended.
            Event::Prepared(_, Err(_)) | Event::SetUp(_, Err(_)) if self.stopping => {}
            Event::Prepared(name, program) => {
                let spawned = program.and_then(|program| self.spawn(&name, *program));
                if let Err(error) = spawned {
                    self.give_up(error.context(format!("cannot start {name}")));
                }
            }
            Event::Answered(name, life, answer) => self.answered(&name, life, answer),
            Event::SetUp(name, result) => match result {
                Ok(()) => self.change(&name, State::Done),
                Err(error) => self.give_up(error.context(format!("{name} failed"))),
            },
            Event::Said(name, what) => (self.report)(Notice::Busy { name, what }),
            Event::Signal(name, signal, asked, reply) => {
                let result = self.signal(&name, signal, asked);
                // Nobody may wait for the answer any more.
                let _ = reply.send(result);
            }
            Event::Stop if self.stopping => self.processes.values().for_each(Supervised::kill),
            Event::Stop => self.stop(),
        }
    }

    /// Starts each process that is due and has what it needs.
    fn start_what_can(&mut self) {
        let ready: BTreeSet<String> = self
            .processes
            .iter()
            .filter(|(_, process)| process.was_ready)
            .map(|(name, _)| name.clone())
            .collect();
        let now = Instant::now();
        let can: Vec<String> = self
            .processes
            .iter()
            .filter(|(_, process)| match process.record.state {
                State::Waiting => process.needs.iter().all(|need| ready.contains(need)),
                State::Down => process.due.is_some_and(|due| due <= now),
                _ => false,
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in can {
            self.begin(&name);
        }
    }

    /// Puts the program together on a thread of its own: an engine may have to be made first.
    fn begin(&mut self, name: &str) {
        let Some(process) = self.processes.get_mut(name) else {
            return;
        };
        process.due = None;
        process.started = Instant::now();
        process.life += 1;
        let (kind, life) = (process.kind, process.life);
        let (instance, sender, name) = (
            Arc::clone(&self.instance),
            self.sender.clone(),
            name.to_owned(),
        );
        self.change(&name, State::Starting);
        if instance.is_given(&name) {
            // Who is not there is missed by Kafka's name; databases are looked for by their owners' migrations.
            if kind == Kind::Kafka {
                waiting::for_given_kafka(instance, sender, name, life);
            } else {
                self.answered(&name, life, Ok(()));
            }
            return;
        }
        self.preparing.retain(|thread| !thread.is_finished());
        let preparing = std::thread::spawn(move || {
            let event = if kind == Kind::Setup {
                Event::SetUp(name, crate::setup::run(&instance))
            } else {
                let say =
                    |what: &str| drop(sender.send(Event::Said(name.clone(), what.to_owned())));
                let program = crate::program::prepare(&instance, &name, &say);
                Event::Prepared(name.clone(), program.map(Box::new))
            };
            // The supervisor may have ended.
            let _ = sender.send(event);
        });
        self.preparing.push(preparing);
    }

    fn spawn(&mut self, name: &str, mut program: Program) -> Result<()> {
        let process = self
            .processes
            .get_mut(name)
            .with_context(|| format!("{name} is not ours"))?;
        if self.stopping {
            return Ok(());
        }
        let log = output::open(&self.instance.layout, name)?;
        program
            .command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = program.spawn()?;
        let pid = i32::try_from(child.id()).context("process id")?;
        process.record.identity = Identity::of(pid);
        process.child = Some(child);
        process.started = Instant::now();
        let life = process.life;
        self.publish(name);
        waiting::for_own(
            Arc::clone(&self.instance),
            Arc::clone(&self.shared),
            self.sender.clone(),
            name.to_owned(),
            life,
        );
        Ok(())
    }

    fn answered(&mut self, name: &str, life: u32, answer: Result<()>) {
        let given = self.instance.is_given(name);
        let Some(process) = self.processes.get_mut(name) else {
            return;
        };
        // It may have ended since it answered.
        let gone = !given && process.child.is_none();
        if process.life != life || gone || self.stopping {
            return;
        }
        match answer {
            Ok(()) => {
                self.change(name, if given { State::Given } else { State::Ready });
            }
            Err(error) if process.was_ready => (self.report)(Notice::Busy {
                name: name.to_owned(),
                what: format!("{error:#}"),
            }),
            Err(error) => {
                let end = if given {
                    String::new()
                } else {
                    output::end(&self.instance.layout, name)
                };
                self.give_up(anyhow!("{error:#}{end}"));
            }
        }
    }

    /// Notices that it has ended, and makes it end when its time is over.
    fn look_after(&mut self, name: &str) {
        let Some(process) = self.processes.get_mut(name) else {
            return;
        };
        let Some(child) = process.child.as_mut() else {
            return;
        };
        match child.try_wait() {
            Ok(Some(status)) => self.ended(name, status),
            Ok(None)
                if process
                    .deadline
                    .is_some_and(|deadline| deadline <= Instant::now()) =>
            {
                process.deadline = None;
                process.kill();
            }
            Ok(None) => {}
            Err(error) => self.give_up(anyhow!("cannot wait for {name}: {error}")),
        }
    }

    fn ended(&mut self, name: &str, status: ExitStatus) {
        let Some(process) = self.processes.get_mut(name) else {
            return;
        };
        process.child = None;
        process.deadline = None;
        process.record.identity = None;
        process.record.last_end = Some(status.to_string());
        let asked = process
            .asked
            .take()
            .or(records::take_asked(&self.instance.layout, name));
        if self.stopping {
            self.change(name, State::Done);
            return;
        }
        if !process.was_ready && asked.is_none() {
            let end = output::end(&self.instance.layout, name);
            self.give_up(anyhow!("{name} ended before it was ready, {status}{end}"));
            return;
        }
        let cause = match asked {
            None => Cause::Fault,
            Some(Asked::Kill) => Cause::Killed,
            Some(Asked::Restart) => Cause::Restarted,
        };
        match process.restarts.died(process.started.elapsed(), cause) {
            Next::Restart(pause) => {
                process.due = Some(Instant::now() + pause);
                process.record.restarts = process.restarts.total;
                (self.report)(Notice::Died {
                    name: name.to_owned(),
                    how: status.to_string(),
                    pause,
                });
                self.change(name, State::Down);
            }
            Next::GiveUp => {
                let end = output::end(&self.instance.layout, name);
                self.give_up(anyhow!("{name} died five times in a row, each within 10 s of its start; last {status}{end}"));
            }
        }
    }

    fn signal(&mut self, name: &str, signal: Signal, asked: Asked) -> Result<()> {
        let process = self
            .processes
            .get_mut(name)
            .with_context(|| format!("{name} is not part of this stack"))?;
        process.signal(name, signal, asked)
    }

    fn give_up(&mut self, error: Error) {
        if self.failure.is_none() {
            self.failure = Some(error);
        }
        self.stop();
    }

    fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            self.shared.stop();
            self.instance.helpers.end();
            (self.report)(Notice::Stopping);
        }
    }

    /// Asks each process to end that nobody needs any more. Whether any is left.
    fn stop_some(&mut self) -> bool {
        let running: Vec<&String> = self
            .processes
            .iter()
            .filter(|(_, process)| process.child.is_some())
            .map(|(name, _)| name)
            .collect();
        let needed = |name: &String| {
            running
                .iter()
                .any(|other| self.processes[name].must_outlive(name, &self.processes[*other]))
        };
        let free: Vec<String> = running
            .iter()
            .copied()
            .filter(|name| !needed(name))
            .cloned()
            .collect();
        let any_left = !running.is_empty();
        for name in free {
            if let Some(process) = self.processes.get_mut(&name) {
                process.ask_to_end();
            }
        }
        any_left
    }

    fn change(&mut self, name: &str, state: State) {
        let Some(process) = self.processes.get_mut(name) else {
            return;
        };
        process.record.state = state;
        process.record.since = records::now();
        if matches!(state, State::Ready | State::Given | State::Done) && !self.stopping {
            process.was_ready = true;
            let (name, address) = (name.to_owned(), process.record.address.clone());
            (self.report)(Notice::Ready { name, address });
        } else if self.stopping && state == State::Done {
            (self.report)(Notice::Ended {
                name: name.to_owned(),
            });
        }
        self.publish(name);
    }

    /// Shows the record to those who ask, in this process and in others.
    fn publish(&mut self, name: &str) {
        let Some(process) = self.processes.get(name) else {
            return;
        };
        self.shared.set(process.record.clone());
        if let Err(error) = records::write(&self.instance.layout, &process.record) {
            self.give_up(error);
        }
    }
}

/// Reached with processes only by a panic: what was started must not outlive it.
impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shared.stop();
        self.instance.helpers.end();
        self.processes.values().for_each(Supervised::kill);
    }
}
