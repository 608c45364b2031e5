//! Built programs that a test starts by itself, beside a system or without one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use launcher::{Signal, readiness};
use nix::unistd::Pid;
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

/// One more process of a program that a system has, or one with other settings. It is killed when this is dropped.
pub struct Replica {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where it serves `/readyz` and `/metrics`.
    pub admin: SocketAddr,
    name: String,
    environment: Environment,
    process: Child,
}

const LISTEN: &str = "GRIMOIRE_LISTEN";
const ADMIN_LISTEN: &str = "GRIMOIRE_ADMIN_LISTEN";
/// For a stop, which may take 10 s.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

impl Replica {
    /// Starts one on ports that it chooses itself and waits until it is ready.
    pub async fn start(name: &str, environment: Environment) -> Self {
        let replica = Self::serving(name, environment).await;
        replica.ready().await;
        replica
    }

    /// The same, without waiting for more than that it serves.
    pub async fn serving(name: &str, mut environment: Environment) -> Self {
        for variable in [LISTEN, ADMIN_LISTEN] {
            environment.insert(variable.to_owned(), "127.0.0.1:0".to_owned());
        }
        let (process, address, admin) = serving(name, &environment).await;
        // It keeps its ports when it is started again.
        environment.insert(LISTEN.to_owned(), address.to_string());
        environment.insert(ADMIN_LISTEN.to_owned(), admin.to_string());
        Self {
            address,
            admin,
            name: name.to_owned(),
            environment,
            process,
        }
    }

    /// What a metric without labels says.
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = reqwest::get(format!("http://{}/metrics", self.admin));
        let text = answer.await.expect("an answer").text().await;
        let text = text.expect("metrics");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("there is no metric {name}"));
        value.parse().expect("a number")
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Process id.
    pub fn pid(&self) -> i32 {
        let pid = self.process.id().expect("it runs");
        i32::try_from(pid).expect("process ids are small")
    }

    /// Ends it by a signal, starts it again at the same place, and waits until it is ready.
    pub async fn restart(&mut self, signal: Signal) {
        self.stop(signal).await;
        (self.process, ..) = serving(&self.name, &self.environment).await;
        self.ready().await;
    }

    /// Lets it end what it has begun.
    pub async fn end(mut self) {
        self.stop(Signal::SIGTERM).await;
    }

    async fn ready(&self) {
        eventually(&self.name, || async {
            matches!(readiness::get(self.admin, "/readyz"), Ok((200, _))).then_some(())
        })
        .await;
    }

    async fn stop(&mut self, signal: Signal) {
        nix::sys::signal::kill(Pid::from_raw(self.pid()), signal).expect("it runs");
        tokio::time::timeout(STOPS_WITHIN, self.process.wait())
            .await
            .unwrap_or_else(|_| panic!("{} does not end", self.name))
            .expect("it can be waited for");
    }
}

/// Starts a program and waits until it says where it serves, and where its admin port is.
async fn serving(name: &str, environment: &Environment) -> (Child, SocketAddr, SocketAddr) {
    let mut process = command(name, environment)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    let mut lines = BufReader::new(process.stdout.take().expect("an output")).lines();
    let (mut admin, mut address) = (None, None);
    while admin.is_none() || address.is_none() {
        let line = lines.next_line().await.expect("an output");
        let line = line.unwrap_or_else(|| panic!("{name} ends and has not said where it listens"));
        let line: Value = serde_json::from_str(&line).expect("a line of JSON");
        let place = |name: &str| line[name].as_str()?.parse::<SocketAddr>().ok();
        admin = admin.or(place("admin"));
        // The gateway's word, and that of services.
        address = address.or(place("listen")).or(place("address"));
    }
    // A pipe that nobody empties would stop it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let (admin, address) = (admin.expect("known"), address.expect("known"));
    (process, address, admin)
}

/// The environment of a gateway that calls this address in place of the other processes of a service.
pub fn calling(mut environment: Environment, service: &str, address: SocketAddr) -> Environment {
    const UPSTREAMS: &str = "GRIMOIRE_UPSTREAMS";
    let changed = |entry: &str| match entry.split_once('=') {
        Some((name, _)) if name == service => format!("{name}=http://{address}"),
        _ => entry.to_owned(),
    };
    let upstreams: Vec<String> = environment[UPSTREAMS].split(',').map(changed).collect();
    environment.insert(UPSTREAMS.to_owned(), upstreams.join(","));
    environment
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
