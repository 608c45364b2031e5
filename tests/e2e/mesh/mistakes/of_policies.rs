//! Who is let in, and what policies refer to.

use serde_json::json;

use super::{Mistake, add, at, remove};

pub(super) const ALL: &[Mistake] = &[
    Mistake {
        what: "a route without a policy",
        plant: |documents| remove(documents, "AuthorizationPolicy/metrics"),
        found: &["HTTPRoute/metrics: no AuthorizationPolicy lets anybody use it"],
    },
    Mistake {
        what: "a Server without a policy",
        plant: |documents| remove(documents, "AuthorizationPolicy/gateway-for-clients"),
        found: &["Server/gateway: no AuthorizationPolicy lets anybody in"],
    },
    Mistake {
        what: "an accessPolicy that is none",
        plant: |documents| *at(documents, "Server/user", "/spec/accessPolicy") = json!("denied"),
        found: &[
            "Server/user: accessPolicy `denied` is none of deny, audit, all-authenticated, all-unauthenticated, cluster-authenticated, cluster-unauthenticated",
            "AuthorizationPolicies allow anybody -> user, which is not in tilt/stack.yaml",
        ],
    },
    Mistake {
        what: "a range that is none",
        plant: |documents| {
            *at(
                documents,
                "NetworkAuthentication/anywhere",
                "/spec/networks/0/cidr",
            ) = json!("0.0.0.0/33");
        },
        found: &[
            "NetworkAuthentication/anywhere: `0.0.0.0/33` is not a range of addresses, such as 10.0.0.0/8",
        ],
    },
    Mistake {
        what: "an exception that is not in its range",
        plant: |documents| {
            let block = "/spec/egress/0/to/0/ipBlock";
            at(documents, "NetworkPolicy/event-consumer-mail", block)["except"] = json!(["::/0"]);
        },
        found: &["NetworkPolicy/event-consumer-mail: 0.0.0.0/0 does not contain ::/0"],
    },
    Mistake {
        what: "two MeshTLSAuthentications",
        plant: |documents| {
            add(
                documents,
                "AuthorizationPolicy/kafka",
                "/spec/requiredAuthenticationRefs",
                json!({
                    "group": "policy.linkerd.io",
                    "kind": "MeshTLSAuthentication",
                    "name": "auth-for-event-consumer",
                }),
            );
        },
        found: &[
            "AuthorizationPolicy/kafka: more than one MeshTLSAuthentication or ServiceAccount",
        ],
    },
    Mistake {
        what: "a policy that requires nothing",
        plant: |documents| {
            let required = "/spec/requiredAuthenticationRefs";
            *at(documents, "AuthorizationPolicy/probes", required) = json!([]);
        },
        found: &["AuthorizationPolicy/probes: it requires nothing, so it lets everybody in"],
    },
    Mistake {
        what: "a policy for a Service",
        plant: |documents| {
            *at(documents, "AuthorizationPolicy/metrics", "/spec/targetRef") =
                json!({"group": "", "kind": "Service", "name": "gateway"});
        },
        found: &[
            "HTTPRoute/metrics: no AuthorizationPolicy lets anybody use it",
            "AuthorizationPolicy/metrics: Service of `` cannot be the target of a policy",
        ],
    },
    Mistake {
        what: "two Servers for one port",
        plant: |documents| {
            let mut server = at(documents, "Server/auth", "").clone();
            server["metadata"]["name"] = json!("again");
            documents.push(server);
        },
        found: &[
            "Server/again: no AuthorizationPolicy lets anybody in",
            "Server/again: port 50051 of Deployment/auth is Server/auth's already",
        ],
    },
    Mistake {
        what: "an HTTPRoute beside GRPCRoutes",
        plant: |documents| {
            *at(documents, "HTTPRoute/metrics", "/spec/parentRefs/0/name") = json!("auth");
        },
        found: &[
            "HTTPRoute/metrics: Server auth has GRPCRoutes",
            "AuthorizationPolicies allow prometheus -> auth, which is not in tilt/stack.yaml",
        ],
    },
    Mistake {
        what: "a limit that is none, where no limit has an effect",
        plant: |documents| {
            documents.push(json!({
                "apiVersion": "policy.linkerd.io/v1alpha1",
                "kind": "HTTPLocalRateLimitPolicy",
                "metadata": {"name": "limit"},
                "spec": {
                    "targetRef": {"group": "policy.linkerd.io", "kind": "Server", "name": "auth"},
                    "total": {"requestsPerSecond": 10},
                    "identity": {"requestsPerSecond": 20},
                },
            }));
        },
        found: &[
            "HTTPLocalRateLimitPolicy/limit: a limit has no effect on Server/auth, whose proxyProtocol is gRPC",
            "HTTPLocalRateLimitPolicy/limit: 20 requests per second of identity are 0, or more than the total",
        ],
    },
    Mistake {
        what: "a policy that refers to nothing",
        plant: |documents| {
            let name = "/spec/requiredAuthenticationRefs/0/name";
            *at(documents, "AuthorizationPolicy/probes", name) = json!("nowhere");
        },
        found: &["AuthorizationPolicy/probes: there is no NetworkAuthentication nowhere"],
    },
    Mistake {
        what: "a route of a port that its Service does not have",
        plant: |documents| {
            *at(
                documents,
                "GRPCRoute/auth-streams",
                "/spec/parentRefs/0/port",
            ) = json!(50052);
        },
        found: &["GRPCRoute/auth-streams: there is no Service auth with the port 50052"],
    },
];
