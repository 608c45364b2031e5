//! SessionService.Reauthenticate: the password again, so that the session may do what needs a recent proof.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{ReauthenticateRequest, ReauthenticateResponse};

use super::SessionApi;
use crate::client::Client;
use crate::email::Email;
use crate::error::Error;
use crate::password::Password;
use crate::password_proof::prove;
use crate::store::{accounts, sessions};
use crate::tokens::Grant;

pub(super) async fn reauthenticate(
    api: &SessionApi,
    client: &Client,
    caller: &Caller,
    request: ReauthenticateRequest,
) -> Result<ReauthenticateResponse, Error> {
    let account = caller.account()?.0;
    let session = caller.session.ok_or(Error::SessionEnded)?.0;
    let password = Password::presented(request.password)?;
    let person = accounts::person(&api.pool, account)
        .await?
        .ok_or(Error::SessionEnded)?;
    let email = Email::parse(&person.email).map_err(|_| Error::InvalidCredentials)?;

    api.tokens.signer.ahead().await?;
    let proven = prove(api, client, &email, &password).await?;
    // The address may have become somebody else's in between.
    let mut proven = proven
        .filter(|proven| proven.account == account)
        .ok_or(Error::InvalidCredentials)?;
    let amr = ["pwd".to_owned()];
    let renewed = sessions::renew_proof(&mut *proven.transaction, session, account, &amr);
    if !renewed.await? {
        return Err(Error::SessionEnded);
    }
    let row = sessions::refreshable(&mut *proven.transaction, session)
        .await?
        .ok_or(Error::SessionEnded)?;
    proven.transaction.commit().await?;

    api.logins.with_label_values(&["succeeded"]).inc();
    let grant = Grant::again(session, row);
    Ok(ReauthenticateResponse {
        tokens: Some(api.tokens.issue(&grant).await?),
    })
}
