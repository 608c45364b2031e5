//! Logins by password. Hashing is meant to be dear, so what counts is how much of the processors' time goes into anything else: logins
//! per CPU second against hashes per CPU second, measured in turns in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::system::{Account, PASSWORD, System, login};
use crate::load::{self, Pace, Shot, request};
use crate::process;
use crate::report::{self, Table, Target, mean, significant};

#[derive(Debug, clap::Args)]
pub struct Logins {
    /// Connections, each of which signs in an account of its own
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Seconds of one round of logins; hashing alone takes half of it, on one processor and on all
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

const MEASURED: [&str; 3] = ["gateway", "auth", "postgres"];
/// Of auth when it is not told otherwise: KiB, passes, lanes.
const ARGON2ID: (u32, u32, u32) = (19_456, 2, 1);

impl Logins {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        let system = System::fresh("logins").await?;
        let accounts = system.accounts(self.connections).await?;
        let duration = Duration::from_secs(self.seconds);
        let cores = std::thread::available_parallelism()?.get();

        let all_cores = format!("{cores} threads");
        let mut table = Table::new([
            "round",
            "hashes/CPU s, 1 thread",
            all_cores.as_str(),
            "logins/CPU s",
            "logins/s",
            "gateway ms",
            "auth ms",
            "postgres ms",
            "share %",
        ]);
        let mut shares = Vec::new();
        for round in 1..=self.rounds {
            let alone = hashes_per_cpu_second(1, duration / 2).await?;
            let together = hashes_per_cpu_second(cores, duration / 2).await?;
            let meter = system.meter(MEASURED)?;
            let shots = sign_in(&system, &accounts, duration).await?;
            let cpu = meter.read()?.map(|used| used.as_secs_f64());
            let logins = shots.answered() as f64 / cpu.iter().sum::<f64>();
            // auth hashes on all processors at once, so that is what it is held against.
            let share = logins / together * 100.0;
            let [gateway, auth, postgres] =
                cpu.map(|used| significant(used * 1e3 / shots.answered() as f64));
            table.row([
                round.to_string(),
                significant(alone),
                significant(together),
                significant(logins),
                significant(shots.rate()),
                gateway,
                auth,
                postgres,
                significant(share),
            ]);
            shares.push(share);
        }
        system.end().await?;
        println!("{table}");
        report::verdict(
            "logins of hashes per CPU second",
            mean(&shares),
            "%",
            &Target::AtLeast(90.0),
        );
        Ok(())
    }
}

async fn sign_in(system: &System, accounts: &[Account], duration: Duration) -> Result<load::Shots> {
    let shots = accounts.iter().map(|account| {
        let body = login(&account.email).to_string();
        Shot::new(
            request("POST", "/v1/sessions:login", &[], &body),
            &account.id,
        )
    });
    let pace = Pace {
        duration,
        per_second: None,
    };
    let (shots, _) = load::run(system.gateway()?, shots.collect(), pace)
        .await
        .map_err(|error| anyhow!(error))?;
    Ok(shots)
}

/// How often so many threads hash, each in memory that it keeps as auth's do, for each second of their own CPU time.
async fn hashes_per_cpu_second(threads: usize, duration: Duration) -> Result<f64> {
    let measured = tokio::task::spawn_blocking(move || {
        let running: Vec<_> = (0..threads)
            .map(|_| std::thread::spawn(move || hash(duration)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("hashing panicked"))?)
            .collect::<Result<Vec<_>>>()
    });
    let measured = measured.await??;
    let hashes: u32 = measured.iter().map(|(hashes, _)| hashes).sum();
    let cpu: Duration = measured.iter().map(|(_, cpu)| cpu).sum();
    Ok(f64::from(hashes) / cpu.as_secs_f64())
}

/// Hashes for `duration`; how often, and in how much CPU time.
fn hash(duration: Duration) -> Result<(u32, Duration)> {
    let (kib, passes, lanes) = ARGON2ID;
    let params = Params::new(kib, passes, lanes, Some(32)).context("Argon2's parameters")?;
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; 32];
    let mut once = || -> Result<()> {
        argon2
            .hash_password_into_with_memory(PASSWORD.as_bytes(), &[7; 16], &mut out, &mut memory)
            .context("Argon2")?;
        black_box(&out);
        Ok(())
    };
    // The first one also pays for the pages of the memory.
    once()?;
    let (begun, before) = (Instant::now(), process::cpu_of_this_thread());
    let mut hashes = 0;
    while begun.elapsed() < duration {
        once()?;
        hashes += 1;
    }
    Ok((hashes, process::cpu_of_this_thread() - before))
}
