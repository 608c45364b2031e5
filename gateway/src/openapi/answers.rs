//! What an operation answers: its message, and the problems that its contract and this gateway lead to.

use std::collections::BTreeMap;

use chassis::grpc::code_name;
use grimoire_proto::google::api::FieldBehavior;
use grimoire_proto::{Reason, access, failures};
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use super::schemas::{Place, Schemas};
use super::{BEARER, comments, reference};
use crate::plan::{Binding, Body, Shape};
use crate::problem::Problem;
use crate::transcode::has_behavior;

/// Reasons whose problems name fields.
const OF_FIELDS: [Reason; 4] = [
    Reason::UnknownField,
    Reason::InvalidField,
    Reason::WeakPassword,
    Reason::InvalidPageToken,
];
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The answers of a binding by their statuses.
pub(super) fn describe(
    binding: &Binding,
    method: &MethodDescriptor,
    schemas: &mut Schemas,
) -> Value {
    let mut answers = Map::new();
    answers.insert("200".to_owned(), good(binding, schemas));
    let mut by_status: BTreeMap<u16, Vec<Reason>> = BTreeMap::new();
    for reason in reasons(binding, method) {
        let same = by_status.entry(reason.http_status()).or_default();
        same.push(reason);
    }
    for (status, reasons) in by_status {
        answers.insert(status.to_string(), refusal(status, &reasons));
    }
    Value::Object(answers)
}

/// Every reason for which a call of this binding may fail, in the order of the contracts.
fn reasons(binding: &Binding, method: &MethodDescriptor) -> Vec<Reason> {
    let route = &*binding.route;
    let mut reasons = vec![
        Reason::MalformedRequest,
        Reason::UnknownField,
        Reason::InvalidField,
        Reason::MethodNotAllowed,
        Reason::RateLimited,
        Reason::Overloaded,
        Reason::Unavailable,
        Reason::DeadlineExceeded,
        Reason::Internal,
    ];
    let mut also = |holds: bool, more: &[Reason]| {
        if holds {
            reasons.extend_from_slice(more);
        }
    };
    also(
        !matches!(binding.body, Body::None),
        &[
            Reason::MalformedJson,
            Reason::BodyTooLarge,
            Reason::UnsupportedMediaType,
        ],
    );
    // A value with a slash, or an empty one, makes another path.
    also(!binding.variables.is_empty(), &[Reason::RouteNotFound]);
    also(
        route.needs_token(),
        &[
            Reason::TokenMissing,
            Reason::TokenInvalid,
            Reason::TokenExpired,
            Reason::TokenRevoked,
            Reason::TokenOutdated,
            Reason::TrustStale,
        ],
    );
    also(route.fresh_trust, &[Reason::TrustStale]);
    let recent = route.access.recent_login > 0;
    also(recent, &[Reason::RecentLoginRequired]);
    also(!route.access.roles.is_empty(), &[Reason::RoleRequired]);
    also(!route.access.scopes.is_empty(), &[Reason::ScopeRequired]);
    let owned = access::of(method).is_some_and(|access| !access.owner.is_empty());
    also(owned, &[Reason::ResourceNotFound]);
    let paged = binding.input.get_field_by_name("page_token").is_some();
    also(paged, &[Reason::InvalidPageToken]);
    also(has_version(binding), &[Reason::EtagMismatch]);
    also(true, &failures::of(method));
    reasons.sort_by_key(|reason| *reason as i32);
    reasons.dedup();
    reasons
}

/// Whether the body may say which version of a resource was read.
fn has_version(binding: &Binding) -> bool {
    let body = match &binding.body {
        Body::None => None,
        Body::Whole => Some(binding.input.clone()),
        Body::Field(field) => field.kind().as_message().cloned(),
    };
    let etag = body.and_then(|body| body.get_field_by_name("etag"));
    etag.is_some_and(|etag| !has_behavior(&etag, FieldBehavior::OutputOnly))
}

fn good(binding: &Binding, schemas: &mut Schemas) -> Value {
    let (schema, comment) = match &binding.response_body {
        Some(field) => (
            schemas.value(field, Place::Answer),
            comments::of(&field.parent_file(), field.path()),
        ),
        None => (
            schemas.message(&binding.output, Place::Answer),
            comments::of(&binding.output.parent_file(), binding.output.path()),
        ),
    };
    let media_type = match binding.route.shape {
        Shape::Unary => "application/json",
        // The schema is that of each line.
        Shape::ServerStream | Shape::ClientStream => "application/x-ndjson",
    };
    json!({
        "description": comment,
        "headers": headers(&[]),
        "content": {media_type: {"schema": schema}},
    })
}

fn refusal(status: u16, reasons: &[Reason]) -> Value {
    let titles: Vec<&str> = reasons.iter().map(|reason| reason.title()).collect();
    let schemas: Vec<Value> = reasons
        .iter()
        .map(|reason| reference("schemas", &schema_name(*reason)))
        .collect();
    let schema = match &schemas[..] {
        [one] => one.clone(),
        several => json!({"oneOf": several}),
    };
    let examples: Map<String, Value> = reasons
        .iter()
        .map(|reason| {
            (
                reason.name().to_owned(),
                reference("examples", reason.name()),
            )
        })
        .collect();
    let more: &[&str] = match status {
        401 => &["WWW-Authenticate"],
        405 => &["Allow"],
        409 | 429 | 503 => &["Retry-After"],
        _ => &[],
    };
    json!({
        "description": titles.join("; "),
        "headers": headers(more),
        "content": {"application/problem+json": {"schema": schema, "examples": examples}},
    })
}

fn headers(more: &[&str]) -> Value {
    let names = ["X-Request-Id", "RateLimit", "RateLimit-Policy"];
    let all = names.iter().chain(more);
    Value::Object(
        all.map(|name| ((*name).to_owned(), reference("headers", name)))
            .collect(),
    )
}

fn schema_name(reason: Reason) -> String {
    format!("Problem.{}", reason.name())
}

/// The components that operations refer to, but for those of messages.
pub(super) fn components() -> Value {
    let mut schemas = Map::from_iter([
        ("Problem".to_owned(), problem()),
        ("Problem.Field".to_owned(), field()),
    ]);
    let mut examples = Map::new();
    let mut names = Vec::new();
    for (reason, comment) in every_reason() {
        let name = reason.name();
        names.push(json!({
            "const": name,
            "title": reason.title(),
            "description": comment,
            "x-http-status": reason.http_status(),
            "x-grpc-code": code_name(reason.code()),
        }));
        schemas.insert(schema_name(reason), one_problem(reason, &comment));
        examples.insert(name.to_owned(), example(reason, comment));
    }
    let description = "Why a call failed, for programs.";
    schemas.insert(
        "Reason".to_owned(),
        json!({"type": "string", "description": description, "oneOf": names}),
    );
    json!({
        "schemas": schemas,
        "examples": examples,
        "headers": {
            "X-Request-Id": {
                "description": "The id that client, logs and support know the request by: the one that was sent, where it is well-formed.",
                "required": true,
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
            },
            "RateLimit": {
                "description": "What is left of the tightest budget (`r`) and, where nothing is, the seconds until there is more (`t`): draft-ietf-httpapi-ratelimit-headers-11.",
                "schema": {"type": "string", "pattern": "^\"[a-z][a-z0-9_-]*\";r=[0-9]+(;t=[0-9]+)?$"},
                "example": "\"address\";r=99",
            },
            "RateLimit-Policy": {
                "description": "The budgets that the call is taken from: how many at once, and the seconds that an empty one takes to be whole.",
                "schema": {"type": "string"},
                "example": "\"address\";q=100;w=5, \"account\";q=200;w=4",
            },
            "Retry-After": {
                "description": "Seconds until it is worth another try.",
                "schema": {"type": "integer", "minimum": 0},
            },
            "WWW-Authenticate": {
                "description": "What is needed in place of the token that was sent, or not sent (RFC 6750, RFC 9470).",
                "schema": {"type": "string"},
                "example": "Bearer realm=\"grimoire\"",
            },
            "Allow": {
                "description": "The methods that the path has.",
                "schema": {"type": "string"},
                "example": "GET, HEAD",
            },
        },
        "securitySchemes": {
            BEARER: {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "An access token (RFC 9068), which the answer of `POST /v1/sessions:login` has as `tokens.accessToken`.",
            },
        },
    })
}

/// The reasons that are sent, with what the contracts say of them.
fn every_reason() -> Vec<(Reason, String)> {
    let reasons = grimoire_proto::descriptors().get_enum_by_name("grimoire.errors.v1.Reason");
    let values = reasons
        .iter()
        .flat_map(|reasons| reasons.values().collect::<Vec<_>>());
    values
        .filter_map(|value| {
            let reason = Reason::try_from(value.number()).ok()?;
            let comment = comments::of(&value.parent_file(), value.path());
            (reason != Reason::Unspecified).then_some((reason, comment))
        })
        .collect()
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why a call failed (RFC 9457).",
        "required": ["type", "title", "status", "detail", "reason", "traceId"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "Leads to what the reason means."},
            "title": {"type": "string", "description": "The same for every problem of this reason."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What happened here, for people."},
            "reason": reference("schemas", "Reason"),
            "traceId": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "By which the logs have it."},
            "errors": {
                "type": "array",
                "description": "The fields that are wrong; not there where none is.",
                "items": reference("schemas", "Problem.Field"),
            },
        },
    })
}

fn field() -> Value {
    json!({
        "type": "object",
        "description": "A field that is wrong.",
        "required": ["field", "reason", "message"],
        "properties": {
            "field": {"type": "string", "description": "Its path, with dots, by the names that were sent."},
            "reason": {"type": "string", "description": "What is wrong, for programs."},
            "message": {"type": "string", "description": "What is wrong, for people."},
        },
    })
}

fn one_problem(reason: Reason, comment: &str) -> Value {
    json!({
        "title": reason.title(),
        "description": comment,
        "allOf": [reference("schemas", "Problem")],
        "properties": {
            "type": {"const": format!("/problems/{}", reason.name())},
            "title": {"const": reason.title()},
            "status": {"const": reason.http_status()},
            "reason": {"const": reason.name()},
        },
    })
}

/// A problem of this reason, as it is sent.
fn example(reason: Reason, comment: String) -> Value {
    let problem = if OF_FIELDS.contains(&reason) {
        Problem::field(reason, "field", "what is wrong with it")
    } else {
        Problem::new(reason, comment)
    };
    let sent = problem.to_rest(TRACE).ok();
    let value: Option<Value> = sent.and_then(|(_, body)| serde_json::from_slice(&body).ok());
    json!({"summary": reason.title(), "value": value})
}
