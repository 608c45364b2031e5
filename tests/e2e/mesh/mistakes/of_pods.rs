//! Pods, and what they are given.

use serde_json::json;

use super::{Mistake, at, remove};

pub(super) const ALL: &[Mistake] = &[
    Mistake {
        what: "a probe by gRPC",
        plant: |documents| {
            at(
                documents,
                "Deployment/auth",
                "/spec/template/spec/containers/0",
            )["readinessProbe"] = json!({"grpc": {"port": 50051}});
        },
        found: &[
            "Deployment/auth: auth: readinessProbe does not ask by HTTP, so the mesh refuses it",
        ],
    },
    Mistake {
        what: "a probe of a port by its name",
        plant: |documents| {
            let get = "/spec/template/spec/containers/0/livenessProbe/httpGet";
            at(documents, "Deployment/user", get)["port"] = json!("admin");
        },
        found: &[
            "Deployment/user: user: livenessProbe asks port \"admin\" and not 9102, the number of the admin port",
        ],
    },
    Mistake {
        what: "a probe of a path that the mesh does not let through",
        plant: |documents| {
            let get = "/spec/template/spec/containers/0/livenessProbe/httpGet";
            at(documents, "Deployment/user", get)["path"] = json!("/metrics");
        },
        found: &["Deployment/user: user: livenessProbe asks \"/metrics\" and not /livez"],
    },
    Mistake {
        what: "variables of Services",
        plant: |documents| {
            at(documents, "Deployment/user", "/spec/template/spec")["enableServiceLinks"] =
                json!(true);
        },
        found: &["Deployment/user: /enableServiceLinks is true and not false"],
    },
    Mistake {
        what: "a root that can be written to",
        plant: |documents| {
            let context = "/spec/template/spec/initContainers/0/securityContext";
            at(documents, "Deployment/user", context)["readOnlyRootFilesystem"] = json!(false);
        },
        found: &[
            "Deployment/user: migrate: /securityContext/readOnlyRootFilesystem is false and not true",
        ],
    },
    Mistake {
        what: "a pause before the end, which the program makes itself",
        plant: |documents| {
            at(
                documents,
                "Deployment/gateway",
                "/spec/template/spec/containers/0",
            )["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 5}}});
        },
        found: &[
            "Deployment/gateway: gateway: /lifecycle is {\"preStop\":{\"sleep\":{\"seconds\":5}}} and not null",
        ],
    },
    Mistake {
        what: "a file that no volume has",
        plant: |documents| {
            let value = "/spec/template/spec/containers/0/env/3/value";
            *at(documents, "Deployment/auth", value) = json!("/secrets/database/url");
        },
        found: &["Deployment/auth: AUTH_DATABASE_URL_FILE: there is no file /secrets/database/url"],
    },
    Mistake {
        what: "a key that the secret store is not asked for",
        plant: |documents| {
            *at(
                documents,
                "ExternalSecret/auth-keys",
                "/spec/data/0/secretKey",
            ) = json!("key");
        },
        found: &[
            "Deployment/auth: GRIMOIRE_KEY_ENCRYPTION_KEY_FILE: there is no file /secrets/keys/key-encryption-key",
        ],
    },
    Mistake {
        what: "a port that no container has",
        plant: |documents| {
            *at(documents, "Service/auth", "/spec/ports/0/targetPort") = json!("http");
        },
        found: &["Service/auth: there is no pod with these labels and the port \"http\""],
    },
    Mistake {
        what: "a namespace that lets in what no Server names",
        plant: |documents| {
            let annotations = "/metadata/annotations";
            at(documents, "Namespace/grimoire", annotations)["config.linkerd.io/default-inbound-policy"] =
                json!("all-unauthenticated");
        },
        found: &[
            "Namespace/grimoire: config.linkerd.io/default-inbound-policy is `all-unauthenticated` and neither deny nor audit",
        ],
    },
    Mistake {
        what: "a namespace whose pods anybody reaches",
        plant: |documents| remove(documents, "NetworkPolicy/default-deny"),
        found: &["Namespace/grimoire: no NetworkPolicy denies what the others do not let in"],
    },
];
