//! Routes: matches and annotations that Linkerd refuses, and kinds that exclude each other.

use serde_json::Value;

use crate::mesh::documents::{Documents, items, strings, text, title};

const RETRIED: [&str; 5] = [
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    for route in documents.of_kind("GRPCRoute") {
        matches(route, complaints);
        annotations(route, complaints);
    }
    for route in documents.of_kind("HTTPRoute") {
        annotations(route, complaints);
        beside(documents, route, complaints);
    }
    for service in documents.of_kind("Service") {
        annotations(service, complaints);
    }
}

fn matches(route: &Value, complaints: &mut Vec<String>) {
    let all = items(route, "/spec/rules")
        .iter()
        .flat_map(|rule| items(rule, "/matches"));
    for one in all {
        let of_headers = items(one, "/headers").iter();
        let expression = of_headers
            .chain([&one["method"]])
            .any(|part| text(part, "/type") == "RegularExpression");
        if expression {
            complaints.push(format!(
                "{}: a regular expression, which Linkerd does not take in a GRPCRoute",
                title(route)
            ));
        }
    }
}

fn annotations(route: &Value, complaints: &mut Vec<String>) {
    for (name, value) in strings(&route["metadata"]["annotations"]) {
        let right = match name.as_str() {
            "retry.linkerd.io/grpc" => value
                .split(',')
                .all(|condition| RETRIED.contains(&condition)),
            "retry.linkerd.io/limit" => value.parse::<u16>().is_ok_and(|limit| limit > 0),
            "retry.linkerd.io/timeout"
            | "timeout.linkerd.io/request"
            | "timeout.linkerd.io/response"
            | "timeout.linkerd.io/idle" => is_duration(&value),
            other => {
                !other.starts_with("retry.linkerd.io/") && !other.starts_with("timeout.linkerd.io/")
            }
        };
        if !right {
            complaints.push(format!(
                "{}: Linkerd does not take the annotation {name}: {value}",
                title(route)
            ));
        }
    }
}

/// A whole number and a unit. Anything else is logged by Linkerd's controller, and the route has no timeout.
fn is_duration(text: &str) -> bool {
    let digits = text.len()
        - text
            .trim_start_matches(|letter: char| letter.is_ascii_digit())
            .len();
    let (number, unit) = text.split_at(digits);
    number.parse::<u64>().is_ok_and(|number| {
        ["ms", "s", "m", "h", "d"].contains(&unit) || (unit.is_empty() && number == 0)
    })
}

/// An HTTPRoute whose parent has a GRPCRoute is refused as conflicting.
fn beside(documents: Documents<'_>, route: &Value, complaints: &mut Vec<String>) {
    for parent in items(route, "/spec/parentRefs") {
        let (kind, name) = (text(parent, "/kind"), text(parent, "/name"));
        let conflicts = ["Server", "Service"].contains(&kind)
            && documents.of_kind("GRPCRoute").any(|other| {
                items(other, "/spec/parentRefs")
                    .iter()
                    .any(|one| text(one, "/kind") == kind && text(one, "/name") == name)
            });
        if conflicts {
            complaints.push(format!("{}: {kind} {name} has GRPCRoutes", title(route)));
        }
    }
}

#[test]
fn a_duration_is_a_whole_number_with_a_unit() {
    for right in ["0", "12s", "250ms", "1m", "2h", "1d"] {
        assert!(is_duration(right), "{right}");
    }
    for wrong in ["", "12", "1.5s", "-1s", "s", "12 s", "12sec", "1m30s"] {
        assert!(!is_duration(wrong), "{wrong}");
    }
}
