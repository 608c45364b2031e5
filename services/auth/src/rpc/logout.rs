//! SessionService.Logout: the session ends, everywhere at once.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{LogoutRequest, LogoutResponse};
use grimoire_proto::events::v1::LoggedOut;
use uuid::Uuid;

use super::SessionApi;
use crate::error::Error;
use crate::refresh::Presented;
use crate::store::revocations::Target;
use crate::store::{accounts, revocations, sessions};
use crate::tokens::LONGEST_ACCESS_TOKEN;
use crate::topics;

/// Succeeds again and again; only the first time something happens.
pub(super) async fn logout(
    api: &SessionApi,
    caller: &Caller,
    request: &LogoutRequest,
) -> Result<LogoutResponse, Error> {
    let session = match &caller.session {
        Some(session) => session.0,
        None => session_of(api, &request.refresh_token).await?,
    };

    let mut transaction = api.pool.begin().await?;
    let Some(account) = sessions::end(&mut *transaction, session).await? else {
        return Ok(LogoutResponse {});
    };
    let version = accounts::next_event_version(&mut *transaction, account).await?;
    let event = LoggedOut {
        account_id: account.to_string(),
        session_id: session.to_string(),
    };
    outbox::append(
        &mut transaction,
        &topics::ACCOUNT,
        &account.to_string(),
        version,
        &event,
    )
    .await?;
    revocations::insert(
        &mut *transaction,
        &Target::Session(session),
        LONGEST_ACCESS_TOKEN.as_secs_f64(),
    )
    .await?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(LogoutResponse {})
}

/// The session of a refresh token that this service made, however old it is: who holds it may end the session, and no more.
async fn session_of(api: &SessionApi, token: &str) -> Result<Uuid, Error> {
    if token.is_empty() {
        return Err(Error::TokenMissing);
    }
    let presented = Presented::parse(token).ok_or(Error::InvalidRefreshToken)?;
    let session = sessions::refreshable(&api.pool, presented.session)
        .await?
        .ok_or(Error::InvalidRefreshToken)?;
    if !presented.verify(&api.tokens.refresh_keys, &session.secret) {
        return Err(Error::InvalidRefreshToken);
    }
    Ok(presented.session)
}
