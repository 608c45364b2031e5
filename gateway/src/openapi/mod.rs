//! The description of the API as OpenAPI 3.1, made from the plan: what is routed is described, and nothing else is.

mod answers;
mod comments;
mod operation;
mod schemas;

use std::collections::BTreeMap;

use prost_reflect::{MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use crate::plan::{Binding, Plan};
use schemas::Schemas;

/// Name of the one security scheme.
const BEARER: &str = "bearer";

const DESCRIPTION: &str = "\
**Signing in.** `POST /v1/sessions:login` answers `tokens`. Send the `accessToken` as `Authorization: Bearer TOKEN`; it lives for minutes, and \
`POST /v1/sessions:refresh` exchanges the `refreshToken` for new ones. On the page `/docs` any answer with tokens signs the page in, and a token \
from elsewhere is entered under *Authorize*.

**Failures** are problem documents (RFC 9457). Programs go by `reason`; `errors` names wrong fields; the logs know `traceId`. \
`GET /problems/REASON` tells what a reason means.

**Values** are those of protobuf's JSON mapping: 64-bit numbers are strings, times are RFC 3339, enums are names. A field that is null is one that \
is not there. Unknown fields are refused. An update changes the fields that its body has, or those that `updateMask` names.

**Limits.** `RateLimit-Policy` has the budgets of a call, `RateLimit` what is left of the tightest, `Retry-After` when to come back.

The same methods are served over gRPC; `x-grimoire` has the name of each.";

/// Describes every HTTP binding of `plan`.
pub(crate) fn document(plan: &Plan) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    let mut tags = BTreeMap::new();
    let mut bindings: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names = Names::default();
    for (verb, binding) in plan.bindings() {
        let Some(method) = method_of(binding) else {
            continue;
        };
        let service = method.parent_service();
        let comment = comments::of(&service.parent_file(), service.path());
        let tag = names.of(service);
        tags.insert(tag.clone(), comment);
        let number = bindings.entry(&binding.route.name).or_default();
        *number += 1;
        let id = operation_id(&tag, &method, *number);
        let operation = operation::describe(id, &tag, binding, &method, &mut schemas);
        let item = paths
            .entry(operation::path(&binding.template))
            .or_insert_with(|| json!({}));
        item[verb.as_str().to_ascii_lowercase()] = operation;
    }
    let tags: Vec<Value> = tags
        .into_iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    let mut components = answers::components();
    let described = schemas.into_described();
    if let Some(schemas) = components["schemas"].as_object_mut() {
        schemas.extend(described);
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Grimoire",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "this gateway"}],
        "tags": tags,
        "paths": paths,
        "components": components,
    })
}

/// The RPC of a binding; its name is where the plan has it from.
fn method_of(binding: &Binding) -> Option<MethodDescriptor> {
    let (service, name) = binding.route.name.split_once('/')?;
    let service = binding.input.parent_pool().get_service_by_name(service)?;
    service.methods().find(|method| method.name() == name)
}

/// What services are called: by their own name, or by their full one where another has the own one already. The contracts that are
/// compiled in come first, so theirs stay whatever a folder adds.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(&mut self, service: &ServiceDescriptor) -> String {
        let (name, full_name) = (service.name().to_owned(), service.full_name());
        let first = self.0.entry(name.clone());
        if first.or_insert_with(|| full_name.to_owned()) == full_name {
            name
        } else {
            full_name.to_owned()
        }
    }
}

/// `SessionService_Login`; a second binding of a method has its number behind.
fn operation_id(service: &str, method: &MethodDescriptor, number: usize) -> String {
    let name = format!("{}_{}", service.replace('.', "_"), method.name());
    if number == 1 {
        name
    } else {
        format!("{name}_{number}")
    }
}

/// A reference to a component.
fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

#[cfg(test)]
mod tests;
