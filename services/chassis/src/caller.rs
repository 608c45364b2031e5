//! On whose behalf a call is made. The gateway has checked the token and says so in metadata; [`crate::grpc`] reads that once,
//! and handlers take ids from here, never from a request alone.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use grimoire_proto::Reason;
use http::HeaderMap;
use time::OffsetDateTime;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::status::Failure;

/// The role that may act on every account.
const ADMIN: &str = "admin";
/// How a request names the caller's own account.
const ME: &str = "me";
/// Characters of a user agent that are kept.
const USER_AGENT: usize = 256;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

id!(
    /// Id of an account.
    AccountId
);
id!(
    /// Id of a session of an account.
    SessionId
);

/// Who calls. Without a subject: anybody, or another process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The account that is signed in.
    pub subject: Option<AccountId>,
    /// The session that the access token belongs to.
    pub session: Option<SessionId>,
    /// Roles of the account.
    pub roles: Vec<String>,
    /// Scopes of the token.
    pub scopes: Vec<String>,
    /// When the account last proved who it is.
    pub auth_time: Option<OffsetDateTime>,
    /// The address that the request came from, as the gateway saw it.
    pub client_address: Option<IpAddr>,
    /// The program that the request came from, as it calls itself: at most 256 characters.
    pub user_agent: Option<String>,
}

static NOBODY: LazyLock<Caller> = LazyLock::new(Caller::default);

impl Caller {
    /// Who makes this request.
    pub fn of<T>(request: &Request<T>) -> &Self {
        request.extensions().get().unwrap_or(&NOBODY)
    }

    /// The account that is signed in, or UNAUTHENTICATED TOKEN_MISSING.
    pub fn account(&self) -> Result<AccountId, Status> {
        self.subject
            .ok_or_else(|| Failure::new(Reason::TokenMissing, "sign in first").into())
    }

    /// The account that the owner field of a request names, when the caller may act on it: `me` and the caller's own id, and any
    /// id for an admin. Everything else, malformed or another's, is the same NOT_FOUND RESOURCE_NOT_FOUND, so that nobody learns
    /// which accounts exist. UNAUTHENTICATED TOKEN_MISSING without a signed-in account.
    pub fn own(&self, account: &str) -> Result<AccountId, Status> {
        let own = self.account()?;
        if account == ME {
            return Ok(own);
        }
        match account.parse::<AccountId>() {
            Ok(named) if named == own || self.has_role(ADMIN) => Ok(named),
            _ => Err(Failure::new(Reason::ResourceNotFound, "there is no such account").into()),
        }
    }

    /// Whether the account has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// Who calls, from what the gateway has set. A malformed id is UNAUTHENTICATED TOKEN_INVALID: the gateway sets none, so it
    /// was typed by hand.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Failure> {
        Ok(Self {
            subject: id(headers, "grimoire-subject")?,
            session: id(headers, "grimoire-session")?,
            roles: words(headers, "grimoire-roles"),
            scopes: words(headers, "grimoire-scopes"),
            auth_time: text(headers, "grimoire-auth-time")
                .and_then(|seconds| seconds.parse().ok())
                .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()),
            client_address: text(headers, "grimoire-client-address")
                .and_then(|address| address.parse().ok()),
            user_agent: headers
                .get("grimoire-client-user-agent")
                .map(|value| {
                    String::from_utf8_lossy(value.as_bytes())
                        .chars()
                        .take(USER_AGENT)
                        .collect()
                })
                .filter(|agent: &String| !agent.is_empty()),
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .filter(|text| !text.is_empty())
}

fn id<T: FromStr>(headers: &HeaderMap, name: &str) -> Result<Option<T>, Failure> {
    let malformed = |_| Failure::new(Reason::TokenInvalid, format!("{name} is not an id"));
    text(headers, name)
        .map(|text| text.parse().map_err(malformed))
        .transpose()
}

fn words(headers: &HeaderMap, name: &str) -> Vec<String> {
    let words = text(headers, name).unwrap_or_default().split([',', ' ']);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt as _;

    use super::*;

    const ALICE: &str = "018f0000-0000-7000-8000-00000000000a";
    const BOB: &str = "018f0000-0000-7000-8000-00000000000b";

    fn caller(headers: &[(&'static str, &str)]) -> Result<Caller, Status> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        Caller::from_headers(&headers).map_err(Status::from)
    }

    fn reason(status: &Status) -> String {
        status.get_details_error_info().unwrap().reason
    }

    #[test]
    fn what_the_gateway_says_becomes_the_caller() {
        let caller = caller(&[
            ("grimoire-subject", ALICE),
            ("grimoire-session", BOB),
            ("grimoire-roles", "admin,auditor"),
            ("grimoire-scopes", "profile email"),
            ("grimoire-auth-time", "1700000000"),
            ("grimoire-client-address", "2001:db8::1"),
            ("grimoire-client-user-agent", &"x".repeat(300)),
        ])
        .unwrap();
        assert_eq!(caller.subject.unwrap().to_string(), ALICE);
        assert_eq!(caller.session.unwrap().to_string(), BOB);
        assert_eq!(caller.roles, ["admin", "auditor"]);
        assert_eq!(caller.scopes, ["profile", "email"]);
        assert_eq!(caller.auth_time.unwrap().unix_timestamp(), 1_700_000_000);
        assert_eq!(caller.client_address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(caller.user_agent.unwrap().len(), 256);
    }

    #[test]
    fn a_subject_that_is_no_id_is_refused() {
        let status = caller(&[("grimoire-subject", "alice")]).unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unauthenticated, "TOKEN_INVALID")
        );
    }

    #[test]
    fn the_own_account_has_two_names() {
        let caller = caller(&[("grimoire-subject", ALICE)]).unwrap();
        assert_eq!(caller.own("me").unwrap().to_string(), ALICE);
        assert_eq!(caller.own(ALICE).unwrap().to_string(), ALICE);
    }

    #[test]
    fn another_account_is_not_found_except_by_an_admin() {
        let alice = caller(&[("grimoire-subject", ALICE)]).unwrap();
        for other in [BOB, "", "bob", "ME"] {
            let status = alice.own(other).unwrap_err();
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::NotFound, "RESOURCE_NOT_FOUND"),
                "{other}"
            );
        }
        let admin = caller(&[("grimoire-subject", ALICE), ("grimoire-roles", "admin")]).unwrap();
        assert_eq!(admin.own(BOB).unwrap().to_string(), BOB);
    }

    #[test]
    fn a_request_that_nobody_signed_has_no_account() {
        let request = Request::new(());
        let status = Caller::of(&request).own("me").unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unauthenticated, "TOKEN_MISSING")
        );
    }
}
