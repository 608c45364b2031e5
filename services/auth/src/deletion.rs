//! An account that is deleted, from the first step to the last receipt.

use grimoire_proto::events::v1::{AccountDeleted, ErasureCompleted};
use outbox::{AppendError, Wake};
use sqlx::{PgConnection, PgPool};
use time::Duration;
use uuid::Uuid;

use crate::email::{Email, Pseudonyms};
use crate::store::accounts::deletion;
use crate::store::notifications::{Kind, Subject};
use crate::store::revocations::Target;
use crate::store::{
    accounts, address_state, email_changes, erasure_receipts, known_devices, notifications,
    password_resets, registrations, revocations, sessions,
};
use crate::tokens::LONGEST_ACCESS_TOKEN;
use crate::topics;

/// The services that keep data of people: an account is erased when there is a receipt of each.
pub const ERASING_SERVICES: [&str; 3] = [OWN, "user", "event-consumer"];
/// This service: its part is done when the address is wiped.
pub(crate) const OWN: &str = "auth";
/// Says that the last mail has left, or never will.
pub(crate) const MAIL: &str = "mail";
/// How long the address is kept for the last mail.
const ADDRESS_KEPT: Duration = Duration::hours(24);

/// Deletes an account in the caller's transaction, which has ended its sessions. False: there is none, or it was deleted before. `session`
/// is the one that asked, for the last mail.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    account: Uuid,
    by_account_id: String,
    session: Option<Uuid>,
) -> Result<bool, AppendError> {
    let Some(deleted) = deletion::mark(&mut *connection, account).await? else {
        return Ok(false);
    };
    let event = announce(
        &mut *connection,
        account,
        deleted.event_version,
        by_account_id,
    )
    .await?;
    let subject = Subject {
        account: Some(account),
        session,
        ..Subject::default()
    };
    notifications::insert(
        &mut *connection,
        event,
        Kind::AccountDeleted,
        subject,
        deleted.deleted_at + ADDRESS_KEPT,
    )
    .await?;
    let outdated = Target::Account {
        id: account,
        min_version: deleted.security_version,
    };
    revocations::insert(connection, &outdated, LONGEST_ACCESS_TOKEN.as_secs_f64()).await?;
    Ok(true)
}

/// Has every service erase an account once more, whether this database takes it for deleted or, after a restore, for alive. False: there is
/// no such account.
pub(crate) async fn reapply(pool: &PgPool, account: Uuid) -> Result<bool, AppendError> {
    let mut transaction = pool.begin().await?;
    email_changes::supersede(&mut *transaction, account).await?;
    sessions::end_all(&mut *transaction, account, None).await?;
    if !begin(&mut transaction, account, String::new(), None).await? {
        let Some(version) = deletion::reopen(&mut *transaction, account).await? else {
            return Ok(false);
        };
        // What this database says of itself is true.
        erasure_receipts::take_back(&mut *transaction, account, OWN).await?;
        announce(&mut transaction, account, version, String::new()).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// Notes that `service` has erased what it kept. False: there is no such deleted account.
pub(crate) async fn receive(
    connection: &mut PgConnection,
    account: Uuid,
    service: &str,
) -> Result<bool, AppendError> {
    if !deletion::lock(&mut *connection, account).await? {
        return Ok(false);
    }
    erasure_receipts::insert(&mut *connection, account, service).await?;
    if let Some(version) = deletion::complete(&mut *connection, account, &ERASING_SERVICES).await? {
        let event = ErasureCompleted {
            account_id: account.to_string(),
        };
        outbox::append(
            connection,
            &topics::ACCOUNT,
            &event.account_id,
            version,
            &event,
        )
        .await?;
    }
    Ok(true)
}

/// Forgets the address of a deleted account and whatever else this database has of the person. False: there is no such deleted account.
pub(crate) async fn wipe(
    connection: &mut PgConnection,
    pseudonyms: &Pseudonyms,
    account: Uuid,
) -> Result<bool, AppendError> {
    let person = accounts::person(&mut *connection, account).await?;
    let Some(person) = person.filter(|person| person.deleted) else {
        return Ok(false);
    };
    if let Ok(email) = Email::parse(&person.email) {
        let address = pseudonyms.address(&email);
        address_state::lock(&mut *connection, address.as_bytes()).await?;
        registrations::delete(&mut *connection, address.as_bytes()).await?;
    }
    password_resets::delete(&mut *connection, account).await?;
    email_changes::delete(&mut *connection, account).await?;
    notifications::delete(&mut *connection, account).await?;
    known_devices::delete(&mut *connection, account).await?;
    sessions::delete(&mut *connection, account).await?;
    deletion::wipe(&mut *connection, account).await?;
    receive(connection, account, OWN).await
}

/// Wipes up to `most` addresses that were kept long enough for a mail that has not left. How many there were. One that the database does not
/// let go of holds up no other.
pub(crate) async fn wipe_overdue(
    pool: &PgPool,
    pseudonyms: &Pseudonyms,
    relay: &Wake,
    most: i64,
) -> Result<u64, AppendError> {
    let overdue = deletion::to_wipe(pool, ADDRESS_KEPT.as_seconds_f64(), most).await?;
    let mut wiped = 0;
    for account in overdue {
        match wipe_alone(pool, pseudonyms, account).await {
            Ok(()) => {
                relay.committed();
                wiped += 1;
            }
            Err(AppendError::Database(sqlx::Error::Database(error))) => {
                tracing::warn!(%account, %error, "the address of a deleted account was not wiped");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(wiped)
}

async fn wipe_alone(
    pool: &PgPool,
    pseudonyms: &Pseudonyms,
    account: Uuid,
) -> Result<(), AppendError> {
    let mut transaction = pool.begin().await?;
    wipe(&mut transaction, pseudonyms, account).await?;
    transaction.commit().await?;
    Ok(())
}

async fn announce(
    connection: &mut PgConnection,
    account: Uuid,
    version: i64,
    by_account_id: String,
) -> Result<Uuid, AppendError> {
    let event = AccountDeleted {
        account_id: account.to_string(),
        by_account_id,
    };
    outbox::append(
        connection,
        &topics::ACCOUNT,
        &event.account_id,
        version,
        &event,
    )
    .await
}
