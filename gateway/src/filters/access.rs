//! Whether a caller may call: roles, scopes and the freshness of trust that the contract asks for.

use grimoire_proto::Reason;
use http::HeaderValue;

use crate::plan::{Requirement, Route};
use crate::problem::{Problem, RETRY};
use crate::trust::Trust;
use crate::trust::token::Identity;

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
        Some(caller) => grant(&route.access, &caller.roles, &caller.scopes),
        None => grant(&route.access, &[], &[]),
    }
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
    fn one_of_the_roles_and_all_of_the_scopes_are_needed() {
        let needs = Requirement {
            signed_in: true,
            roles: words(&["admin", "auditor"]),
            scopes: words(&["read", "audit"]),
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
