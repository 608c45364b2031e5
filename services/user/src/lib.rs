//! Profiles, preferences and activities of people: the services of this process, and what runs beside them.

pub mod config;
pub mod topics;

mod activity;
mod error;
mod preferences;
mod profile;
mod rpc;
mod store;
mod time_zones;
mod update_mask;
mod users;
mod wire;

use std::convert::Infallible;

use chassis::database::{self, DatabaseError};
use chassis::grpc::{self, GrpcError, Services};
use chassis::process::{DevelopmentValue, Process};
use chassis::upstream::{self, Upstream};
use grimoire_proto::auth::v1::directory_service_client::DirectoryServiceClient;
use grimoire_proto::user::v1::activity_service_server::ActivityServiceServer;
use grimoire_proto::user::v1::preferences_service_server::PreferencesServiceServer;
use grimoire_proto::user::v1::profile_service_server::ProfileServiceServer;
use grimoire_proto::user::v1::user_data_service_server::UserDataServiceServer;
use outbox::{OutboxCommand, Relay, ResumeError, Wake};
use sqlx::PgPool;
use sqlx::migrate::Migrator;

use config::{Config, DATABASE_URL, DatabaseConfig};
use rpc::{ActivityApi, PreferencesApi, ProfileApi, UserDataApi};
use time_zones::TimeZones;
use users::Users;

const NAME: &str = "user";

/// The migrations of this service.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Those of its database.
static MIGRATIONS: [(&str, &Migrator); 2] = [(NAME, &MIGRATOR), ("outbox", &outbox::MIGRATOR)];

/// Why this service could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Its database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Production was given what is for development only.
    #[error(transparent)]
    DevelopmentValue(#[from] DevelopmentValue),
    /// A statement failed.
    #[error("the database failed: {0}")]
    Statement(#[from] sqlx::Error),
    /// Its outbox stays as it is.
    #[error(transparent)]
    Outbox(#[from] ResumeError),
    /// It cannot be called.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
}

/// Serves until the process must stop.
pub async fn serve(config: &Config, process: Process) -> Result<(), UserError> {
    let relay = config.kafka.relay(
        process.environment,
        &config.database.database_url,
        "grimoire/user",
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
    let (relay, wake) = Relay::new(relay);
    let stop = process.stop.clone();
    let services = services(pool, upstream::connect("auth", &config.auth_url), wake)
        .await?
        .task("outbox relay", async move {
            relay.run(stop).await;
            Ok::<_, Infallible>(())
        });
    Ok(grpc::serve(process, &config.grpc, services).await?)
}

/// The calls that this service answers. `auth` is asked for accounts that are seen for the first time, `wake` is told of events.
pub async fn services(pool: PgPool, auth: Upstream, wake: Wake) -> Result<Services, sqlx::Error> {
    let time_zones = TimeZones::read(&pool).await?;
    let users = Users {
        pool: pool.clone(),
        directory: DirectoryServiceClient::new(auth),
    };
    Ok(Services::new()
        .with(ProfileServiceServer::new(ProfileApi {
            users: users.clone(),
            time_zones,
            relay: wake.clone(),
        }))
        .with(PreferencesServiceServer::new(PreferencesApi {
            users: users.clone(),
            relay: wake.clone(),
        }))
        .with(ActivityServiceServer::new(ActivityApi { pool }))
        .with(UserDataServiceServer::new(UserDataApi {
            users,
            relay: wake,
        })))
}

/// Applies what the database lacks.
pub async fn migrate(config: &DatabaseConfig) -> Result<(), UserError> {
    Ok(database::migrate(NAME, DATABASE_URL, &config.database_url, &MIGRATIONS).await?)
}

/// Makes a database publish again that was restored or failed over.
pub async fn outbox(command: &OutboxCommand<DatabaseConfig>) -> Result<(), UserError> {
    let config = command.database();
    let url = &config.database_url;
    let pool = database::connect_for_command(NAME, DATABASE_URL, url, &MIGRATIONS).await?;
    Ok(command.run(&pool).await?)
}
