//! The system that a benchmark measures: optimised programs, durable data, every filter of the gateway on. It lives in
//! `.dev/bench/NAME`, on free ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use launcher::instance::Instance;
use launcher::layout::Layout;
use launcher::topology::Topology;
use launcher::{Notice, Stack, StackOptions, postgres, records};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::io::AsyncWriteExt;

use crate::process;
use crate::program::Environment;
use crate::rest::Client;
use crate::stack::{bin_dir, root, under_load};

/// Of every account.
pub(super) const PASSWORD: &str = "a long enough secret 17";
/// The name of this process for [`System::meter`].
pub(super) const LOAD: &str = "load";

/// A running one. It stops when it is dropped, or by [`System::stop`], which says how that went.
pub(super) struct System {
    stack: Stack,
}

/// Somebody who is signed in.
pub(super) struct Account {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) refresh_token: String,
    /// The header that signs requests.
    pub(super) authorization: String,
}

/// How the system of a benchmark is started.
pub(super) fn options(name: &str) -> StackOptions {
    let mut options = StackOptions::for_test(root(), folder(name), bin_dir());
    options.release = true;
    options.durable = true;
    options.report = Arc::new(|notice: Notice| eprintln!("{notice}"));
    options.environment = under_load();
    options
}

/// Forgets what an earlier run of the benchmark left.
pub(super) fn forget(name: &str) -> Result<()> {
    let layout = Layout::at(&root(), &folder(name));
    ensure!(
        records::running(&layout).is_none(),
        "another run of this benchmark is under way"
    );
    let topology = Topology::read(&root())?;
    let kind_of = |name: &str| topology.processes.get(name).map(|process| process.kind);
    records::end_leftovers(&layout, kind_of)?;
    remove(&layout)
}

impl System {
    /// Starts one without data.
    pub(super) async fn fresh(name: &str) -> Result<Self> {
        forget(name)?;
        Self::start(options(name)).await
    }

    /// Starts one and waits until all of it is ready.
    pub(super) async fn start(options: StackOptions) -> Result<Self> {
        let stack = tokio::task::spawn_blocking(move || Stack::start(options)).await??;
        Ok(Self { stack })
    }

    /// Starts one without waiting for it.
    pub(super) async fn launch(options: StackOptions) -> Result<Self> {
        let stack = tokio::task::spawn_blocking(move || Stack::launch(options)).await??;
        Ok(Self { stack })
    }

    /// Waits until all of it is ready.
    pub(super) async fn ready(mut self) -> Result<Self> {
        tokio::task::spawn_blocking(move || self.stack.wait_until_ready().map(|()| self)).await?
    }

    pub(super) async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.stack.stop()).await?
    }

    /// Stops it and removes its data.
    pub(super) async fn end(self) -> Result<()> {
        let layout = self.stack.instance().layout.clone();
        self.stop().await?;
        remove(&layout)
    }

    /// Where the gateway serves.
    pub(super) fn gateway(&self) -> Result<SocketAddr> {
        self.stack.address("gateway")
    }

    /// Where a process serves its metrics.
    pub(super) fn metrics(&self, name: &str) -> Result<String> {
        Ok(format!(
            "http://{}/metrics",
            self.stack.admin_address(name)?
        ))
    }

    /// What it is made of, and where.
    pub(super) fn instance(&self) -> &Instance {
        self.stack.instance()
    }

    /// The environment that one of our programs has here.
    pub(super) fn environment(&self, name: &str) -> Result<Environment> {
        self.stack.instance().environment_of(name)
    }

    /// A client of the gateway.
    pub(super) fn client(&self) -> Result<Client> {
        Ok(Client::new(&format!("http://{}", self.gateway()?)))
    }

    /// A connection to the database of that name, as its owner.
    pub(super) async fn database(&self, name: &str) -> Result<PgConnection> {
        let url = self.stack.instance().database_url(name)?;
        Ok(PgConnection::connect(&url).await?)
    }

    /// A connection as the superuser of PostgreSQL.
    pub(super) async fn superuser(&self) -> Result<PgConnection> {
        let url = self.stack.instance().superuser_url()?;
        Ok(PgConnection::connect(&url).await?)
    }

    /// Makes accounts, `person-0@example.com` and so on, and signs each in once.
    pub(super) async fn accounts(&self, count: usize) -> Result<Vec<Account>> {
        eprintln!("making {count} accounts");
        let mut accounts = Vec::with_capacity(count);
        for number in 0..count {
            let email = format!("person-{number}@example.com");
            self.create_account(&email).await?;
            let signed_in = self
                .client()?
                .post("/v1/sessions:login", login(&email))
                .await
                .ok();
            let text = |pointer: &str| {
                signed_in
                    .pointer(pointer)
                    .and_then(|value| value.as_str())
                    .with_context(|| format!("the answer to a login has no {pointer}"))
            };
            accounts.push(Account {
                id: text("/account/id")?.to_owned(),
                refresh_token: text("/tokens/refreshToken")?.to_owned(),
                authorization: format!("Authorization: Bearer {}", text("/tokens/accessToken")?),
                email,
            });
        }
        Ok(accounts)
    }

    async fn create_account(&self, email: &str) -> Result<()> {
        let mut command = tokio::process::Command::new(bin_dir().join("auth"))
            .args(["create-account", email])
            .env_clear()
            .envs(self.stack.instance().environment_of("auth")?)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut input = command.stdin.take().context("auth takes no input")?;
        input.write_all(PASSWORD.as_bytes()).await?;
        drop(input);
        let output = command.wait_with_output().await?;
        ensure!(
            output.status.success(),
            "auth create-account {email}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Process id of a process.
    pub(super) fn pid(&self, name: &str) -> Result<i32> {
        let identity = self.stack.identity(name);
        Ok(identity
            .with_context(|| format!("{name} does not run"))?
            .pid)
    }

    /// Begins to measure the CPU time of processes of the system, and of this one as [`LOAD`].
    pub(super) fn meter<const N: usize>(&self, names: [&str; N]) -> Result<Meter<N>> {
        let mut pids = [0; N];
        for (pid, name) in pids.iter_mut().zip(names) {
            *pid = match name {
                LOAD => i32::try_from(std::process::id())?,
                name => self.pid(name)?,
            };
        }
        Ok(Meter::of(pids))
    }
}

/// CPU time of processes since an instant.
pub(super) struct Meter<const N: usize> {
    before: [(i32, Duration); N],
}

impl<const N: usize> Meter<N> {
    /// Begins to measure these processes.
    pub(super) fn of(pids: [i32; N]) -> Self {
        Self {
            before: pids.map(|pid| (pid, used(pid))),
        }
    }

    /// What each has used since, in the order in which they were named.
    ///
    /// # Errors
    /// When one of them has ended.
    pub(super) fn read(self) -> Result<[Duration; N]> {
        let mut since = [Duration::ZERO; N];
        for (slot, (pid, before)) in since.iter_mut().zip(self.before) {
            *slot = used(pid)
                .checked_sub(before)
                .with_context(|| format!("process {pid} ended while it was measured"))?;
        }
        Ok(since)
    }
}

/// Of the process and those below it; but of this process alone, whose children are the system.
fn used(pid: i32) -> Duration {
    if i64::from(pid) == i64::from(std::process::id()) {
        process::cpu(pid)
    } else {
        process::cpu_of_tree(pid)
    }
}

/// The body of a login.
pub(super) fn login(email: &str) -> serde_json::Value {
    json!({"email": email, "password": PASSWORD})
}

/// PostgreSQL's data may lie elsewhere, with a link to them.
fn remove(layout: &Layout) -> Result<()> {
    postgres::forget(layout)?;
    if layout.dev.exists() {
        std::fs::remove_dir_all(&layout.dev)
            .with_context(|| format!("cannot remove {}", layout.dev.display()))?;
    }
    Ok(())
}

fn folder(name: &str) -> PathBuf {
    root().join(".dev/bench").join(name)
}
