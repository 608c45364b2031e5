//! Whether a caller may call: roles, scopes and the freshness of trust that the contract asks for.

use std::time::{SystemTime, UNIX_EPOCH};

use grimoire_proto::Reason;
use http::HeaderValue;

use crate::plan::{Requirement, Route};
use crate::problem::{Problem, RETRY};
use crate::trust::Trust;
use crate::trust::token::{Identity, LEEWAY};

pub(crate) fn check(
    route: &Route,
    caller: Option<&Identity>,
    trust: &Trust,
) -> Result<(), Box<Problem>> {
    if route.fresh_trust && trust.is_stale() {
        let detail = "revocations may be missing at present, and this method does not go without";
        return Err(Problem::new(Reason::TrustStale, detail).retry_after(RETRY));
    }
    match caller {
        Some(caller) => {
            grant(&route.access, &caller.roles, &caller.scopes)?;
            recent(route.access.recent_login, caller.auth_time, now())
        }
        None => grant(&route.access, &[], &[]),
    }
}

/// RFC 9470: the client is told to have the user prove again who they are.
fn recent(most: u64, auth_time: u64, now: u64) -> Result<(), Box<Problem>> {
    if most == 0 || auth_time.saturating_add(most).saturating_add(LEEWAY) >= now {
        return Ok(());
    }
    let problem = Problem::new(
        Reason::RecentLoginRequired,
        format!("who you are was proven more than {most} s ago: POST /v1/sessions:reauthenticate, then use the new token"),
    )
    .metadata("max_age", most.to_string())
    .metadata("methods", "pwd");
    let challenge = format!(
        "Bearer realm=\"grimoire\", error=\"insufficient_user_authentication\", max_age=\"{most}\""
    );
    Err(match HeaderValue::try_from(challenge) {
        Ok(challenge) => problem.header("www-authenticate", challenge),
        Err(_) => problem,
    })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn grant(needs: &Requirement, roles: &[String], scopes: &[String]) -> Result<(), Box<Problem>> {
    if !needs.roles.is_empty() && !needs.roles.iter().any(|role| roles.contains(role)) {
        return Err(Problem::new(
            Reason::RoleRequired,
            format!("needs the role {}", needs.roles.join(" or ")),
        ));
    }
    if let Some(scope) = needs.scopes.iter().find(|scope| !scopes.contains(scope)) {
        let problem = Problem::new(
            Reason::ScopeRequired,
            format!("needs a token with the scope {scope}"),
        );
        let challenge = format!(
            "Bearer realm=\"grimoire\", error=\"insufficient_scope\", scope=\"{}\"",
            needs.scopes.join(" ")
        );
        return Err(match HeaderValue::try_from(challenge) {
            Ok(challenge) => problem.header("www-authenticate", challenge),
            Err(_) => problem,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn refused(needs: &Requirement, roles: &[&str], scopes: &[&str]) -> Option<String> {
        grant(needs, &words(roles), &words(scopes))
            .err()
            .map(|problem| problem.reason.into_owned())
    }

    #[test]
    fn a_proof_is_recent_until_its_age_is_up_and_clocks_may_differ_by_5_seconds() {
        assert!(recent(600, 1000, 1605).is_ok());
        let problem = recent(600, 1000, 1606).unwrap_err();
        assert_eq!(problem.reason, "RECENT_LOGIN_REQUIRED");
        assert!(recent(0, 0, u64::MAX).is_ok());
        assert!(recent(600, u64::MAX, 1).is_ok());
    }

    #[test]
    fn one_of_the_roles_and_all_of_the_scopes_are_needed() {
        let needs = Requirement {
            signed_in: true,
            roles: words(&["admin", "auditor"]),
            scopes: words(&["read", "audit"]),
            recent_login: 0,
        };
        assert_eq!(refused(&needs, &["auditor"], &["audit", "read"]), None);
        assert_eq!(
            refused(&needs, &["member"], &["audit", "read"]).as_deref(),
            Some("ROLE_REQUIRED")
        );
        assert_eq!(
            refused(&needs, &["admin"], &["read"]).as_deref(),
            Some("SCOPE_REQUIRED")
        );
        assert_eq!(refused(&Requirement::default(), &[], &[]), None);
    }
}
