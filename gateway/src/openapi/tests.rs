use std::collections::BTreeSet;

use clap::Parser as _;
use grimoire_proto::{Reason, descriptors, http};
use prost_reflect::DynamicMessage;

use super::*;
use crate::config::Config;
use crate::contracts::Contracts;
use crate::limits::Limits;

fn plan() -> Plan {
    let config = Config::parse_from(["gateway", "--upstreams", "auth=http://127.0.0.1:1"]);
    let limits = Limits::for_tests();
    Plan::compile(
        &Contracts::compiled_in(descriptors()),
        &config.bounds,
        &limits,
        true,
    )
    .unwrap()
}

fn operation<'a>(document: &'a Value, verb: &str, path: &str) -> &'a Value {
    let operation = &document["paths"][path][verb];
    assert!(operation.is_object(), "{verb} {path} is not described");
    operation
}

/// Every object of a document, with its path.
fn objects(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            found.push((path.to_owned(), value.clone()));
            for (name, member) in members {
                objects(member, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                objects(value, &format!("{path}/{at}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_route_of_the_plan_is_described_and_no_other() {
    let plan = plan();
    let document = document(&plan);
    let mut described = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            let rpc = operation["x-grimoire"]["rpc"].as_str().unwrap();
            described.insert((rpc.to_owned(), verb.to_uppercase(), path.clone()));
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
        }
    }
    let routed: BTreeSet<_> = plan
        .bindings()
        .iter()
        .map(|(verb, binding)| {
            let path = operation::path(&binding.template);
            (binding.route.name.clone(), verb.to_string(), path)
        })
        .collect();
    assert_eq!(described, routed);
    let bound = descriptors()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter_map(|method| http::of(&method))
        .map(|rule| 1 + rule.additional_bindings.len());
    assert_eq!(routed.len(), bound.sum::<usize>());
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_referred_to() {
    let document = document(&plan());
    let mut all = Vec::new();
    objects(&document, "", &mut all);
    let mut used = BTreeSet::new();
    for (path, object) in &all {
        let Some(target) = object.get("$ref").and_then(Value::as_str) else {
            continue;
        };
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{path}: {target}");
        used.insert(pointer.to_owned());
    }
    for kind in ["schemas", "examples", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let pointer = format!("/components/{kind}/{name}");
            // Reasons that nobody outside is given are still reasons of the contracts.
            let reason = name.trim_start_matches("Problem.");
            assert!(
                used.contains(&pointer) || Reason::from_name(reason).is_some(),
                "{pointer}"
            );
        }
    }
}

#[test]
fn every_reason_has_its_schema_and_an_example_that_is_its_problem() {
    let document = document(&plan());
    let components = &document["components"];
    let known = components["schemas"]["Reason"]["oneOf"].as_array().unwrap();
    let reasons = descriptors()
        .get_enum_by_name("grimoire.errors.v1.Reason")
        .unwrap();
    assert_eq!(known.len() + 1, reasons.values().len());
    for value in reasons.values().skip(1) {
        let reason = Reason::try_from(value.number()).unwrap();
        let name = reason.name();
        let schema = &components["schemas"][format!("Problem.{name}")];
        assert!(schema["description"].as_str().unwrap().ends_with('.'));
        let example = &components["examples"][name]["value"];
        for (member, said) in schema["properties"].as_object().unwrap() {
            assert_eq!(example[member], said["const"], "{name}: {member}");
        }
        for member in components["schemas"]["Problem"]["required"]
            .as_array()
            .unwrap()
        {
            assert!(!example[member.as_str().unwrap()].is_null(), "{name}");
        }
    }
}

#[test]
fn the_examples_of_fields_are_read_as_their_messages() {
    let document = document(&plan());
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut tried = 0;
    for message in descriptors().all_messages() {
        let name = message.full_name().trim_start_matches("grimoire.");
        let of_body = format!("{name}Input");
        for name in [name, of_body.as_str()] {
            let Some(properties) = schemas.get(name).map(|schema| &schema["properties"]) else {
                continue;
            };
            let examples: Map<String, Value> = properties
                .as_object()
                .unwrap()
                .iter()
                .filter_map(|(field, schema)| {
                    Some((field.clone(), schema.get("examples")?[0].clone()))
                })
                .collect();
            tried += examples.len();
            DynamicMessage::deserialize(message.clone(), &Value::Object(examples))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    assert!(tried > 4, "{tried}");
}

#[test]
fn what_the_contract_of_a_method_says_is_in_its_operation() {
    let document = document(&plan());
    let login = operation(&document, "post", "/v1/sessions:login");
    assert_eq!(login["operationId"], "SessionService_Login");
    assert_eq!(login["tags"], json!(["SessionService"]));
    assert_eq!(login["summary"], "Signs in");
    assert_eq!(login["security"], json!([{}, {"bearer": []}]));
    assert_eq!(
        login["x-grimoire"]["limits"],
        json!(["address", "credentials"])
    );
    let reasons = &login["responses"]["401"]["content"]["application/problem+json"]["examples"];
    let reasons: Vec<&String> = reasons.as_object().unwrap().keys().collect();
    assert_eq!(reasons, ["INVALID_CREDENTIALS"]);
    let change = operation(&document, "post", "/v1/accounts/{account}:changePassword");
    assert_eq!(change["security"], json!([{"bearer": []}]));
    assert_eq!(change["x-recent-login"], true);
    assert_eq!(change["parameters"][0]["name"], "account");
    assert_eq!(change["parameters"][0]["example"], "me");
    let body = &change["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["required"], json!(["newPassword"]));
    assert_eq!(body["additionalProperties"], false);
    let audit = operation(&document, "get", "/v1/admin/auditRecords");
    assert!(audit["responses"]["403"].is_object());
    assert!(login["responses"]["403"].is_null());
}

#[test]
fn an_answer_that_is_a_stream_is_described_by_its_lines() {
    let document = document(&plan());
    let export = operation(&document, "post", "/v1/accounts/{account}:export");
    let content = export["responses"]["200"]["content"].as_object().unwrap();
    let kinds: Vec<&String> = content.keys().collect();
    assert_eq!(kinds, ["application/x-ndjson"]);
    let line = &content["application/x-ndjson"]["schema"]["$ref"];
    assert_eq!(line, "#/components/schemas/auth.v1.ExportAccountResponse");
    assert_eq!(export["x-grimoire"]["deadlineMilliseconds"], 60_000);
    let record = &document["components"]["schemas"]["auth.v1.ExportAccountResponse"];
    assert!(record.get("required").is_none(), "it has one of its fields");
}

#[test]
fn what_is_neither_in_the_path_nor_in_the_body_is_in_the_query() {
    let document = document(&plan());
    let names = |operation: &Value| -> Vec<String> {
        let parameters = operation["parameters"].as_array().unwrap();
        let named = parameters.iter().map(|parameter| {
            let text = |member: &str| parameter[member].as_str().unwrap().to_owned();
            format!("{} {}", text("in"), text("name"))
        });
        named.collect()
    };
    let list = operation(&document, "get", "/v1/users/{user}/activities");
    assert_eq!(
        names(list),
        [
            "path user",
            "query type",
            "query pageSize",
            "query pageToken"
        ]
    );
    assert_eq!(list["parameters"][2]["schema"]["minimum"], 0);
    let update = operation(&document, "patch", "/v1/users/{user}");
    assert_eq!(names(update), ["path user", "query updateMask"]);
    let login = operation(&document, "post", "/v1/sessions:login");
    assert!(names(login).is_empty());
}

#[test]
fn a_message_reads_in_more_ways_than_it_is_written() {
    let document = document(&plan());
    let schemas = &document["components"]["schemas"];
    let (written, read) = (
        &schemas["user.v1.Preferences"],
        &schemas["user.v1.PreferencesInput"],
    );
    assert_eq!(
        written["required"],
        json!(["theme", "labels", "etag"]),
        "messages are left out where they are not set"
    );
    assert!(read.get("required").is_none());
    let theme = |schema: &Value| schema["properties"]["theme"].clone();
    assert_eq!(theme(written)["$ref"], "#/components/schemas/user.v1.Theme");
    assert_eq!(theme(read)["anyOf"].as_array().unwrap().len(), 3);
    let labels = &read["properties"]["labels"];
    assert_eq!(labels["additionalProperties"], json!({"type": "string"}));
    assert_eq!(labels["type"], json!(["object", "null"]));
    let time = &written["properties"]["updateTime"];
    assert_eq!(
        (&time["format"], &time["readOnly"]),
        (&json!("date-time"), &json!(true))
    );
}
