//! What the contracts promise is tried end to end: each method over gRPC and over HTTP, and each reason for which a call can fail.

mod compatibility;
mod promises;
mod sources;

use std::collections::BTreeSet;

use grimoire_proto::Reason;
use grimoire_proto::http::{self, HttpRule, Pattern};

use crate::grpc::methods;
use sources::Sources;

/// Reasons that no test here can provoke, and where they are held instead.
const ELSEWHERE: [(&str, &str); 4] = [
    ("UNSPECIFIED", "is never sent"),
    (
        "INTERNAL",
        "nothing that a client sends leads there: gateway/tests/it and services/chassis/tests/it break something",
    ),
    (
        "PEER_NOT_ALLOWED",
        "needs the identities of a mesh: services/chassis/tests/it",
    ),
    (
        "SCOPE_REQUIRED",
        "no method asks for a scope yet: gateway/src/filters/access.rs",
    ),
];

#[test]
fn each_method_is_called_over_grpc() {
    let sources = Sources::read();
    let untried: Vec<String> = methods()
        .iter()
        .filter(|method| !sources.call_method(&snake_case(method.name())))
        .map(|method| method.full_name().to_owned())
        .collect();
    assert_eq!(
        untried, [""; 0],
        "no test in tests/e2e calls these over gRPC"
    );
}

#[test]
fn each_http_binding_is_called() {
    let sources = Sources::read();
    let mut untried = Vec::new();
    for method in methods() {
        let rule = http::of(&method);
        let more = rule.iter().flat_map(|rule| &rule.additional_bindings);
        for rule in rule.iter().chain(more) {
            let (verb, template) = binding(rule);
            if !sources.call_path(verb, template) {
                untried.push(format!("{}: {verb} {template}", method.full_name()));
            }
        }
    }
    assert_eq!(
        untried, [""; 0],
        "no test in tests/e2e calls these over HTTP"
    );
}

#[test]
fn each_reason_is_provoked_or_held_elsewhere() {
    let sources = Sources::read();
    let elsewhere = BTreeSet::from(ELSEWHERE.map(|(reason, _)| reason));
    let reasons = grimoire_proto::descriptors().get_enum_by_name("grimoire.errors.v1.Reason");
    let reasons = reasons.expect("the enum of reasons");
    let known: Vec<&str> = reasons
        .values()
        .filter_map(|value| Reason::try_from(value.number()).ok())
        .map(Reason::name)
        .collect();
    let wrong: Vec<&str> = known
        .iter()
        .copied()
        // Neither, or a line of the table that has had its day.
        .filter(|reason| sources.name(reason) == elsewhere.contains(reason))
        .collect();
    assert_eq!(
        wrong, [""; 0],
        "named in no test of tests/e2e, or also in the table"
    );
    let gone = elsewhere.iter().filter(|reason| !known.contains(reason));
    assert_eq!(gone.count(), 0, "a reason of the table is none");
}

fn binding(rule: &HttpRule) -> (&str, &str) {
    match rule.pattern.as_ref().expect("a method and a path") {
        Pattern::Get(path) => ("get", path.as_str()),
        Pattern::Put(path) => ("put", path.as_str()),
        Pattern::Post(path) => ("post", path.as_str()),
        Pattern::Delete(path) => ("delete", path.as_str()),
        Pattern::Patch(path) => ("patch", path.as_str()),
        Pattern::Custom(custom) => (custom.kind.as_str(), custom.path.as_str()),
    }
}

/// `GetProfile` as clients in Rust call it: `get_profile`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
