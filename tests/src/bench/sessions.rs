//! Refreshes and logouts. Sessions are made by logins beforehand, with passwords that are cheap to hash: hashing is not what is
//! measured here.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::system::{Account, System, forget, login, options};
use crate::load::{self, Client, Pace, Shots, request};
use crate::report::{self, Table, Target, mean, microseconds_each, significant};

const NAME: &str = "sessions";

#[derive(Debug, clap::Args)]
pub struct Sessions {
    /// Connections, each with an account of its own
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Seconds of refreshing in one round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Logouts in one round
    #[arg(long, default_value_t = 4000)]
    logouts: usize,
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

const MEASURED: [&str; 3] = ["gateway", "auth", "postgres"];
/// For what ends by itself.
const LONG: Duration = Duration::from_secs(300);

impl Sessions {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        forget(NAME)?;
        let mut options = options(NAME);
        options.environment.extend(cheap_passwords());
        let system = System::start(options).await?;
        let accounts = system.accounts(self.connections).await?;
        let mut refreshing: Vec<Refreshing> = accounts
            .iter()
            .map(|account| Refreshing::new(account.refresh_token.clone()))
            .collect();

        let mut table = Table::new([
            "round",
            "what",
            "per CPU s",
            "per s",
            "gateway us",
            "auth us",
            "postgres us",
        ]);
        let (mut refreshes, mut logouts) = (Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            let duration = Duration::from_secs(self.seconds);
            let measured = measure(&system, refreshing, duration).await?;
            refreshing = measured.clients;
            refreshes.push(measured.per_cpu_second);
            table.row(row(round, "refresh", &measured.shots, measured.cpu));

            let tokens = sign_in(&system, &accounts, self.logouts).await?;
            let leaving = tokens.into_iter().map(|tokens| Leaving {
                tokens,
                request: Vec::new(),
            });
            let leaving = leaving.collect();
            let measured = measure(&system, leaving, LONG).await?;
            logouts.push(measured.per_cpu_second);
            table.row(row(round, "logout", &measured.shots, measured.cpu));
        }
        system.end().await?;
        println!("{table}");
        let target = Target::AtLeast(1500.0);
        report::verdict("refreshes", mean(&refreshes), "per CPU second", &target);
        report::verdict("logouts", mean(&logouts), "per CPU second", &target);
        Ok(())
    }
}

/// Settings with which signing in costs next to nothing.
pub(super) fn cheap_passwords() -> [(String, String); 2] {
    [
        ("GRIMOIRE_PASSWORD_MEMORY_KIB", "1024"),
        ("GRIMOIRE_PASSWORD_PASSES", "1"),
    ]
    .map(|(variable, value)| (variable.to_owned(), value.to_owned()))
}

/// Makes that many sessions, or a few more: the access tokens of each account.
pub(super) async fn sign_in(
    system: &System,
    accounts: &[Account],
    count: usize,
) -> Result<Vec<Vec<String>>> {
    let each = count.div_ceil(accounts.len().max(1));
    let arriving = accounts.iter().map(|account| Arriving {
        request: request(
            "POST",
            "/v1/sessions:login",
            &[],
            &login(&account.email).to_string(),
        ),
        missing: each,
        tokens: Vec::with_capacity(each),
    });
    let pace = Pace {
        duration: LONG,
        per_second: None,
    };
    let (_, arrived) = load::run(system.gateway()?, arriving.collect(), pace)
        .await
        .map_err(|error| anyhow!(error))?;
    Ok(arrived.into_iter().map(|arrived| arrived.tokens).collect())
}

struct Measured<C> {
    shots: Shots,
    clients: Vec<C>,
    /// Of [`MEASURED`].
    cpu: [Duration; 3],
    per_cpu_second: f64,
}

async fn measure<C: Client>(
    system: &System,
    clients: Vec<C>,
    duration: Duration,
) -> Result<Measured<C>> {
    let meter = system.meter(MEASURED)?;
    let pace = Pace {
        duration,
        per_second: None,
    };
    let (shots, clients) = load::run(system.gateway()?, clients, pace)
        .await
        .map_err(|error| anyhow!(error))?;
    let cpu = meter.read()?;
    let per_cpu_second = shots.answered() as f64 / cpu.iter().sum::<Duration>().as_secs_f64();
    Ok(Measured {
        shots,
        clients,
        cpu,
        per_cpu_second,
    })
}

fn row(round: u32, what: &str, shots: &Shots, cpu: [Duration; 3]) -> [String; 7] {
    let count = shots.answered();
    let [gateway, auth, postgres] = cpu.map(|used| significant(microseconds_each(used, count)));
    let all = cpu.iter().sum::<Duration>().as_secs_f64();
    [
        round.to_string(),
        what.to_owned(),
        significant(count as f64 / all),
        significant(shots.rate()),
        gateway,
        auth,
        postgres,
    ]
}

/// Exchanges each refresh token for the next one.
struct Refreshing {
    token: String,
    request: Vec<u8>,
}

impl Refreshing {
    fn new(token: String) -> Self {
        Self {
            token,
            request: Vec::new(),
        }
    }
}

impl Client for Refreshing {
    fn next(&mut self) -> Option<&[u8]> {
        let body = json!({"refreshToken": self.token}).to_string();
        self.request = request("POST", "/v1/sessions:refresh", &[], &body);
        Some(&self.request)
    }

    fn answered(&mut self, body: &[u8]) -> Result<(), String> {
        let token = token_in(body, "/refreshToken").map_err(|error| error.to_string())?;
        if token == self.token {
            return Err("a refresh token was not replaced".to_owned());
        }
        self.token = token;
        Ok(())
    }
}

/// Signs in as often as is missing and keeps the access tokens.
struct Arriving {
    request: Vec<u8>,
    missing: usize,
    tokens: Vec<String>,
}

impl Client for Arriving {
    fn next(&mut self) -> Option<&[u8]> {
        self.missing = self.missing.checked_sub(1)?;
        Some(&self.request)
    }

    fn answered(&mut self, body: &[u8]) -> Result<(), String> {
        let token = token_in(body, "/tokens/accessToken").map_err(|error| error.to_string())?;
        self.tokens.push(token);
        Ok(())
    }
}

/// Signs out with each of its access tokens.
struct Leaving {
    tokens: Vec<String>,
    request: Vec<u8>,
}

impl Client for Leaving {
    fn next(&mut self) -> Option<&[u8]> {
        let authorization = format!("Authorization: Bearer {}", self.tokens.pop()?);
        self.request = request("POST", "/v1/sessions:logout", &[&authorization], "{}");
        Some(&self.request)
    }

    fn answered(&mut self, body: &[u8]) -> Result<(), String> {
        match body {
            b"{}" => Ok(()),
            _ => Err(format!(
                "not the expected answer: {}",
                String::from_utf8_lossy(body)
            )),
        }
    }
}

fn token_in(body: &[u8], pointer: &str) -> Result<String> {
    let body: Value = serde_json::from_slice(body)?;
    let token = body.pointer(pointer).and_then(Value::as_str);
    Ok(token
        .with_context(|| format!("an answer without {pointer}"))?
        .to_owned())
}
