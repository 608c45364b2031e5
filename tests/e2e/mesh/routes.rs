//! mesh/base/NAME/routes.yaml is made from the contracts: how calls are retried and timed out, and whose calls are taken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use grimoire_proto::access::{self, Level};
use grimoire_proto::{descriptors, edge, upstream};
use launcher::topology::Topology;
use prost_reflect::MethodDescriptor;
use prost_types::method_options::IdempotencyLevel;
use tests::configuration::variables;
use tests::stack::root;

use super::overlays::parse;

/// The process that checks tokens and calls what clients call.
const EDGE: &str = "gateway";
/// Beyond the deadline of a call: the gateway and the services end it before the mesh does, and say more.
const MARGIN_MS: u32 = 2_000;

/// What the mesh does with a call. Its annotations are about whole routes, hence one route each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Idempotent,
    Other,
    Streams,
}

#[test]
fn the_routes_are_those_of_the_contracts() {
    for (process, text) in routes() {
        let path = root().join(format!("mesh/base/{process}/routes.yaml"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, &text).expect("mesh/ can be written");
            continue;
        }
        let written = fs::read_to_string(&path);
        let written = written.map(|text| parse(&text)).unwrap_or_default();
        assert!(
            written == parse(&text),
            "{} is not what the contracts say: renew it by ./dev prepare. It should be\n{text}",
            path.display()
        );
    }
}

#[test]
fn each_method_is_in_one_class_and_only_what_does_no_harm_is_retried() {
    let class = |service: &str, name: &str| {
        let service = descriptors().get_service_by_name(service).expect(service);
        let method = service.methods().find(|method| method.name() == name);
        class_of(&method.expect("a method"))
    };
    let idempotent = class("grimoire.user.v1.UserDataService", "ProvisionUsers");
    assert!(idempotent == Class::Idempotent);
    assert!(class("grimoire.auth.v1.SessionService", "RefreshTokens") == Class::Other);
    assert!(class("grimoire.auth.v1.TrustService", "Follow") == Class::Streams);
    assert!(class("grimoire.user.v1.UserDataService", "ExportUser") == Class::Streams);
}

/// The text of routes.yaml for each process that serves methods.
fn routes() -> BTreeMap<String, String> {
    let topology = Topology::read(&root()).expect("tilt/stack.yaml is valid");
    let mut served: BTreeMap<String, Vec<MethodDescriptor>> = BTreeMap::new();
    for service in descriptors().services() {
        let process = upstream::of(&service).expect("an upstream");
        served.entry(process).or_default().extend(service.methods());
    }
    served
        .into_iter()
        .map(|(process, mut methods)| {
            // Stable: the methods of a service stay in the order of the contract.
            methods.sort_by_key(|method| method.parent_service().full_name().to_owned());
            let port = topology.processes[&process].port.expect("a port");
            let text = render(&process, port, &methods);
            (process, text)
        })
        .collect()
}

fn render(process: &str, port: u16, methods: &[MethodDescriptor]) -> String {
    let mut documents = Vec::new();
    for (class, methods) in grouped(methods, class_of) {
        documents.push(outbound(process, port, class, &methods));
    }
    for (callers, methods) in grouped(methods, callers_of) {
        let name = format!("{process}-for-{}", callers.join("-and-"));
        documents.push(inbound(process, &name, &methods));
        documents.push(policy(&name));
        documents.push(authentication(&name, &callers));
    }
    format!(
        "# Made from the contracts by ./dev prepare; a test compares. How the calls of {process} are treated where they leave (Service), and whose\n\
         # calls it takes (Server).\n{}",
        documents.join("---\n")
    )
}

fn grouped<K: Ord>(
    methods: &[MethodDescriptor],
    key: fn(&MethodDescriptor) -> K,
) -> BTreeMap<K, Vec<MethodDescriptor>> {
    let mut groups: BTreeMap<K, Vec<MethodDescriptor>> = BTreeMap::new();
    for method in methods {
        let group = groups.entry(key(method)).or_default();
        group.push(method.clone());
    }
    groups
}

fn class_of(method: &MethodDescriptor) -> Class {
    let options = method.method_descriptor_proto().options.as_ref();
    if method.is_client_streaming() || method.is_server_streaming() {
        Class::Streams
    } else if options
        .is_some_and(|options| options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown)
    {
        Class::Idempotent
    } else {
        Class::Other
    }
}

/// Sorted.
fn callers_of(method: &MethodDescriptor) -> Vec<String> {
    let access = access::of(method).expect("an access option");
    let mut callers = match access.level() {
        Level::Mesh => access.callers,
        _ => vec![EDGE.to_owned()],
    };
    callers.sort();
    callers
}

fn outbound(process: &str, port: u16, class: Class, methods: &[MethodDescriptor]) -> String {
    let (name, retries) = match class {
        Class::Idempotent => (
            "idempotent",
            "    retry.linkerd.io/grpc: unavailable\n    retry.linkerd.io/limit: \"1\"\n",
        ),
        Class::Other => ("other", ""),
        Class::Streams => ("streams", ""),
    };
    let annotations = match class {
        Class::Streams => String::new(),
        _ => format!(
            "  annotations:\n{retries}    timeout.linkerd.io/request: {}\n",
            timeout(methods)
        ),
    };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\n\
         kind: GRPCRoute\n\
         metadata:\n  name: {process}-{name}\n{annotations}\
         spec:\n  parentRefs:\n    - group: \"\"\n      kind: Service\n      name: {process}\n      port: {port}\n{}",
        rules(methods)
    )
}

fn inbound(process: &str, name: &str, methods: &[MethodDescriptor]) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\n\
         kind: GRPCRoute\n\
         metadata:\n  name: {name}\n\
         spec:\n  parentRefs:\n    - group: policy.linkerd.io\n      kind: Server\n      name: {process}\n{}",
        rules(methods)
    )
}

fn policy(name: &str) -> String {
    format!(
        "apiVersion: policy.linkerd.io/v1alpha1\n\
         kind: AuthorizationPolicy\n\
         metadata:\n  name: {name}\n\
         spec:\n  targetRef:\n    group: gateway.networking.k8s.io\n    kind: GRPCRoute\n    name: {name}\n  \
         requiredAuthenticationRefs:\n    - group: policy.linkerd.io\n      kind: MeshTLSAuthentication\n      name: {name}\n"
    )
}

fn authentication(name: &str, callers: &[String]) -> String {
    let mut text = format!(
        "apiVersion: policy.linkerd.io/v1alpha1\n\
         kind: MeshTLSAuthentication\n\
         metadata:\n  name: {name}\n\
         spec:\n  identityRefs:\n"
    );
    for caller in callers {
        let _ = writeln!(text, "    - kind: ServiceAccount\n      name: {caller}");
    }
    text
}

/// One rule for each service of the contracts.
fn rules(methods: &[MethodDescriptor]) -> String {
    let mut text = "  rules:\n".to_owned();
    let mut before = String::new();
    for method in methods {
        let service = method.parent_service().full_name().to_owned();
        if service != before {
            text.push_str("    - matches:\n");
        }
        let _ = writeln!(
            text,
            "        - method:\n            service: {service}\n            method: {}",
            method.name()
        );
        before = service;
    }
    text
}

/// The longest deadline of these methods, and the margin.
fn timeout(methods: &[MethodDescriptor]) -> String {
    let usual = usual_deadline();
    let deadlines = methods
        .iter()
        .map(|method| match edge::of(method).deadline_ms {
            0 => usual,
            deadline => deadline,
        });
    let timeout = deadlines.max().unwrap_or(usual) + MARGIN_MS;
    if timeout.is_multiple_of(1_000) {
        format!("{}s", timeout / 1_000)
    } else {
        format!("{timeout}ms")
    }
}

/// Milliseconds after which the gateway gives a call up whose contract says nothing.
fn usual_deadline() -> u32 {
    let gateway = <gateway::Config as clap::CommandFactory>::command();
    variables(&gateway)
        .into_iter()
        .find(|variable| variable.name == "GRIMOIRE_DEADLINE")
        .and_then(|variable| variable.default?.parse().ok())
        .expect("the gateway has a default")
}
