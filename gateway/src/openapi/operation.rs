//! One HTTP binding as an operation.

use grimoire_proto::google::api::FieldBehavior;
use grimoire_proto::{access, edge};
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::schemas::{Place, Schemas, not_empty};
use super::{BEARER, answers, comments};
use crate::plan::template::Template;
use crate::plan::{Binding, Body, Route};
use crate::transcode::{has_behavior, is_group};

/// The field of every list that says how much of it is wanted: it is not negative.
const PAGE_SIZE: &str = "page_size";

/// A template as OpenAPI writes it: variables without their patterns.
pub(super) fn path(template: &str) -> String {
    let mut path = String::with_capacity(template.len());
    for (number, part) in template.split('{').enumerate() {
        if number == 0 {
            path.push_str(part);
            continue;
        }
        let (variable, rest) = part.split_once('}').unwrap_or((part, ""));
        let name = variable.split('=').next().unwrap_or_default();
        path.push_str(&format!("{{{name}}}{rest}"));
    }
    path
}

/// Describes a binding of `method`.
pub(super) fn describe(
    id: String,
    tag: &str,
    binding: &Binding,
    method: &MethodDescriptor,
    schemas: &mut Schemas,
) -> Value {
    let route = &*binding.route;
    let comment = comments::of(&method.parent_file(), method.path());
    let limits = limits(route, &edge::of(method).limit_class);
    let max_body = match binding.body {
        Body::None => 0,
        Body::Whole | Body::Field(_) => route.max_body,
    };
    let level = access::of(method).unwrap_or_default().level();
    let mut parameters = path_parameters(binding, schemas);
    parameters.extend(query_parameters(binding, schemas));
    let mut operation = json!({
        "operationId": id,
        "tags": [tag],
        "summary": comments::first_sentence(&comment),
        "description": description(&comment, route, &limits),
        "parameters": parameters,
        "responses": answers::describe(binding, method, schemas),
        "security": security(route),
        "x-recent-login": route.access.recent_login > 0,
        "x-grimoire": {
            "rpc": route.name,
            "access": level.as_str_name().trim_start_matches("LEVEL_"),
            "roles": route.access.roles,
            "scopes": route.access.scopes,
            "recentLogin": route.access.recent_login,
            "freshTrust": route.fresh_trust,
            "limits": limits,
            "deadlineMilliseconds": binding.route.deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX)),
            "maxBodyBytes": max_body,
            "idempotent": route.repeatable,
        },
    });
    if let Some(body) = request_body(binding, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

/// Names of the budgets that a call is taken from.
fn limits(route: &Route, class: &str) -> Vec<String> {
    let account = if route.needs_token() { "account" } else { "" };
    let names = ["address", class, account].into_iter();
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn description(comment: &str, route: &Route, limits: &[String]) -> String {
    let quoted = |names: &[String], between: &str| {
        let names = names.iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(between)
    };
    let access = &route.access;
    let mut who = if route.needs_token() {
        "whoever has an access token".to_owned()
    } else {
        "anybody; a token is optional, and a bad one is ignored".to_owned()
    };
    if !access.roles.is_empty() {
        who.push_str(&format!(" with the role {}", quoted(&access.roles, " or ")));
    }
    if !access.scopes.is_empty() {
        who.push_str(&format!(
            " with the scopes {}",
            quoted(&access.scopes, " and ")
        ));
    }
    if access.recent_login > 0 {
        who.push_str(&format!(
            ", and proved who it is at most {} s ago (`POST /v1/sessions:reauthenticate`)",
            access.recent_login
        ));
    }
    if route.fresh_trust {
        who.push_str("; refused while the gateway may have missed a revocation");
    }
    format!(
        "{comment}\n\n- **Access**: {who}.\n- **Limits**: {}.\n- **gRPC**: `{}`.",
        quoted(limits, ", "),
        route.name
    )
}

fn security(route: &Route) -> Value {
    if route.needs_token() {
        json!([{BEARER: route.access.scopes}])
    } else {
        json!([{}, {BEARER: []}])
    }
}

fn path_parameters(binding: &Binding, schemas: &mut Schemas) -> Vec<Value> {
    let template = Template::parse(&binding.template);
    let names = template.iter().flat_map(|template| &template.variables);
    names
        .zip(&binding.variables)
        .filter_map(|(name, variable)| {
            let field = variable.fields.last()?;
            Some(parameter(&name.field, "path", field, true, schemas))
        })
        .collect()
}

/// The fields that are neither in the path nor in the body, nested by dots.
fn query_parameters(binding: &Binding, schemas: &mut Schemas) -> Vec<Value> {
    let mut found = Vec::new();
    if !matches!(binding.body, Body::Whole) {
        query_fields(binding, &binding.input, &mut Vec::new(), &mut found);
    }
    let described = found.iter().filter_map(|fields| {
        let names: Vec<&str> = fields.iter().map(FieldDescriptor::json_name).collect();
        let leaf = fields.last()?;
        let required = fields
            .iter()
            .all(|field| has_behavior(field, FieldBehavior::Required));
        Some(parameter(
            &names.join("."),
            "query",
            leaf,
            required,
            schemas,
        ))
    });
    described.collect()
}

fn query_fields(
    binding: &Binding,
    message: &MessageDescriptor,
    parents: &mut Vec<FieldDescriptor>,
    found: &mut Vec<Vec<FieldDescriptor>>,
) {
    for field in message.fields() {
        let group = is_group(&field);
        let in_body =
            parents.is_empty() && matches!(&binding.body, Body::Field(body) if *body == field);
        // A message inside of itself would have no end.
        let again = group.is_some() && parents.iter().any(|parent| is_group(parent) == group);
        if in_body || again || field.is_map() || (field.is_list() && group.is_some()) {
            continue;
        }
        parents.push(field);
        match group {
            Some(group) => query_fields(binding, &group, parents, found),
            None => {
                let mut variables = binding.variables.iter();
                if !variables.any(|variable| variable.fields == *parents) {
                    found.push(parents.clone());
                }
            }
        }
        parents.pop();
    }
}

fn parameter(
    name: &str,
    place: &str,
    field: &FieldDescriptor,
    required: bool,
    schemas: &mut Schemas,
) -> Value {
    let comment = comments::of(&field.parent_file(), field.path());
    let mut schema = schemas.value(field, Place::Parameter);
    if required {
        not_empty(field, &mut schema);
    }
    if field.name() == PAGE_SIZE {
        schema["minimum"] = json!(0);
    }
    let mut parameter = json!({
        "name": name,
        "in": place,
        "required": required,
        "description": comment,
        "schema": schema,
    });
    if let Some(example) = comments::example(&comment).filter(|_| place == "path") {
        parameter["example"] = json!(example);
    }
    parameter
}

fn request_body(binding: &Binding, schemas: &mut Schemas) -> Option<Value> {
    let (schema, required) = match &binding.body {
        Body::None => return None,
        Body::Field(field) => (
            schemas.value(field, Place::Body),
            has_behavior(field, FieldBehavior::Required),
        ),
        Body::Whole => {
            let in_path: Vec<FieldDescriptor> = binding
                .variables
                .iter()
                .filter(|variable| variable.fields.len() == 1)
                .flat_map(|variable| variable.fields.iter().cloned())
                .collect();
            let schema = if in_path.is_empty() {
                schemas.message(&binding.input, Place::Body)
            } else {
                schemas.object(&binding.input, Place::Body, &in_path)
            };
            let required = binding.input.fields().any(|field| {
                !in_path.contains(&field) && has_behavior(&field, FieldBehavior::Required)
            });
            (schema, required)
        }
    };
    Some(json!({
        "required": required,
        "content": {"application/json": {"schema": schema}},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_path_have_no_patterns() {
        assert_eq!(path("/v1/users:search"), "/v1/users:search");
        assert_eq!(
            path("/v1/accounts/{account}/sessions/{session=*}:end"),
            "/v1/accounts/{account}/sessions/{session}:end"
        );
        assert_eq!(path("/v1/{name=files/**}"), "/v1/{name}");
    }
}
