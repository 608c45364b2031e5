//! What an operator decides. `auth --help` and `auth serve --help` are the reference.

use std::time::Duration;

use chassis::database::PoolConfig;
use chassis::grpc::GrpcConfig;
use chassis::process::{ProcessConfig, Secret, seconds};
use chassis::upstream;
use http::Uri;
use outbox::{KafkaConfig, OutboxCommand};
use uuid::Uuid;

use crate::hash_pool::Bounds;
use crate::keys::{KeyRing, SecretKey};
use crate::password::{Passwords, StartError};
use crate::tokens::TokenPolicy;

/// The variable of [`DatabaseConfig`].
pub(crate) const DATABASE_VARIABLE: &str = "AUTH_DATABASE_URL";

/// Accounts, credentials, sessions, signing keys and roles of Grimoire.
#[derive(Debug, clap::Parser)]
#[command(name = "auth", version)]
pub enum Command {
    /// Serves; this is what happens without a command
    Serve(Box<ServeConfig>),
    /// Applies the migrations of auth and of its outbox to the database
    Migrate(DatabaseConfig),
    /// Makes a ready account; its password is read from standard input
    CreateAccount(CreateAccount),
    /// Gives an account a role, such as `admin`; its tokens are outdated at once
    GrantRole(GrantRole),
    /// Has every service erase deleted accounts once more: after a restore
    ReapplyErasures(ReapplyErasures),
    /// Looks after the outbox
    #[command(subcommand)]
    Outbox(OutboxCommand<DatabaseConfig>),
}

/// `auth create-account`.
#[derive(Debug, clap::Args)]
pub struct CreateAccount {
    /// E-mail address of the account, taken as proven
    pub email: String,
    /// Name to show
    #[arg(long, default_value = "")]
    pub display_name: String,
    /// Where the account is made.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// How its password is hashed.
    #[command(flatten)]
    pub passwords: PasswordConfig,
}

/// `auth grant-role`.
#[derive(Debug, clap::Args)]
pub struct GrantRole {
    /// E-mail address of the account
    pub email: String,
    /// Name of the role: small letters, digits and hyphens
    pub role: String,
    /// Where the account is.
    #[command(flatten)]
    pub database: DatabaseConfig,
}

/// `auth reapply-erasures`.
#[derive(Debug, clap::Args)]
pub struct ReapplyErasures {
    /// Ids of accounts that were deleted, also of those that a restored database takes for alive; without any, all that it knows to
    /// be deleted
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<Uuid>,
    /// Where the accounts are.
    #[command(flatten)]
    pub database: DatabaseConfig,
}

/// Auth's own database.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseConfig {
    /// Address of auth's own database: postgres://USER:PASSWORD@HOST:5432/NAME
    #[arg(long, env = "AUTH_DATABASE_URL", value_name = "URL")]
    pub database_url: Secret,
}

/// What `auth serve` needs.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeConfig {
    /// The process.
    #[command(flatten)]
    pub process: ProcessConfig,
    /// What it serves on.
    #[command(flatten)]
    pub grpc: GrpcConfig,
    /// Its database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Connections to it.
    #[command(flatten)]
    pub pool: PoolConfig,
    /// Where its events go.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// Address of user, which keeps profiles and activities
    #[arg(long, env = "GRIMOIRE_USER_URL", default_value = "http://user:50052", value_name = "URL", value_parser = upstream::address)]
    pub user_url: Uri,
    /// What it decides by.
    #[command(flatten)]
    pub identity: IdentityConfig,
}

/// Keys, tokens and passwords.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Identity")]
pub struct IdentityConfig {
    /// Seals the signing keys in the database: 32 bytes in base64. `id:key,id:key` while it is replaced, the new one first
    #[arg(long, env = "GRIMOIRE_KEY_ENCRYPTION_KEY", value_name = "KEY")]
    pub key_encryption_key: KeyRing,

    /// Refresh tokens are made with it: 32 bytes in base64. `id:key,id:key` while it is replaced, the new one first; the old one stays
    /// as long as sessions may have been refreshed with it
    #[arg(long, env = "GRIMOIRE_REFRESH_TOKEN_KEY", value_name = "KEY")]
    pub refresh_token_key: KeyRing,

    /// Tokens in mails are made with it: 32 bytes in base64. Replacing it ends the mails that were not sent yet
    #[arg(long, env = "GRIMOIRE_MAIL_TOKEN_KEY", value_name = "KEY")]
    pub mail_token_key: SecretKey,

    /// Pseudonyms of addresses and devices are made with it: 32 bytes in base64. It must never be replaced
    #[arg(long, env = "GRIMOIRE_ADDRESS_KEY", value_name = "KEY")]
    pub address_key: SecretKey,

    /// `iss` of access tokens; the gateway must have the same
    #[arg(
        long,
        env = "GRIMOIRE_ISSUER",
        default_value = "http://127.0.0.1:5000",
        value_name = "URL"
    )]
    pub issuer: String,

    /// `aud` of access tokens; the gateway must have the same
    #[arg(
        long,
        env = "GRIMOIRE_AUDIENCE",
        default_value = "grimoire",
        value_name = "NAME"
    )]
    pub audience: String,

    /// Seconds that an access token lives, 60 to 600; up to a minute is added at random
    #[arg(long, env = "GRIMOIRE_ACCESS_TOKEN_LIFETIME", default_value = "300", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(60..=600))]
    pub access_token_lifetime: u64,

    /// Seconds that a signing key signs; the default is 30 days
    #[arg(long, env = "GRIMOIRE_SIGNING_KEY_LIFETIME", default_value = "2592000", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(5..=31_536_000))]
    pub signing_key_lifetime: u64,

    /// Seconds that a signing key is published before it signs: at least as long as others keep the JSON Web Key Set, which the
    /// gateway lets them for 300
    #[arg(long, env = "GRIMOIRE_SIGNING_KEY_PUBLISHED", default_value = "600", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(0..=604_800))]
    pub signing_key_published: u64,

    /// Seconds that a refresh token may lie unused; the default is 30 days
    #[arg(long, env = "GRIMOIRE_SESSION_IDLE_LIFETIME", default_value = "2592000", value_name = "SECONDS", value_parser = lifetime)]
    pub session_idle_lifetime: Duration,

    /// Seconds that a session may last; the default is 180 days
    #[arg(long, env = "GRIMOIRE_SESSION_LIFETIME", default_value = "15552000", value_name = "SECONDS", value_parser = lifetime)]
    pub session_lifetime: Duration,

    /// How passwords are hashed.
    #[command(flatten)]
    pub passwords: PasswordConfig,
}

/// Below a minute access tokens would be refreshed all the time, and at 0 nobody could sign in.
fn lifetime(text: &str) -> Result<Duration, String> {
    seconds(text)
        .ok()
        .filter(|lifetime| *lifetime >= Duration::from_secs(60))
        .ok_or_else(|| "a number of seconds, at least 60".to_owned())
}

impl IdentityConfig {
    pub(crate) fn token_policy(&self) -> TokenPolicy {
        TokenPolicy {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            access: Duration::from_secs(self.access_token_lifetime),
            idle: self.session_idle_lifetime,
            absolute: self.session_lifetime,
        }
    }
}

/// How passwords are hashed, and how much of the machine that may take.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Passwords")]
pub struct PasswordConfig {
    /// Memory of one Argon2id hash, in KiB. When it rises, hashes are renewed as people sign in
    #[arg(long, env = "GRIMOIRE_PASSWORD_MEMORY_KIB", default_value = "19456", value_name = "KIB",
          value_parser = clap::value_parser!(u32).range(1024..=1_048_576))]
    pub password_memory_kib: u32,

    /// Passes of one Argon2id hash
    #[arg(long, env = "GRIMOIRE_PASSWORD_PASSES", default_value = "2", value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub password_passes: u32,

    /// Lanes of one Argon2id hash
    #[arg(long, env = "GRIMOIRE_PASSWORD_LANES", default_value = "1", value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub password_lanes: u32,

    /// Memory of all hashes at once, in MiB
    #[arg(long, env = "GRIMOIRE_PASSWORD_POOL_MIB", default_value = "256", value_name = "MIB",
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub password_pool_mib: u32,

    /// Passwords that may wait for their turn; more are refused
    #[arg(long, env = "GRIMOIRE_PASSWORD_QUEUE", default_value = "128", value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub password_queue: u32,
}

impl PasswordConfig {
    /// Starts as many threads as there are cores and memory for.
    pub(crate) fn start(&self) -> Result<Passwords, StartError> {
        let one = self.password_memory_kib.div_ceil(1024);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min((self.password_pool_mib / one) as usize).max(1);
        let bounds = Bounds {
            threads,
            memory_mib: self.password_pool_mib as usize,
            queue: self.password_queue as usize,
        };
        Passwords::start(
            bounds,
            self.password_memory_kib,
            self.password_passes,
            self.password_lanes,
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn a_session_lasts_a_minute_at_least() {
        for short in ["0", "59.9", "-60", "soon"] {
            assert!(lifetime(short).is_err(), "{short}");
        }
        assert_eq!(lifetime("60"), Ok(Duration::from_secs(60)));
    }

    #[test]
    fn the_variable_of_the_database_is_the_one_that_errors_name() {
        let command = Command::command();
        let migrate = command.find_subcommand("migrate").unwrap();
        let variables: Vec<_> = migrate
            .get_arguments()
            .filter_map(|argument| argument.get_env())
            .collect();
        assert_eq!(variables, [DATABASE_VARIABLE]);
    }
}
