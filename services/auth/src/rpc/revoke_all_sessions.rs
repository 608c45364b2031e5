//! SessionService.RevokeAllSessions: signed out everywhere, or everywhere else.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{RevokeAllSessionsRequest, RevokeAllSessionsResponse};
use grimoire_proto::events::v1::SessionRevoked;

use super::SessionApi;
use crate::error::Error;
use crate::store::revocations::Target;
use crate::store::{accounts, revocations, sessions};
use crate::tokens::LONGEST_ACCESS_TOKEN;
use crate::topics;

/// Outdates every access token of the account, also that of the session that goes on: it has to refresh. So one entry in the feed
/// does for any number of sessions.
pub(super) async fn revoke_all_sessions(
    api: &SessionApi,
    caller: &Caller,
    request: &RevokeAllSessionsRequest,
) -> Result<RevokeAllSessionsResponse, Error> {
    let account = caller.own(&request.account)?.0;
    let own = caller.session.map(|session| session.0);
    let kept =
        own.filter(|_| request.keep_current && caller.subject.map(|id| id.0) == Some(account));

    let mut transaction = api.pool.begin().await?;
    if sessions::end_all(&mut *transaction, account, kept).await? == 0 {
        return Ok(RevokeAllSessionsResponse {});
    }
    let account = accounts::outdate_tokens(&mut *transaction, account).await?;
    let event = SessionRevoked {
        account_id: account.id.to_string(),
        session_id: String::new(),
        kept_session_id: kept.map(|id| id.to_string()).unwrap_or_default(),
        by_session_id: own.map(|id| id.to_string()).unwrap_or_default(),
    };
    outbox::append(
        &mut transaction,
        &topics::ACCOUNT,
        &account.id.to_string(),
        account.event_version,
        &event,
    )
    .await?;
    revocations::insert(
        &mut *transaction,
        &Target::Account {
            id: account.id,
            min_version: account.security_version,
        },
        LONGEST_ACCESS_TOKEN.as_secs_f64(),
    )
    .await?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(RevokeAllSessionsResponse {})
}
