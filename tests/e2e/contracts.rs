//! What the contracts promise is tried end to end: each method over gRPC and over HTTP, each option of a method, and each reason for which a
//! call can fail.

mod sources;

use std::collections::BTreeSet;

use grimoire_proto::Reason;
use grimoire_proto::access;
use grimoire_proto::http::{self, HttpRule, Pattern};

use crate::grpc::methods;
use sources::Sources;

/// Reasons that no test here can provoke, and where they are held instead.
const ELSEWHERE: [(&str, &str); 3] = [
    ("UNSPECIFIED", "is never sent"),
    (
        "INTERNAL",
        "nothing that a client sends leads there: gateway/tests/it and services/chassis/tests/it break something",
    ),
    (
        "SCOPE_REQUIRED",
        "no method asks for a scope yet: gateway/src/filters/access.rs",
    ),
];

/// The levels of access, and the other options of a method, each with the test that tries it for every method that has it.
const OPTIONS: [(&str, &str); 10] = [
    (
        "LEVEL_PUBLIC",
        "a_token_makes_no_difference_to_a_method_for_everybody",
    ),
    (
        "LEVEL_SIGNED_IN",
        "a_method_for_people_who_are_signed_in_needs_a_token",
    ),
    (
        "LEVEL_MESH",
        "methods_for_other_processes_do_not_exist_at_the_gateway",
    ),
    ("roles", "a_method_for_a_role_needs_it"),
    ("owner", "what_belongs_to_another_person_does_not_exist"),
    (
        "callers",
        "in_a_mesh_a_method_is_open_to_those_whom_the_contract_names",
    ),
    (
        "recent_login",
        "who_proved_long_ago_who_they_are_proves_it_again_where_that_is_asked",
    ),
    (
        "limit_class",
        "a_method_of_a_limit_class_has_the_budget_of_its_class",
    ),
    (
        "max_body_bytes",
        "a_body_over_the_bound_of_its_method_is_refused",
    ),
    (
        "fresh_trust",
        "while_revocations_may_be_missing_what_does_not_go_without_them_is_refused",
    ),
];

/// Options that no test here can try, and where they are held instead.
const OPTIONS_ELSEWHERE: [(&str, &str); 2] = [
    (
        "scopes",
        "no method has one yet: gateway/src/filters/access.rs",
    ),
    (
        "deadline_ms",
        "would take as long: gateway/src/plan/tests.rs, and life.rs for the deadline that the others have",
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

#[test]
fn each_option_of_a_method_is_tried_or_held_elsewhere() {
    let sources = Sources::read();
    let contracts = grimoire_proto::descriptors();
    let levels = contracts.get_enum_by_name("grimoire.options.v1.Level");
    let levels = levels.expect("the enum of levels");
    let mut options: Vec<String> = levels
        .values()
        .filter(|level| level.number() != 0)
        .map(|level| level.name().to_owned())
        .collect();
    for message in ["Access", "Edge"] {
        let message = contracts.get_message_by_name(&format!("grimoire.options.v1.{message}"));
        let message = message.expect("an option of methods");
        let fields = message.fields().map(|field| field.name().to_owned());
        options.extend(fields.filter(|field| field != "level"));
    }
    options.sort_unstable();
    let tried = OPTIONS.iter().map(|(option, _)| (*option).to_owned());
    let elsewhere = OPTIONS_ELSEWHERE.iter();
    let elsewhere = elsewhere.map(|(option, _)| (*option).to_owned());
    let mut listed: Vec<String> = tried.chain(elsewhere).collect();
    listed.sort_unstable();
    assert_eq!(listed, options, "in neither table, in both, or no option");

    for (option, test) in OPTIONS {
        assert!(sources.have_test(test), "{option}: there is no test {test}");
    }
    let scoped = methods().into_iter().filter(|method| {
        let access = access::of(method).expect("an access option");
        !access.scopes.is_empty()
    });
    assert_eq!(scoped.count(), 0, "a scope can be tried now: try it");
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
