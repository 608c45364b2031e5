//! From the commit of a change to the commit of its effect: outbox, Kafka, inbox. PostgreSQL itself says when what was committed, so
//! nothing that is measured has to take part. All databases are of one server and have one clock.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::system::{System, forget, options};
use crate::load::{self, Client, Pace, request};
use crate::report::{
    self, Table, Target, microseconds_each, milliseconds, percentile, significant,
};
use crate::stack::eventually;

const NAME: &str = "events";

#[derive(Debug, clap::Args)]
pub struct Events {
    /// Changes in a second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Seconds of one round
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Accounts, each of which changes its profile over a connection of its own
    #[arg(long, default_value_t = 50)]
    accounts: usize,
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

const MEASURED: [&str; 6] = [
    "gateway",
    "user",
    "event-consumer",
    "auth",
    "postgres",
    "kafka",
];

impl Events {
    pub(super) async fn run(self) -> Result<()> {
        report::begin(&self);
        forget(NAME)?;
        remember_commit_times().await?;
        let system = System::start(options(NAME)).await?;
        let mut people: Vec<Updating> = system
            .accounts(self.accounts)
            .await?
            .into_iter()
            .map(|account| Updating::new(account.authorization))
            .collect();
        // The first change of each makes its profile.
        (people, _) = self
            .round(&system, people, Duration::from_secs(3))
            .await
            .context("warming up")?;

        let mut delays = Table::new(["round", "measure", "events", "p50 ms", "p99 ms", "max ms"]);
        let mut costs = Table::new([
            "round",
            "per s",
            "gateway",
            "user",
            "event-consumer",
            "auth",
            "postgres",
            "kafka",
        ]);
        let (mut medians, mut tails) = (Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            let meter = system.meter(MEASURED)?;
            let duration = Duration::from_secs(self.seconds);
            let (again, measured) = self.round(&system, people, duration).await?;
            people = again;
            let count = measured.committed_to_audit.len();
            let [gateway, user, consumer, auth, postgres, kafka] = meter
                .read()?
                .map(|used| significant(microseconds_each(used, count)));
            costs.row([
                round.to_string(),
                significant(measured.rate),
                gateway,
                user,
                consumer,
                auth,
                postgres,
                kafka,
            ]);
            for (measure, sorted) in [
                ("commit to audit record", &measured.committed_to_audit),
                ("written to audit record", &measured.written_to_audit),
                ("commit to activity", &measured.committed_to_activity),
            ] {
                delays.row([
                    round.to_string(),
                    measure.to_owned(),
                    sorted.len().to_string(),
                    milliseconds(percentile(sorted, 0.5)),
                    milliseconds(percentile(sorted, 0.99)),
                    milliseconds(percentile(sorted, 1.0)),
                ]);
            }
            medians.push(percentile(&measured.committed_to_audit, 0.5));
            tails.push(percentile(&measured.committed_to_audit, 0.99));
        }
        system.end().await?;
        println!("{delays}\nCPU microseconds for one change:\n{costs}");
        for (what, values, most) in [
            ("commit to effect, p50", medians, 8.0),
            ("commit to effect, p99", tails, 20.0),
        ] {
            let worst = values.into_iter().max().unwrap_or_default();
            report::verdict(
                &format!("{what} of the slower round"),
                worst.as_secs_f64() * 1e3,
                "ms",
                &Target::AtMost(most),
            );
        }
        Ok(())
    }

    /// Changes profiles for `duration`, waits until every change took effect, and asks PostgreSQL when that was.
    async fn round(
        &self,
        system: &System,
        people: Vec<Updating>,
        duration: Duration,
    ) -> Result<(Vec<Updating>, Measured)> {
        let (mut user, mut events) = (
            system.database("user").await?,
            system.database("events").await?,
        );
        let since: i64 =
            sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
                .fetch_one(&mut user)
                .await?;
        let pace = Pace {
            duration,
            per_second: Some(self.rate),
        };
        let (shots, people) = load::run(system.gateway()?, people, pace)
            .await
            .map_err(|error| anyhow!(error))?;

        let written = written(&mut user, since).await?;
        ensure!(
            written.len() == shots.answered(),
            "{} changes were answered and {} events written",
            shots.answered(),
            written.len()
        );
        settled(system, since, written.len()).await?;
        let audited = committed(&mut events, AUDITED, since).await?;
        let active = committed(&mut user, ACTIVE, since).await?;
        let delays = |begun: fn(&Written) -> i64, effects: &HashMap<Uuid, i64>| {
            let mut delays = Vec::with_capacity(written.len());
            for event in &written {
                let effect = effects
                    .get(&event.id)
                    .with_context(|| format!("event {} had no effect", event.id))?;
                let delay = u64::try_from(effect - begun(event))
                    .with_context(|| format!("event {} took effect before its time", event.id))?;
                delays.push(Duration::from_micros(delay));
            }
            delays.sort_unstable();
            anyhow::Ok(delays)
        };
        let measured = Measured {
            rate: shots.rate(),
            committed_to_audit: delays(|event| event.committed, &audited)?,
            written_to_audit: delays(|event| event.created, &audited)?,
            committed_to_activity: delays(|event| event.committed, &active)?,
        };
        Ok((people, measured))
    }
}

/// Delays, the shortest first.
struct Measured {
    /// Changes in a second.
    rate: f64,
    committed_to_audit: Vec<Duration>,
    /// From the insertion of the event, before its transaction commits.
    written_to_audit: Vec<Duration>,
    /// The activity is written by user, asked by event-consumer over gRPC.
    committed_to_activity: Vec<Duration>,
}

/// An event in the outbox of user; times in microseconds of the Unix epoch.
struct Written {
    id: Uuid,
    created: i64,
    committed: i64,
}

const AUDITED: &str =
    "select id, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint
    from audit_records where type = 'PROFILE_UPDATED' and time >= to_timestamp($1 / 1000000.0)";
const ACTIVE: &str =
    "select id, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint
    from activities where type = 'PROFILE_UPDATED' and time >= to_timestamp($1 / 1000000.0)";

/// A PostgreSQL that remembers when each transaction was committed; it takes a restart to begin with that.
async fn remember_commit_times() -> Result<()> {
    let mut only = options(NAME);
    only.only = vec!["postgres".to_owned()];
    let system = System::start(only).await?;
    sqlx::query("alter system set track_commit_timestamp = on")
        .execute(&mut system.superuser().await?)
        .await?;
    system.stop().await
}

async fn written(user: &mut PgConnection, since: i64) -> Result<Vec<Written>> {
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "select event_id, (extract(epoch from created_at) * 1000000)::bigint,
                (extract(epoch from pg_xact_commit_timestamp(xid::xid)) * 1000000)::bigint
         from outbox.entries where event_type = 'grimoire.events.v1.ProfileUpdated' and created_at >= to_timestamp($1 / 1000000.0)",
    )
    .bind(since)
    .fetch_all(user)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, created, committed)| Written {
            id,
            created,
            committed,
        })
        .collect())
}

/// When the effect of each event was committed, in microseconds of the Unix epoch.
async fn committed(
    connection: &mut PgConnection,
    statement: &'static str,
    since: i64,
) -> Result<HashMap<Uuid, i64>> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(statement)
        .bind(since)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Waits until as many events took effect, both ways.
async fn settled(system: &System, since: i64, count: usize) -> Result<()> {
    for (database, statement) in [("events", AUDITED), ("user", ACTIVE)] {
        let connection = tokio::sync::Mutex::new(system.database(database).await?);
        eventually("all effects", || async {
            let mut connection = connection.lock().await;
            let effects = committed(&mut connection, statement, since).await;
            effects
                .is_ok_and(|effects| effects.len() >= count)
                .then_some(())
        })
        .await;
    }
    Ok(())
}

/// Gives the profile of one account one name after the other.
struct Updating {
    authorization: String,
    changes: u32,
    request: Vec<u8>,
}

impl Updating {
    fn new(authorization: String) -> Self {
        Self {
            authorization,
            changes: 0,
            request: Vec::new(),
        }
    }

    fn name(&self) -> String {
        format!("Name {}", self.changes)
    }
}

impl Client for Updating {
    fn next(&mut self) -> Option<&[u8]> {
        self.changes += 1;
        let body = json!({"displayName": self.name()}).to_string();
        self.request = request("PATCH", "/v1/users/me", &[&self.authorization], &body);
        Some(&self.request)
    }

    fn answered(&mut self, body: &[u8]) -> Result<(), String> {
        let body = String::from_utf8_lossy(body);
        if body.contains(&format!("\"{}\"", self.name())) {
            return Ok(());
        }
        Err(format!("not the expected answer: {body}"))
    }
}
