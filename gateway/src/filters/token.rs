//! Finds and judges the access token of a request.

use std::sync::Arc;

use grimoire_proto::Reason;
use http::{HeaderMap, HeaderValue, header};

use crate::plan::Route;
use crate::problem::{Problem, RETRY};
use crate::trust::token::{Identity, Refusal, Tokens};

/// Who calls. On a public route a token is optional and a bad one ignored: signing out works with an expired one.
pub(crate) async fn check(
    tokens: &Tokens,
    headers: &HeaderMap,
    route: &Route,
) -> Result<Option<Arc<Identity>>, Box<Problem>> {
    let token = match bearer(headers) {
        Some(token) => token,
        None if route.needs_token() => return Err(missing()),
        None => return Ok(None),
    };
    match tokens.judge(token).await {
        Ok(identity) => Ok(Some(identity)),
        Err(refusal) if route.needs_token() => Err(refuse(refusal)),
        Err(_) => Ok(None),
    }
}

/// The token of the one Authorization header that there may be. Two are as good as none: nobody knows which one counts.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values
        .next()
        .filter(|_| values.next().is_none())?
        .as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    (scheme.eq_ignore_ascii_case(b"bearer ")).then(|| token.trim_ascii())
}

/// RFC 6750: who sends no token is told only that one is needed.
fn missing() -> Box<Problem> {
    Problem::new(
        Reason::TokenMissing,
        "this method needs `Authorization: Bearer` with an access token",
    )
    .header(
        "www-authenticate",
        HeaderValue::from_static("Bearer realm=\"grimoire\""),
    )
}

fn refuse(refusal: Refusal) -> Box<Problem> {
    let (reason, detail, challenge) = match refusal {
        Refusal::Invalid => (
            Reason::TokenInvalid,
            "the access token is malformed, forged, or meant for somebody else",
            "Bearer realm=\"grimoire\", error=\"invalid_token\", error_description=\"the token is not valid here\"",
        ),
        Refusal::Expired => (
            Reason::TokenExpired,
            "the access token has expired: refresh it",
            "Bearer realm=\"grimoire\", error=\"invalid_token\", error_description=\"the token has expired\"",
        ),
        Refusal::Revoked => (
            Reason::TokenRevoked,
            "the session of the access token has ended: sign in again",
            "Bearer realm=\"grimoire\", error=\"invalid_token\", error_description=\"the session has ended\"",
        ),
        Refusal::Outdated => (
            Reason::TokenOutdated,
            "the account has changed since the access token was made: refresh it",
            "Bearer realm=\"grimoire\", error=\"invalid_token\", error_description=\"the token is outdated\"",
        ),
        Refusal::Unknown => {
            return Problem::new(
                Reason::TrustStale,
                "the keys of access tokens are not known at present",
            )
            .retry_after(RETRY);
        }
    };
    Problem::new(reason, detail).header("www-authenticate", HeaderValue::from_static(challenge))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(values: &[&'static str]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer(&headers).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_token_is_what_follows_bearer_in_any_case() {
        assert_eq!(token(&["Bearer a.b.c"]).as_deref(), Some(&b"a.b.c"[..]));
        assert_eq!(token(&["bearer  a.b.c "]).as_deref(), Some(&b"a.b.c"[..]));
    }

    #[test]
    fn another_scheme_or_two_headers_are_no_token() {
        assert_eq!(token(&[]), None);
        assert_eq!(token(&["Basic YTpi"]), None);
        assert_eq!(token(&["Bearer"]), None);
        assert_eq!(token(&["Bearer a", "Bearer b"]), None);
    }
}
