//! Processes of the operating system: which one a number means, starting one that dies with its starter, ending it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{self, SigHandler, Signal};
use nix::unistd::{self, Gid, Pid, Uid};
use serde::{Deserialize, Serialize};

/// One run of one program: its number, and when it began, so that a number given to another is not mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// When it began, in words that differ from run to run.
    pub began: String,
}

/// Whom a process runs as, when not as the launcher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

impl Identity {
    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        began(pid).map(|began| Self { pid, began })
    }

    /// This process.
    pub fn own() -> Result<Self> {
        let pid = i32::try_from(std::process::id()).context("process id")?;
        Self::of(pid).context("cannot tell when this process began")
    }

    /// Whether it still runs.
    pub fn alive(&self) -> bool {
        began(self.pid).as_ref() == Some(&self.began)
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if !self.alive() {
            return Ok(());
        }
        match signal::kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(anyhow!(
                "cannot send {signal} to process {}: {error}",
                self.pid
            )),
        }
    }

    /// Asks it by `polite` to end, and makes it after `patience`.
    pub fn end(&self, polite: Signal, patience: Duration) -> Result<()> {
        self.signal(polite)?;
        if !self.wait(patience) {
            self.signal(Signal::SIGKILL)?;
            if !self.wait(Duration::from_secs(5)) {
                return Err(anyhow!(
                    "process {} does not end, not even by SIGKILL",
                    self.pid
                ));
            }
        }
        Ok(())
    }

    /// Waits for its end, which only its parent is told of; whether it came in time.
    pub fn wait(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// A program, ready to start.
pub(crate) struct Program {
    pub(crate) command: Command,
    /// Whom it runs as, when not as the launcher.
    pub(crate) user: Option<User>,
    /// Locked files that it holds until it ends.
    pub(crate) keep: Vec<File>,
    /// What it gets, on Linux, when the thread that spawned it ends.
    pub(crate) farewell: Signal,
}

impl Program {
    pub(crate) fn new(command: Command) -> Self {
        Self {
            command,
            user: None,
            keep: Vec::new(),
            farewell: Signal::SIGKILL,
        }
    }

    /// Starts it in a process group of its own. To be called from a thread that lives as long as the process shall.
    pub(crate) fn spawn(mut self) -> Result<Child> {
        self.prepare(Some(self.farewell));
        self.command.process_group(0);
        self.command
            .spawn()
            .with_context(|| format!("cannot start {}", self.command.get_program().display()))
    }

    /// Runs it to its end, or to that of `helpers`.
    ///
    /// # Errors
    /// When it fails, what it said.
    pub(crate) fn run(mut self, helpers: &Helpers) -> Result<()> {
        let name = self.command.get_program().display().to_string();
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = helpers.spawn(self)?;
        let output = child.wait_with_output().with_context(|| name.clone())?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            return Err(anyhow!(
                "{name}: {}\n{}",
                output.status,
                String::from_utf8_lossy(&said).trim_end()
            ));
        }
        Ok(())
    }

    /// Becomes it; returns only when it cannot.
    pub(crate) fn replace_this_process(mut self) -> anyhow::Error {
        self.prepare(None);
        let error = self.command.exec();
        anyhow!(
            "cannot start {}: {error}",
            self.command.get_program().display()
        )
    }

    /// Moves what happens between fork and exec into the command.
    fn prepare(&mut self, farewell: Option<Signal>) {
        let (user, launcher) = (self.user, unistd::getpid());
        let keep = std::mem::take(&mut self.keep);
        let before_exec = move || -> std::io::Result<()> {
            if let Some(user) = user {
                #[cfg(target_os = "linux")]
                unistd::setgroups(&[user.gid])?;
                unistd::setgid(user.gid)?;
                unistd::setuid(user.uid)?;
            }
            // A shell that starts the launcher in the background has it ignore SIGINT, and so would whatever it starts.
            // SAFETY: this process has no handler yet, and is about to become another program.
            #[allow(unsafe_code)]
            unsafe { signal::signal(Signal::SIGINT, SigHandler::SigDfl) }?;
            for keep in &keep {
                fcntl(keep, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            // After setuid, which clears it; and the launcher may have died before it was set.
            #[cfg(target_os = "linux")]
            if let Some(farewell) = farewell {
                nix::sys::prctl::set_pdeathsig(farewell)?;
                if unistd::getppid() != launcher {
                    return Err(Errno::ESRCH.into());
                }
            }
            #[cfg(not(target_os = "linux"))]
            let _ = (launcher, farewell);
            Ok(())
        };
        // SAFETY: between fork and exec it only makes system calls; it neither allocates nor takes a lock.
        #[allow(unsafe_code)]
        unsafe {
            self.command.pre_exec(before_exec)
        };
    }
}

/// Programs that are run to their end while something is made ready, and end with the instance.
#[derive(Debug, Default)]
pub(crate) struct Helpers(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    ended: bool,
    /// Those that were started; most have ended.
    started: Vec<Identity>,
}

impl Running {
    fn ensure_wanted(&self) -> Result<()> {
        ensure!(!self.ended, "the instance stops");
        Ok(())
    }
}

impl Helpers {
    /// Starts one; fails when all of them were ended.
    pub(crate) fn spawn(&self, program: Program) -> Result<Child> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.ensure_wanted()?;
        let child = program.spawn()?;
        let identity = i32::try_from(child.id()).ok().and_then(Identity::of);
        running.started.extend(identity);
        Ok(child)
    }

    /// Fails when all of them were ended.
    pub(crate) fn ensure_wanted(&self) -> Result<()> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.ensure_wanted()
    }

    /// Ends those that run, with their children, and lets none begin.
    pub(crate) fn end(&self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.ended = true;
        for identity in running.started.drain(..) {
            // Who waits for it says how it ended.
            if identity.alive() {
                let _ = signal::killpg(Pid::from_raw(identity.pid), Signal::SIGKILL);
            }
        }
    }
}

/// Memory of a process and its children in KiB, shared pages divided among their users; `None` where it cannot be told.
pub fn memory(process: i32) -> Option<u64> {
    if cfg!(target_os = "linux") {
        let pids = fs::read_dir("/proc")
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let parent = process.to_string();
        let sizes = pids
            .filter(|pid| *pid == process || stat_field(*pid, 4).as_ref() == Some(&parent))
            .filter_map(|pid| {
                let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
                text.lines()
                    .find_map(|line| line.strip_prefix("Pss:"))?
                    .split_whitespace()
                    .next()?
                    .parse::<u64>()
                    .ok()
            });
        Some(sizes.sum::<u64>()).filter(|size| *size > 0)
    } else {
        let output = Command::new("ps")
            .args(["-o", "rss=", "-p", &process.to_string()])
            .output()
            .ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }
}

fn began(pid: i32) -> Option<String> {
    if cfg!(target_os = "linux") {
        // A zombie has ended; only its parent has not looked yet.
        if stat_field(pid, 3)? == "Z" {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(format!("{}/{}", boot.trim(), stat_field(pid, 22)?))
    } else {
        let output = Command::new("ps")
            .args(["-o", "lstart=", "-p", &pid.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

/// A field of `/proc/PID/stat`, counted from 1 as in proc(5), from the third on. The second is the program's name and may hold anything.
fn stat_field(pid: i32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    after_name
        .split_whitespace()
        .nth(field.checked_sub(3)?)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_process_is_itself_until_it_ends() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id() as i32).unwrap();
        assert!(identity.alive());
        identity.signal(Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(!identity.alive());
    }

    #[test]
    fn another_process_with_the_same_number_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let old = Identity {
            pid: child.id() as i32,
            began: "an earlier run".into(),
        };
        assert!(!old.alive());
        old.end(Signal::SIGKILL, Duration::ZERO).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_ends_with_the_thread_that_started_it() {
        let start = || {
            let mut sleep = Command::new("sleep");
            sleep.arg("60");
            Program {
                farewell: Signal::SIGINT,
                ..Program::new(sleep)
            }
            .spawn()
            .unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGINT as i32));
    }

    #[test]
    fn what_is_run_to_its_end_ends_with_the_instance() {
        let helpers = Helpers::default();
        let sleep = || {
            let mut sleep = Command::new("sleep");
            sleep.arg("60");
            Program::new(sleep)
        };
        let run = std::thread::scope(|scope| {
            let run = scope.spawn(|| sleep().run(&helpers));
            while helpers.0.lock().unwrap().started.is_empty() {
                std::thread::yield_now();
            }
            helpers.end();
            run.join().unwrap()
        });
        assert!(run.unwrap_err().to_string().contains("SIGKILL"));
        let late = sleep().run(&helpers).unwrap_err().to_string();
        assert_eq!(late, "the instance stops");
    }

    #[test]
    fn a_kept_lock_is_held_until_the_process_ends() {
        let path =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        let lock = File::create(&path).unwrap();
        lock.try_lock().unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let mut child = Program {
            keep: vec![lock],
            ..Program::new(sleep)
        }
        .spawn()
        .unwrap();
        assert!(File::create(&path).unwrap().try_lock().is_err());
        child.kill().unwrap();
        child.wait().unwrap();
        // What another test forks in this moment has a copy until its exec.
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(error) = File::create(&path).unwrap().try_lock() {
            assert!(Instant::now() < until, "{error}");
            std::thread::yield_now();
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_own_memory_and_start_are_known() {
        let own = Identity::own().unwrap();
        assert!(own.alive());
        assert!(memory(own.pid).unwrap() > 100);
    }
}
