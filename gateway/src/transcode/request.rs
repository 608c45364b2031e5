//! A request as a protobuf message. Path, query and body become one JSON object, which is read as the input message: so each
//! value is read by the same rules, wherever it stood.

use bytes::Bytes;
use grimoire_proto::Reason;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, map::Entry};

use super::{json, mask, percent, violations};
use crate::plan::{Binding, Body};
use crate::problem::Problem;

/// What a request consists of.
pub(crate) struct Parts<'a> {
    /// The path as it was sent, which the binding was found by.
    pub(crate) path: &'a str,
    /// What follows the question mark.
    pub(crate) query: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// Encodes a request.
pub(crate) fn encode(binding: &Binding, parts: &Parts<'_>) -> Result<Bytes, Box<Problem>> {
    let mut object = Map::new();
    let mut derived = None;
    match &binding.body {
        Body::None if parts.body.is_empty() => {}
        Body::None => return Err(takes_no_body()),
        Body::Whole => object = whole(parts.body)?,
        Body::Field(field) => {
            let body = if parts.body.is_empty() {
                Value::Object(Map::new())
            } else {
                json::parse(parts.body)?
            };
            if let (Some(_), Kind::Message(message)) = (&binding.mask, field.kind()) {
                derived = Some(mask::derive(&message, &body));
            }
            object.insert(field.json_name().to_owned(), body);
        }
    }
    for (name, value) in pairs(parts.query) {
        parameter(binding, &mut object, name, value)?;
    }
    variables(binding, &mut object, parts.path)?;
    violations::refuse_fields_named_twice(binding, &object)?;

    let object = Value::Object(object);
    let mut message = match DynamicMessage::deserialize(binding.input.clone(), &object) {
        Ok(message) => message,
        Err(error) => return Err(violations::explain(binding, &object, &error)),
    };
    if let (Some(mask), Some(paths)) = (&binding.mask, derived) {
        mask::complete(&mut message, mask, &binding.body, paths)?;
    }
    Ok(Bytes::from(message.encode_to_vec()))
}

/// The refusal of any body where the contract has none.
pub(crate) fn takes_no_body() -> Box<Problem> {
    Problem::new(Reason::MalformedRequest, "this method takes no body")
}

fn whole(body: &[u8]) -> Result<Map<String, Value>, Box<Problem>> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match json::parse(body)? {
        Value::Object(object) => Ok(object),
        _ => Err(Problem::new(
            Reason::InvalidField,
            "the body must be a JSON object",
        )),
    }
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Puts one query parameter into the object: a field that is bound neither to the path nor to the body, nested by dots.
fn parameter(
    binding: &Binding,
    object: &mut Map<String, Value>,
    name: &str,
    value: &str,
) -> Result<(), Box<Problem>> {
    let malformed = || {
        Problem::field(
            Reason::InvalidField,
            name,
            "is not well-formed percent-encoded UTF-8",
        )
    };
    let name = percent::decode_query(name).ok_or_else(malformed)?;
    let value = percent::decode_query(value).ok_or_else(malformed)?;
    let unknown = || {
        Problem::field(
            Reason::UnknownField,
            &*name,
            "is not a parameter of this method",
        )
    };
    let fields = parameter_fields(binding, &name).ok_or_else(unknown)?;
    let Some((leaf, parents)) = fields.split_last() else {
        return Err(unknown());
    };
    let value = leaf_value(leaf, &value);
    let holder = holder(object, parents).ok_or_else(unknown)?;
    match holder.entry(leaf.json_name()) {
        Entry::Vacant(entry) => {
            entry.insert(if leaf.is_list() {
                Value::Array(vec![value])
            } else {
                value
            });
        }
        Entry::Occupied(mut entry) => match entry.get_mut() {
            Value::Array(values) if leaf.is_list() => values.push(value),
            _ => {
                return Err(Problem::field(
                    Reason::InvalidField,
                    &*name,
                    "is there more than once",
                ));
            }
        },
    }
    Ok(())
}

fn parameter_fields(binding: &Binding, name: &str) -> Option<Vec<FieldDescriptor>> {
    if matches!(binding.body, Body::Whole) {
        return None;
    }
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    let mut message = Some(binding.input.clone());
    for part in name.split('.') {
        let field = violations::field_of(&message?, part)?;
        if field.is_map() || (field.is_list() && is_group(&field).is_some()) {
            return None;
        }
        message = is_group(&field).filter(|_| !field.is_list());
        fields.push(field);
    }
    let first = fields.first()?;
    let in_body = matches!(&binding.body, Body::Field(body) if body == first);
    let in_path = binding
        .variables
        .iter()
        .any(|variable| variable.fields == fields);
    (message.is_none() && !in_body && !in_path).then_some(fields)
}

/// The message of a field whose JSON is an object of its fields: not a well-known type that is one string or number.
pub(crate) fn is_group(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(message) = field.kind() else {
        return None;
    };
    (!message.full_name().starts_with("google.protobuf.")).then_some(message)
}

/// Puts the variables of the path into the object. The path has the last word.
fn variables(
    binding: &Binding,
    object: &mut Map<String, Value>,
    path: &str,
) -> Result<(), Box<Problem>> {
    if binding.variables.is_empty() {
        return Ok(());
    }
    let verb = if binding.verb.is_empty() {
        0
    } else {
        binding.verb.len() + 1
    };
    let path = path
        .get(1..path.len().saturating_sub(verb))
        .unwrap_or_default();
    for variable in &binding.variables {
        let Some((leaf, parents)) = variable.fields.split_last() else {
            continue;
        };
        let mut text = String::new();
        for segment in path.split('/').take(variable.end).skip(variable.first) {
            let malformed = || {
                Problem::field(
                    Reason::InvalidField,
                    leaf.json_name(),
                    "is not well-formed percent-encoded UTF-8",
                )
            };
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(&percent::decode(segment).ok_or_else(malformed)?);
        }
        let value = leaf_value(leaf, &text);
        if let Some(holder) = holder(object, parents) {
            holder.insert(leaf.json_name().to_owned(), value);
        }
    }
    Ok(())
}

/// The object that holds the fields after `parents`; made where it is not there.
fn holder<'a>(
    mut object: &'a mut Map<String, Value>,
    parents: &[FieldDescriptor],
) -> Option<&'a mut Map<String, Value>> {
    for parent in parents {
        let slot = object.entry(parent.json_name()).or_insert(Value::Null);
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        object = slot.as_object_mut()?;
    }
    Some(object)
}

/// The JSON of a value that was sent as text.
fn leaf_value(field: &FieldDescriptor, text: &str) -> Value {
    match field.kind() {
        Kind::Bool => text.parse().map_or_else(|_| Value::from(text), Value::Bool),
        Kind::Enum(_) => text
            .parse::<i32>()
            .map_or_else(|_| Value::from(text), Value::from),
        // 64-bit numbers are strings in this mapping, and smaller ones may be.
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests;
