//! Faults that are planted to see whether the checker finds them. Two programs of this package are `user` and `event-consumer` as
//! they are deployed, but for a fault that they can be told to have, a step at which they can be told to die, and a journal
//! that event-consumer keeps: a subscriber that notes each event as often as it takes effect, where the others know repeats by the
//! event's id. Without a fault they do what the deployed ones do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use launcher::StackOptions;
use nix::sys::signal::{Signal, raise};

use crate::stack::{TestStack, bin_dir};

/// A mistake, made for as long as a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// event-consumer does not compare versions.
    VersionCheckOff,
    /// The relay of user writes its cursor before it publishes what the cursor passes.
    CursorBeforeDelivery,
    /// event-consumer commits the offset before the effect.
    OffsetBeforeEffect,
}

impl Fault {
    /// The one that this process is to have.
    pub fn of_this_process() -> Option<Self> {
        let name = std::env::var(FAULT).ok()?;
        let all = [
            Self::VersionCheckOff,
            Self::CursorBeforeDelivery,
            Self::OffsetBeforeEffect,
        ];
        let known = all.into_iter().find(|fault| fault.name() == name);
        assert!(known.is_some(), "{FAULT} is no fault: {name}");
        known
    }

    fn name(self) -> &'static str {
        match self {
            Self::VersionCheckOff => "version-check-off",
            Self::CursorBeforeDelivery => "cursor-before-delivery",
            Self::OffsetBeforeEffect => "offset-before-effect",
        }
    }
}

const FAULT: &str = "PLANTED_FAULT";
const DEATH: &str = "PLANTED_DEATH";

/// A file that tells a process to die, once.
#[derive(Debug, Clone)]
pub struct Death(PathBuf);

impl Death {
    /// The one that this process looks for.
    pub fn of_this_process() -> Self {
        let path = std::env::var_os(DEATH);
        Self(path.expect("only the planted system starts this").into())
    }

    /// Ends the process as `kill -9` does where the file is there. The next process does not find it any more.
    pub fn here_if_told(&self) {
        if fs::remove_file(&self.0).is_ok() {
            raise(Signal::SIGKILL).expect("a process may end itself");
        }
    }
}

/// Who can be told to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// Its relay has read a window and has published none of it.
    User,
    /// The journal is about to note an event of a profile.
    EventConsumer,
}

impl Victim {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::EventConsumer => "event-consumer",
        }
    }
}

/// Where the planted programs were built.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    pub user: &'static str,
    pub event_consumer: &'static str,
}

/// A system in which the planted programs run in place of the deployed ones.
pub struct PlantedSystem {
    pub system: TestStack,
    dev: PathBuf,
}

impl PlantedSystem {
    /// Starts one that has `fault` for as long as it runs.
    pub fn start(name: &str, programs: Programs, fault: Option<Fault>) -> Self {
        let mut dev = PathBuf::new();
        let system = TestStack::start(name, |options| {
            dev = options.dev_dir.clone().expect("a folder of its own");
            plant(options, &dev, programs, fault);
        });
        Self { system, dev }
    }

    /// Lets `victim` die at its step, which `provoke` leads it to, and waits until it is back.
    pub async fn with_death<T>(&self, victim: Victim, provoke: impl Future<Output = T>) -> T {
        let (name, stack) = (victim.name(), &self.system.stack);
        let restarts = stack.records()[name].restarts;
        fs::write(death_of(&self.dev, name), "").expect("the file can be written");
        let provoked = provoke.await;
        tokio::task::block_in_place(|| {
            stack.wait_ready_after(name, restarts, Duration::from_secs(60))
        })
        .unwrap_or_else(|error| panic!("{name} did not die and come back: {error:#}"));
        provoked
    }
}

/// A folder of programs: the built ones, and in place of two of them the planted ones.
fn plant(options: &mut StackOptions, dev: &Path, programs: Programs, fault: Option<Fault>) {
    let bin = dev.join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    let built = bin_dir();
    for (name, program) in [
        ("auth", built.join("auth")),
        ("gateway", built.join("gateway")),
        ("user", programs.user.into()),
        ("event-consumer", programs.event_consumer.into()),
    ] {
        let link = bin.join(name);
        // One of an earlier run may be there.
        let _ = fs::remove_file(&link);
        symlink(&program, &link).expect("a link");
    }
    options.bin_dir = Some(bin);
    for victim in [Victim::User, Victim::EventConsumer] {
        let variables = options.overrides.entry(victim.name().into()).or_default();
        let death = death_of(dev, victim.name());
        variables.insert(DEATH.into(), death.display().to_string());
        if let Some(fault) = fault {
            variables.insert(FAULT.into(), fault.name().into());
        }
    }
}

fn death_of(dev: &Path, name: &str) -> PathBuf {
    dev.join(format!("death-of-{name}"))
}
