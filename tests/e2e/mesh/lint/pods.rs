//! Pods: hardened, probed in a way that the mesh lets through, on the ports of the topology, and in the mesh.

use launcher::topology::Topology;
use serde_json::{Value, json};
use tests::stack::root;

use crate::mesh::documents::{Documents, items, number, text, title};

/// Fields of a pod, and what they have to be.
const OF_PODS: [(&str, &str); 5] = [
    ("/automountServiceAccountToken", "false"),
    ("/enableServiceLinks", "false"),
    ("/securityContext/runAsNonRoot", "true"),
    ("/securityContext/seccompProfile/type", "\"RuntimeDefault\""),
    ("/topologySpreadConstraints/0/maxSkew", "1"),
];

/// Fields of a container, and what they have to be.
const OF_CONTAINERS: [(&str, &str); 4] = [
    ("/securityContext/readOnlyRootFilesystem", "true"),
    ("/securityContext/allowPrivilegeEscalation", "false"),
    ("/securityContext/capabilities/drop", "[\"ALL\"]"),
    ("/lifecycle", "null"),
];

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    let topology = Topology::read(&root()).expect("tilt/stack.yaml is valid");
    for deployment in documents.of_kind("Deployment") {
        let title = title(deployment);
        let spec = &deployment["spec"]["template"]["spec"];
        hardened(&title, spec, &OF_PODS, complaints);
        for container in items(spec, "/initContainers")
            .iter()
            .chain(items(spec, "/containers"))
        {
            let title = format!("{title}: {}", text(container, "/name"));
            hardened(&title, container, &OF_CONTAINERS, complaints);
            resources(&title, container, complaints);
            probes(&title, container, complaints);
        }
        let process = topology.process(text(deployment, "/metadata/name"));
        match process {
            Ok(process) => {
                let ports: Vec<u64> = items(spec, "/containers/0/ports")
                    .iter()
                    .map(|port| number(port, "/containerPort"))
                    .collect();
                let expected: Vec<u64> = [process.port, process.admin_port]
                    .into_iter()
                    .flatten()
                    .map(u64::from)
                    .collect();
                if ports != expected {
                    complaints.push(format!(
                        "{title}: its ports are {ports:?} and not {expected:?}, as in tilt/stack.yaml"
                    ));
                }
            }
            Err(error) => complaints.push(format!("{title}: {error}")),
        }
    }
    for namespace in documents.of_kind("Namespace") {
        in_the_mesh(namespace, complaints);
        if !denies(documents) {
            complaints.push(format!(
                "{}: no NetworkPolicy denies what the others do not let in",
                title(namespace)
            ));
        }
    }
}

fn hardened(title: &str, part: &Value, fields: &[(&str, &str)], complaints: &mut Vec<String>) {
    for (field, right) in fields {
        let value = part.pointer(field).unwrap_or(&Value::Null).to_string();
        if value != *right {
            complaints.push(format!("{title}: {field} is {value} and not {right}"));
        }
    }
}

fn resources(title: &str, container: &Value, complaints: &mut Vec<String>) {
    for field in ["requests/cpu", "requests/memory", "limits/memory"] {
        if text(container, &format!("/resources/{field}")).is_empty() {
            complaints.push(format!("{title}: it has no {field}"));
        }
    }
}

/// The kubelet asks from outside of the mesh, which lets it to two paths of the admin port alone.
fn probes(title: &str, container: &Value, complaints: &mut Vec<String>) {
    let admin = items(container, "/ports")
        .iter()
        .find(|port| text(port, "/name") == "admin")
        .map_or(&Value::Null, |port| &port["containerPort"]);
    for name in PROBES {
        let probe = &container[name];
        if probe.is_null() {
            continue;
        }
        let get = &probe["httpGet"];
        if get.is_null() {
            complaints.push(format!(
                "{title}: {name} does not ask by HTTP, so the mesh refuses it"
            ));
            continue;
        }
        if get["port"] != *admin {
            complaints.push(format!(
                "{title}: {name} asks port {} and not {admin}, the number of the admin port",
                get["port"]
            ));
        }
        let path = if name == "readinessProbe" {
            "/readyz"
        } else {
            "/livez"
        };
        if get["path"] != json!(path) {
            complaints.push(format!(
                "{title}: {name} asks {} and not {path}",
                get["path"]
            ));
        }
    }
    // Migrations end by themselves.
    let serves = !items(container, "/ports").is_empty();
    if serves && (container["livenessProbe"].is_null() || container["readinessProbe"].is_null()) {
        complaints.push(format!("{title}: it is not probed"));
    }
}

fn in_the_mesh(namespace: &Value, complaints: &mut Vec<String>) {
    let annotations = &namespace["metadata"]["annotations"];
    if annotations["linkerd.io/inject"] != "enabled" {
        complaints.push(format!(
            "{}: its pods get no sidecar by linkerd.io/inject",
            title(namespace)
        ));
    }
    let policy = text(annotations, "/config.linkerd.io~1default-inbound-policy");
    if !["deny", "audit"].contains(&policy) {
        complaints.push(format!(
            "{}: config.linkerd.io/default-inbound-policy is `{policy}` and neither deny nor audit",
            title(namespace)
        ));
    }
}

/// Whether there is a NetworkPolicy for all pods that lets nothing in.
fn denies(documents: Documents<'_>) -> bool {
    documents.of_kind("NetworkPolicy").any(|policy| {
        policy["spec"]["podSelector"] == json!({})
            && policy["spec"]["policyTypes"] == json!(["Ingress"])
            && policy["spec"]["ingress"].is_null()
    })
}
