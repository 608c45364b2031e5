//! Which processes may call, by the identity that the mesh vouches for.

use grimoire_proto::Reason;
use grimoire_proto::access::{Access, Level};
use http::HeaderMap;

use crate::status::Failure;

/// Set by the mesh's sidecar, which removes what a client sends under this name.
const IDENTITY: &str = "l5d-client-id";
/// The process that checks tokens: only it may call methods that act for an account.
const EDGE: &str = "gateway";

/// Which processes may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// Any: on loopback, or where plaintext is allowed.
    Unchecked,
    /// Those with one of these identities.
    Mesh(Vec<String>),
}

impl Peers {
    /// Refuses, with PEER_NOT_ALLOWED, a process that the topology does not let call this method. The mesh's own policy says the
    /// same; a mistake in it alone opens nothing.
    pub(crate) fn check(&self, headers: &HeaderMap, access: &Access) -> Result<(), Failure> {
        let Self::Mesh(identities) = self else {
            return Ok(());
        };
        let identity = headers
            .get(IDENTITY)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let name = identity.split('.').next().unwrap_or_default();
        let allowed = match access.level() {
            Level::Mesh => access.callers.iter().any(|caller| caller == name),
            _ => name == EDGE,
        };
        if allowed && identities.iter().any(|known| known == identity) {
            Ok(())
        } else {
            tracing::warn!(identity, "a peer that may not call this method was refused");
            Err(Failure::new(
                Reason::PeerNotAllowed,
                "this process may not call this method",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = "gateway.grimoire.serviceaccount.identity.linkerd.cluster.local";
    const USER: &str = "user.grimoire.serviceaccount.identity.linkerd.cluster.local";

    fn allowed(identity: Option<&str>, level: Level, callers: &[&str]) -> bool {
        let peers = Peers::Mesh(vec![GATEWAY.to_owned(), USER.to_owned()]);
        let mut headers = HeaderMap::new();
        if let Some(identity) = identity {
            headers.insert(IDENTITY, identity.parse().unwrap());
        }
        let callers = callers.iter().map(ToString::to_string).collect();
        peers
            .check(
                &headers,
                &Access {
                    level: level.into(),
                    callers,
                    ..Access::default()
                },
            )
            .is_ok()
    }

    #[test]
    fn a_mesh_method_is_called_by_its_callers_only() {
        assert!(allowed(Some(USER), Level::Mesh, &["user"]));
        assert!(!allowed(Some(GATEWAY), Level::Mesh, &["user"]));
        assert!(!allowed(None, Level::Mesh, &["user"]));
    }

    #[test]
    fn a_method_that_acts_for_an_account_is_called_by_the_gateway_only() {
        for level in [Level::Public, Level::SignedIn] {
            assert!(allowed(Some(GATEWAY), level, &[]));
            assert!(!allowed(Some(USER), level, &[]));
            assert!(!allowed(None, level, &[]));
        }
    }

    #[test]
    fn the_right_name_in_another_namespace_is_not_the_peer() {
        let elsewhere = "user.elsewhere.serviceaccount.identity.linkerd.cluster.local";
        assert!(!allowed(Some(elsewhere), Level::Mesh, &["user"]));
    }

    #[test]
    fn outside_of_a_mesh_peers_are_not_checked() {
        assert!(
            Peers::Unchecked
                .check(&HeaderMap::new(), &Access::default())
                .is_ok()
        );
    }
}
