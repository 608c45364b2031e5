//! What events lead to: who hears them, what is done outside of this service's database, and what it answers.

pub mod config;
pub mod topics;

mod audit_log;
mod dead_letters;
mod error;
mod event_type;
mod mail;
mod operator;
mod rpc;
mod store;
mod subscribers;
mod workers;

use std::convert::Infallible;
use std::sync::Arc;

use chassis::database::{self, DatabaseError};
use chassis::grpc::{self, GrpcError, Services};
use chassis::process::{DevelopmentValue, Process};
use chassis::upstream::{self, Upstream};
use grimoire_proto::audit::v1::audit_service_server::AuditServiceServer;
use grimoire_proto::auth::v1::erasure_service_client::ErasureServiceClient;
use grimoire_proto::auth::v1::notification_service_client::NotificationServiceClient;
use grimoire_proto::delivery::v1::delivery_service_server::DeliveryServiceServer;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use inbox::operator::{Discard, KeyOf};
use inbox::{Consumer, ConsumerConfig};
use outbox::{OutboxCommand, Relay, ResumeError};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use uuid::Uuid;

use config::{
    Config, DATABASE_URL, DatabaseConfig, InboxCommand, JobKey, MailConfig, ParkedKeyConfig,
    ResetConfig,
};
use dead_letters::DeadLetterTopics;
use mail::delivery::{Delivery, DeliveryError};
use mail::letter::Links;
use operator::Decider;
use rpc::{AuditApi, DeliveryApi};
use subscribers::audit::Audit;
use subscribers::mail::Mail;
use subscribers::user_data::UserData;
use workers::erase_audit::EraseAudit;
use workers::erase_user::EraseUser;
use workers::provision_users::ProvisionUsers;
use workers::record_activities::RecordActivities;
use workers::send_mail::SendMail;

pub use operator::Waiting;

const NAME: &str = "event-consumer";

/// The migrations of this service.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Those of its database.
static MIGRATIONS: [(&str, &Migrator); 3] = [
    (NAME, &MIGRATOR),
    ("inbox", &inbox::MIGRATOR),
    ("outbox", &outbox::MIGRATOR),
];

/// Why this service could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum EventConsumerError {
    /// Its database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A statement failed.
    #[error("the database failed: {0}")]
    Statement(#[from] sqlx::Error),
    /// The outbox is not what its cursor says.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// It cannot be called.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    /// Production was given what is for development only.
    #[error(transparent)]
    DevelopmentValue(#[from] DevelopmentValue),
    /// Mail cannot leave.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Nothing to reset.
    #[error(
        "{subscriber} has no place in partition {partition} of {topic}: there is nothing to reset"
    )]
    NoPlace {
        /// Name of the subscriber.
        subscriber: String,
        /// Name of the topic.
        topic: String,
        /// Number of the partition.
        partition: i32,
    },
    /// Nothing to retry or discard.
    #[error("{subscriber} has not parked the key {key} of {topic}")]
    NotParked {
        /// Name of the subscriber.
        subscriber: String,
        /// Name of the topic.
        topic: String,
        /// The key.
        key: String,
    },
    /// Versions before the record would be given up with it.
    #[error(
        "version {version} waits for those since {last}: discard would give them up as well; if they are lost for good, say so with --accept-gap"
    )]
    BehindGap {
        /// The last version that took effect.
        last: i64,
        /// That of the first record that waits.
        version: i64,
    },
    /// No job to retry or discard.
    #[error("no job of the key {key} was given up for {target}")]
    NoDeadJob {
        /// Where it would go.
        target: String,
        /// The key.
        key: String,
    },
}

/// Why mail cannot leave.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Nothing says how.
    #[error(
        "neither GRIMOIRE_SMTP_URL nor GRIMOIRE_MAIL_DIR is set: mails need a mail server, or, in development, a folder"
    )]
    NoWay,
    /// The address of the server cannot be read.
    #[error(
        "GRIMOIRE_SMTP_URL is not the address of a mail server, such as smtps://USER:PASSWORD@HOST"
    )]
    Server,
    /// The folder cannot be made.
    #[error("GRIMOIRE_MAIL_DIR: {0}")]
    Folder(String),
}

/// Serves and consumes until the process must stop. Ready once every subscriber has its share of the partitions.
pub async fn serve(config: &Config, process: Process) -> Result<(), EventConsumerError> {
    config.mail.check(process.environment)?;
    let relay = config.kafka.relay(
        process.environment,
        &config.database.database_url,
        "grimoire/event-consumer",
        topics::ALL,
    )?;
    let pool = database::connect(
        NAME,
        DATABASE_URL,
        &config.database.database_url,
        &config.pool,
    )
    .await?;
    database::ensure_migrated(NAME, &pool, &MIGRATIONS).await?;

    let consumer_config =
        ConsumerConfig::new(&config.kafka.kafka_bootstrap_servers, NAME, pool.clone());
    let (auth, user) = (
        upstream::connect("auth", &config.auth_url),
        upstream::connect("user", &config.user_url),
    );
    let consumer = consumer(consumer_config, auth, user, &config.mail)?;
    // Dead letters are rare, and their transactions commit elsewhere: the relay finds them by itself.
    let (relay, _) = Relay::new(relay);
    let (consuming, relaying) = (process.stop.clone(), process.stop.clone());
    let (mut assigned, partitions) = (
        consumer.assigned(),
        process.readiness.condition("kafka partitions"),
    );
    let services = services(pool)
        .task("consumer", consumer.run(consuming))
        .task("outbox relay", async move {
            relay.run(relaying).await;
            Ok::<_, Infallible>(())
        })
        .task("readiness", async move {
            assigned.ready().await;
            partitions.set(assigned.is_ready());
            Ok::<_, Infallible>(())
        });
    Ok(grpc::serve(process, &config.grpc, services).await?)
}

/// The calls that this service answers.
pub fn services(pool: PgPool) -> Services {
    Services::new()
        .with(AuditServiceServer::new(AuditApi { pool: pool.clone() }))
        .with(DeliveryServiceServer::new(DeliveryApi { pool }))
}

/// Who hears events, and who does what they ask for outside of this service's database.
pub fn consumer(
    config: ConsumerConfig,
    auth: Upstream,
    user: Upstream,
    mail: &MailConfig,
) -> Result<Consumer, MailError> {
    let user = UserDataServiceClient::new(user);
    let erasures = ErasureServiceClient::new(auth.clone());
    let send_mail = SendMail {
        auth: NotificationServiceClient::new(auth),
        erasures: erasures.clone(),
        delivery: delivery(mail)?,
        links: Links {
            app: mail.app_url.clone(),
            api: mail.api_url.clone(),
        },
    };
    let erase_audit = EraseAudit {
        auth: erasures.clone(),
        pool: config.pool.clone(),
    };
    Ok(Consumer::new(
        config,
        vec![Arc::new(Audit), Arc::new(Mail), Arc::new(UserData)],
        vec![
            Arc::new(send_mail),
            Arc::new(ProvisionUsers { user: user.clone() }),
            Arc::new(RecordActivities { user: user.clone() }),
            Arc::new(EraseUser {
                auth: erasures,
                user,
            }),
            Arc::new(erase_audit),
        ],
        Arc::new(DeadLetterTopics),
    ))
}

/// Applies what the database lacks.
pub async fn migrate(config: &DatabaseConfig) -> Result<(), EventConsumerError> {
    Ok(database::migrate(NAME, DATABASE_URL, &config.database_url, &MIGRATIONS).await?)
}

/// Does what an operator asks of the inbox. Answers with what there is to say about it.
pub async fn inbox(command: &InboxCommand) -> Result<String, EventConsumerError> {
    Ok(match command {
        InboxCommand::List(database) => waiting(database).await?.to_string(),
        InboxCommand::Retry(key) => {
            retry(key).await?;
            "the key is tried again now\n".to_owned()
        }
        InboxCommand::Discard(key) => {
            let offset = discard(key).await?;
            format!("the record at offset {offset} was given up\n")
        }
        InboxCommand::RetryJob(job) => {
            retry_job(job).await?;
            "the job is tried again now\n".to_owned()
        }
        InboxCommand::DiscardJob(job) => {
            let event = discard_job(job).await?;
            format!("the job of event {event} was dropped\n")
        }
        InboxCommand::Reset(place) => {
            reset(place).await?;
            "the subscriber goes on at its new place within seconds\n".to_owned()
        }
    })
}

/// What stands still until somebody decides, or for a while.
pub async fn waiting(config: &DatabaseConfig) -> Result<Waiting, EventConsumerError> {
    Ok(operator::list(&connect(config).await?).await?)
}

/// Lets a parked key be tried again at once, with an audit record.
pub async fn retry(key: &ParkedKeyConfig) -> Result<(), EventConsumerError> {
    let pool = connect(&key.database).await?;
    let gap = operator::gap(key.accept_gap);
    if operator::retry(&pool, Decider::Operator, key_of(key), gap).await? {
        return Ok(());
    }
    Err(not_parked(key))
}

/// Gives up the first record of a parked key, with an audit record. Answers with its offset.
pub async fn discard(key: &ParkedKeyConfig) -> Result<i64, EventConsumerError> {
    let pool = connect(&key.database).await?;
    let gap = operator::gap(key.accept_gap);
    match operator::discard(&pool, Decider::Operator, key_of(key), gap, None).await? {
        Discard::Discarded(offset) => Ok(offset),
        // Whichever record is the first is the one.
        Discard::NotParked | Discard::Overtaken => Err(not_parked(key)),
        Discard::BehindGap { last, version } => {
            Err(EventConsumerError::BehindGap { last, version })
        }
    }
}

/// Lets a job be tried again that was given up, with an audit record.
pub async fn retry_job(job: &JobKey) -> Result<(), EventConsumerError> {
    let pool = connect(&job.database).await?;
    if operator::retry_job(&pool, job).await? {
        return Ok(());
    }
    Err(no_dead_job(job))
}

/// Drops a job that was given up, with an audit record. Answers with its event.
pub async fn discard_job(job: &JobKey) -> Result<Uuid, EventConsumerError> {
    let pool = connect(&job.database).await?;
    let event = operator::discard_job(&pool, job).await?;
    event.ok_or_else(|| no_dead_job(job))
}

/// Moves a subscriber to another place of a partition, with an audit record.
pub async fn reset(place: &ResetConfig) -> Result<(), EventConsumerError> {
    let pool = connect(&place.database).await?;
    if operator::reset(&pool, place).await? {
        return Ok(());
    }
    Err(EventConsumerError::NoPlace {
        subscriber: place.subscriber.clone(),
        topic: place.topic.clone(),
        partition: place.partition,
    })
}

/// Makes a database publish again that was restored or failed over.
pub async fn outbox(command: &OutboxCommand<DatabaseConfig>) -> Result<(), EventConsumerError> {
    Ok(command.run(&connect(command.database()).await?).await?)
}

fn key_of(key: &ParkedKeyConfig) -> KeyOf<'_> {
    KeyOf {
        subscriber: &key.subscriber,
        topic: &key.topic,
        key: &key.key,
    }
}

fn not_parked(key: &ParkedKeyConfig) -> EventConsumerError {
    EventConsumerError::NotParked {
        subscriber: key.subscriber.clone(),
        topic: key.topic.clone(),
        key: key.key.clone(),
    }
}

fn no_dead_job(job: &JobKey) -> EventConsumerError {
    EventConsumerError::NoDeadJob {
        target: job.target.clone(),
        key: job.key.clone(),
    }
}

async fn connect(config: &DatabaseConfig) -> Result<PgPool, EventConsumerError> {
    let url = &config.database_url;
    Ok(database::connect_for_command(NAME, DATABASE_URL, url, &MIGRATIONS).await?)
}

fn delivery(config: &MailConfig) -> Result<Delivery, MailError> {
    let from = config.mail_from.clone();
    match (&config.smtp_url, &config.mail_dir) {
        // What lettre says would repeat the address, and with it the password.
        (Some(url), _) => Delivery::smtp(from, url.expose()).map_err(|_| MailError::Server),
        (None, Some(folder)) => Delivery::folder(from, folder.clone())
            .map_err(|error: DeliveryError| MailError::Folder(error.to_string())),
        (None, None) => Err(MailError::NoWay),
    }
}
