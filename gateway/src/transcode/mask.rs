//! The update mask of a PATCH: what the client sent, told from the JSON text, because a message does not know a null from nothing.

use grimoire_proto::Reason;
use grimoire_proto::google::api::FieldBehavior;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::Value as Json;

use super::violations::field_of;
use crate::plan::Body;
use crate::problem::Problem;

/// Fields that say which resource is meant, or which version of it: not what to change.
const NEVER_CHANGED: [&str; 2] = ["id", "etag"];

/// Paths of the fields that `body` has, in proto names: leaves of messages, maps and lists as a whole, nulls as what they clear.
/// Unknown fields are left to the reader of the body, who refuses them.
pub(super) fn derive(resource: &MessageDescriptor, body: &Json) -> Vec<String> {
    let mut paths = Vec::new();
    collect(resource, body, "", &mut paths);
    paths
}

fn collect(message: &MessageDescriptor, json: &Json, prefix: &str, paths: &mut Vec<String>) {
    let Json::Object(members) = json else { return };
    for (name, value) in members {
        let Some(field) = field_of(message, name) else {
            continue;
        };
        if has_behavior(&field, FieldBehavior::OutputOnly)
            || (prefix.is_empty() && NEVER_CHANGED.contains(&field.name()))
        {
            continue;
        }
        let path = format!("{prefix}{}", field.name());
        match (field.kind(), value) {
            (Kind::Message(inner), Json::Object(members))
                if !members.is_empty()
                    && !field.is_map()
                    && !inner.full_name().starts_with("google.protobuf.") =>
            {
                collect(&inner, value, &format!("{path}."), paths);
            }
            _ => paths.push(path),
        }
    }
}

/// Sets the derived mask where the client sent none; checks the one that it sent.
pub(super) fn complete(
    message: &mut DynamicMessage,
    mask: &FieldDescriptor,
    body: &Body,
    derived: Vec<String>,
) -> Result<(), Box<Problem>> {
    let (Kind::Message(mask_message), Body::Field(resource)) = (mask.kind(), body) else {
        return Ok(());
    };
    let sent = message.get_field(mask).as_message().and_then(|mask| {
        mask.get_field_by_name("paths")
            .map(|paths| paths.into_owned())
    });
    let sent = sent.as_ref().and_then(Value::as_list).unwrap_or_default();
    if sent.is_empty() {
        let mut derived_mask = DynamicMessage::new(mask_message);
        derived_mask.set_field_by_name(
            "paths",
            Value::List(derived.into_iter().map(Value::String).collect()),
        );
        message.set_field(mask, Value::Message(derived_mask));
        return Ok(());
    }
    match sent
        .iter()
        .filter_map(Value::as_str)
        .find(|path| !exists(resource, path))
    {
        Some(path) => {
            let message = format!("`{path}` is not a field of {}", resource.json_name());
            Err(Problem::field(
                Reason::InvalidField,
                mask.json_name(),
                message,
            ))
        }
        None => Ok(()),
    }
}

fn exists(resource: &FieldDescriptor, path: &str) -> bool {
    let mut message = resource.kind().as_message().cloned();
    path == "*"
        || path.split('.').all(|name| {
            let field = message
                .as_ref()
                .and_then(|message| message.get_field_by_name(name));
            message = field
                .as_ref()
                .filter(|field| !field.is_map())
                .and_then(|field| field.kind().as_message().cloned());
            field.is_some()
        })
}

/// Whether the contract says this of a field.
pub(crate) fn has_behavior(field: &FieldDescriptor, behavior: FieldBehavior) -> bool {
    let Some(extension) = field
        .parent_pool()
        .get_extension_by_name("google.api.field_behavior")
    else {
        return false;
    };
    let options = field.options();
    let values = options.get_extension(&extension);
    values
        .as_list()
        .unwrap_or_default()
        .iter()
        .any(|value| value.as_enum_number() == Some(behavior as i32))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(message: &str, body: &Json) -> Vec<String> {
        let message = grimoire_proto::descriptors()
            .get_message_by_name(message)
            .unwrap();
        let mut paths = derive(&message, body);
        paths.sort();
        paths
    }

    #[test]
    fn the_mask_is_what_the_body_has() {
        let body = json!({"displayName": "Ada", "bio": null, "id": "x", "etag": "y", "createTime": "2026-01-01T00:00:00Z"});
        assert_eq!(
            paths("grimoire.user.v1.Profile", &body),
            ["bio", "display_name"]
        );
    }

    #[test]
    fn messages_are_told_by_their_leaves_and_maps_as_a_whole() {
        let body = json!({"theme": "THEME_DARK", "notifications": {"productNews": true}, "labels": {"a.b": "c"}});
        assert_eq!(
            paths("grimoire.user.v1.Preferences", &body),
            ["labels", "notifications.product_news", "theme"]
        );
        let body = json!({"notifications": null, "labels": {}});
        assert_eq!(
            paths("grimoire.user.v1.Preferences", &body),
            ["labels", "notifications"]
        );
        assert_eq!(
            paths(
                "grimoire.user.v1.Preferences",
                &json!({"notifications": {}})
            ),
            ["notifications"]
        );
    }

    #[test]
    fn names_of_the_contract_are_taken_too_and_unknown_ones_left_out() {
        assert_eq!(
            paths(
                "grimoire.user.v1.Profile",
                &json!({"display_name": "Ada", "nickname": "a"})
            ),
            ["display_name"]
        );
        assert_eq!(
            paths("grimoire.user.v1.Profile", &json!([])),
            Vec::<String>::new()
        );
    }
}
