//! What is done on the command line: migrations, ready accounts, roles, and outbox and erasures after a restore.

use std::io::Read as _;

use chassis::database::{self, DatabaseError};
use grimoire_proto::events::v1::{AccountRegistered, RolesChanged};
use outbox::{AppendError, OutboxCommand, ResumeError};
use sqlx::PgPool;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::MIGRATIONS;
use crate::config::{
    Command, CreateAccount, DATABASE_VARIABLE, DatabaseConfig, GrantRole, PasswordConfig,
    ReapplyErasures,
};
use crate::deletion;
use crate::email::Email;
use crate::error::Violation;
use crate::password::{Password, PasswordError, StartError};
use crate::roles;
use crate::store::revocations::Target;
use crate::store::{self, accounts, revocations, signing_keys};
use crate::tokens::LONGEST_ACCESS_TOKEN;
use crate::topics;

/// Deleted accounts that are read at a time.
const PAGE: i64 = 500;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An argument cannot be what it is.
    #[error("{0}")]
    Argument(String),
    /// The password cannot be read.
    #[error("the password cannot be read from standard input: {0}")]
    Input(#[from] std::io::Error),
    /// The password is too short, too long or easily guessed.
    #[error("the password is too weak: {0}")]
    WeakPassword(String),
    /// Hashing failed.
    #[error("{0}")]
    Hash(String),
    /// The address has an account.
    #[error("{0} has an account already")]
    Exists(String),
    /// The address has no account.
    #[error("{0} has no account")]
    Unknown(String),
    /// The database is not to be had.
    #[error(transparent)]
    Unavailable(#[from] DatabaseError),
    /// The database refused.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The event could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The outbox stays as it is.
    #[error(transparent)]
    Outbox(#[from] ResumeError),
}

impl Command {
    /// Runs a command other than `serve`, and says on standard output what it did.
    pub async fn run(self) -> Result<(), CommandError> {
        match self {
            // The binary serves; see main.rs.
            Self::Serve(_) => Ok(()),
            Self::Migrate(config) => {
                database::migrate("auth", DATABASE_VARIABLE, &config.database_url, MIGRATIONS)
                    .await?;
                println!("the database is up to date");
                Ok(())
            }
            Self::CreateAccount(command) => {
                let mut password = Zeroizing::new(String::new());
                std::io::stdin().take(4096).read_to_string(&mut password)?;
                let password = password.trim_end_matches(['\r', '\n']).to_owned();
                let CreateAccount {
                    email,
                    display_name,
                    database,
                    passwords,
                } = &command;
                let id = create_account(
                    &connect(database).await?,
                    passwords,
                    email,
                    display_name,
                    password,
                )
                .await?;
                println!("made account {id}");
                Ok(())
            }
            Self::GrantRole(GrantRole {
                email,
                role,
                database,
            }) => {
                match grant_role(&connect(&database).await?, &email, &role).await? {
                    true => println!("{email} has the role {role} now"),
                    false => println!("{email} has the role {role} already"),
                }
                Ok(())
            }
            Self::ReapplyErasures(ReapplyErasures { accounts, database }) => {
                let begun = reapply_erasures(&connect(&database).await?, &accounts).await?;
                println!("{begun} accounts are erased once more");
                Ok(())
            }
            Self::Outbox(command) => {
                let pool = connect(command.database()).await?;
                if let OutboxCommand::Rebase(_) = command {
                    // Gateways have seen later generations, and would not take the restored keys.
                    signing_keys::rebase_generation(&pool).await?;
                }
                Ok(command.run(&pool).await?)
            }
        }
    }
}

async fn connect(config: &DatabaseConfig) -> Result<PgPool, DatabaseError> {
    let url = &config.database_url;
    database::connect_for_command("auth", DATABASE_VARIABLE, url, MIGRATIONS).await
}

/// Makes an account on an address that is taken as proven.
pub async fn create_account(
    pool: &PgPool,
    passwords: &PasswordConfig,
    email: &str,
    display_name: &str,
    password: String,
) -> Result<Uuid, CommandError> {
    let address = Email::parse(email)?;
    let password = Password::chosen(password)?;
    if accounts::find(pool, &address).await?.is_some() {
        return Err(CommandError::Exists(email.to_owned()));
    }
    let password_hash = passwords.start()?.hash(password, address.words()).await?;

    let id = Uuid::now_v7();
    let mut transaction = pool.begin().await?;
    if !accounts::insert(
        &mut *transaction,
        id,
        &address,
        display_name.trim(),
        "",
        &password_hash,
    )
    .await?
    {
        return Err(CommandError::Exists(email.to_owned()));
    }
    let version = accounts::next_event_version(&mut *transaction, id).await?;
    let event = AccountRegistered {
        account_id: id.to_string(),
        registration_id: String::new(),
    };
    outbox::append(
        &mut transaction,
        &topics::ACCOUNT,
        &id.to_string(),
        version,
        &event,
    )
    .await?;
    transaction.commit().await?;
    Ok(id)
}

/// Gives a role, and outdates the tokens that do not show it. False when the account has it already.
pub async fn grant_role(pool: &PgPool, email: &str, role: &str) -> Result<bool, CommandError> {
    if !roles::is_name(role) {
        return Err(CommandError::Argument(format!(
            "{role} is not the name of a role, such as admin"
        )));
    }
    let address = Email::parse(email)?;
    let unknown = || CommandError::Unknown(email.to_owned());
    let id = accounts::find(pool, &address).await?.ok_or_else(unknown)?;
    // One that was deleted keeps its address for a while.
    accounts::get(pool, id).await?.ok_or_else(unknown)?;

    let mut transaction = pool.begin().await?;
    let Some(account) = accounts::grant_role(&mut *transaction, id, role).await? else {
        return Ok(false);
    };
    let event = RolesChanged {
        account_id: id.to_string(),
        roles: account.roles,
        by_account_id: String::new(),
    };
    outbox::append(
        &mut transaction,
        &topics::ACCOUNT,
        &id.to_string(),
        account.event_version,
        &event,
    )
    .await?;
    let outdated = Target::Account {
        id,
        min_version: account.security_version,
    };
    revocations::insert(
        &mut *transaction,
        &outdated,
        LONGEST_ACCESS_TOKEN.as_secs_f64(),
    )
    .await?;
    transaction.commit().await?;
    // No task of this process reads revocations; those of the replicas look by themselves where this is lost.
    if let Err(error) = revocations::notify(pool).await {
        tracing::debug!(%error, "the change of roles was not announced");
    }
    Ok(true)
}

/// Has every service erase `accounts` once more or, where there are none, all that this database knows to be deleted. An account that it
/// takes for alive, because it was restored, is deleted again, and its owner gets the last mail again. How many there were; those that
/// it does not know at all are passed over.
pub async fn reapply_erasures(pool: &PgPool, accounts: &[Uuid]) -> Result<usize, CommandError> {
    let mut begun = 0;
    for account in accounts {
        begun += usize::from(deletion::reapply(pool, *account).await?);
    }
    let mut after = accounts.is_empty().then_some(Uuid::nil());
    while let Some(last) = after {
        let page = store::accounts::deletion::list(pool, last, PAGE).await?;
        for account in &page {
            begun += usize::from(deletion::reapply(pool, *account).await?);
        }
        after = page.last().copied();
    }
    if let Err(error) = revocations::notify(pool).await {
        tracing::debug!(%error, "the deletions were not announced");
    }
    Ok(begun)
}

impl From<Violation> for CommandError {
    fn from(violation: Violation) -> Self {
        Self::Argument(format!("{} {}", violation.field, violation.wrong))
    }
}

impl From<PasswordError> for CommandError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Weak(advice) => Self::WeakPassword(advice),
            error => Self::Hash(error.to_string()),
        }
    }
}

impl From<StartError> for CommandError {
    fn from(error: StartError) -> Self {
        Self::Hash(error.to_string())
    }
}
