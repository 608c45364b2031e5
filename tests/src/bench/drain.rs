//! A backlog of the outbox: how fast it gets to Kafka, and what that costs. Consumers are not started; they would take the processors
//! that are measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use grimoire_proto::events::v1::LoggedIn;
use prost::Message;
use sqlx::PgConnection;
use uuid::Uuid;

use super::system::{System, forget, options};
use crate::report::{self, Table, Target, mean, significant};

const NAME: &str = "drain";

#[derive(Debug, clap::Args)]
pub struct Drain {
    /// Accounts that the events are about
    #[arg(long, default_value_t = 10_000)]
    keys: usize,
    /// Events of each account
    #[arg(long, default_value_t = 20)]
    versions: i64,
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

const MEASURED: [&str; 3] = ["auth", "postgres", "kafka"];
const PATIENCE: Duration = Duration::from_secs(120);

impl Drain {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        forget(NAME)?;
        let mut only = options(NAME);
        only.only = vec!["auth".to_owned(), "kafka".to_owned()];
        let system = System::start(only).await?;
        let metrics = system.metrics("auth")?;
        let mut auth = system.database("auth").await?;
        // Makes the topics and the connections.
        let warm = write(&mut auth, 100, 1).await?;
        published(&metrics, warm).await?;

        let mut table = Table::new([
            "round",
            "events",
            "seconds",
            "events/s",
            "auth CPU s/1,000",
            "postgres",
            "kafka",
        ]);
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            let before = published(&metrics, 0).await?;
            let written = write(&mut auth, self.keys, self.versions).await?;
            let (begun, meter) = (Instant::now(), system.meter(MEASURED)?);
            published(&metrics, before + written).await?;
            let seconds = begun.elapsed().as_secs_f64();
            let thousands = written as f64 / 1e3;
            let cpu = meter.read()?.map(|used| used.as_secs_f64() / thousands);
            let [relay, postgres, kafka] = cpu.map(significant);
            table.row([
                round.to_string(),
                written.to_string(),
                format!("{seconds:.2}"),
                format!("{:.0}", written as f64 / seconds),
                relay,
                postgres,
                kafka,
            ]);
            rates.push(written as f64 / seconds);
            costs.push(cpu[0]);
        }
        system.end().await?;
        println!("{table}");
        report::verdict(
            "drained",
            mean(&rates),
            "events/s",
            &Target::AtLeast(80_000.0),
        );
        report::verdict(
            "CPU of auth for 1,000 events",
            mean(&costs),
            "s",
            &Target::AtMost(0.015),
        );
        Ok(())
    }
}

/// Commits that many events of that many new accounts at once, and says how many these are.
async fn write(auth: &mut PgConnection, keys: usize, versions: i64) -> Result<u64> {
    let (mut accounts, mut payloads) = (Vec::with_capacity(keys), Vec::with_capacity(keys));
    for _ in 0..keys {
        let event = LoggedIn {
            account_id: Uuid::now_v7().to_string(),
            session_id: Uuid::now_v7().to_string(),
            new_device: false,
        };
        payloads.push(event.encode_to_vec());
        accounts.push(event.account_id);
    }
    let written = sqlx::query(
        "insert into outbox.entries (slot, event_id, topic, key, version, event_type, traceparent, payload)
         select (select slot from outbox.current_slot), gen_random_uuid(), 'grimoire.auth.account.v1', event.key, version,
                'grimoire.events.v1.LoggedIn', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', event.payload
         from unnest($1::text[], $2::bytea[]) as event (key, payload), generate_series(1, $3) as version
         order by version, event.key",
    )
    .bind(&accounts)
    .bind(&payloads)
    .bind(versions)
    .execute(auth)
    .await?;
    Ok(written.rows_affected())
}

/// Waits until auth says that Kafka has at least so many events, and says how many it has.
async fn published(metrics: &str, least: u64) -> Result<u64> {
    let begun = Instant::now();
    loop {
        let text = reqwest::get(metrics).await?.text().await?;
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("outbox_published_total "))
            .and_then(|count| count.trim().parse().ok())
            .with_context(|| format!("{metrics} has no outbox_published_total"))?;
        if count >= least {
            return Ok(count);
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{count} of {least} events were published in {} s",
            PATIENCE.as_secs()
        );
        // Asking costs auth CPU time, too.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
