//! AccountService.ConfirmEmail: the token of a mail makes its address the account's. Sessions go on.

use grimoire_proto::auth::v1::{ConfirmEmailRequest, ConfirmEmailResponse};
use grimoire_proto::events::v1::EmailChanged;
use time::Duration;

use super::AccountApi;
use crate::email::Email;
use crate::error::Error;
use crate::mail_token;
use crate::store::email_changes::Change;
use crate::store::notifications::{Kind, Subject};
use crate::store::{accounts, address_state, email_changes, notifications, password_resets};
use crate::topics;

/// A mail about it is of no use later, and the address from before is forgotten then.
const MAIL_WITHIN: Duration = Duration::days(7);

/// Whoever has the token has the address. When another account has taken it meanwhile the token is worth nothing, as if it were none.
pub(super) async fn confirm_email(
    api: &AccountApi,
    request: ConfirmEmailRequest,
) -> Result<ConfirmEmailResponse, Error> {
    let token_hash = mail_token::hash(request.token.trim());
    let change = usable(email_changes::by_token(&api.pool, &token_hash).await?)?;
    // Rules for addresses may have become stricter since the mail was asked for.
    let new = Email::parse(&change.email).map_err(|_| Error::MailTokenInvalid)?;
    let person = accounts::person(&api.pool, change.account)
        .await?
        .ok_or(Error::MailTokenInvalid)?;
    let old = Email::parse(&person.email).map_err(|_| Error::MailTokenInvalid)?;

    let mut transaction = api.pool.begin().await?;
    // Sign-ins, resets and other confirmations of the account wait for it.
    let address = api.pseudonyms.address(&old);
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    password_resets::supersede(&mut *transaction, address.as_bytes()).await?;
    if !email_changes::take(&mut *transaction, change.id).await? {
        // Somebody was faster; say what is true now.
        transaction.rollback().await?;
        usable(email_changes::by_token(&api.pool, &token_hash).await?)?;
        return Err(Error::MailTokenInvalid);
    }
    email_changes::supersede(&mut *transaction, change.account).await?;
    let taken = accounts::find(&mut *transaction, &new)
        .await?
        .is_some_and(|owner| owner != change.account);
    if taken {
        return Err(Error::MailTokenInvalid);
    }
    let account = accounts::change_email(
        &mut *transaction,
        change.account,
        &old,
        &new,
        change.security_version,
    )
    .await?
    .ok_or(Error::MailTokenInvalid)?;
    let event = outbox::append(
        &mut transaction,
        &topics::ACCOUNT,
        &account.id.to_string(),
        account.event_version,
        &EmailChanged {
            account_id: account.id.to_string(),
            session_id: change.session.to_string(),
        },
    )
    .await?;
    let subject = Subject {
        account: Some(account.id),
        session: Some(change.session),
        address: Some(person.email),
        ..Subject::default()
    };
    notifications::insert(
        &mut *transaction,
        event,
        Kind::EmailChanged,
        subject,
        state.now + MAIL_WITHIN,
    )
    .await?;
    transaction.commit().await?;

    api.relay.committed();
    Ok(ConfirmEmailResponse {})
}

fn usable(found: Option<Change>) -> Result<Change, Error> {
    match found {
        None => Err(Error::MailTokenInvalid),
        Some(change) if change.used => Err(Error::MailTokenUsed),
        Some(change) if change.superseded => Err(Error::MailTokenInvalid),
        Some(change) if change.expired => Err(Error::MailTokenExpired),
        Some(change) => Ok(change),
    }
}
