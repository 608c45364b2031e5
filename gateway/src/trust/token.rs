//! Verification of access tokens: JWTs after RFC 9068, ES256 and nothing else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use moka::sync::Cache;
use serde::Deserialize;
use telemetry::prometheus::IntCounter;
use uuid::Uuid;

use super::Trust;
use super::revocations::Revoked;
use crate::config::TokenConfig;
use crate::metrics;

/// A longer token is refused unread.
const LONGEST: usize = 4096;
/// How far clocks may differ, in seconds.
pub(crate) const LEEWAY: u64 = 5;
/// Members of a header that would have a verifier look elsewhere, or read the token differently.
const REFUSED_MEMBERS: [&str; 8] = ["crit", "b64", "zip", "enc", "jku", "x5u", "x5c", "jwk"];

/// Who a good token speaks for. The header values are what services are told.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) account: Uuid,
    pub(crate) session: Uuid,
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) subject_header: HeaderValue,
    pub(crate) session_header: HeaderValue,
    pub(crate) roles_header: HeaderValue,
    pub(crate) scopes_header: HeaderValue,
    pub(crate) auth_time_header: HeaderValue,
    /// When the account last proved who it is, in seconds since 1970.
    pub(crate) auth_time: u64,
    version: u64,
    expires: u64,
    kid: Arc<str>,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Invalid,
    Expired,
    Revoked,
    Outdated,
    /// Its key may be one that this gateway has not heard of yet.
    Unknown,
}

/// Judges tokens, and remembers what it verified.
pub(crate) struct Tokens {
    trust: Arc<Trust>,
    validation: Validation,
    cache: Cache<[u8; 32], Arc<Identity>>,
    metrics: TokenMetrics,
}

struct TokenMetrics {
    remembered: IntCounter,
    verified: IntCounter,
    refused: IntCounter,
}

/// Every claim but `aud`, `iss` and `exp`, which the library checks, is required by being here.
#[derive(Deserialize)]
struct Claims {
    sub: Uuid,
    sid: Uuid,
    exp: u64,
    #[serde(rename = "iat")]
    _iat: u64,
    #[serde(rename = "jti")]
    _jti: String,
    #[serde(rename = "client_id")]
    _client_id: String,
    ver: u64,
    auth_time: u64,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    roles: Vec<String>,
}

impl Tokens {
    pub(crate) fn new(config: &TokenConfig, trust: Arc<Trust>) -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = false;
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let metrics = TokenMetrics {
            remembered: metrics::tokens("remembered"),
            verified: metrics::tokens("verified"),
            refused: metrics::tokens("refused"),
        };
        // Longer than any token lives: each is also compared with its own end.
        let cache = Cache::builder()
            .max_capacity(config.token_cache)
            .time_to_live(Duration::from_secs(3600))
            .build();
        Self {
            trust,
            validation,
            cache,
            metrics,
        }
    }

    /// Judges a token. One with an unknown key waits once for the trust stream to be asked.
    pub(crate) async fn judge(&self, token: &[u8]) -> Result<Arc<Identity>, Refusal> {
        let mut judged = self.judge_now(token);
        if matches!(judged, Err(Refusal::Unknown)) {
            self.trust.ask_again().await;
            judged = self.judge_now(token);
        }
        let judged = match judged {
            // Trust is current, so there is no such key.
            Err(Refusal::Unknown) if !self.trust.is_stale() => Err(Refusal::Invalid),
            judged => judged,
        };
        if judged.is_err() {
            self.metrics.refused.inc();
        }
        judged
    }

    fn judge_now(&self, token: &[u8]) -> Result<Arc<Identity>, Refusal> {
        if token.len() > LONGEST {
            return Err(Refusal::Invalid);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
        let identity = match self.cache.get(&hash) {
            Some(identity) => {
                self.metrics.remembered.inc();
                identity
            }
            None => {
                let identity = Arc::new(self.verify(token)?);
                self.metrics.verified.inc();
                self.cache.insert(hash, identity.clone());
                identity
            }
        };
        self.still_holds(&identity)?;
        Ok(identity)
    }

    /// What may have changed since the token was verified.
    fn still_holds(&self, identity: &Identity) -> Result<(), Refusal> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(u64::MAX, |now| now.as_secs());
        if identity.expires.saturating_add(LEEWAY) < now {
            return Err(Refusal::Expired);
        }
        if self.trust.keys().get(&identity.kid).is_none() {
            return Err(Refusal::Unknown);
        }
        let revoked = self.trust.revocations().check(
            identity.session,
            identity.account,
            identity.version,
            &identity.kid,
        );
        match revoked {
            None => Ok(()),
            Some(Revoked::Session) => Err(Refusal::Revoked),
            Some(Revoked::Outdated) => Err(Refusal::Outdated),
            Some(Revoked::Key) => Err(Refusal::Invalid),
        }
    }

    fn verify(&self, token: &[u8]) -> Result<Identity, Refusal> {
        let token = std::str::from_utf8(token).map_err(|_| Refusal::Invalid)?;
        let kid = checked_kid(token).ok_or(Refusal::Invalid)?;
        let keys = self.trust.keys();
        let key = keys.get(&kid).ok_or(Refusal::Unknown)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Refusal::Expired,
                _ => {
                    tracing::debug!(%error, "an access token is not valid here");
                    Refusal::Invalid
                }
            })?;
        Identity::new(claims.claims, key.kid.clone()).ok_or(Refusal::Invalid)
    }
}

/// The kid of a header that asks for nothing but an ES256 check of an access token.
fn checked_kid(token: &str) -> Option<String> {
    let header = token.split('.').next()?;
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&header).ok()?;
    if REFUSED_MEMBERS
        .iter()
        .any(|member| header.contains_key(*member))
        || header.get("alg")?.as_str()? != "ES256"
    {
        return None;
    }
    // RFC 9068 takes both names of the media type, in any case.
    let kind = header.get("typ")?.as_str()?.to_ascii_lowercase();
    if kind.strip_prefix("application/").unwrap_or(&kind) != "at+jwt" {
        return None;
    }
    header.get("kid")?.as_str().map(str::to_owned)
}

impl Identity {
    /// None when a role or a scope could not be told to a service as one.
    fn new(claims: Claims, kid: Arc<str>) -> Option<Self> {
        let scopes: Vec<String> = claims
            .scope
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        if claims
            .roles
            .iter()
            .chain(&scopes)
            .any(|name| name.is_empty() || name.contains([',', ' ']))
        {
            return None;
        }
        Some(Self {
            account: claims.sub,
            session: claims.sid,
            subject_header: HeaderValue::try_from(claims.sub.to_string()).ok()?,
            session_header: HeaderValue::try_from(claims.sid.to_string()).ok()?,
            roles_header: HeaderValue::try_from(claims.roles.join(",")).ok()?,
            scopes_header: HeaderValue::try_from(scopes.join(",")).ok()?,
            auth_time_header: HeaderValue::from(claims.auth_time),
            auth_time: claims.auth_time,
            roles: claims.roles,
            scopes,
            version: claims.ver,
            expires: claims.exp,
            kid,
        })
    }
}

#[cfg(test)]
mod tests;
