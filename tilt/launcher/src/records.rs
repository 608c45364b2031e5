//! `.dev/run`: what runs, for other commands to read and for the next launcher to end when this one died.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::layout::{Layout, create_private, write_private};
use crate::process::Identity;
use crate::topology::Kind;

/// One process of a running instance, as its launcher last saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Name in the topology.
    pub name: String,
    /// The process; `None` while there is none.
    pub identity: Option<Identity>,
    /// What it does.
    pub state: State,
    /// Unix seconds of its last change of state.
    pub since: i64,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended last, in words.
    pub last_end: Option<String>,
    /// `host:port` that it serves.
    pub address: Option<String>,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for what it needs.
    Waiting,
    /// Was started and does not answer yet.
    Starting,
    /// Answers.
    Ready,
    /// Ended by itself, as it should.
    Done,
    /// Died; will be started again.
    Down,
    /// The caller's, not ours.
    Given,
}

impl std::fmt::Display for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Done => "done",
            Self::Down => "down",
            Self::Given => "given",
        })
    }
}

/// The launcher of a running instance, as its lock file names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// The launcher.
    pub launcher: Identity,
    /// Unix seconds of its start.
    pub since: i64,
    /// Whether it runs optimised binaries.
    pub release: bool,
    /// The variables that it took, such as moved ports.
    pub environment: BTreeMap<String, String>,
}

/// Held by the launcher of an instance as long as that runs.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
    content: PathBuf,
}

impl InstanceLock {
    /// Takes the lock and writes who holds it.
    ///
    /// # Errors
    /// Says who holds it, and how to end that.
    pub fn take(
        layout: &Layout,
        release: bool,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self> {
        create_private(&layout.run())?;
        let path = layout.run().join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let content = layout.run().join("up.json");
        if file.try_lock().is_err() {
            let who = read(layout).map_or("by another launcher".to_owned(), |running| {
                format!("as process {}", running.launcher.pid)
            });
            let way = if layout.dev == Layout::new(&layout.root).dev {
                "see ./dev status, or end it by ./dev stop"
            } else {
                "wait for that, or end it"
            };
            bail!(
                "the system of {} runs already, {who}: {way}",
                layout.dev.display()
            );
        }
        let running = Running {
            launcher: Identity::own()?,
            since: now(),
            release,
            environment: environment.clone(),
        };
        write_private(&content, &serde_json::to_vec(&running)?)?;
        Ok(Self {
            _file: file,
            content,
        })
    }
}

/// Held by each process that `./dev run` has become: whoever forgets the data waits for its end.
pub(crate) fn hold(layout: &Layout) -> Result<File> {
    let (file, path) = users(layout)?;
    file.try_lock_shared()
        .with_context(|| format!("{} is locked: the data are being forgotten", path.display()))?;
    Ok(file)
}

/// The lock of whoever forgets the data.
///
/// # Errors
/// When a process runs that `./dev run` has become.
pub(crate) fn without_users(layout: &Layout) -> Result<File> {
    let (file, _) = users(layout)?;
    file.try_lock().with_context(|| {
        format!(
            "a process that ./dev run started uses {}: end that first",
            layout.dev.display()
        )
    })?;
    Ok(file)
}

fn users(layout: &Layout) -> Result<(File, PathBuf)> {
    create_private(&layout.run())?;
    let path = layout.run().join("users.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((file, path))
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // A file that stays is not believed: its launcher is looked up by when it began.
        let _ = fs::remove_file(&self.content);
    }
}

/// The launcher that runs this instance now.
pub fn running(layout: &Layout) -> Option<Running> {
    read(layout).filter(|running| running.launcher.alive())
}

/// What the launcher wrote of each process, by name.
pub fn records(layout: &Layout) -> Result<BTreeMap<String, Record>> {
    let mut records = BTreeMap::new();
    let folder = layout.run().join("processes");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(records),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", folder.display()));
        }
    };
    for entry in entries {
        let path = entry?.path();
        // One that is being replaced has a longer name, and may be gone by now.
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
            && let Ok(text) = fs::read(&path)
        {
            let record: Record = serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged: remove it", path.display()))?;
            records.insert(record.name.clone(), record);
        }
    }
    Ok(records)
}

/// Writes what the launcher knows of a process.
pub(crate) fn write(layout: &Layout, record: &Record) -> Result<()> {
    let folder = layout.run().join("processes");
    create_private(&folder)?;
    write_private(
        &folder.join(format!("{}.json", record.name)),
        &serde_json::to_vec(record)?,
    )
}

/// Forgets every process.
pub(crate) fn clear(layout: &Layout) -> Result<()> {
    match fs::remove_dir_all(layout.run().join("processes")) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context("cannot clear .dev/run/processes")
        }
        _ => Ok(()),
    }
}

/// Ends what a launcher that died has left behind, and says what that was.
pub fn end_leftovers(
    layout: &Layout,
    kind_of: impl Fn(&str) -> Option<Kind>,
) -> Result<Vec<String>> {
    let mut ended = Vec::new();
    for (name, record) in records(layout)? {
        if let Some(identity) = record.identity.filter(Identity::alive) {
            identity.end(polite_signal(kind_of(&name)), Duration::from_secs(10))?;
            ended.push(format!("{name} (process {})", identity.pid));
        }
    }
    clear(layout)?;
    Ok(ended)
}

/// What asks a process to end soon: PostgreSQL waits for its clients on SIGTERM, and not on SIGINT.
pub fn polite_signal(kind: Option<Kind>) -> Signal {
    if kind == Some(Kind::Postgres) {
        Signal::SIGINT
    } else {
        Signal::SIGTERM
    }
}

/// Why an operator ends a process, left where the launcher finds it when the process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To see what a fault does.
    Kill,
    /// To have it started again at once.
    Restart,
}

/// Tells the launcher that the next end of a process is meant.
pub fn ask(layout: &Layout, name: &str, asked: Asked) -> Result<()> {
    let word: &[u8] = if asked == Asked::Restart {
        b"restart"
    } else {
        b"kill"
    };
    write_private(&layout.run().join(format!("{name}.asked")), word)
}

/// What was asked for since the last time.
pub(crate) fn take_asked(layout: &Layout, name: &str) -> Option<Asked> {
    let path = layout.run().join(format!("{name}.asked"));
    let word = fs::read(&path).ok()?;
    let _ = fs::remove_file(&path);
    Some(if word == b"restart" {
        Asked::Restart
    } else {
        Asked::Kill
    })
}

/// Unix seconds.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

fn read(layout: &Layout) -> Option<Running> {
    serde_json::from_slice(&fs::read(layout.run().join("up.json")).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn layout() -> Layout {
        let dev =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        let layout = Layout::at(Path::new("/"), &dev);
        layout.create().unwrap();
        layout
    }

    fn record(name: &str, identity: Identity) -> Record {
        Record {
            name: name.into(),
            identity: Some(identity),
            state: State::Ready,
            since: 0,
            restarts: 0,
            last_end: None,
            address: None,
        }
    }

    #[test]
    fn leftovers_are_ended_and_reused_process_numbers_are_not() {
        let layout = layout();
        let (mut left, mut innocent) = (
            Command::new("sleep").arg("60").spawn().unwrap(),
            Command::new("sleep").arg("60").spawn().unwrap(),
        );
        write(
            &layout,
            &record("left", Identity::of(left.id() as i32).unwrap()),
        )
        .unwrap();
        write(
            &layout,
            &record(
                "gone",
                Identity {
                    pid: innocent.id() as i32,
                    began: "before".into(),
                },
            ),
        )
        .unwrap();

        let ended = end_leftovers(&layout, |_| None).unwrap();

        assert_eq!(ended, [format!("left (process {})", left.id())]);
        assert!(!left.wait().unwrap().success());
        assert!(innocent.try_wait().unwrap().is_none());
        assert!(records(&layout).unwrap().is_empty());
        innocent.kill().unwrap();
        innocent.wait().unwrap();
        fs::remove_dir_all(&layout.dev).unwrap();
    }

    #[test]
    fn a_second_launcher_is_told_who_runs() {
        let layout = layout();
        let lock = InstanceLock::take(&layout, false, &BTreeMap::new()).unwrap();
        let error = InstanceLock::take(&layout, false, &BTreeMap::new())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("as process {}", std::process::id())),
            "{error}"
        );
        assert!(running(&layout).is_some());
        drop(lock);
        assert!(running(&layout).is_none());
        fs::remove_dir_all(&layout.dev).unwrap();
    }

    #[test]
    fn what_an_operator_asked_for_counts_once() {
        let layout = layout();
        ask(&layout, "auth", Asked::Restart).unwrap();
        assert_eq!(take_asked(&layout, "auth"), Some(Asked::Restart));
        assert_eq!(take_asked(&layout, "auth"), None);
        fs::remove_dir_all(&layout.dev).unwrap();
    }
}
