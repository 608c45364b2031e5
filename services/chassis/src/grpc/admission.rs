//! Whether a call is let in: what the method's access option asks, against who calls.

use grimoire_proto::Reason;
use grimoire_proto::access::{Access, Level};
use http::HeaderMap;
use time::{Duration, OffsetDateTime};

use super::peers::Peers;
use crate::caller::Caller;
use crate::status::Failure;

/// How far clocks may differ.
const LEEWAY: Duration = Duration::seconds(5);

/// Lets a call in, or says why not: the peer, then the caller, its roles and its scopes, as the method's access option asks.
pub(super) fn admit(
    peers: &Peers,
    access: &Access,
    headers: &HeaderMap,
) -> Result<Caller, Failure> {
    peers.check(headers, access)?;
    let caller = Caller::from_headers(headers)?;
    match access.level() {
        Level::Public | Level::Mesh => {}
        Level::SignedIn if caller.subject.is_some() => {}
        Level::SignedIn => return Err(Failure::new(Reason::TokenMissing, "sign in first")),
        // The build refuses a method without a level; nothing is public by omission.
        Level::Unspecified => {
            return Err(Failure::new(
                Reason::PeerNotAllowed,
                "nobody may call this method",
            ));
        }
    }
    if !access.roles.is_empty() && !access.roles.iter().any(|role| caller.has_role(role)) {
        let roles = access.roles.join(", ");
        return Err(
            Failure::new(Reason::RoleRequired, format!("needs a role: {roles}"))
                .metadata("roles", roles),
        );
    }
    if let Some(scope) = access
        .scopes
        .iter()
        .find(|scope| !caller.scopes.contains(scope))
    {
        return Err(
            Failure::new(Reason::ScopeRequired, format!("needs the scope {scope}"))
                .metadata("scope", scope.as_str()),
        );
    }
    let recent = Duration::seconds(access.recent_login.into());
    let proven = caller.auth_time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    if !recent.is_zero() && OffsetDateTime::now_utc() - proven > recent + LEEWAY {
        return Err(Failure::new(
            Reason::RecentLoginRequired,
            "prove again who you are: reauthenticate",
        )
        .metadata("max_age", recent.whole_seconds().to_string())
        .metadata("methods", "pwd"));
    }
    Ok(caller)
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::*;

    const ALICE: &str = "018f0000-0000-7000-8000-00000000000a";

    fn access(level: Level, roles: &[&str], scopes: &[&str]) -> Access {
        Access {
            level: level.into(),
            roles: roles.iter().map(ToString::to_string).collect(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            ..Access::default()
        }
    }

    fn refused(access: &Access, headers: &[(&'static str, &str)]) -> Option<(Code, String)> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let failure = admit(&Peers::Unchecked, access, &headers).err()?;
        let status = Status::from(failure);
        Some((
            status.code(),
            status.get_details_error_info().unwrap().reason,
        ))
    }

    #[test]
    fn a_public_method_takes_anybody() {
        assert_eq!(refused(&access(Level::Public, &[], &[]), &[]), None);
    }

    #[test]
    fn a_signed_in_method_needs_a_subject() {
        let access = access(Level::SignedIn, &[], &[]);
        assert_eq!(
            refused(&access, &[]),
            Some((Code::Unauthenticated, "TOKEN_MISSING".to_owned()))
        );
        assert_eq!(refused(&access, &[("grimoire-subject", ALICE)]), None);
    }

    #[test]
    fn one_of_the_roles_and_each_of_the_scopes_is_needed() {
        let access = access(Level::SignedIn, &["admin", "auditor"], &["read", "write"]);
        let subject = ("grimoire-subject", ALICE);
        assert_eq!(
            refused(&access, &[subject]),
            Some((Code::PermissionDenied, "ROLE_REQUIRED".to_owned()))
        );
        let role = ("grimoire-roles", "auditor");
        assert_eq!(
            refused(&access, &[subject, role, ("grimoire-scopes", "read")]),
            Some((Code::PermissionDenied, "SCOPE_REQUIRED".to_owned()))
        );
        assert_eq!(
            refused(&access, &[subject, role, ("grimoire-scopes", "read write")]),
            None
        );
    }

    #[test]
    fn a_method_without_a_level_is_closed() {
        let refused = refused(
            &Access::default(),
            &[("grimoire-subject", ALICE), ("grimoire-roles", "admin")],
        );
        assert_eq!(refused.unwrap().0, Code::PermissionDenied);
    }
}
