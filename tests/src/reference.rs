//! docs/reference.md: every method and every reason, from the description of the API and, for what is between processes, from the
//! contracts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use grimoire_proto::access::{self, Level};
use grimoire_proto::{descriptors, failures};
use serde_json::Value;

use crate::api;

/// The text of docs/reference.md.
pub fn reference() -> String {
    let document = api::document();
    let operations = operations(document);
    let everywhere = of_every(&operations);
    let mut text = INTRODUCTION.to_owned();
    let _ = writeln!(text, "\n{EVERY_CALL}: {}.", listed(&everywhere));
    for tag in items(&document["tags"]) {
        let name = string(&tag["name"]);
        let _ = writeln!(text, "\n## {name}\n{}", string(&tag["description"]));
        for operation in operations.values().filter(|one| one.service == name) {
            operation.write(&everywhere, &mut text);
        }
    }
    between_processes(&mut text);
    text.push_str(REASONS);
    for reason in items(&document["components"]["schemas"]["Reason"]["oneOf"]) {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            string(&reason["const"]),
            reason["x-http-status"],
            string(&reason["x-grpc-code"]),
            string(&reason["description"]).replace('|', "\\|")
        );
    }
    text
}

/// An operation with what it is found by.
struct Operation<'a> {
    verb: String,
    path: &'a str,
    service: &'a str,
    described: &'a Value,
}

/// By their ids.
fn operations(document: &Value) -> BTreeMap<&str, Operation<'_>> {
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (verb, described) in item.as_object().expect("operations") {
            let operation = Operation {
                verb: verb.to_uppercase(),
                path,
                service: string(&described["tags"][0]),
                described,
            };
            operations.insert(string(&described["operationId"]), operation);
        }
    }
    operations
}

impl<'a> Operation<'a> {
    /// Names of the reasons for which it may fail.
    fn reasons(&self) -> BTreeSet<&'a str> {
        let answers = self.described["responses"].as_object().expect("answers");
        let examples = answers.values().filter_map(|answer| {
            answer["content"]["application/problem+json"]["examples"].as_object()
        });
        examples
            .flat_map(|examples| examples.keys().map(String::as_str))
            .collect()
    }

    fn write(&self, everywhere: &BTreeSet<&str>, text: &mut String) {
        let described = self.described;
        let terms = &described["x-grimoire"];
        let (_, name) = string(&terms["rpc"]).split_once('/').expect("a name");
        let _ = writeln!(
            text,
            "\n### {name}\n`{} {}`\n\n{}",
            self.verb,
            self.path,
            string(&described["description"])
        );
        let body = match terms["maxBodyBytes"].as_u64() {
            None | Some(0) => "no body".to_owned(),
            Some(bytes) => format!("a body of at most {bytes} bytes"),
        };
        let again = match terms["idempotent"].as_bool() {
            Some(true) => "a second try does no harm",
            _ => "a second try may do the same again",
        };
        let deadline = &terms["deadlineMilliseconds"];
        let _ = writeln!(text, "- **Call**: {body}, {deadline} ms; {again}.");
        let reasons = self.reasons();
        let own: BTreeSet<&str> = reasons.difference(everywhere).copied().collect();
        if !own.is_empty() {
            let _ = writeln!(text, "- **Fails with**: {}.", listed(&own));
        }
    }
}

/// The reasons that all have.
fn of_every<'a>(operations: &BTreeMap<&str, Operation<'a>>) -> BTreeSet<&'a str> {
    let mut sets = operations.values().map(Operation::reasons);
    let first = sets.next().unwrap_or_default();
    sets.fold(first, |common, reasons| {
        common.intersection(&reasons).copied().collect()
    })
}

fn between_processes(text: &mut String) {
    text.push_str(BETWEEN);
    let methods = descriptors()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut rows = BTreeMap::new();
    for method in methods {
        let access = access::of(&method).expect("an access option");
        if access.level() == Level::Mesh {
            let failures = failures::of(&method);
            let reasons = failures.iter().map(|reason| reason.name()).collect();
            let row = format!("{} | {}", access.callers.join(", "), listed(&reasons));
            rows.insert(method.full_name().to_owned(), row);
        }
    }
    for (name, row) in rows {
        let _ = writeln!(text, "| `{name}` | {row} |");
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    let names = names.iter().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

const INTRODUCTION: &str = "\
# Reference

Every method that clients may call, every method between processes, and every reason for which a call fails. This page is made from the contracts in
[proto/](../proto/README.md): `./dev prepare` renews it, and a test compares. Messages and their fields are in the same description of the API that it is
made from: `/openapi.json` of a running gateway for programs, `/docs` for people.

Limits are named here; the gateway's [configuration](configuration.md) says how much each allows. Bodies and deadlines are those of a gateway with its defaults.
";

const EVERY_CALL: &str = "Any call may fail with";

const BETWEEN: &str = "
## Between processes
No client reaches these. A mesh lets the callers in that are named here.

| method | callers | fails in ways of its own with |
| --- | --- | --- |
";

const REASONS: &str = "
## Reasons
Over REST a reason is `reason` of a problem document with the status of the table; over gRPC it is `google.rpc.ErrorInfo.reason` of a status with the code.

| reason | HTTP | gRPC | means |
| --- | --- | --- | --- |
";
