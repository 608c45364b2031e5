//! Threads that wait until a process answers and tell the supervisor.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::event::Event;
use crate::instance::{BOOTSTRAP, Instance};
use crate::readiness::Probe;
use crate::stack::Shared;

const PAUSE: Duration = Duration::from_millis(20);
/// How long one of ours may take to its first answer: a loaded machine that makes its first database is slow.
const FIRST_ANSWER: Duration = Duration::from_secs(120);
const GIVEN_KAFKA: Duration = Duration::from_secs(30);

/// Waits for a process of ours as long as it lives.
pub(crate) fn for_own(
    instance: Arc<Instance>,
    shared: Arc<Shared>,
    sender: Sender<Event>,
    name: String,
    life: u32,
) {
    std::thread::spawn(move || {
        let lives = || {
            shared
                .get(&name)
                .is_some_and(|record| record.identity.is_some())
        };
        // One that takes longer is told of and waited for again: what it needs may come back.
        while let Some(answer) = wait(&instance, &name, FIRST_ANSWER, lives) {
            let ready = answer.is_ok();
            let answer = answer.map_err(|error| {
                error.context(format!(
                    "{name} was not ready within {} s",
                    FIRST_ANSWER.as_secs()
                ))
            });
            // The supervisor may have ended.
            let ended = sender
                .send(Event::Answered(name.clone(), life, answer))
                .is_err();
            if ready || ended {
                break;
            }
        }
    });
}

/// Waits for the caller's Kafka.
pub(crate) fn for_given_kafka(
    instance: Arc<Instance>,
    sender: Sender<Event>,
    name: String,
    life: u32,
) {
    std::thread::spawn(move || {
        if let Some(answer) = wait(&instance, &name, GIVEN_KAFKA, || true) {
            let answer = answer.map_err(|error| {
                let address = instance.bootstrap().unwrap_or_default();
                error.context(format!(
                    "Kafka at {address} does not answer within {} s: start it, correct {BOOTSTRAP}, or unset that for a private one",
                    GIVEN_KAFKA.as_secs()
                ))
            });
            // The supervisor may have ended.
            let _ = sender.send(Event::Answered(name, life, answer));
        }
    });
}

/// `None` when it is no longer wanted.
fn wait(
    instance: &Instance,
    name: &str,
    patience: Duration,
    wanted: impl Fn() -> bool,
) -> Option<Result<()>> {
    let deadline = Instant::now() + patience;
    let probe = match Probe::new(instance, name) {
        Ok(probe) => probe,
        Err(error) => return Some(Err(error)),
    };
    loop {
        match probe.attempt() {
            Ok(()) => return Some(Ok(())),
            Err(error) if Instant::now() >= deadline => return Some(Err(anyhow!("{error:#}"))),
            Err(_) if !wanted() => return None,
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
