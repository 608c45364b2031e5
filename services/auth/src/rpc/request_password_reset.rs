//! AccountService.RequestPasswordReset: a mail to the owner of the address, if there is one.

use grimoire_proto::auth::v1::{RequestPasswordResetRequest, RequestPasswordResetResponse};
use grimoire_proto::events::v1::PasswordResetRequested;
use time::Duration;
use uuid::Uuid;

use super::AccountApi;
use crate::email::Email;
use crate::error::Error;
use crate::mail_cap::one_more_mail;
use crate::mail_token;
use crate::store::notifications::{Kind, Subject};
use crate::store::password_resets::NewReset;
use crate::store::{accounts, address_state, notifications, password_resets};
use crate::topics;

/// How long the token of the mail is good.
const TOKEN_LIFETIME: Duration = Duration::hours(1);

/// Both paths, for an address with an account and for one without, read and write the same rows and commit once; the mail of the
/// latter turns out to be obsolete when it is due.
pub(super) async fn request_password_reset(
    api: &AccountApi,
    request: RequestPasswordResetRequest,
) -> Result<RequestPasswordResetResponse, Error> {
    let email = Email::parse(&request.email)?;
    let address = api.pseudonyms.address(&email);

    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    let Some((mails, mails_since)) = one_more_mail(&state) else {
        transaction.commit().await?;
        api.capped_mails.inc();
        return Ok(RequestPasswordResetResponse {});
    };
    let version =
        address_state::count_mail(&mut *transaction, address.as_bytes(), mails, mails_since)
            .await?;
    let account = accounts::find(&mut *transaction, &email).await?;

    let reset = Uuid::now_v7();
    let event = outbox::append(
        &mut transaction,
        &topics::NOTICE,
        &address.topic_key(),
        version,
        &PasswordResetRequested {
            reset_id: reset.to_string(),
        },
    )
    .await?;
    password_resets::supersede(&mut *transaction, address.as_bytes()).await?;
    let token = api.mail_tokens.password_reset(event, reset, &email);
    let expires_at = state.now + TOKEN_LIFETIME;
    password_resets::insert(
        &mut *transaction,
        &NewReset {
            id: reset,
            address_hmac: address.as_bytes(),
            account,
            token_hash: &mail_token::hash(&token),
            expires_at,
        },
    )
    .await?;
    let subject = Subject {
        account,
        reset: Some(reset),
        ..Subject::default()
    };
    notifications::insert(
        &mut *transaction,
        event,
        Kind::PasswordReset,
        subject,
        expires_at,
    )
    .await?;
    transaction.commit().await?;

    api.relay.committed();
    Ok(RequestPasswordResetResponse {})
}
