//! Accounts, credentials, sessions, signing keys and roles: what this process serves and runs beside it. README.md tells what it
//! owns and why it is built so.

mod administration;
mod client;
mod commands;
mod config;
mod deletion;
mod email;
mod error;
mod hash_pool;
mod housekeeping;
mod keys;
mod mail_cap;
mod mail_token;
mod new_password;
mod password;
mod password_hash;
mod password_proof;
mod refresh;
mod refusal_floor;
mod reset_mail;
mod roles;
mod rotation;
mod rpc;
mod sign_in;
mod signing_keys;
mod soft_lock;
mod store;
mod tokens;
pub mod topics;
mod trust;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chassis::database::{self, DatabaseError};
use chassis::grpc::Services;
use chassis::process::{DevelopmentValue, Process};
use chassis::upstream::{self, Upstream};
use grimoire_proto::auth::v1::account_service_server::AccountServiceServer;
use grimoire_proto::auth::v1::admin_service_server::AdminServiceServer;
use grimoire_proto::auth::v1::directory_service_server::DirectoryServiceServer;
use grimoire_proto::auth::v1::erasure_service_server::ErasureServiceServer;
use grimoire_proto::auth::v1::notification_service_server::NotificationServiceServer;
use grimoire_proto::auth::v1::session_service_server::SessionServiceServer;
use grimoire_proto::auth::v1::trust_service_server::TrustServiceServer;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use outbox::{Relay, Wake};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use telemetry::prometheus::IntCounterVec;
use telemetry::{metrics, names};
use tokio_util::sync::CancellationToken;

pub use commands::{CommandError, create_account, grant_role, reapply_erasures};
pub use config::{
    Command, CreateAccount, DatabaseConfig, GrantRole, IdentityConfig, PasswordConfig,
    ReapplyErasures, ServeConfig,
};
pub use deletion::ERASING_SERVICES;
pub use keys::{KeyError, KeyRing, SecretKey};

use email::Pseudonyms;
use housekeeping::Housekeeping;
use mail_token::MailTokens;
use rotation::Rotation;
use rpc::{AccountApi, AdminApi, DirectoryApi, ErasureApi, NotificationApi, SessionApi, TrustApi};
use signing_keys::Signer;
use tokens::TokenIssuer;
use trust::Trust;

static MIGRATOR: Migrator = sqlx::migrate!();

/// The migrations of auth's database, in order: its own, and those of its outbox.
pub static MIGRATIONS: &[(&str, &Migrator)] = &[("auth", &MIGRATOR), ("outbox", &outbox::MIGRATOR)];

/// Why auth cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database is not to be had, or not migrated.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Production was given what is for development only.
    #[error(transparent)]
    DevelopmentValue(#[from] DevelopmentValue),
    /// There is no key to sign with: the sentence says what to do.
    #[error("{0}")]
    SigningKeys(String),
    /// Passwords cannot be hashed as configured.
    #[error("{0}")]
    Passwords(String),
}

/// Everything that this process serves and runs beside it.
pub async fn services(process: &Process, config: &ServeConfig) -> Result<Services, StartError> {
    process
        .environment
        .refuse_loopback("GRIMOIRE_ISSUER", &config.identity.issuer)?;
    let url = &config.database.database_url;
    let relay = config
        .kafka
        .relay(process.environment, url, "grimoire/auth", topics::ALL)?;
    let pool = database::connect("auth", config::DATABASE_VARIABLE, url, &config.pool).await?;
    database::ensure_migrated("auth", &pool, MIGRATIONS).await?;

    let (relay, wake) = Relay::new(relay);
    let user = upstream::connect("user", &config.user_url);
    let services = services_over(pool, wake, user, &config.identity, process.stop.clone()).await?;
    Ok(services.task("relay", endless(relay.run(process.stop.clone()))))
}

/// The gRPC services over a migrated database, and the tasks that feed the followers of keys and revocations and delete what is of no
/// use any more, until `stop`. Makes the first signing keys. `user` is asked for its part of an export, and for nothing before.
pub async fn services_over(
    pool: PgPool,
    relay: Wake,
    user: Upstream,
    config: &IdentityConfig,
    stop: CancellationToken,
) -> Result<Services, StartError> {
    signing_keys::ensure(&pool, &config.key_encryption_key)
        .await
        .map_err(|error| StartError::SigningKeys(error.to_string()))?;
    let passwords = config
        .passwords
        .start()
        .map_err(|error| StartError::Passwords(error.to_string()))?;
    let passwords = Arc::new(passwords);
    let pseudonyms = Pseudonyms::new(&config.address_key);
    let mail_tokens = MailTokens::new(&config.mail_token_key);
    let trust = Trust::new(pool.clone(), stop.clone());
    let tokens = Arc::new(TokenIssuer {
        policy: config.token_policy(),
        refresh_keys: config.refresh_token_key.clone(),
        signer: Signer::new(
            pool.clone(),
            config.key_encryption_key.clone(),
            trust.generation(),
        ),
    });
    let rotation = Rotation {
        pool: pool.clone(),
        keks: config.key_encryption_key.clone(),
        lifetime: Duration::from_secs(config.signing_key_lifetime),
        published: Duration::from_secs(config.signing_key_published),
    };

    let accounts = AccountApi {
        pool: pool.clone(),
        pseudonyms: pseudonyms.clone(),
        mail_tokens: mail_tokens.clone(),
        passwords: Arc::clone(&passwords),
        tokens: Arc::clone(&tokens),
        trust: Arc::clone(&trust),
        relay: relay.clone(),
        user_data: UserDataServiceClient::new(user),
        capped_mails: metrics::counter(
            names::AUTH_MAILS_CAPPED,
            "Mails that were not sent because their address had enough",
        ),
    };
    let admin = AdminApi {
        pool: pool.clone(),
        pseudonyms: pseudonyms.clone(),
        mail_tokens: mail_tokens.clone(),
        passwords: Arc::clone(&passwords),
        rotation: rotation.clone(),
        trust: Arc::clone(&trust),
        relay: relay.clone(),
    };
    let erasures = ErasureApi {
        pool: pool.clone(),
        pseudonyms: pseudonyms.clone(),
        relay: relay.clone(),
    };
    let housekeeping = Housekeeping {
        pool: pool.clone(),
        pseudonyms: pseudonyms.clone(),
        relay: relay.clone(),
    };
    let sessions = SessionApi {
        pool: pool.clone(),
        pseudonyms,
        passwords,
        tokens,
        trust: Arc::clone(&trust),
        relay,
        logins: by_outcome(
            names::AUTH_LOGINS,
            "Attempts to sign in with a password",
            &["succeeded", "refused", "delayed"],
        ),
        refreshes: by_outcome(
            names::AUTH_REFRESHES,
            "Refresh tokens that were presented",
            &["rotated", "repeated", "reuse", "refused", "overtaken"],
        ),
    };
    Ok(Services::new()
        .with(AccountServiceServer::new(accounts))
        .with(SessionServiceServer::new(sessions))
        .with(AdminServiceServer::new(admin))
        .with(DirectoryServiceServer::new(DirectoryApi {
            pool: pool.clone(),
        }))
        .with(NotificationServiceServer::new(NotificationApi {
            pool,
            mail_tokens,
        }))
        .with(ErasureServiceServer::new(erasures))
        .with(TrustServiceServer::new(TrustApi {
            trust: Arc::clone(&trust),
        }))
        .task("trust", endless(trust.run()))
        .task("rotation", endless(rotation.run(stop.clone())))
        .task("housekeeping", endless(housekeeping.run(stop))))
}

/// A counter whose series all begin at 0: the increase of one that begins with its first event does not show that event.
fn by_outcome(name: &'static str, help: &str, outcomes: &[&str]) -> IntCounterVec {
    let counter = metrics::counter_vec(name, help, &["outcome"]);
    for outcome in outcomes {
        counter.with_label_values(&[outcome]);
    }
    counter
}

/// A task that cannot fail: it ends when the process stops.
async fn endless(task: impl Future<Output = ()>) -> Result<(), Infallible> {
    task.await;
    Ok(())
}
