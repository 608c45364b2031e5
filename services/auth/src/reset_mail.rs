//! The mail by which the owner of an address chooses another password.

use grimoire_proto::events::v1::PasswordResetRequested;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::email::{AddressHmac, Email};
use crate::error::Error;
use crate::mail_token::{self, MailTokens};
use crate::store::notifications::{Kind, Subject};
use crate::store::password_resets::NewReset;
use crate::store::{notifications, password_resets};
use crate::topics;

/// How long the token of the mail is good.
const TOKEN_LIFETIME: Duration = Duration::hours(1);

/// A mail that is due.
pub(crate) struct ResetMail<'a> {
    pub(crate) email: &'a Email,
    pub(crate) address: &'a AddressHmac,
    /// None: the address has no account, and nobody gets the mail.
    pub(crate) account: Option<Uuid>,
    /// Of the address's notices, after this one was counted.
    pub(crate) version: i64,
    pub(crate) now: OffsetDateTime,
}

/// Writes the request and its event in the caller's transaction, which has locked the address. A newer mail replaces an older one.
pub(crate) async fn ask(
    connection: &mut PgConnection,
    mail_tokens: &MailTokens,
    mail: &ResetMail<'_>,
) -> Result<(), Error> {
    let reset = Uuid::now_v7();
    let event = outbox::append(
        &mut *connection,
        &topics::NOTICE,
        &mail.address.topic_key(),
        mail.version,
        &PasswordResetRequested {
            reset_id: reset.to_string(),
        },
    )
    .await?;
    password_resets::supersede(&mut *connection, mail.address.as_bytes()).await?;
    let token = mail_tokens.password_reset(event, reset, mail.email);
    let expires_at = mail.now + TOKEN_LIFETIME;
    password_resets::insert(
        &mut *connection,
        &NewReset {
            id: reset,
            address_hmac: mail.address.as_bytes(),
            account: mail.account,
            token_hash: &mail_token::hash(&token),
            expires_at,
        },
    )
    .await?;
    let subject = Subject {
        account: mail.account,
        reset: Some(reset),
        ..Subject::default()
    };
    notifications::insert(
        &mut *connection,
        event,
        Kind::PasswordReset,
        subject,
        expires_at,
    )
    .await?;
    Ok(())
}
