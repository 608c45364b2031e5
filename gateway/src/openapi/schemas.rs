//! Messages as JSON Schema, exactly as protobuf's JSON mapping reads and writes them. A message has a schema for answers, and one for bodies
//! where requests have it: what is written is one way of what is read.

use grimoire_proto::google::api::FieldBehavior;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{comments, reference};
use crate::transcode::has_behavior;

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the body of a request.
    Body,
    /// In the path or the query.
    Parameter,
    /// In an answer.
    Answer,
}

/// The schemas of messages and enums that were asked for, by their names as components.
#[derive(Default)]
pub(super) struct Schemas(Map<String, Value>);

impl Schemas {
    pub(super) fn into_described(self) -> Map<String, Value> {
        self.0
    }

    /// The schema of a message: a reference, but for well-known types, which are one value.
    pub(super) fn message(&mut self, message: &MessageDescriptor, place: Place) -> Value {
        if let Some(schema) = well_known(message, place) {
            return schema;
        }
        let mut name = component(message.full_name());
        if place != Place::Answer && !name.ends_with("Request") {
            name.push_str("Input");
        }
        if !self.0.contains_key(&name) {
            // Before its fields, which may lead back to it.
            self.0.insert(name.clone(), Value::Null);
            let schema = self.object(message, place, &[]);
            self.0.insert(name.clone(), schema);
        }
        reference("schemas", &name)
    }

    /// The schema of a message without some of its fields.
    pub(super) fn object(
        &mut self,
        message: &MessageDescriptor,
        place: Place,
        without: &[FieldDescriptor],
    ) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !without.contains(field)) {
            let name = field.json_name().to_owned();
            // Answers have every scalar and list, also empty ones.
            let needed = match place {
                Place::Answer => !field.supports_presence(),
                _ => has_behavior(&field, FieldBehavior::Required),
            };
            if needed {
                required.push(name.clone());
            }
            properties.insert(name, self.property(&field, place));
        }
        let mut schema = json!({
            "type": "object",
            "description": comments::of(&message.parent_file(), message.path()),
            "properties": properties,
        });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if place == Place::Body {
            schema["additionalProperties"] = json!(false);
        }
        schema
    }

    fn property(&mut self, field: &FieldDescriptor, place: Place) -> Value {
        let mut schema = self.value(field, place);
        if place == Place::Body {
            if has_behavior(field, FieldBehavior::Required) {
                not_empty(field, &mut schema);
            } else {
                schema = or_null(schema);
            }
        }
        let comment = comments::of(&field.parent_file(), field.path());
        if matches!(field.kind(), Kind::String)
            && let Some(example) = comments::example(&comment)
        {
            schema["examples"] = if field.is_list() {
                json!([[example]])
            } else {
                json!([example])
            };
        }
        schema["description"] = json!(comment);
        if has_behavior(field, FieldBehavior::OutputOnly) {
            schema["readOnly"] = json!(true);
        }
        schema
    }

    /// The schema of what a field holds, without what is said about the field.
    pub(super) fn value(&mut self, field: &FieldDescriptor, place: Place) -> Value {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let values = self.single(&entry.map_entry_value_field().kind(), place);
                json!({"type": "object", "additionalProperties": values})
            }
            kind if field.is_list() => {
                let items = self.single(&kind, place);
                json!({"type": "array", "items": items})
            }
            kind => self.single(&kind, place),
        }
    }

    fn single(&mut self, kind: &Kind, place: Place) -> Value {
        match kind {
            Kind::Message(message) => self.message(message, place),
            Kind::Enum(values) => self.names(values, place),
            kind => scalar(kind, place),
        }
    }

    /// An enum is written by name. It is read by number, too.
    fn names(&mut self, values: &EnumDescriptor, place: Place) -> Value {
        let component = component(values.full_name());
        let names: Vec<String> = values
            .values()
            .map(|value| value.name().to_owned())
            .collect();
        let numbers: Vec<i32> = values.values().map(|value| value.number()).collect();
        let mut description = comments::of(&values.parent_file(), values.path());
        for value in values.values() {
            let comment = comments::of(&value.parent_file(), value.path());
            description.push_str(&format!("\n- `{}`: {comment}", value.name()));
        }
        let schema = json!({"type": "string", "enum": names, "description": description});
        self.0.insert(component.clone(), schema);
        let by_name = reference("schemas", &component);
        if place == Place::Answer {
            return by_name;
        }
        json!({"anyOf": [by_name, {"type": "integer", "enum": numbers}]})
    }
}

/// A value that is required may not be empty either.
pub(super) fn not_empty(field: &FieldDescriptor, schema: &mut Value) {
    if matches!(field.kind(), Kind::String) && !field.is_list() {
        schema["minLength"] = json!(1);
    }
}

/// Null stands for a field that is not there.
fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema["type"].as_str().map(str::to_owned) {
        schema["type"] = json!([kind, "null"]);
        return schema;
    }
    for several in ["type", "anyOf"] {
        if let Some(alternatives) = schema.get_mut(several).and_then(Value::as_array_mut) {
            alternatives.push(if several == "type" {
                json!("null")
            } else {
                json!({"type": "null"})
            });
            return schema;
        }
    }
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// `grimoire.user.v1.Profile` is the component `user.v1.Profile`.
fn component(full_name: &str) -> String {
    let name = full_name.strip_prefix("grimoire.").unwrap_or(full_name);
    name.to_owned()
}

/// Types of google.protobuf whose JSON is not an object of their fields.
fn well_known(message: &MessageDescriptor, place: Place) -> Option<Value> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    Some(match name {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"}),
        "FieldMask" => json!({"type": "string"}),
        "Struct" | "Any" | "Empty" => json!({"type": "object"}),
        "ListValue" => json!({"type": "array"}),
        "Value" => json!({}),
        "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
        | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => {
            or_null(scalar(&message.get_field_by_name("value")?.kind(), place))
        }
        _ => return None,
    })
}

fn scalar(kind: &Kind, place: Place) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::String => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Double => real("double"),
        Kind::Float => real("float"),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            small("int32", i32::MIN.into(), i32::MAX.into(), place)
        }
        Kind::Uint32 | Kind::Fixed32 => small("uint32", 0, u32::MAX.into(), place),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => large("int64", "^-?[0-9]+$", place),
        Kind::Uint64 | Kind::Fixed64 => large("uint64", "^[0-9]+$", place),
        Kind::Message(_) | Kind::Enum(_) => json!({}),
    }
}

fn real(format: &str) -> Value {
    let words = ["NaN", "Infinity", "-Infinity"];
    json!({"anyOf": [{"type": "number", "format": format}, {"type": "string", "enum": words}]})
}

/// A number that is written as one. In a body it may be a string.
fn small(format: &str, minimum: i64, maximum: i64, place: Place) -> Value {
    let mut schema =
        json!({"type": "integer", "format": format, "minimum": minimum, "maximum": maximum});
    if place == Place::Body {
        schema["type"] = json!(["integer", "string"]);
        schema["pattern"] = json!("^-?[0-9]+$");
    }
    schema
}

/// A number that is written as a string, because many programs read numbers of JSON with 53 bits. In a body it may be a number.
fn large(format: &str, pattern: &str, place: Place) -> Value {
    let mut schema = json!({"type": "string", "format": format, "pattern": pattern});
    if place == Place::Body {
        schema["type"] = json!(["string", "integer"]);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_one_way_and_read_in_two() {
        assert_eq!(
            scalar(&Kind::Int64, Place::Answer),
            json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"})
        );
        assert_eq!(
            scalar(&Kind::Int64, Place::Body)["type"],
            json!(["string", "integer"])
        );
        assert_eq!(scalar(&Kind::Int32, Place::Answer)["type"], "integer");
        assert_eq!(
            scalar(&Kind::Uint32, Place::Body)["type"],
            json!(["integer", "string"])
        );
    }

    #[test]
    fn null_is_one_more_of_the_values_that_may_be() {
        assert_eq!(
            or_null(json!({"type": "string"}))["type"],
            json!(["string", "null"])
        );
        assert_eq!(
            or_null(json!({"type": ["string", "integer"]}))["type"],
            json!(["string", "integer", "null"])
        );
        assert_eq!(
            or_null(json!({"anyOf": [{"$ref": "#/a"}]})),
            json!({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]})
        );
        assert_eq!(
            or_null(json!({"$ref": "#/a"})),
            json!({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]})
        );
    }
}
