//! Who may call whom: NetworkPolicies, AuthorizationPolicies and GRIMOIRE_MESH_IDENTITIES say what tilt/stack.yaml and the contracts say.

use std::collections::BTreeSet;

use grimoire_proto::access::{self, Level};
use grimoire_proto::{descriptors, upstream};
use launcher::topology::{Kind, Topology};
use prost_reflect::MethodDescriptor;
use serde_json::Value;
use tests::stack::root;

use super::documents::{Documents, Pods, items, selects, text};

/// The process that clients call, whoever they are.
const EDGE: &str = "gateway";
/// Who is named where a policy lets in whoever comes.
const ANYBODY: &str = "anybody";
const FILE: &str = "tilt/stack.yaml";

/// Caller and callee.
type Edges = BTreeSet<(String, String)>;

/// Where a NetworkPolicy is looked at from.
#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

/// Every difference, as a sentence.
pub(super) fn complaints(documents: Documents<'_>) -> Vec<String> {
    let topology = Topology::read(&root()).expect("tilt/stack.yaml is valid");
    let all = of_topology(&topology);
    let mut to_services = all.clone();
    to_services.retain(|(_, callee)| topology.kind_of(callee) == Some(Kind::Service));
    // Databases are not in the mesh: NetworkPolicies and passwords hold who may use them.
    let mut in_the_mesh = all.clone();
    in_the_mesh.retain(|(_, callee)| topology.kind_of(callee).is_some());
    let mut to_kafka = all.clone();
    to_kafka.retain(|(_, callee)| topology.kind_of(callee) == Some(Kind::Kafka));

    let mut complaints = Vec::new();
    for (what, found, expected) in [
        (
            "NetworkPolicies let in",
            network(documents, Direction::In),
            &all,
        ),
        (
            "NetworkPolicies let out",
            network(documents, Direction::Out),
            &all,
        ),
        ("listeners let in", listeners(documents), &to_kafka),
        (
            "AuthorizationPolicies allow",
            authorized(documents),
            &in_the_mesh,
        ),
        (
            "GRIMOIRE_MESH_IDENTITIES allows",
            identified(documents),
            &to_services,
        ),
    ] {
        for (caller, callee) in found.difference(expected) {
            complaints.push(format!(
                "{what} {caller} -> {callee}, which is not in {FILE}"
            ));
        }
        for (caller, callee) in expected.difference(&found) {
            complaints.push(format!(
                "{what} no {caller} -> {callee}, which is in {FILE}"
            ));
        }
    }
    complaints.extend(methods(documents));
    complaints
}

/// What tilt/stack.yaml says. A service's own database has the name of the service and `-db`.
fn of_topology(topology: &Topology) -> Edges {
    let mut edges = Edges::new();
    for (name, process) in topology.services() {
        for other in &process.calls {
            let callee = match topology.kind_of(other) {
                Some(Kind::Postgres) => format!("{name}-db"),
                _ => other.clone(),
            };
            edges.insert((name.clone(), callee));
        }
    }
    edges
}

/// What NetworkPolicies let through between processes, databases and Kafka.
fn network(documents: Documents<'_>, direction: Direction) -> Edges {
    let (policy_type, rules, peers) = match direction {
        Direction::In => ("Ingress", "/spec/ingress", "/from"),
        Direction::Out => ("Egress", "/spec/egress", "/to"),
    };
    let pods = documents.pods();
    let mut edges = Edges::new();
    for own in &pods {
        // What operators make may go where it likes.
        if matches!(direction, Direction::Out) && !own.title.starts_with("Deployment/") {
            continue;
        }
        let policies: Vec<&Value> = documents
            .of_kind("NetworkPolicy")
            .filter(|policy| selects(&policy["spec"]["podSelector"], &own.labels))
            .filter(|policy| {
                items(policy, "/spec/policyTypes")
                    .iter()
                    .any(|one| one.as_str() == Some(policy_type))
            })
            .collect();
        let mut others = BTreeSet::new();
        if policies.is_empty() {
            others.insert(ANYBODY.to_owned());
        }
        for policy in policies {
            for rule in items(policy, rules) {
                others.extend(admitted(rule, peers, &pods));
            }
        }
        // Replicas of a database follow each other.
        others.remove(&own.process);
        edges.extend(others.into_iter().map(|other| match direction {
            Direction::In => (other, own.process.clone()),
            Direction::Out => (own.process.clone(), other),
        }));
    }
    without_clients(edges)
}

/// What Strimzi makes NetworkPolicies of.
fn listeners(documents: Documents<'_>) -> Edges {
    let pods = documents.pods();
    documents
        .of_kind("Kafka")
        .flat_map(|kafka| items(kafka, "/spec/kafka/listeners"))
        .flat_map(|listener| admitted(listener, "/networkPolicyPeers", &pods))
        .map(|caller| (caller, "kafka".to_owned()))
        .collect()
}

/// The processes that a rule names. Operators and Prometheus, which are in other namespaces, are none of them.
fn admitted(rule: &Value, peers: &str, pods: &[Pods]) -> BTreeSet<String> {
    if rule.pointer(peers).is_none() {
        return BTreeSet::from([ANYBODY.to_owned()]);
    }
    let mut processes = BTreeSet::new();
    for peer in items(rule, peers) {
        // To addresses go mails and questions for names; nobody of ours comes from there.
        if peers == "/from" && !peer["ipBlock"].is_null() {
            processes.insert(ANYBODY.to_owned());
        }
        if peer["namespaceSelector"].is_null() && peer["ipBlock"].is_null() {
            let named = pods
                .iter()
                .filter(|pods| selects(&peer["podSelector"], &pods.labels));
            processes.extend(named.map(|pods| pods.process.clone()));
        }
    }
    processes
}

/// What AuthorizationPolicies allow on the ports that processes serve on.
fn authorized(documents: Documents<'_>) -> Edges {
    let pods = documents.pods();
    let mut edges = Edges::new();
    for server in documents
        .of_kind("Server")
        .filter(|server| !is_admin(server))
    {
        let name = text(server, "/metadata/name");
        let mut callers = BTreeSet::new();
        if !["deny", "audit"].contains(&text(server, "/spec/accessPolicy")) {
            callers.insert(ANYBODY.to_owned());
        }
        for policy in documents.of_kind("AuthorizationPolicy") {
            if servers_of(documents, &policy["spec"]["targetRef"]).contains(name) {
                callers.extend(callers_of(documents, policy, &pods));
            }
        }
        let callees = pods
            .iter()
            .filter(|pods| selects(&server["spec"]["podSelector"], &pods.labels));
        for callee in callees {
            edges.extend(
                callers
                    .iter()
                    .map(|caller| (caller.clone(), callee.process.clone())),
            );
        }
    }
    without_clients(edges)
}

/// The Server of probes and metrics, which no process calls.
fn is_admin(server: &Value) -> bool {
    text(server, "/spec/port") == "admin"
}

/// The Servers that a policy is about: its target, or the parents of the route that is its target.
fn servers_of<'d>(documents: Documents<'d>, target: &'d Value) -> BTreeSet<&'d str> {
    let (kind, name) = (text(target, "/kind"), text(target, "/name"));
    if kind == "Server" {
        return BTreeSet::from([name]);
    }
    documents
        .find(kind, name)
        .into_iter()
        .flat_map(|route| items(route, "/spec/parentRefs"))
        .filter(|parent| text(parent, "/kind") == "Server")
        .map(|parent| text(parent, "/name"))
        .collect()
}

/// Whom a policy lets in, by the identities that it requires.
fn callers_of(documents: Documents<'_>, policy: &Value, pods: &[Pods]) -> BTreeSet<String> {
    let mut callers = BTreeSet::new();
    let mut identities = false;
    for required in items(policy, "/spec/requiredAuthenticationRefs") {
        let name = text(required, "/name");
        match text(required, "/kind") {
            "ServiceAccount" => {
                identities = true;
                callers.insert(process_of(name, pods));
            }
            "MeshTLSAuthentication" => {
                identities = true;
                let Some(authentication) = documents.find("MeshTLSAuthentication", name) else {
                    continue;
                };
                for reference in items(authentication, "/spec/identityRefs") {
                    callers.insert(process_of(text(reference, "/name"), pods));
                }
                for identity in items(authentication, "/spec/identities") {
                    let identity = identity.as_str().unwrap_or_default();
                    callers.insert(process_with(identity, pods));
                }
            }
            _ => {}
        }
    }
    if !identities {
        callers.insert(ANYBODY.to_owned());
    }
    callers
}

/// What GRIMOIRE_MESH_IDENTITIES of each process says.
fn identified(documents: Documents<'_>) -> Edges {
    let pods = documents.pods();
    let mut edges = Edges::new();
    for deployment in documents.of_kind("Deployment") {
        let callee = text(deployment, "/metadata/name");
        let variables = items(deployment, "/spec/template/spec/containers")
            .iter()
            .flat_map(|container| items(container, "/env"))
            .filter(|variable| text(variable, "/name") == "GRIMOIRE_MESH_IDENTITIES");
        for identity in variables.flat_map(|variable| text(variable, "/value").split(',')) {
            edges.insert((process_with(identity.trim(), &pods), callee.to_owned()));
        }
    }
    edges
}

/// The process that runs under a service account, or the account.
fn process_of(account: &str, pods: &[Pods]) -> String {
    let found = pods.iter().find(|pods| pods.account == account);
    found.map_or_else(|| account.to_owned(), |pods| pods.process.clone())
}

/// The process that has an identity, or the identity.
fn process_with(identity: &str, pods: &[Pods]) -> String {
    let found = pods.iter().find(|pods| pods.identity() == identity);
    found.map_or_else(|| identity.to_owned(), |pods| pods.process.clone())
}

/// That anybody calls the edge is what it is for.
fn without_clients(mut edges: Edges) -> Edges {
    edges.remove(&(ANYBODY.to_owned(), EDGE.to_owned()));
    edges
}

/// Methods that the mesh lets others call than the contracts do.
fn methods(documents: Documents<'_>) -> Vec<String> {
    let mut complaints = Vec::new();
    for service in descriptors().services() {
        let server = upstream::of(&service).expect("an upstream");
        for method in service.methods() {
            let access = access::of(&method).expect("an access option");
            let contract: BTreeSet<String> = match access.level() {
                Level::Mesh => access.callers.into_iter().collect(),
                _ => BTreeSet::from([EDGE.to_owned()]),
            };
            let mesh = callers_by_route(documents, &server, &method);
            if mesh != contract {
                complaints.push(format!(
                    "{}: the mesh lets {} call it, the contract {}",
                    method.full_name(),
                    listed(&mesh),
                    listed(&contract)
                ));
            }
        }
    }
    complaints
}

/// Who may call a method by the routes of its Server. Where two routes match it the mesh looks at one of them alone.
fn callers_by_route(
    documents: Documents<'_>,
    server: &str,
    method: &MethodDescriptor,
) -> BTreeSet<String> {
    let pods = documents.pods();
    let routes: Vec<&Value> = documents
        .of_kind("GRPCRoute")
        .filter(|route| {
            items(route, "/spec/parentRefs")
                .iter()
                .any(|parent| text(parent, "/kind") == "Server" && text(parent, "/name") == server)
        })
        .filter(|route| has_method(route, method))
        .collect();
    let [route] = routes[..] else {
        return BTreeSet::from([format!("{} routes", routes.len())]);
    };
    documents
        .of_kind("AuthorizationPolicy")
        .filter(|policy| {
            let target = &policy["spec"]["targetRef"];
            text(target, "/kind") == "GRPCRoute"
                && text(target, "/name") == text(route, "/metadata/name")
        })
        .flat_map(|policy| callers_of(documents, policy, &pods))
        .collect()
}

fn has_method(route: &Value, method: &MethodDescriptor) -> bool {
    items(route, "/spec/rules")
        .iter()
        .flat_map(|rule| items(rule, "/matches"))
        .any(|one| {
            text(one, "/method/service") == method.parent_service().full_name()
                && text(one, "/method/method") == method.name()
        })
}

fn listed(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        return "nobody".to_owned();
    }
    names.join(", ")
}
