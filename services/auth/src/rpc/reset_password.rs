//! AccountService.ResetPassword: the token of a mail and a new password. Every session ends.

use grimoire_proto::auth::v1::{ResetPasswordRequest, ResetPasswordResponse};

use super::AccountApi;
use crate::email::Email;
use crate::error::Error;
use crate::mail_token;
use crate::new_password::{NewPassword, replace};
use crate::password::Password;
use crate::store::password_resets::Reset;
use crate::store::{accounts, address_state, password_resets};

/// The token is looked up before the password is hashed: no stranger's password costs a hash.
pub(super) async fn reset_password(
    api: &AccountApi,
    request: ResetPasswordRequest,
) -> Result<ResetPasswordResponse, Error> {
    let password = Password::chosen(request.new_password).map_err(Error::new_password)?;
    let token_hash = mail_token::hash(request.token.trim());
    let reset = usable(password_resets::by_token(&api.pool, &token_hash).await?)?;
    // Without an account the token never left.
    let account = reset.account.ok_or(Error::MailTokenInvalid)?;
    let person = accounts::person(&api.pool, account)
        .await?
        .ok_or(Error::MailTokenInvalid)?;
    let email = Email::parse(&person.email).map_err(|_| Error::MailTokenInvalid)?;
    // The mail proves nothing any more once the account has another address.
    if api.pseudonyms.address(&email).as_bytes() != reset.address_hmac {
        return Err(Error::MailTokenInvalid);
    }
    let hash = api
        .passwords
        .hash(password, person.words(&email))
        .await
        .map_err(Error::new_password)?;

    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, &reset.address_hmac).await?;
    if !password_resets::take(&mut *transaction, reset.id).await? {
        // Somebody was faster; say what is true now.
        transaction.rollback().await?;
        usable(password_resets::by_token(&api.pool, &token_hash).await?)?;
        return Err(Error::MailTokenInvalid);
    }
    // Whoever guessed the old password has no say in when the owner may use the new one.
    address_state::set_failures(&mut *transaction, &reset.address_hmac, 0, None).await?;
    let new = NewPassword {
        account,
        address_hmac: &reset.address_hmac,
        hash: &hash,
        session: None,
        now: state.now,
    };
    // An account that is locked or disabled: the token stays good.
    replace(&mut transaction, &new)
        .await?
        .ok_or(Error::MailTokenInvalid)?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(ResetPasswordResponse {})
}

fn usable(found: Option<Reset>) -> Result<Reset, Error> {
    match found {
        None => Err(Error::MailTokenInvalid),
        Some(reset) if reset.used => Err(Error::MailTokenUsed),
        Some(reset) if reset.superseded => Err(Error::MailTokenInvalid),
        Some(reset) if reset.expired => Err(Error::MailTokenExpired),
        Some(reset) => Ok(reset),
    }
}
