//! A real Redis of one test, which may kill it, stop it in the middle and start it again.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A Redis on a free port of its own, without anything on disk. It is killed when this is dropped.
pub struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        // Somebody else may get the port between these two lines.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut process = spawn(port);
            if answers(port, &mut process).await {
                return Self { port, process };
            }
        }
        panic!("redis-server ends as soon as it is started");
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, with all that it knows.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Starts it anew, at its port.
    pub async fn restart(&mut self) {
        self.process = spawn(self.port);
        assert!(
            answers(self.port, &mut self.process).await,
            "redis-server does not start again"
        );
    }

    /// From now on it says nothing, and its connections stay open.
    pub fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// It goes on where it was.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// What it answers to a command, as it comes over the wire.
    pub async fn ask(&self, command: &str) -> String {
        ask(self.port, command).await.unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.process.id().expect("it runs");
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }
}

fn spawn(port: u16) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("redis-server cannot be started: {error}. It is in Debian's package: apt-get install redis-server (macOS: brew install redis)")
        })
}

/// Whether it answers before it ends; panics when it does neither within ten seconds.
async fn answers(port: u16, process: &mut Child) -> bool {
    let begun = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if ask(port, "PING")
            .await
            .is_ok_and(|said| said == "+PONG\r\n")
        {
            return true;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "redis-server does not answer"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

async fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said.strip_suffix("+OK\r\n").unwrap_or(&said).to_owned())
}
