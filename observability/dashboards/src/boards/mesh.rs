//! The calls between processes, as the sidecars of Linkerd see them.

use crate::elsewhere::*;
use crate::panel::{Dashboard, Row, line, lines, number, row};
use crate::query::*;

/// An edge: the identity that calls, and the Server that is called.
const EDGE: &str = "client_id, srv_name";
const INBOUND: &str = "direction='inbound', tls='true'";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "mesh",
        title: "Mesh",
        about: "The calls between processes, as the sidecars of Linkerd see them: who calls whom, what is denied, and when certificates end.",
        rows: vec![first_sight(), edges(), routes()],
    }
}

fn first_sight() -> Row {
    row(
        "At first sight",
        [
            lines(
                "Success by edge",
                "percentunit",
                "an edge below 99 %: the process that is called fails, or is not there.",
                "MeshEdgeFailing",
                [line(
                    "{{client_id}} to {{srv_name}}",
                    format!(
                        "1 - {}",
                        share(PROXY_RESPONSES, "classification='failure'", INBOUND, EDGE),
                    ),
                )],
            )
            .bad_below(0.99),
            lines(
                "Denied",
                "reqps",
                "any, for more than a deployment: a policy is missing, or somebody tries.",
                "MeshDenied",
                [line(
                    "{{client_id}} at {{srv_name}}",
                    or_zero(rate(PROXY_DENIED, "", EDGE)),
                )],
            ),
            number(
                "First certificate to end",
                "s",
                "below four hours: it lives a day and is renewed after two thirds of it.",
                "MeshCertificateEnding",
                [line(
                    "left",
                    format!("min({PROXY_CERTIFICATE_END} - time())"),
                )],
            )
            .bad_below(14_400.0),
            lines(
                "Requests without an identity",
                "percentunit",
                "anything but probes and Prometheus: a process is outside of the mesh.",
                "MeshDenied",
                [line(
                    "share",
                    share(PROXY_REQUESTS, "tls!='true'", "direction='inbound'", ""),
                )],
            ),
        ],
    )
}

fn edges() -> Row {
    row(
        "Edges",
        [
            lines(
                "Requests by edge",
                "reqps",
                "an edge that is not in the topology, or one that falls silent.",
                "MeshEdgeFailing",
                [line(
                    "{{client_id}} to {{srv_name}}",
                    rate(PROXY_REQUESTS, INBOUND, EDGE),
                )],
            ),
            lines(
                "Duration by edge, p95",
                "ms",
                "one edge that is slower than before.",
                "MeshEdgeFailing",
                [line(
                    "{{client_id}} to {{srv_name}}",
                    quantile("0.95", PROXY_LATENCY, INBOUND, EDGE),
                )],
            ),
            lines(
                "Allowed, by authorization",
                "reqps",
                "a policy that lets in what it should not: `default` or `all-unauthenticated` beside probes.",
                "MeshDenied",
                [line(
                    "{{srv_name}} by {{authz_name}}",
                    rate(PROXY_ALLOWED, "", "srv_name, authz_name"),
                )],
            ),
            lines(
                "No route",
                "reqps",
                "any: a method lacks its GRPCRoute, and callers read NOT_FOUND.",
                "MeshDenied",
                [line(
                    "{{srv_name}}",
                    or_zero(rate(PROXY_UNROUTED, "", "srv_name")),
                )],
            ),
        ],
    )
}

fn routes() -> Row {
    row(
        "Routes and certificates",
        [
            lines(
                "Calls by status",
                "reqps",
                "UNAVAILABLE or DEADLINE_EXCEEDED that grows.",
                "MeshEdgeFailing",
                [line(
                    "{{parent_name}} {{grpc_status}} {{error}}",
                    rate(PROXY_ROUTE_STATUSES, "", "parent_name, grpc_status, error"),
                )],
            ),
            lines(
                "Duration by route, p95",
                "s",
                "one route that is slower than before.",
                "MeshEdgeFailing",
                [line(
                    "{{parent_name}} {{route_name}}",
                    quantile("0.95", PROXY_ROUTE_DURATION, "", "parent_name, route_name"),
                )],
            ),
            lines(
                "Sent once more",
                "reqps",
                "a tenth of all calls or more: retries make an overload worse.",
                "MeshEdgeFailing",
                [line(
                    "{{parent_name}} {{route_name}}",
                    rate(PROXY_RETRIES, "", "parent_name, route_name"),
                )],
            ),
            lines(
                "New certificates, in a day",
                "short",
                "`error`: Linkerd's identity service does not answer.",
                "MeshCertificateEnding",
                [line(
                    "{{result}}",
                    sum(&format!("increase({PROXY_CERTIFICATES}[1d])"), "", "result"),
                )],
            ),
        ],
    )
}
