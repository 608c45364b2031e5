//! The process `event-consumer` with an inbox that can be told to be wrong and to die, and with a journal of what takes effect.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chassis::process::Process;
use chassis::{database, grpc, upstream};
use event_consumer::config::{Command, Config, DatabaseConfig};
use event_consumer::topics;
use inbox::{
    Consumer, ConsumerConfig, DeadLetters, Effects, Event, Faults, Record, Refusal, Subscriber,
};
use sqlx::{Connection, PgConnection};
use tests::planted::{Death, Fault};
use tonic::async_trait;
use uuid::Uuid;

const NAME: &str = "event-consumer";

fn main() -> ExitCode {
    match chassis::process::configuration::<Command>() {
        Command::Serve(config) => chassis::run(NAME, &config.process, async |process| {
            serve(&config, process).await
        }),
        Command::Migrate(database) => chassis::command(async || migrate(&database).await),
        Command::Inbox(_) | Command::Outbox(_) => panic!("of no use to a test"),
    }
}

async fn migrate(database: &DatabaseConfig) -> anyhow::Result<()> {
    event_consumer::migrate(database).await?;
    let mut connection = PgConnection::connect(database.database_url.expose()).await?;
    sqlx::raw_sql(
        "create schema if not exists journal;
         create table if not exists journal.entries (
             place bigint generated always as identity primary key,
             event_id uuid not null
         )",
    )
    .execute(&mut connection)
    .await?;
    Ok(())
}

async fn serve(config: &Config, process: Process) -> anyhow::Result<()> {
    let url = &config.database.database_url;
    let pool = database::connect(NAME, "EVENTS_DATABASE_URL", url, &config.pool).await?;
    let fault = Fault::of_this_process();
    let consumer_config = ConsumerConfig {
        faults: Faults {
            skip_version_check: fault == Some(Fault::VersionCheckOff),
            commit_before_effect: fault == Some(Fault::OffsetBeforeEffect),
        },
        // For so long Kafka keeps the partitions of one that died.
        session_timeout: Duration::from_secs(3),
        ..ConsumerConfig::new(&config.kafka.kafka_bootstrap_servers, NAME, pool.clone())
    };
    let journal = Arc::new(Journal {
        death: Death::of_this_process(),
    });
    let journal = Consumer::new(
        consumer_config.clone(),
        vec![journal.clone() as Arc<dyn Subscriber>],
        Vec::new(),
        journal,
    );
    let (auth, user) = (
        upstream::connect("auth", &config.auth_url),
        upstream::connect("user", &config.user_url),
    );
    let consumer = event_consumer::consumer(consumer_config, auth, user, &config.mail)?;

    let (mut assigned, mut journal_assigned) = (consumer.assigned(), journal.assigned());
    let partitions = process.readiness.condition("kafka partitions");
    let services = event_consumer::services(pool)
        .task("consumer", consumer.run(process.stop.clone()))
        .task("journal", journal.run(process.stop.clone()))
        .task("readiness", async move {
            assigned.ready().await;
            journal_assigned.ready().await;
            partitions.set(assigned.is_ready() && journal_assigned.is_ready());
            Ok::<_, Infallible>(())
        });
    Ok(grpc::serve(process, &config.grpc, services).await?)
}

/// Notes each event as often as it takes effect.
struct Journal {
    death: Death,
}

#[async_trait]
impl Subscriber for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn topics(&self) -> Vec<String> {
        [topics::ACCOUNT, topics::NOTICE, topics::PROFILE]
            .map(str::to_owned)
            .to_vec()
    }

    async fn apply(&self, effects: &mut Effects<'_>, events: &[&Event]) -> Result<(), Refusal> {
        // Nobody waits for what an event of a profile leads to, so requests go on meanwhile.
        if events
            .iter()
            .any(|event| &*event.record.topic == topics::PROFILE)
        {
            self.death.here_if_told();
        }
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        sqlx::query(
            "insert into journal.entries (event_id)
             select id from unnest($1::uuid[]) with ordinality as applied (id, number) order by number",
        )
        .bind(ids)
        .execute(&mut *effects.connection)
        .await?;
        Ok(())
    }
}

#[async_trait]
impl DeadLetters for Journal {
    async fn publish(
        &self,
        _: &mut PgConnection,
        _: &str,
        _: &Record,
        reason: &str,
    ) -> Result<(), Refusal> {
        // What cannot be noted stays parked, which the checker finds.
        Err(Refusal::refused(reason))
    }
}
