//! Which fields of a request are wrong, by the names that its client used.

use grimoire_proto::Reason;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use crate::plan::{Binding, Body};
use crate::problem::{Problem, Violation};

/// At most this many are told.
const MOST: usize = 20;

/// The field with this JSON name or name of the contract.
pub(super) fn field_of(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))
}

/// Explains why `object` is not an input of the method; `error` is what the reader said, for want of anything better.
pub(super) fn explain(
    binding: &Binding,
    object: &Value,
    error: &serde_json::Error,
) -> Box<Problem> {
    let mut found = Found::default();
    if let Value::Object(members) = object {
        message(&binding.input, members, "", &mut found);
    }
    let (reason, mut violations) = match (found.unknown, found.invalid) {
        (unknown, invalid) if unknown.is_empty() => (Reason::InvalidField, invalid),
        (unknown, invalid) => (Reason::UnknownField, [unknown, invalid].concat()),
    };
    if violations.is_empty() {
        return Problem::new(Reason::InvalidField, error.to_string());
    }
    violations.truncate(MOST);
    for violation in &mut violations {
        within_body(binding, &mut violation.field);
    }
    Problem::fields(reason, violations)
}

/// A field has two names, its JSON name and that of the contract. The reader would take whichever comes last.
pub(super) fn refuse_fields_named_twice(
    binding: &Binding,
    object: &Map<String, Value>,
) -> Result<(), Box<Problem>> {
    match named_twice(&binding.input, object) {
        Some(mut path) => {
            within_body(binding, &mut path);
            Err(Problem::field(
                Reason::InvalidField,
                path,
                "is there more than once, under both of its names",
            ))
        }
        None => Ok(()),
    }
}

/// Path of the first field that is there under both of its names.
fn named_twice(descriptor: &MessageDescriptor, members: &Map<String, Value>) -> Option<String> {
    members.iter().find_map(|(name, value)| {
        let field = field_of(descriptor, name)?;
        if name != field.json_name() && members.contains_key(field.json_name()) {
            return Some(name.clone());
        }
        let below = match value {
            Value::Object(members) => {
                named_twice(&nested(&field)?, members).map(|path| format!(".{path}"))
            }
            Value::Array(values) => {
                let inner = nested(&field)?;
                values.iter().enumerate().find_map(|(at, value)| {
                    let path = named_twice(&inner, value.as_object()?)?;
                    Some(format!("[{at}].{path}"))
                })
            }
            _ => None,
        };
        below.map(|below| format!("{name}{below}"))
    })
}

/// Rewrites the fields of a service's violations, which are paths of the contract, as the client of a REST binding knows them:
/// JSON names, relative to the body.
pub(crate) fn as_clients_see_them(binding: &Binding, problem: &mut Problem) {
    for violation in &mut problem.violations {
        let renamed = json_path(&binding.input, &violation.field).or_else(|| match &binding.body {
            Body::Field(body) => json_path(body.kind().as_message()?, &violation.field),
            _ => None,
        });
        if let Some(renamed) = renamed {
            violation.field = renamed;
            within_body(binding, &mut violation.field);
        }
    }
}

fn json_path(message: &MessageDescriptor, path: &str) -> Option<String> {
    let mut message = Some(message.clone());
    let mut renamed = String::with_capacity(path.len());
    for part in path.split('.') {
        let (name, index) = part.split_at(part.find('[').unwrap_or(part.len()));
        match &message {
            Some(within) => {
                let field = field_of(within, name)?;
                if !renamed.is_empty() {
                    renamed.push('.');
                }
                renamed.push_str(field.json_name());
                message = field
                    .kind()
                    .as_message()
                    .filter(|_| !field.is_map())
                    .cloned();
            }
            // Below a map or a scalar there are no names of the contract.
            None => {
                renamed.push('.');
                renamed.push_str(name);
            }
        }
        renamed.push_str(index);
    }
    Some(renamed)
}

/// Takes off the name of the field that the body is.
fn within_body(binding: &Binding, path: &mut String) {
    if let Body::Field(body) = &binding.body
        && let Some(rest) = path
            .strip_prefix(body.json_name())
            .and_then(|rest| rest.strip_prefix('.'))
    {
        *path = rest.to_owned();
    }
}

#[derive(Default)]
struct Found {
    unknown: Vec<Violation>,
    invalid: Vec<Violation>,
}

fn message(
    descriptor: &MessageDescriptor,
    members: &Map<String, Value>,
    prefix: &str,
    found: &mut Found,
) {
    for (name, value) in members {
        let path = format!("{prefix}{name}");
        match field_of(descriptor, name) {
            Some(descriptor) => field(&descriptor, value, path, found),
            None => found.unknown.push(violation(
                Reason::UnknownField,
                path,
                "is not a field of this request".to_owned(),
            )),
        }
    }
}

fn field(descriptor: &FieldDescriptor, value: &Value, path: String, found: &mut Found) {
    match (nested(descriptor), value) {
        (Some(inner), Value::Object(members)) if !descriptor.is_list() => {
            message(&inner, members, &format!("{path}."), found)
        }
        (Some(inner), Value::Array(values)) if descriptor.is_list() => {
            for (at, value) in values.iter().enumerate() {
                match value {
                    Value::Object(members) => {
                        message(&inner, members, &format!("{path}[{at}]."), found)
                    }
                    _ => found.invalid.push(violation(
                        Reason::InvalidField,
                        format!("{path}[{at}]"),
                        "must be an object".to_owned(),
                    )),
                }
            }
        }
        _ => {
            // Read alone, so that what the reader says is about this field.
            let alone = Value::Object(Map::from_iter([(
                descriptor.json_name().to_owned(),
                value.clone(),
            )]));
            if let Err(error) =
                DynamicMessage::deserialize(descriptor.parent_message().clone(), &alone)
            {
                found
                    .invalid
                    .push(violation(Reason::InvalidField, path, error.to_string()));
            }
        }
    }
}

/// The message of a field whose value is an object, or a list of objects, of that message's fields.
fn nested(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(message) = field.kind() else {
        return None;
    };
    (!field.is_map() && !message.full_name().starts_with("google.protobuf.")).then_some(message)
}

fn violation(reason: Reason, field: String, message: String) -> Violation {
    Violation {
        field,
        reason: reason.name().to_owned(),
        message,
    }
}
