//! The tokens of a session: a JWT access token (RFC 9068) and a refresh token.

use std::time::Duration;

use chassis::wire::timestamp;
use grimoire_proto::auth::v1::Tokens;
use prost_types::Timestamp;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::keys::KeyRing;
use crate::refresh;
use crate::signing_keys::{Signer, SigningKeyError};
use crate::store::sessions::Refreshable;

/// No access token lives longer, whatever the configuration: revocations are kept for this long.
pub(crate) const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(600 + JITTER_SECONDS);

// Up to this much is added to each lifetime, so that clients that signed in together do not refresh together.
const JITTER_SECONDS: u64 = 60;

/// `client_id` of tokens that people sign in for.
const CLIENT: &str = "grimoire";

/// How long tokens live, and for whom they are.
#[derive(Debug, Clone)]
pub(crate) struct TokenPolicy {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    /// 1 to 10 minutes.
    pub(crate) access: Duration,
    /// How long a refresh token may lie unused.
    pub(crate) idle: Duration,
    /// How long a session may last.
    pub(crate) absolute: Duration,
}

/// What tokens are issued for: read in a transaction that has been committed.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) account: Uuid,
    pub(crate) session: Uuid,
    pub(crate) roles: Vec<String>,
    pub(crate) security_version: i64,
    pub(crate) auth_time: OffsetDateTime,
    pub(crate) amr: Vec<String>,
    /// The database's time in that transaction: a process that is paused before it signs makes a token that is as old as the pause.
    pub(crate) issued_at: OffsetDateTime,
    pub(crate) refresh: RefreshGrant,
}

impl Grant {
    /// For a session that exists, as it was read: the refresh token is the current one.
    pub(crate) fn again(session: Uuid, row: Refreshable) -> Self {
        Self {
            account: row.account,
            session,
            roles: row.roles,
            security_version: row.security_version,
            auth_time: row.auth_time,
            amr: row.amr,
            issued_at: row.now,
            refresh: RefreshGrant {
                kid: row.refresh_kid,
                counter: row.counter,
                secret: row.secret,
                expires_at: row.refresh_expires_at,
            },
        }
    }
}

/// What the refresh token is made of.
#[derive(Debug)]
pub(crate) struct RefreshGrant {
    pub(crate) kid: String,
    pub(crate) counter: i64,
    pub(crate) secret: Vec<u8>,
    pub(crate) expires_at: OffsetDateTime,
}

/// Issues the tokens of sessions.
pub(crate) struct TokenIssuer {
    pub(crate) policy: TokenPolicy,
    pub(crate) refresh_keys: KeyRing,
    pub(crate) signer: Signer,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: Uuid,
    aud: &'a str,
    exp: i64,
    iat: i64,
    jti: Uuid,
    client_id: &'a str,
    // A session has the whole of what its account may do; scopes narrow other kinds of tokens.
    scope: &'a str,
    sid: Uuid,
    auth_time: i64,
    amr: &'a [String],
    roles: &'a [String],
    ver: i64,
}

impl TokenIssuer {
    /// After the commit of what the grant was read from.
    pub(crate) async fn issue(&self, grant: &Grant) -> Result<Tokens, SigningKeyError> {
        let jitter = rand::random_range(0..=JITTER_SECONDS);
        let issued_at = grant.issued_at.unix_timestamp();
        // No token outlives its session.
        let expires_at = (issued_at + seconds(self.policy.access + Duration::from_secs(jitter)))
            .min(grant.refresh.expires_at.unix_timestamp());
        let access_token = self
            .signer
            .sign(&Claims {
                iss: &self.policy.issuer,
                sub: grant.account,
                aud: &self.policy.audience,
                exp: expires_at,
                iat: issued_at,
                jti: Uuid::now_v7(),
                client_id: CLIENT,
                scope: "",
                sid: grant.session,
                auth_time: grant.auth_time.unix_timestamp(),
                amr: &grant.amr,
                roles: &grant.roles,
                ver: grant.security_version,
            })
            .await?;
        let RefreshGrant {
            kid,
            counter,
            secret,
            expires_at: refresh_expires_at,
        } = &grant.refresh;
        Ok(Tokens {
            access_token,
            token_type: "Bearer".to_owned(),
            expire_time: Some(Timestamp {
                seconds: expires_at,
                nanos: 0,
            }),
            refresh_token: refresh::make(&self.refresh_keys, kid, grant.session, *counter, secret),
            refresh_expire_time: Some(timestamp(*refresh_expires_at)),
        })
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
