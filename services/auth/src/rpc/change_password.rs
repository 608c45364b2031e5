//! AccountService.ChangePassword, after a recent proof of who it is. The other sessions end; this one gets new tokens.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{ChangePasswordRequest, ChangePasswordResponse};

use super::AccountApi;
use crate::email::Email;
use crate::error::Error;
use crate::new_password::{NewPassword, replace};
use crate::password::Password;
use crate::store::{accounts, address_state, sessions};
use crate::tokens::Grant;

pub(super) async fn change_password(
    api: &AccountApi,
    caller: &Caller,
    request: ChangePasswordRequest,
) -> Result<ChangePasswordResponse, Error> {
    let account = caller.own(&request.account)?;
    // An admin may not choose somebody else's password.
    if Some(account) != caller.subject {
        return Err(Error::NotFound("account"));
    }
    let session = caller.session.ok_or(Error::SessionEnded)?.0;
    let password = Password::chosen(request.new_password).map_err(Error::new_password)?;
    let person = accounts::person(&api.pool, account.0)
        .await?
        .ok_or(Error::SessionEnded)?;
    let email = Email::parse(&person.email).map_err(|_| Error::NotFound("address"))?;
    let hash = api
        .passwords
        .hash(password, person.words(&email))
        .await
        .map_err(Error::new_password)?;

    api.tokens.signer.ahead().await?;
    let address = api.pseudonyms.address(&email);
    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    let new = NewPassword {
        account: account.0,
        address_hmac: address.as_bytes(),
        hash: &hash,
        session: Some(session),
        now: state.now,
    };
    replace(&mut transaction, &new)
        .await?
        .ok_or(Error::SessionEnded)?;
    let row = sessions::refreshable(&mut *transaction, session)
        .await?
        .filter(|row| row.live && row.account == account.0)
        .ok_or(Error::SessionEnded)?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    let grant = Grant::again(session, row);
    Ok(ChangePasswordResponse {
        tokens: Some(api.tokens.issue(&grant).await?),
    })
}
