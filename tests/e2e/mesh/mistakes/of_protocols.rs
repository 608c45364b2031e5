//! What the mesh takes a port, a route or a version for.

use serde_json::json;

use super::{Mistake, at};

pub(super) const ALL: &[Mistake] = &[
    Mistake {
        what: "an appProtocol that the mesh does not know",
        plant: |documents| {
            *at(documents, "Service/auth", "/spec/ports/0/appProtocol") = json!("grpc");
        },
        found: &[
            "Service/auth: the appProtocol `grpc` of port 50051 is neither kubernetes.io/h2c nor linkerd.io/opaque",
        ],
    },
    Mistake {
        what: "a headless Service",
        plant: |documents| at(documents, "Service/user", "/spec")["clusterIP"] = json!("None"),
        found: &["Service/user: it is headless, so the mesh does not balance requests"],
    },
    Mistake {
        what: "Kafka as HTTP",
        plant: |documents| {
            *at(documents, "Service/kafka", "/spec/ports/0/appProtocol") =
                json!("kubernetes.io/h2c");
        },
        found: &[
            "Service/kafka: Kafka's port 9092 has the appProtocol `kubernetes.io/h2c` and not linkerd.io/opaque",
        ],
    },
    Mistake {
        what: "Kafka as TLS",
        plant: |documents| *at(documents, "Server/kafka", "/spec/proxyProtocol") = json!("TLS"),
        found: &["Server/kafka: Kafka's port 9092 has the proxyProtocol `TLS` and not opaque"],
    },
    Mistake {
        what: "brokers whose port is not opaque",
        plant: |documents| {
            let annotations = "/spec/kafka/template/pod/metadata/annotations";
            at(documents, "Kafka/grimoire", annotations)["config.linkerd.io/opaque-ports"] =
                json!("9093");
        },
        found: &["Kafka/grimoire: config.linkerd.io/opaque-ports of its pods lacks 9092"],
    },
    Mistake {
        what: "a proxyProtocol that the mesh does not know",
        plant: |documents| *at(documents, "Server/auth", "/spec/proxyProtocol") = json!("http2"),
        found: &[
            "Server/auth: proxyProtocol `http2` is none of unknown, HTTP/1, HTTP/2, gRPC, opaque, TLS",
        ],
    },
    Mistake {
        what: "a regular expression in a GRPCRoute",
        plant: |documents| {
            let method = "/spec/rules/0/matches/0/method";
            at(documents, "GRPCRoute/auth-other", method)["type"] = json!("RegularExpression");
        },
        found: &[
            "GRPCRoute/auth-other: a regular expression, which Linkerd does not take in a GRPCRoute",
        ],
    },
    Mistake {
        what: "half a second",
        plant: |documents| {
            let annotations = "/metadata/annotations";
            at(documents, "GRPCRoute/user-other", annotations)["timeout.linkerd.io/request"] =
                json!("1.5s");
        },
        found: &[
            "GRPCRoute/user-other: Linkerd does not take the annotation timeout.linkerd.io/request: 1.5s",
        ],
    },
    Mistake {
        what: "a condition of HTTP",
        plant: |documents| {
            let annotations = "/metadata/annotations";
            at(documents, "GRPCRoute/user-idempotent", annotations)["retry.linkerd.io/grpc"] =
                json!("5xx");
        },
        found: &[
            "GRPCRoute/user-idempotent: Linkerd does not take the annotation retry.linkerd.io/grpc: 5xx",
        ],
    },
    Mistake {
        what: "a version that is on its way out",
        plant: |documents| {
            *at(documents, "Server/auth", "/apiVersion") = json!("policy.linkerd.io/v1beta1");
        },
        found: &[
            "Server/auth: the version is policy.linkerd.io/v1beta1 and not policy.linkerd.io/v1beta3",
        ],
    },
    Mistake {
        what: "an HTTPRoute of Linkerd's own",
        plant: |documents| {
            *at(documents, "HTTPRoute/probes", "/apiVersion") = json!("policy.linkerd.io/v1beta3");
        },
        found: &[
            "HTTPRoute/probes: the version is policy.linkerd.io/v1beta3 and not gateway.networking.k8s.io/v1",
        ],
    },
    Mistake {
        what: "a ServerAuthorization",
        plant: |documents| {
            documents.push(json!({
                "apiVersion": "policy.linkerd.io/v1beta1",
                "kind": "ServerAuthorization",
                "metadata": {"name": "old"},
            }));
        },
        found: &["ServerAuthorization/old: AuthorizationPolicy has taken its place"],
    },
    Mistake {
        what: "a kind that nobody here knows",
        plant: |documents| {
            documents.push(json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "new"},
            }));
        },
        found: &["DaemonSet/new: apps/v1 is not a kind that is known here"],
    },
];
