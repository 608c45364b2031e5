//! What an operator decides. `event-consumer serve --help` is the reference.

use std::path::PathBuf;

use chassis::database::PoolConfig;
use chassis::grpc::GrpcConfig;
use chassis::process::{DevelopmentValue, Environment, ProcessConfig, Secret};
use chassis::upstream;
use http::Uri;
use lettre::message::Mailbox;
use outbox::{KafkaConfig, OutboxCommand};

/// Where the address of the database comes from.
pub(crate) const DATABASE_URL: &str = "EVENTS_DATABASE_URL";

/// What events lead to: the audit log, mails, profiles and activities.
#[derive(Debug, clap::Parser)]
#[command(name = "event-consumer", version)]
pub enum Command {
    /// Serves and consumes; what it does when no command is given
    Serve(Box<Config>),
    /// Applies the migrations of this release to the database and ends
    Migrate(DatabaseConfig),
    /// Looks after the inbox
    #[command(subcommand)]
    Inbox(InboxCommand),
    /// Looks after the outbox, which holds dead letters
    #[command(subcommand)]
    Outbox(OutboxCommand<DatabaseConfig>),
}

/// What can be done to the inbox.
#[derive(Debug, clap::Subcommand)]
pub enum InboxCommand {
    /// Lists keys that stand still, and jobs that were given up
    List(DatabaseConfig),
    /// Tries a parked key again at once
    Retry(ParkedKeyConfig),
    /// Gives up the first record of a parked key, as if it had taken effect, and goes on behind it
    Discard(ParkedKeyConfig),
    /// Tries a job again that was given up
    RetryJob(JobKey),
    /// Drops a job that was given up, and goes on with the next one of its key
    DiscardJob(JobKey),
    /// Moves a subscriber to another place of a partition: needed when its offset no longer fits the topic
    Reset(ResetConfig),
}

/// Which parked key, and what to make of its gap.
#[derive(Debug, clap::Args)]
pub struct ParkedKeyConfig {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Name of the subscriber: audit, mail or user-data
    pub subscriber: String,
    /// Name of the topic
    pub topic: String,
    /// The key, as `event-consumer inbox list` shows it
    #[arg(allow_hyphen_values = true)]
    pub key: String,

    /// Takes it that versions before the first record that waits are lost for good
    #[arg(long)]
    pub accept_gap: bool,
}

/// Whose dead job.
#[derive(Debug, clap::Args)]
pub struct JobKey {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Where the job goes: send-mail, provision-users, record-activities, erase-user or erase-audit
    pub target: String,
    /// The key, as `event-consumer inbox list` shows it
    #[arg(allow_hyphen_values = true)]
    pub key: String,
}

/// Which place to take.
#[derive(Debug, clap::Args)]
pub struct ResetConfig {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Name of the subscriber: audit, mail or user-data
    pub subscriber: String,
    /// Name of the topic
    pub topic: String,
    /// Number of the partition
    pub partition: i32,

    /// Offset of the next record. What is skipped never takes effect; what comes again is recognised. Default: the oldest record
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to: Option<i64>,
}

/// What serving needs.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// The process.
    #[command(flatten)]
    pub process: ProcessConfig,
    /// Its gRPC port.
    #[command(flatten)]
    pub grpc: GrpcConfig,
    /// Its database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Connections to it.
    #[command(flatten)]
    pub pool: PoolConfig,
    /// Where events come from, and dead letters go.
    #[command(flatten)]
    pub kafka: KafkaConfig,
    /// How mail leaves.
    #[command(flatten)]
    pub mail: MailConfig,

    /// Address of auth, which knows what mails say
    #[arg(long, env = "GRIMOIRE_AUTH_URL", default_value = "http://auth:50051", value_name = "URL", value_parser = upstream::address)]
    pub auth_url: Uri,

    /// Address of user, which keeps profiles and activities
    #[arg(long, env = "GRIMOIRE_USER_URL", default_value = "http://user:50052", value_name = "URL", value_parser = upstream::address)]
    pub user_url: Uri,
}

/// The events database.
#[derive(Debug, clap::Args)]
pub struct DatabaseConfig {
    /// Address of the events database, such as postgres://USER:PASSWORD@HOST:5432/events
    #[arg(long, env = DATABASE_URL, value_name = "URL")]
    pub database_url: Secret,
}

/// How mail leaves, and where it leads.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Mail")]
pub struct MailConfig {
    /// Mail server: smtps://USER:PASSWORD@HOST, or smtp://HOST:PORT with ?tls=required for STARTTLS
    #[arg(long, env = "GRIMOIRE_SMTP_URL", value_name = "URL")]
    pub smtp_url: Option<Secret>,

    /// Folder that mails are written to, one file each, where there is no mail server. Development only
    #[arg(long, env = "GRIMOIRE_MAIL_DIR", value_name = "FOLDER")]
    pub mail_dir: Option<PathBuf>,

    /// Sender of all mails
    #[arg(long, env = "GRIMOIRE_MAIL_FROM", default_value = DEVELOPMENT_SENDER, value_name = "MAILBOX", value_parser = mailbox)]
    pub mail_from: Mailbox,

    /// Page that takes the ?token=.. of a mail, and beside it &purpose=passwordReset or emailChange. Without one, mails show the token and the call that uses it
    #[arg(long, env = "GRIMOIRE_APP_URL", value_name = "URL", value_parser = page)]
    pub app_url: Option<String>,

    /// Public entry point, for the calls that mails show
    #[arg(long, env = "GRIMOIRE_API_URL", default_value = "http://127.0.0.1:5000", value_name = "URL", value_parser = page)]
    pub api_url: String,
}

/// Addresses below localhost never reach anybody.
const DEVELOPMENT_SENDER: &str = "Grimoire <no-reply@grimoire.localhost>";

impl MailConfig {
    /// Production sends mail, and as somebody.
    pub(crate) fn check(&self, environment: Environment) -> Result<(), DevelopmentValue> {
        environment.refuse(
            "GRIMOIRE_MAIL_DIR",
            self.smtp_url.is_none() && self.mail_dir.is_some(),
        )?;
        environment.refuse(
            "GRIMOIRE_MAIL_FROM",
            self.mail_from.email.domain().ends_with(".localhost"),
        )?;
        match &self.app_url {
            // Mails lead there, and show no calls.
            Some(app) => environment.refuse_loopback("GRIMOIRE_APP_URL", app),
            None => environment.refuse_loopback("GRIMOIRE_API_URL", &self.api_url),
        }
    }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse()
        .map_err(|_| "a mailbox, such as `Grimoire <no-reply@example.com>`".to_owned())
}

/// An absolute URL to which a path or a query can be appended.
fn page(text: &str) -> Result<String, String> {
    text.parse::<Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && !text.contains('#'))
        .map(|_| text.trim_end_matches('/').to_owned())
        .ok_or_else(|| {
            "an address without a fragment, such as https://app.example.com/welcome".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    fn serve(arguments: &[&str]) -> Result<Config, String> {
        let given = [
            "event-consumer",
            "serve",
            "--database-url",
            "postgres://x",
            "--kafka-bootstrap-servers",
            "x:1",
        ];
        let command = Command::try_parse_from(given.iter().chain(arguments))
            .map_err(|error| error.to_string())?;
        let Command::Serve(config) = command else {
            return Err("another command".into());
        };
        Ok(*config)
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Command::command().debug_assert();
    }

    #[test]
    fn a_key_may_begin_with_a_hyphen() {
        let given =
            "event-consumer inbox retry --accept-gap --database-url postgres://x mail topic -kEy_1";
        let command = Command::try_parse_from(given.split(' ')).unwrap();
        let Command::Inbox(InboxCommand::Retry(key)) = command else {
            panic!("another command")
        };
        assert_eq!((key.key.as_str(), key.accept_gap), ("-kEy_1", true));
    }

    #[test]
    fn a_sender_and_pages_are_checked_at_the_door() {
        let config = serve(&["--app-url", "https://app.example.com/welcome/"]).unwrap();
        assert_eq!(
            config.mail.app_url.as_deref(),
            Some("https://app.example.com/welcome")
        );
        assert!(
            serve(&["--mail-from", "nobody"])
                .unwrap_err()
                .contains("a mailbox, such as")
        );
        for wrong in [
            "app.example.com",
            "ftp://example.com",
            "https://example.com/#/welcome",
        ] {
            assert!(
                serve(&["--app-url", wrong])
                    .unwrap_err()
                    .contains("an address without a fragment"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn production_sends_mail_and_as_somebody() {
        let check = |arguments: &[&str]| {
            serve(arguments)
                .unwrap()
                .mail
                .check(Environment::Production)
                .map_err(|error| error.to_string())
        };
        let somebody = ["--mail-from", "Grimoire <hello@example.com>"];
        assert!(
            check(&[&somebody[..], &["--mail-dir", "mail"]].concat())
                .unwrap_err()
                .starts_with("GRIMOIRE_MAIL_DIR")
        );
        assert!(
            check(&["--smtp-url", "smtps://mail.example.com"])
                .unwrap_err()
                .starts_with("GRIMOIRE_MAIL_FROM")
        );
        let sent = [&somebody[..], &["--smtp-url", "smtps://mail.example.com"]].concat();
        assert!(
            check(&sent).unwrap_err().starts_with("GRIMOIRE_API_URL"),
            "a call that a mail shows goes to the public entry point"
        );
        for page in ["--api-url", "--app-url"] {
            assert!(check(&[&sent[..], &[page, "https://example.com"]].concat()).is_ok());
        }
        assert!(
            serve(&["--mail-dir", "mail"])
                .unwrap()
                .mail
                .check(Environment::Development)
                .is_ok()
        );
    }
}
