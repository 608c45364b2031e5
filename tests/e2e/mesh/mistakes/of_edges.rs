//! Calls that tilt/stack.yaml and the contracts do not allow, and calls that they do.

use serde_json::json;

use super::{Mistake, add, at};

pub(super) const ALL: &[Mistake] = &[
    Mistake {
        what: "a NetworkPolicy for a call that is not in the topology",
        plant: |documents| {
            add(
                documents,
                "NetworkPolicy/event-consumer",
                "/spec/ingress/0/from",
                json!({"podSelector": {"matchLabels": {"app.kubernetes.io/name": "user"}}}),
            );
        },
        found: &["NetworkPolicies let in user -> event-consumer, which is not in tilt/stack.yaml"],
    },
    Mistake {
        what: "a NetworkPolicy that lacks a call",
        plant: |documents| {
            let rules = at(documents, "NetworkPolicy/user", "/spec/egress").as_array_mut();
            rules.expect("a list").remove(0);
        },
        found: &["NetworkPolicies let out no user -> auth, which is in tilt/stack.yaml"],
    },
    Mistake {
        what: "the database of another",
        plant: |documents| {
            let labels = "/spec/egress/1/to/0/podSelector/matchLabels";
            at(documents, "NetworkPolicy/user", labels)["cnpg.io/cluster"] = json!("auth-db");
        },
        found: &[
            "NetworkPolicies let out user -> auth-db, which is not in tilt/stack.yaml",
            "NetworkPolicies let out no user -> user-db, which is in tilt/stack.yaml",
        ],
    },
    Mistake {
        what: "a Kafka that anybody reaches",
        plant: |documents| {
            let listeners = at(documents, "Kafka/grimoire", "/spec/kafka/listeners/0");
            listeners
                .as_object_mut()
                .expect("a listener")
                .remove("networkPolicyPeers");
        },
        found: &[
            "listeners let in anybody -> kafka, which is not in tilt/stack.yaml",
            "listeners let in no auth -> kafka, which is in tilt/stack.yaml",
            "listeners let in no event-consumer -> kafka, which is in tilt/stack.yaml",
            "listeners let in no user -> kafka, which is in tilt/stack.yaml",
        ],
    },
    Mistake {
        what: "a Server for the whole mesh",
        plant: |documents| {
            *at(documents, "Server/user", "/spec/accessPolicy") = json!("all-authenticated");
        },
        found: &["AuthorizationPolicies allow anybody -> user, which is not in tilt/stack.yaml"],
    },
    Mistake {
        what: "an identity for a call that is not in the topology",
        plant: |documents| {
            add(
                documents,
                "MeshTLSAuthentication/event-consumer-for-gateway",
                "/spec/identityRefs",
                json!({"kind": "ServiceAccount", "name": "user"}),
            );
        },
        found: &[
            "AuthorizationPolicies allow user -> event-consumer, which is not in tilt/stack.yaml",
            "grimoire.audit.v1.AuditService.ListAuditRecords: the mesh lets gateway, user call it, the contract gateway",
            "grimoire.delivery.v1.DeliveryService.ListParkedEvents: the mesh lets gateway, user call it, the contract gateway",
            "grimoire.delivery.v1.DeliveryService.RetryParkedEvents: the mesh lets gateway, user call it, the contract gateway",
            "grimoire.delivery.v1.DeliveryService.DiscardParkedEvents: the mesh lets gateway, user call it, the contract gateway",
        ],
    },
    Mistake {
        what: "a caller whom the contract does not name",
        plant: |documents| {
            add(
                documents,
                "MeshTLSAuthentication/auth-for-event-consumer",
                "/spec/identityRefs",
                json!({"kind": "ServiceAccount", "name": "user"}),
            );
        },
        found: &[
            "grimoire.auth.v1.ErasureService.RecordReceipt: the mesh lets event-consumer, user call it, the contract event-consumer",
            "grimoire.auth.v1.NotificationService.GetNotification: the mesh lets event-consumer, user call it, the contract event-consumer",
        ],
    },
    Mistake {
        what: "a method that no route lets through",
        plant: |documents| {
            *at(
                documents,
                "GRPCRoute/auth-for-event-consumer",
                "/spec/rules/1/matches/0/method/method",
            ) = json!("GetNotice");
        },
        found: &[
            "grimoire.auth.v1.NotificationService.GetNotification: the mesh lets 0 routes call it, the contract event-consumer",
        ],
    },
    Mistake {
        what: "an identity that a process would take beside the topology",
        plant: |documents| {
            let value = "/spec/template/spec/containers/0/env/2/value";
            *at(documents, "Deployment/event-consumer", value) = json!(
                "gateway.grimoire.serviceaccount.identity.linkerd.cluster.local, \
                 user.grimoire.serviceaccount.identity.linkerd.cluster.local"
            );
        },
        found: &[
            "GRIMOIRE_MESH_IDENTITIES allows user -> event-consumer, which is not in tilt/stack.yaml",
        ],
    },
    Mistake {
        what: "an identity of another namespace",
        plant: |documents| {
            let value = "/spec/template/spec/containers/0/env/2/value";
            *at(documents, "Deployment/event-consumer", value) =
                json!("gateway.elsewhere.serviceaccount.identity.linkerd.cluster.local");
        },
        found: &[
            "GRIMOIRE_MESH_IDENTITIES allows gateway.elsewhere.serviceaccount.identity.linkerd.cluster.local -> event-consumer, which is not in tilt/stack.yaml",
            "GRIMOIRE_MESH_IDENTITIES allows no gateway -> event-consumer, which is in tilt/stack.yaml",
        ],
    },
];
