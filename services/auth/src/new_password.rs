//! What happens when an account gets another password, by whatever proof.

use grimoire_proto::events::v1::PasswordChanged;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::error::Error;
use crate::store::accounts::Account;
use crate::store::notifications::{Kind, Subject};
use crate::store::revocations::Target;
use crate::store::{accounts, notifications, password_resets, revocations, sessions};
use crate::tokens::LONGEST_ACCESS_TOKEN;
use crate::topics;

/// A mail about it is of no use later.
const MAIL_WITHIN: Duration = Duration::days(7);

/// A password that was found good and hashed.
pub(crate) struct NewPassword<'a> {
    pub(crate) account: Uuid,
    pub(crate) address_hmac: &'a [u8],
    pub(crate) hash: &'a str,
    /// The session that asked for it and goes on; the others end.
    pub(crate) session: Option<Uuid>,
    /// The database's time.
    pub(crate) now: OffsetDateTime,
}

/// Sets the password in the caller's transaction, which has locked the address: other sessions end, older access tokens are
/// outdated, mails to reset it are worthless, and the owner is told. None: the account is locked or disabled.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    new: &NewPassword<'_>,
) -> Result<Option<Account>, Error> {
    password_resets::supersede(&mut *connection, new.address_hmac).await?;
    sessions::end_all(&mut *connection, new.account, new.session).await?;
    let Some(account) = accounts::set_password(&mut *connection, new.account, new.hash).await?
    else {
        return Ok(None);
    };
    let event = outbox::append(
        &mut *connection,
        &topics::ACCOUNT,
        &account.id.to_string(),
        account.event_version,
        &PasswordChanged {
            account_id: account.id.to_string(),
            session_id: new.session.map(|id| id.to_string()).unwrap_or_default(),
            by_account_id: String::new(),
        },
    )
    .await?;
    let subject = Subject {
        account: Some(account.id),
        session: new.session,
        ..Subject::default()
    };
    notifications::insert(
        &mut *connection,
        event,
        Kind::PasswordChanged,
        subject,
        new.now + MAIL_WITHIN,
    )
    .await?;
    revocations::insert(
        &mut *connection,
        &Target::Account {
            id: account.id,
            min_version: account.security_version,
        },
        LONGEST_ACCESS_TOKEN.as_secs_f64(),
    )
    .await?;
    Ok(Some(account))
}
