//! One version of each kind: the one that is not on its way out.

use crate::mesh::documents::{Documents, text, title};

const VERSIONS: [(&str, &str); 22] = [
    ("Namespace", "v1"),
    ("Service", "v1"),
    ("ServiceAccount", "v1"),
    ("ConfigMap", "v1"),
    ("Secret", "v1"),
    ("Deployment", "apps/v1"),
    ("HorizontalPodAutoscaler", "autoscaling/v2"),
    ("PodDisruptionBudget", "policy/v1"),
    ("NetworkPolicy", "networking.k8s.io/v1"),
    ("Gateway", "gateway.networking.k8s.io/v1"),
    ("HTTPRoute", "gateway.networking.k8s.io/v1"),
    ("GRPCRoute", "gateway.networking.k8s.io/v1"),
    ("Server", "policy.linkerd.io/v1beta3"),
    ("AuthorizationPolicy", "policy.linkerd.io/v1alpha1"),
    ("MeshTLSAuthentication", "policy.linkerd.io/v1alpha1"),
    ("NetworkAuthentication", "policy.linkerd.io/v1alpha1"),
    ("HTTPLocalRateLimitPolicy", "policy.linkerd.io/v1alpha1"),
    ("EgressNetwork", "policy.linkerd.io/v1alpha1"),
    ("ExternalSecret", "external-secrets.io/v1"),
    ("Cluster", "postgresql.cnpg.io/v1"),
    ("Kafka", "kafka.strimzi.io/v1"),
    ("KafkaNodePool", "kafka.strimzi.io/v1"),
];

/// Kinds of Linkerd that others have taken the place of.
const REPLACED: [(&str, &str); 2] = [
    ("ServerAuthorization", "AuthorizationPolicy"),
    ("ServiceProfile", "GRPCRoute"),
];

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    for document in documents.all() {
        let (kind, version) = (text(document, "/kind"), text(document, "/apiVersion"));
        let title = title(document);
        if let Some((_, instead)) = REPLACED.iter().find(|(known, _)| *known == kind) {
            complaints.push(format!("{title}: {instead} has taken its place"));
            continue;
        }
        match VERSIONS.iter().find(|(known, _)| *known == kind) {
            Some((_, right)) if *right == version => {}
            Some((_, right)) => {
                complaints.push(format!("{title}: the version is {version} and not {right}"));
            }
            None => complaints.push(format!(
                "{title}: {version} is not a kind that is known here"
            )),
        }
    }
}
