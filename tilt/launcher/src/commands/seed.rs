//! Accounts with plausible profiles: the same ones each time.

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use launcher::instance::Instance;
use launcher::keys;
use launcher::readiness::block_on;
use reqwest::Method;
use serde_json::json;

use super::rest::Client;
use super::{accounts, place};

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// How many; those of an earlier run are kept and counted
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    number: u32,
}

const FIRST: [&str; 16] = [
    "Ada", "Björn", "Chidi", "Dalia", "Elif", "Farid", "Greta", "Hana", "Ivo", "Jun", "Kamala",
    "Lucía", "Mei", "Noor", "Olu", "Priya",
];
const LAST: [&str; 13] = [
    "Adeyemi",
    "Berg",
    "Costa",
    "Duarte",
    "Eder",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jansen",
    "Kaya",
    "Lindqvist",
    "Moreau",
];
const WORK: [&str; 7] = [
    "Gardener",
    "Nurse",
    "Bookbinder",
    "Teacher of physics",
    "Bicycle mechanic",
    "Cellist",
    "Beekeeper",
];
const LIKES: [&str; 5] = [
    "long walks",
    "old maps",
    "rye bread",
    "night trains",
    "cold lakes",
];
const PLACES: [(&str, &str); 6] = [
    ("de-AT", "Europe/Vienna"),
    ("en-NG", "Africa/Lagos"),
    ("ja", "Asia/Tokyo"),
    ("pt-BR", "America/Sao_Paulo"),
    ("en-IN", "Asia/Kolkata"),
    ("fr-CA", "America/Toronto"),
];

impl Seed {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        let (next, made) = (AtomicU32::new(0), AtomicU32::new(0));
        // Passwords are hashed slowly, on purpose: one worker for each processor.
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let work = || -> Result<()> {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= self.number {
                        return Ok(());
                    }
                    if one(&instance, number).with_context(|| email(number))? {
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            running.into_iter().try_for_each(|worker| {
                worker
                    .join()
                    .map_err(|_| anyhow!("a worker did not end as it should"))?
            })
        })?;
        writeln!(
            stdout(),
            "{} accounts, {} of them new: {} to {}",
            self.number,
            made.into_inner(),
            email(0),
            email(self.number - 1)
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes one account and fills its profile; `false` when it was there already.
fn one(instance: &Instance, number: u32) -> Result<bool> {
    let (first, last) = (pick(&FIRST, number), pick(&LAST, number));
    let email = email(number);
    if !accounts::create(instance, &email, Some(&format!("{first} {last}")))? {
        return Ok(false);
    }
    let password = accounts::known_password(&keys::account_password(&instance.layout, &email)?)?
        .context("its password is gone")?;
    let (locale, time_zone) = *pick(&PLACES, number);
    let bio = format!("{}. Likes {}.", pick(&WORK, number), pick(&LIKES, number));
    block_on(async {
        let client = Client::numbered(instance, number)?;
        let token = client.login(&email, &password).await?;
        let profile = json!({"bio": bio, "locale": locale, "timeZone": time_zone});
        client
            .call(Method::PATCH, "/v1/users/me", Some(&token), &profile)
            .await
    })??;
    Ok(true)
}

fn email(number: u32) -> String {
    format!("seed-{number}@example.com")
}

/// Lists of different lengths give many different people.
fn pick<T>(list: &[T], number: u32) -> &T {
    &list[number as usize % list.len()]
}
