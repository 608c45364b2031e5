//! AccountService.ChangeEmail, after a recent proof of who it is: a mail to the new address, whatever is known of it.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{ChangeEmailRequest, ChangeEmailResponse};
use grimoire_proto::events::v1::EmailChangeRequested;
use time::Duration;
use uuid::Uuid;

use super::AccountApi;
use crate::email::Email;
use crate::error::{Error, Violation};
use crate::mail_cap::one_more_mail;
use crate::mail_token;
use crate::store::accounts::administration;
use crate::store::email_changes::NewChange;
use crate::store::notifications::{Kind, Subject};
use crate::store::{accounts, address_state, email_changes, notifications, sessions};
use crate::topics;

/// How long the token of the mail is good.
const TOKEN_LIFETIME: Duration = Duration::hours(24);

/// Both paths, for an address that is free and for one that another account has, read and write the same rows and commit once.
pub(super) async fn change_email(
    api: &AccountApi,
    caller: &Caller,
    request: ChangeEmailRequest,
) -> Result<ChangeEmailResponse, Error> {
    let account = caller.own(&request.account)?;
    // An admin may not move somebody else's account to an address.
    if Some(account) != caller.subject {
        return Err(Error::NotFound("account"));
    }
    let account = account.0;
    let session = caller.session.ok_or(Error::SessionEnded)?.0;
    let email = Email::parse(&request.new_email).map_err(|violation| Violation {
        field: "new_email".into(),
        ..violation
    })?;
    let person = accounts::person(&api.pool, account)
        .await?
        .ok_or(Error::SessionEnded)?;
    if person.email == email.as_str() {
        return Err(Violation::new("new_email", "is the address of the account already").into());
    }
    let address = api.pseudonyms.address(&email);

    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    let row = sessions::refreshable(&mut *transaction, session)
        .await?
        .filter(|row| row.live && !row.held && row.account == account)
        .ok_or(Error::SessionEnded)?;
    let Some((mails, mails_since)) = one_more_mail(&state) else {
        transaction.commit().await?;
        api.capped_mails.inc();
        return Ok(ChangeEmailResponse {});
    };
    let version =
        address_state::count_mail(&mut *transaction, address.as_bytes(), mails, mails_since)
            .await?;
    // Another spelling of the own address is no one else's.
    let owner = accounts::find(&mut *transaction, &email)
        .await?
        .filter(|owner| *owner != account);

    let change = Uuid::now_v7();
    let event = outbox::append(
        &mut transaction,
        &topics::NOTICE,
        &address.topic_key(),
        version,
        &EmailChangeRequested {
            change_id: change.to_string(),
        },
    )
    .await?;
    email_changes::supersede(&mut *transaction, account).await?;
    let token = api.mail_tokens.email_change(event, change, email.as_str());
    let expires_at = state.now + TOKEN_LIFETIME;
    email_changes::insert(
        &mut *transaction,
        &NewChange {
            id: change,
            account,
            session,
            email: email.as_str(),
            security_version: row.security_version,
            token_hash: &mail_token::hash(&token),
            expires_at,
        },
    )
    .await?;
    // A deletion that has begun is seen, and one that begins waits: it wipes what is written here with the rest.
    let rows = administration::lock(&mut *transaction, &[account]).await?;
    if rows.iter().any(|row| row.held) {
        return Err(Error::SessionEnded);
    }
    let kind = match owner {
        None => Kind::EmailChange,
        Some(_) => Kind::EmailTaken,
    };
    let subject = Subject {
        account: owner.or(Some(account)),
        change: Some(change),
        ..Subject::default()
    };
    notifications::insert(&mut *transaction, event, kind, subject, expires_at).await?;
    transaction.commit().await?;

    api.relay.committed();
    Ok(ChangeEmailResponse {})
}
