//! Servers, AuthorizationPolicies and what they require.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::mesh::documents::{Documents, items, number, selects, text, title};

const LINKERD: &str = "policy.linkerd.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const PROTOCOLS: [&str; 6] = ["unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"];
const ACCESS: [&str; 6] = [
    "deny",
    "audit",
    "all-authenticated",
    "all-unauthenticated",
    "cluster-authenticated",
    "cluster-unauthenticated",
];

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    for server in documents.of_kind("Server") {
        values(server, complaints);
        coverage(documents, server, complaints);
    }
    one_server_for_each_port(documents, complaints);
    for policy in documents.of_kind("AuthorizationPolicy") {
        target(policy, complaints);
        requirements(policy, complaints);
    }
    for authentication in documents.of_kind("MeshTLSAuthentication") {
        identities(authentication, complaints);
    }
    for limit in documents.of_kind("HTTPLocalRateLimitPolicy") {
        rates(documents, limit, complaints);
    }
}

fn values(server: &Value, complaints: &mut Vec<String>) {
    for (field, legal) in [("proxyProtocol", PROTOCOLS), ("accessPolicy", ACCESS)] {
        let value = text(server, &format!("/spec/{field}"));
        if !legal.contains(&value) {
            complaints.push(format!(
                "{}: {field} `{value}` is none of {}",
                title(server),
                legal.join(", ")
            ));
        }
    }
}

/// A Server to which nobody is let in, or a route of it, is a policy that was forgotten.
fn coverage(documents: Documents<'_>, server: &Value, complaints: &mut Vec<String>) {
    let name = text(server, "/metadata/name");
    if has_policy(documents, "Server", name) {
        return;
    }
    let mut routes = 0;
    for kind in ["GRPCRoute", "HTTPRoute"] {
        for route in documents.of_kind(kind) {
            let of_server = items(route, "/spec/parentRefs")
                .iter()
                .any(|parent| text(parent, "/kind") == "Server" && text(parent, "/name") == name);
            if !of_server {
                continue;
            }
            routes += 1;
            if !has_policy(documents, kind, text(route, "/metadata/name")) {
                complaints.push(format!(
                    "{}: no AuthorizationPolicy lets anybody use it",
                    title(route)
                ));
            }
        }
    }
    if routes == 0 {
        complaints.push(format!(
            "{}: no AuthorizationPolicy lets anybody in",
            title(server)
        ));
    }
}

fn has_policy(documents: Documents<'_>, kind: &str, name: &str) -> bool {
    documents.of_kind("AuthorizationPolicy").any(|policy| {
        let target = &policy["spec"]["targetRef"];
        text(target, "/kind") == kind && text(target, "/name") == name
    })
}

/// Of two Servers for a port the mesh takes the older one, without a word.
fn one_server_for_each_port(documents: Documents<'_>, complaints: &mut Vec<String>) {
    for pods in documents.pods() {
        let mut taken: BTreeMap<u64, String> = BTreeMap::new();
        for server in documents.of_kind("Server") {
            let spec = &server["spec"];
            let port = pods.port(&spec["port"]);
            let Some(port) = port.filter(|_| selects(&spec["podSelector"], &pods.labels)) else {
                continue;
            };
            if let Some(other) = taken.insert(port, title(server)) {
                complaints.push(format!(
                    "{}: port {port} of {} is {other}'s already",
                    title(server),
                    pods.title
                ));
            }
        }
    }
}

fn target(policy: &Value, complaints: &mut Vec<String>) {
    let target = &policy["spec"]["targetRef"];
    let (group, kind) = (text(target, "/group"), text(target, "/kind"));
    let legal = matches!(
        (group, kind),
        (LINKERD, "Server") | (GATEWAY_API, "GRPCRoute" | "HTTPRoute") | ("" | "core", "Namespace")
    );
    if !legal {
        complaints.push(format!(
            "{}: {kind} of `{group}` cannot be the target of a policy",
            title(policy)
        ));
    }
}

fn requirements(policy: &Value, complaints: &mut Vec<String>) {
    let title = title(policy);
    let required = items(policy, "/spec/requiredAuthenticationRefs");
    let (mut identities, mut networks) = (0, 0);
    for reference in required {
        match (text(reference, "/group"), text(reference, "/kind")) {
            (LINKERD, "MeshTLSAuthentication") | ("" | "core", "ServiceAccount") => identities += 1,
            (LINKERD, "NetworkAuthentication") => networks += 1,
            (group, kind) => complaints.push(format!(
                "{title}: {kind} of `{group}` proves nothing to a policy"
            )),
        }
    }
    if identities > 1 {
        complaints.push(format!(
            "{title}: more than one MeshTLSAuthentication or ServiceAccount"
        ));
    }
    if networks > 1 {
        complaints.push(format!("{title}: more than one NetworkAuthentication"));
    }
    if required.is_empty() {
        complaints.push(format!(
            "{title}: it requires nothing, so it lets everybody in"
        ));
    }
}

fn identities(authentication: &Value, complaints: &mut Vec<String>) {
    let references = items(authentication, "/spec/identityRefs");
    if references.is_empty() && items(authentication, "/spec/identities").is_empty() {
        complaints.push(format!("{}: it names nobody", title(authentication)));
    }
    for reference in references {
        let kind = text(reference, "/kind");
        if !["ServiceAccount", "Namespace"].contains(&kind) {
            complaints.push(format!(
                "{}: a {kind} has no identity",
                title(authentication)
            ));
        }
    }
}

fn rates(documents: Documents<'_>, limit: &Value, complaints: &mut Vec<String>) {
    let title = title(limit);
    let target = &limit["spec"]["targetRef"];
    let server = documents.find("Server", text(target, "/name"));
    match server.filter(|_| text(target, "/kind") == "Server") {
        None => complaints.push(format!("{title}: its target is no Server")),
        Some(server) if text(server, "/spec/proxyProtocol") == "gRPC" => complaints.push(format!(
            "{title}: a limit has no effect on {}, whose proxyProtocol is gRPC",
            self::title(server)
        )),
        Some(_) => {}
    }
    let total = limit["spec"]["total"]["requestsPerSecond"].as_u64();
    let parts = items(limit, "/spec/overrides")
        .iter()
        .map(|part| ("an override", part))
        .chain([("identity", &limit["spec"]["identity"])])
        .filter(|(_, part)| !part.is_null());
    for (what, part) in parts {
        let rate = number(part, "/requestsPerSecond");
        if rate == 0 || total.is_some_and(|total| rate > total) {
            complaints.push(format!(
                "{title}: {rate} requests per second of {what} are 0, or more than the total"
            ));
        }
    }
    if total == Some(0) {
        complaints.push(format!("{title}: the total is 0"));
    }
}
