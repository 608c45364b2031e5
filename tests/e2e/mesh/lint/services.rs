//! Services, and Kafka, whose protocol the mesh does not know.

use crate::mesh::documents::{Documents, items, number, strings, text, title};

const HTTP2: &str = "kubernetes.io/h2c";
const OPAQUE: &str = "linkerd.io/opaque";
/// Opaque only where somebody says so, unlike PostgreSQL's 5432.
const KAFKA: u64 = 9092;

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    for service in documents.of_kind("Service") {
        let title = title(service);
        if text(service, "/spec/clusterIP") == "None" {
            complaints.push(format!(
                "{title}: it is headless, so the mesh does not balance requests"
            ));
        }
        for port in items(service, "/spec/ports") {
            let (number, protocol) = (number(port, "/port"), text(port, "/appProtocol"));
            if number == KAFKA && protocol != OPAQUE {
                complaints.push(format!(
                    "{title}: Kafka's port {number} has the appProtocol `{protocol}` and not {OPAQUE}"
                ));
            } else if ![HTTP2, OPAQUE].contains(&protocol) {
                complaints.push(format!(
                    "{title}: the appProtocol `{protocol}` of port {number} is neither {HTTP2} nor {OPAQUE}"
                ));
            }
        }
    }
    for server in documents.of_kind("Server") {
        let protocol = text(server, "/spec/proxyProtocol");
        if number(server, "/spec/port") == KAFKA && protocol != "opaque" {
            complaints.push(format!(
                "{}: Kafka's port {KAFKA} has the proxyProtocol `{protocol}` and not opaque",
                title(server)
            ));
        }
    }
    for kafka in documents.of_kind("Kafka") {
        let annotations =
            strings(&kafka["spec"]["kafka"]["template"]["pod"]["metadata"]["annotations"]);
        let opaque = annotations
            .get("config.linkerd.io/opaque-ports")
            .is_some_and(|ports| {
                ports
                    .split(',')
                    .any(|port| port.parse::<u64>() == Ok(KAFKA))
            });
        if !opaque {
            complaints.push(format!(
                "{}: config.linkerd.io/opaque-ports of its pods lacks {KAFKA}",
                title(kafka)
            ));
        }
    }
}
