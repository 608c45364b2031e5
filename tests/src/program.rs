//! Built programs that a test starts by itself, beside a system or without one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use launcher::readiness;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use crate::stack::{bin_dir, eventually};

/// The whole environment of a program.
pub type Environment = BTreeMap<String, String>;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// None where a signal ended it.
    pub code: Option<i32>,
    /// Both of its outputs.
    pub said: String,
    pub after: Duration,
}

/// Runs a program that ends by itself; panics, and kills it, when it still runs after 30 s.
pub async fn run(name: &str, environment: &Environment) -> Ended {
    let begun = Instant::now();
    let output = tokio::time::timeout(Duration::from_secs(30), command(name, environment).output())
        .await
        .unwrap_or_else(|_| panic!("{name} does not end"))
        .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    let said = [output.stdout, output.stderr].concat();
    Ended {
        code: output.status.code(),
        said: String::from_utf8_lossy(&said).into_owned(),
        after: begun.elapsed(),
    }
}

/// A gateway beside that of a system. It is killed when this is dropped.
pub struct Gateway {
    pub address: SocketAddr,
    process: Child,
}

impl Gateway {
    /// Starts one on ports that it chooses itself and waits until it is ready.
    pub async fn start(mut environment: Environment) -> Self {
        for variable in ["GRIMOIRE_LISTEN", "GRIMOIRE_ADMIN_LISTEN"] {
            environment.insert(variable.to_owned(), "127.0.0.1:0".to_owned());
        }
        let mut process = command("gateway", &environment)
            .stdout(Stdio::piped())
            .spawn()
            .expect("gateway starts");
        let mut lines = BufReader::new(process.stdout.take().expect("an output")).lines();
        let (mut admin, mut address) = (None, None);
        while admin.is_none() || address.is_none() {
            let line = lines.next_line().await.expect("an output");
            let line = line.expect("a gateway that says where it listens");
            let line: Value = serde_json::from_str(&line).expect("a line of JSON");
            let place = |name: &str| line[name].as_str()?.parse::<SocketAddr>().ok();
            admin = admin.or(place("admin"));
            address = address.or(place("listen"));
        }
        // A pipe that nobody empties would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (admin, address) = (admin.expect("known"), address.expect("known"));
        eventually("the gateway to be ready", || async {
            matches!(readiness::get(admin, "/readyz"), Ok((200, _))).then_some(())
        })
        .await;
        Self { address, process }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        let pid = self.process.id().expect("it runs");
        i32::try_from(pid).expect("a small number")
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// An address that refuses connections, and that nobody else gets while the socket is held: it is bound and does not listen.
pub fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a free port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

fn command(name: &str, environment: &Environment) -> Command {
    let mut command = Command::new(bin_dir().join(name));
    command
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}
