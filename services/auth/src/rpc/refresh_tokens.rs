//! SessionService.RefreshTokens: a refresh token becomes new tokens, or convicts a thief.

use grimoire_proto::auth::v1::{RefreshTokensRequest, RefreshTokensResponse};
use grimoire_proto::events::v1::RefreshReuseDetected;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::SessionApi;
use crate::error::Error;
use crate::refresh::{Decision, Presented, Rotation};
use crate::store::notifications::{Kind, Subject};
use crate::store::revocations::Target;
use crate::store::sessions::Refreshable;
use crate::store::{accounts, notifications, revocations, sessions};
use crate::tokens::{Grant, LONGEST_ACCESS_TOKEN};
use crate::topics;

/// A mail about a stolen token is of no use later.
const MAIL_WITHIN: Duration = Duration::days(7);
/// Another refresh of the same session can come first; after that one there is nothing to write for 30 s.
const ATTEMPTS: usize = 4;

/// The session is read, decided on, and changed only if it still is what was decided on: two statements in place of a transaction.
pub(super) async fn refresh_tokens(
    api: &SessionApi,
    request: &RefreshTokensRequest,
) -> Result<RefreshTokensResponse, Error> {
    for _ in 0..ATTEMPTS {
        match attempt(api, &request.refresh_token).await? {
            Outcome::Granted(grant, outcome) => {
                api.refreshes.with_label_values(&[outcome]).inc();
                return Ok(RefreshTokensResponse {
                    tokens: Some(api.tokens.issue(&grant).await?),
                });
            }
            Outcome::Refused(outcome) => {
                api.refreshes.with_label_values(&[outcome]).inc();
                return Err(Error::InvalidRefreshToken);
            }
            Outcome::Overtaken => {}
        }
    }
    // Nothing is wrong with the token.
    api.refreshes.with_label_values(&["overtaken"]).inc();
    Err(Error::Overtaken)
}

enum Outcome {
    Granted(Box<Grant>, &'static str),
    Refused(&'static str),
    Overtaken,
}

async fn attempt(api: &SessionApi, token: &str) -> Result<Outcome, Error> {
    let keys = &api.tokens.refresh_keys;
    let Some(presented) = Presented::parse(token) else {
        return Ok(Outcome::Refused("refused"));
    };
    let Some(session) = sessions::refreshable(&api.pool, presented.session).await? else {
        return Ok(Outcome::Refused("refused"));
    };
    if !presented.verify(keys, &session.secret) || !session.live || session.held {
        return Ok(Outcome::Refused("refused"));
    }

    let seen = Rotation {
        counter: session.counter,
        prev: session.prev,
        rotated_at: session.rotated_at,
    };
    match seen.decide(presented.counter, session.now) {
        Decision::Repeat => {
            let grant = Grant::again(presented.session, session);
            Ok(Outcome::Granted(Box::new(grant), "repeated"))
        }
        Decision::Rotate { counter, prev } => {
            let kid = keys.current().0;
            let idle = api.tokens.policy.idle.as_secs_f64();
            let rotated = sessions::rotate(
                &api.pool,
                presented.session,
                &seen,
                counter,
                prev,
                kid,
                idle,
            )
            .await?;
            let Some(rotated) = rotated else {
                return Ok(Outcome::Overtaken);
            };
            let rotated = Refreshable {
                refresh_kid: kid.to_owned(),
                counter,
                refresh_expires_at: rotated.refresh_expires_at,
                now: rotated.now,
                ..session
            };
            let grant = Grant::again(presented.session, rotated);
            Ok(Outcome::Granted(Box::new(grant), "rotated"))
        }
        Decision::Reuse => convict(api, presented.session, &seen, session.now).await,
    }
}

/// Ends the session of which two parties hold tokens, and tells the owner.
async fn convict(
    api: &SessionApi,
    session: Uuid,
    seen: &Rotation,
    now: OffsetDateTime,
) -> Result<Outcome, Error> {
    let mut transaction = api.pool.begin().await?;
    let Some(account) = sessions::end_if_unchanged(&mut *transaction, session, seen).await? else {
        return Ok(Outcome::Overtaken);
    };
    let version = accounts::next_event_version(&mut *transaction, account).await?;
    let event = RefreshReuseDetected {
        account_id: account.to_string(),
        session_id: session.to_string(),
    };
    let event = outbox::append(
        &mut transaction,
        &topics::ACCOUNT,
        &account.to_string(),
        version,
        &event,
    )
    .await?;
    let subject = Subject {
        account: Some(account),
        session: Some(session),
        ..Subject::default()
    };
    notifications::insert(
        &mut *transaction,
        event,
        Kind::RefreshReuse,
        subject,
        now + MAIL_WITHIN,
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
    tracing::warn!(%session, "a refresh token was used after it had been replaced; its session has ended");
    Ok(Outcome::Refused("reuse"))
}
