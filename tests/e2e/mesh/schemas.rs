//! Resources of Linkerd, of the Gateway API and of operators against the definitions in the folder that MESH_CRDS names. The schema alone:
//! rules in CEL are left to the cluster.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::documents::{items, text, title};
use super::overlays::{self, parse};

#[test]
fn resources_fit_the_definitions_of_a_cluster() {
    let Some(folder) = std::env::var_os("MESH_CRDS") else {
        eprintln!(
            "resources of Linkerd and of the Gateway API were not held against their definitions: set MESH_CRDS to a folder of those \
             (linkerd install --crds, the bundle of the Gateway API)"
        );
        return;
    };
    let definitions = definitions(Path::new(&folder));
    assert!(!definitions.is_empty(), "MESH_CRDS has no definitions");
    for overlay in overlays::all() {
        let mut wrong = Vec::new();
        for document in overlay.documents().all() {
            if let Some(schema) = definitions.get(&of(document)) {
                let found = differences(document, schema);
                wrong.extend(
                    found
                        .into_iter()
                        .map(|one| format!("{}{one}", title(document))),
                );
            }
        }
        assert_eq!(wrong, [""; 0], "{}", overlay.name);
    }
}

#[test]
fn a_field_that_a_schema_lacks_and_a_value_that_it_does_not_take_are_found() {
    let schema = parse(SCHEMA).remove(0);
    let wrong = |document: &str| differences(&parse(document).remove(0), &schema);
    assert_eq!(wrong("{spec: {port: 80, kind: a}}"), [""; 0]);
    assert_eq!(wrong("{spec: {port: http, list: [1]}}"), [""; 0]);
    for (document, expected) in [
        (
            "{spec: {prot: 80, port: 1}}",
            "/spec/prot: there is no such field",
        ),
        ("{spec: {}}", "/spec: port is missing"),
        (
            "{spec: {port: 1, kind: c}}",
            "/spec/kind: \"c\" is not one of [\"a\",\"b\"]",
        ),
        ("{spec: {port: 1, kind: 1}}", "/spec/kind: 1 is no string"),
        (
            "{spec: {port: 1, list: [x]}}",
            "/spec/list/0: \"x\" is no integer",
        ),
        (
            "{spec: {port: 1, list: [1, 2]}}",
            "/spec/list: it has 2 entries",
        ),
        (
            "{spec: {port: true}}",
            "/spec/port: true is neither a number nor a text",
        ),
    ] {
        assert_eq!(wrong(document), [expected]);
    }
}

const SCHEMA: &str = "
type: object
properties:
  spec:
    type: object
    required: [port]
    properties:
      port: {x-kubernetes-int-or-string: true}
      kind: {type: string, enum: [a, b]}
      list: {type: array, maxItems: 1, items: {type: integer}}
";

/// Group, version and kind.
fn of(document: &Value) -> (String, String) {
    (
        text(document, "/apiVersion").to_owned(),
        text(document, "/kind").to_owned(),
    )
}

/// The schemas of all definitions of a folder.
fn definitions(folder: &Path) -> BTreeMap<(String, String), Value> {
    let mut schemas = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder of MESH_CRDS") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let content = fs::read_to_string(&path).expect("text");
        for definition in parse(&content) {
            let group = text(&definition, "/spec/group");
            for version in items(&definition, "/spec/versions") {
                let version_of_group = format!("{group}/{}", text(version, "/name"));
                let kind = text(&definition, "/spec/names/kind").to_owned();
                let schema = version["schema"]["openAPIV3Schema"].clone();
                schemas.insert((version_of_group, kind), schema);
            }
        }
    }
    schemas
}

/// What is wrong, each with a JSON pointer to it.
fn differences(value: &Value, schema: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    compare(value, schema, "", &mut wrong);
    wrong
}

fn compare(value: &Value, schema: &Value, place: &str, wrong: &mut Vec<String>) {
    if schema["x-kubernetes-int-or-string"] == true {
        if !value.is_string() && !value.is_i64() {
            wrong.push(format!("{place}: {value} is neither a number nor a text"));
        }
        return;
    }
    let kind = text(schema, "/type");
    let fits = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        _ => true,
    };
    if !fits {
        wrong.push(format!("{place}: {value} is no {kind}"));
        return;
    }
    if let Some(known) = schema["enum"]
        .as_array()
        .filter(|known| !known.contains(value))
    {
        wrong.push(format!(
            "{place}: {value} is not one of {}",
            Value::from(known.clone())
        ));
    }
    match value {
        Value::Object(_) => object(value, schema, place, wrong),
        Value::Array(entries) => {
            let bound = |name: &str| {
                schema[name]
                    .as_u64()
                    .and_then(|bound| usize::try_from(bound).ok())
            };
            let few = bound("minItems").is_some_and(|least| entries.len() < least);
            let many = bound("maxItems").is_some_and(|most| entries.len() > most);
            if few || many {
                wrong.push(format!("{place}: it has {} entries", entries.len()));
            }
            for (index, entry) in entries.iter().enumerate() {
                compare(entry, &schema["items"], &format!("{place}/{index}"), wrong);
            }
        }
        _ => {}
    }
}

fn object(value: &Value, schema: &Value, place: &str, wrong: &mut Vec<String>) {
    for name in items(schema, "/required") {
        let name = name.as_str().unwrap_or_default();
        if value[name].is_null() {
            wrong.push(format!("{place}: {name} is missing"));
        }
    }
    let known = &schema["properties"];
    let more = &schema["additionalProperties"];
    let preserved = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let open = known.is_null() || preserved || *more == true;
    for (name, field) in value.as_object().into_iter().flatten() {
        let place = format!("{place}/{name}");
        match &known[name] {
            // The API server looks at these itself.
            _ if ["/apiVersion", "/kind", "/metadata"].contains(&place.as_str()) => {}
            Value::Null if more.is_object() => compare(field, more, &place, wrong),
            Value::Null if open => {}
            Value::Null => wrong.push(format!("{place}: there is no such field")),
            schema => compare(field, schema, &place, wrong),
        }
    }
}
