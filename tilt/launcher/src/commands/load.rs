//! Traffic as an application of a few people makes it, against the system of `./dev up`, within the limits that it has.

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use launcher::instance::Instance;
use launcher::keys;
use launcher::readiness::block_on;
use reqwest::Method;
use serde_json::{Value, json};

use super::rest::Client;
use super::{accounts, place};

#[derive(Debug, Args)]
pub(crate) struct Load {
    /// How many seconds it goes on
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// People, each with an account and an address of their own
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    people: u32,
    /// Requests in a second, of all people together; at most 10 of each
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
}

/// Half of what the gateway lets one address do before it has a token.
const OF_ONE: u32 = 10;

/// What came of it.
#[derive(Default)]
struct Outcome {
    answered: AtomicU32,
    failed: AtomicU32,
    /// The first failure says what is wrong.
    first: Mutex<Option<anyhow::Error>>,
}

impl Load {
    pub(crate) fn run(self) -> Result<ExitCode> {
        ensure!(
            self.rate <= self.people * OF_ONE,
            "{} requests a second are more than {OF_ONE} for each of {} people: use --people {}",
            self.rate,
            self.people,
            self.rate.div_ceil(OF_ONE)
        );
        let instance = place::instance()?;
        let passwords = (0..self.people)
            .map(|number| password(&instance, number))
            .collect::<Result<Vec<String>>>()?;
        let outcome = Outcome::default();
        let begun = Instant::now();
        let pause = Duration::from_secs(self.people.into()) / self.rate;
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..self.people)
                .zip(&passwords)
                .map(|(number, password)| {
                    // They take turns.
                    let first = begun + pause * number / self.people;
                    let end = begun + Duration::from_secs(self.seconds.into());
                    let (instance, outcome) = (&instance, &outcome);
                    scope.spawn(move || {
                        let person = Person {
                            instance,
                            number,
                            password,
                        };
                        block_on(person.ask(first, end, pause, outcome))?
                    })
                })
                .collect();
            running.into_iter().try_for_each(|person| {
                person
                    .join()
                    .map_err(|_| anyhow!("a thread did not end as it should"))?
            })
        })?;
        let (answered, failed) = (outcome.answered.into_inner(), outcome.failed.into_inner());
        writeln!(
            stdout(),
            "{answered} requests of {} people were answered in {} s, {failed} failed",
            self.people,
            begun.elapsed().as_secs()
        )?;
        match outcome.first.into_inner() {
            Ok(Some(first)) => Err(first.context("the first that failed")),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Makes the account, where there is none.
fn password(instance: &Instance, number: u32) -> Result<String> {
    let email = email(number);
    accounts::create(instance, &email, Some(&format!("Load {number}")))?;
    accounts::known_password(&keys::account_password(&instance.layout, &email)?)?
        .context("its password is gone")
}

fn email(number: u32) -> String {
    format!("load-{number}@example.com")
}

struct Person<'a> {
    instance: &'a Instance,
    number: u32,
    password: &'a str,
}

impl Person<'_> {
    /// Signs in, and asks for this and that, one request in each `pause`.
    async fn ask(
        self,
        first: Instant,
        end: Instant,
        pause: Duration,
        outcome: &Outcome,
    ) -> Result<()> {
        // Apart from those of `./dev seed`.
        let client = Client::numbered(self.instance, self.number + 200_000)?;
        tokio::time::sleep_until(first.into()).await;
        let login = json!({"email": email(self.number), "password": self.password});
        let signed_in = client.call(Method::POST, "/v1/sessions:login", None, &login);
        let mut tokens = signed_in.await?["tokens"].clone();
        let (mut due, mut turn) = (first, 0_u32);
        while due < end {
            tokio::time::sleep_until(due.into()).await;
            // Whoever is behind does not catch up.
            due = Instant::now().max(due + pause);
            match step(&client, &mut tokens, turn).await {
                Ok(()) => outcome.answered.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    if let Ok(mut first) = outcome.first.lock() {
                        first.get_or_insert(error);
                    }
                    outcome.failed.fetch_add(1, Ordering::Relaxed)
                }
            };
            turn += 1;
        }
        let token = tokens["accessToken"].as_str();
        client
            .call(Method::POST, "/v1/sessions:logout", token, &json!({}))
            .await
            .map(drop)
    }
}

/// One request: mostly reads, now and then a change or a refresh.
async fn step(client: &Client, tokens: &mut Value, turn: u32) -> Result<()> {
    let token = tokens["accessToken"].as_str();
    let (method, path, body) = match turn % 20 {
        3 => {
            let bio = json!({"bio": format!("Change {turn}.")});
            (Method::PATCH, "/v1/users/me", bio)
        }
        8 => {
            let theme = if turn % 40 == 8 { "DARK" } else { "LIGHT" };
            let preferences = json!({"theme": format!("THEME_{theme}")});
            (Method::PATCH, "/v1/users/me/preferences", preferences)
        }
        13 => {
            let refresh = json!({"refreshToken": tokens["refreshToken"]});
            let path = "/v1/sessions:refresh";
            *tokens = client.call(Method::POST, path, None, &refresh).await?;
            return Ok(());
        }
        1 | 6 | 11 | 16 => (Method::GET, "/v1/accounts/me", Value::Null),
        2 | 9 => (Method::GET, "/v1/users/me/activities", Value::Null),
        5 => (Method::GET, "/v1/users/me/preferences", Value::Null),
        18 => (Method::GET, "/v1/accounts/me/sessions", Value::Null),
        _ => (Method::GET, "/v1/users/me", Value::Null),
    };
    client.call(method, path, token, &body).await.map(drop)
}
