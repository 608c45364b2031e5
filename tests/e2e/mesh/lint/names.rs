//! Every name that a document refers to is there.

use serde_json::{Value, json};

use crate::mesh::documents::{Documents, has_all, items, selects, text, title};

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    for document in documents.all() {
        for wrong in missing(documents, document) {
            complaints.push(format!("{}: there is no {wrong}", title(document)));
        }
    }
}

/// What a document refers to and is not there.
fn missing(documents: Documents<'_>, document: &Value) -> Vec<String> {
    match text(document, "/kind") {
        "AuthorizationPolicy" => {
            let required = items(document, "/spec/requiredAuthenticationRefs").iter();
            let references = required.chain([&document["spec"]["targetRef"]]);
            references
                .filter_map(|reference| absent(documents, document, reference))
                .collect()
        }
        "MeshTLSAuthentication" => items(document, "/spec/identityRefs")
            .iter()
            .filter_map(|reference| absent(documents, document, reference))
            .collect(),
        "GRPCRoute" | "HTTPRoute" => {
            let parents = items(document, "/spec/parentRefs")
                .iter()
                .map(|parent| (parent, "Gateway"));
            let backends = items(document, "/spec/rules")
                .iter()
                .flat_map(|rule| items(rule, "/backendRefs"))
                .map(|backend| (backend, "Service"));
            parents
                .chain(backends)
                .filter_map(|(reference, usual)| routed(documents, reference, usual))
                .collect()
        }
        "Service" => service(documents, document),
        "Server" => {
            let port = &document["spec"]["port"];
            let selector = &document["spec"]["podSelector"];
            let found = documents
                .pods()
                .iter()
                .any(|pods| selects(selector, &pods.labels) && pods.port(port).is_some());
            (!found)
                .then(|| format!("pod with these labels and the port {port}"))
                .into_iter()
                .collect()
        }
        "NetworkPolicy" => selectors(document)
            .into_iter()
            .filter_map(|selector| unselected(documents, selector))
            .collect(),
        "PodDisruptionBudget" => unselected(documents, &document["spec"]["selector"])
            .into_iter()
            .collect(),
        "HorizontalPodAutoscaler" => {
            absent(documents, document, &document["spec"]["scaleTargetRef"])
                .into_iter()
                .collect()
        }
        "KafkaNodePool" => {
            let name = text(document, "/metadata/labels/strimzi.io~1cluster");
            let found = documents.find("Kafka", name).is_some();
            (!found)
                .then(|| format!("Kafka {name}"))
                .into_iter()
                .collect()
        }
        "Deployment" => {
            let account = json!({
                "kind": "ServiceAccount",
                "name": document["spec"]["template"]["spec"]["serviceAccountName"],
            });
            absent(documents, document, &account).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// What a reference names, unless it is there or in another namespace.
fn absent(documents: Documents<'_>, document: &Value, reference: &Value) -> Option<String> {
    let (kind, name) = (text(reference, "/kind"), text(reference, "/name"));
    let namespace = text(reference, "/namespace");
    let elsewhere = !namespace.is_empty() && namespace != text(document, "/metadata/namespace");
    let made_by_an_operator = kind == "ServiceAccount"
        && documents
            .pods()
            .iter()
            .any(|pods| pods.account == name && !pods.title.starts_with("Deployment/"));
    (!elsewhere && !made_by_an_operator && documents.find(kind, name).is_none())
        .then(|| format!("{kind} {name}"))
}

/// What a route refers to, `usual` where it does not say of which kind, with the port where it is a Service.
fn routed(documents: Documents<'_>, reference: &Value, usual: &str) -> Option<String> {
    let kind = match text(reference, "/kind") {
        "" => usual,
        kind => kind,
    };
    let name = text(reference, "/name");
    let found = documents.find(kind, name).is_some_and(|target| {
        kind != "Service"
            || items(target, "/spec/ports")
                .iter()
                .any(|port| port["port"] == reference["port"])
    });
    (!found).then(|| match kind {
        "Service" => format!("Service {name} with the port {}", reference["port"]),
        _ => format!("{kind} {name}"),
    })
}

fn service(documents: Documents<'_>, service: &Value) -> Vec<String> {
    let pods = documents.pods();
    items(service, "/spec/ports")
        .iter()
        .map(|port| &port["targetPort"])
        .filter(|port| {
            !pods.iter().any(|pods| {
                has_all(&pods.labels, &service["spec"]["selector"]) && pods.port(port).is_some()
            })
        })
        .map(|port| format!("pod with these labels and the port {port}"))
        .collect()
}

/// The selectors of a NetworkPolicy that are about pods of its namespace.
fn selectors(policy: &Value) -> Vec<&Value> {
    let mut selectors = vec![&policy["spec"]["podSelector"]];
    for (rules, peers) in [("/spec/ingress", "/from"), ("/spec/egress", "/to")] {
        for rule in items(policy, rules) {
            for peer in items(rule, peers) {
                if peer["namespaceSelector"].is_null() && peer["ipBlock"].is_null() {
                    selectors.push(&peer["podSelector"]);
                }
            }
        }
    }
    selectors
}

fn unselected(documents: Documents<'_>, selector: &Value) -> Option<String> {
    let mut pods = documents.pods().into_iter();
    (!pods.any(|pods| selects(selector, &pods.labels)))
        .then(|| format!("pod that {selector} selects"))
}
