//! AccountService.CompleteRegistration: the account, and its first session.

use grimoire_proto::auth::v1::{CompleteRegistrationRequest, CompleteRegistrationResponse};
use grimoire_proto::events::v1::AccountRegistered;
use uuid::Uuid;

use super::{AccountApi, account_on_the_wire};
use crate::client::Client;
use crate::email::Email;
use crate::error::Error;
use crate::mail_token;
use crate::password::Password;
use crate::sign_in::{Device, open_session};
use crate::store::registrations::Registration;
use crate::store::{accounts, address_state, registrations};
use crate::topics;

/// The token is looked up before the password is hashed: no stranger's password costs a hash.
pub(super) async fn complete_registration(
    api: &AccountApi,
    client: &Client,
    request: CompleteRegistrationRequest,
) -> Result<CompleteRegistrationResponse, Error> {
    let password = Password::chosen(request.password)?;
    let token_hash = mail_token::hash(request.token.trim());
    let registration = usable(registrations::by_token(&api.pool, &token_hash).await?)?;
    // Rules for addresses may have become stricter since the mail was asked for.
    let email = Email::parse(&registration.email).map_err(|_| Error::MailTokenInvalid)?;
    let mut related = email.words();
    related.extend(
        registration
            .display_name
            .split_whitespace()
            .map(str::to_owned),
    );
    let password_hash = api.passwords.hash(password, related).await?;

    api.tokens.signer.ahead().await?;
    let mut transaction = api.pool.begin().await?;
    address_state::lock(&mut *transaction, &registration.address_hmac).await?;
    if !registrations::take(&mut *transaction, registration.id).await? {
        // Somebody was faster; say what is true now.
        transaction.rollback().await?;
        usable(registrations::by_token(&api.pool, &token_hash).await?)?;
        return Err(Error::MailTokenInvalid);
    }
    registrations::supersede(&mut *transaction, &registration.address_hmac).await?;
    let id = Uuid::now_v7();
    if !accounts::insert(
        &mut *transaction,
        id,
        &email,
        &registration.display_name,
        &registration.locale,
        &password_hash,
    )
    .await?
    {
        // The address got an account in another way, such as the command line; the token of this mail is worth nothing.
        return Err(Error::MailTokenInvalid);
    }

    let version = accounts::next_event_version(&mut *transaction, id).await?;
    let event = AccountRegistered {
        account_id: id.to_string(),
        registration_id: registration.id.to_string(),
    };
    outbox::append(
        &mut transaction,
        &topics::ACCOUNT,
        &id.to_string(),
        version,
        &event,
    )
    .await?;

    let account = accounts::next_event_version_to_sign_in(&mut *transaction, id, &password_hash)
        .await?
        .ok_or(sqlx::Error::RowNotFound)?;
    let shown = account_on_the_wire(&account);
    let grant = open_session(
        &mut transaction,
        account,
        client,
        Device::Own,
        &api.pseudonyms,
        &api.tokens,
    )
    .await?;
    transaction.commit().await?;

    api.relay.committed();
    Ok(CompleteRegistrationResponse {
        tokens: Some(api.tokens.issue(&grant).await?),
        account: Some(shown),
    })
}

fn usable(found: Option<Registration>) -> Result<Registration, Error> {
    match found {
        None => Err(Error::MailTokenInvalid),
        Some(registration) if registration.used => Err(Error::MailTokenUsed),
        Some(registration) if registration.superseded => Err(Error::MailTokenInvalid),
        Some(registration) if registration.expired => Err(Error::MailTokenExpired),
        Some(registration) => Ok(registration),
    }
}
