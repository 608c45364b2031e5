//! SessionService.RevokeSession: one session ends, everywhere at once.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{RevokeSessionRequest, RevokeSessionResponse};
use grimoire_proto::events::v1::SessionRevoked;
use uuid::Uuid;

use super::SessionApi;
use crate::error::Error;
use crate::store::revocations::Target;
use crate::store::{accounts, revocations, sessions};
use crate::tokens::LONGEST_ACCESS_TOKEN;
use crate::topics;

/// Succeeds again and again; only the first time something happens.
pub(super) async fn revoke_session(
    api: &SessionApi,
    caller: &Caller,
    request: &RevokeSessionRequest,
) -> Result<RevokeSessionResponse, Error> {
    let account = caller.own(&request.account)?.0;
    let session = Uuid::try_parse(&request.session).map_err(|_| Error::NotFound("session"))?;

    let mut transaction = api.pool.begin().await?;
    if sessions::owner(&mut *transaction, session).await? != Some(account) {
        return Err(Error::NotFound("session"));
    }
    if sessions::end(&mut *transaction, session).await?.is_none() {
        return Ok(RevokeSessionResponse {});
    }
    let version = accounts::next_event_version(&mut *transaction, account).await?;
    let event = SessionRevoked {
        account_id: account.to_string(),
        session_id: session.to_string(),
        by_session_id: caller.session.map(|id| id.to_string()).unwrap_or_default(),
        ..Default::default()
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
    Ok(RevokeSessionResponse {})
}
