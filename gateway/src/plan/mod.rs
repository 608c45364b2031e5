//! The plan: every route of the gateway, compiled from the descriptors of the contracts. A plan is whole or it is refused.

pub(crate) mod paths;
pub(crate) mod route;
pub(crate) mod template;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use grimoire_proto::access::Level;
use grimoire_proto::google::api::{HttpRule, http_rule::Pattern};
use grimoire_proto::{access, edge, http as bindings, upstream};
use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde::Serialize;

use crate::config::BoundConfig;
use crate::limits::{Class, Limits};
use crate::metrics::RouteMetrics;
use crate::pages::Pages;
use paths::{Found, Paths};
pub(crate) use route::{Binding, Body, BoundVariable, Requirement, Route, Shape};
use template::{Segment, Template, TemplateError};

/// The upstream inside of this process: reflection and health.
pub(crate) const OWN: &str = "self";

/// What it serves.
const HEALTH: [(&str, Shape); 2] = [
    ("grpc.health.v1.Health/Check", Shape::Unary),
    ("grpc.health.v1.Health/Watch", Shape::ServerStream),
];
const REFLECTION: [(&str, Shape); 2] = [
    (
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Shape::ClientStream,
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Shape::ClientStream,
    ),
];
/// Bytes that a call of it may send in all: some hundred questions of reflection, each of which may be answered by many files.
const OWN_BODY: usize = 64 * 1024;

/// Every route.
pub(crate) struct Plan {
    rpcs: HashMap<Box<str>, Arc<Route>>,
    paths: Paths,
    /// Those of `paths`, in the order of the contracts.
    bindings: Vec<(Method, Arc<Binding>)>,
    table: Vec<Row>,
    /// What describes the routes to people and programs.
    pub(crate) pages: Pages,
}

/// One line of the routing table on the admin port.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    rpc: String,
    http: Option<String>,
    upstream: String,
    access: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("{0}: has no access option, and nothing is public by omission")]
    NoAccess(String),
    #[error("{0}: its service has no upstream option")]
    NoUpstream(String),
    #[error("{0}: is for other processes only, and cannot be bound to HTTP")]
    MeshOverHttp(String),
    #[error("{rpc}: the limit class `{class}` is not configured")]
    UnknownClass { rpc: String, class: String },
    #[error("{rpc}: the path `{path}` {error}")]
    Template {
        rpc: String,
        path: String,
        error: TemplateError,
    },
    #[error("{rpc}: there is no field `{field}` that HTTP can be bound to")]
    UnknownField { rpc: String, field: String },
    #[error("{0}: a stream of requests cannot be bound to HTTP")]
    StreamOverHttp(String),
    #[error("{0}: its HTTP rule has no method or path")]
    EmptyRule(String),
    #[error("{first} and {second} are both bound to {method} {path}")]
    Conflict {
        first: String,
        second: String,
        method: Method,
        path: String,
    },
}

impl Plan {
    /// Compiles the routes of every service in `pool` that is not for other processes only, and of what the gateway serves itself:
    /// health, and `reflection`.
    pub(crate) fn compile(
        pool: &DescriptorPool,
        bounds: &BoundConfig,
        limits: &Limits,
        reflection: bool,
    ) -> Result<Self, PlanError> {
        let mut plan = Self {
            rpcs: HashMap::new(),
            paths: Paths::default(),
            bindings: Vec::new(),
            table: Vec::new(),
            pages: Pages::default(),
        };
        let reflection: &[(&str, Shape)] = if reflection { &REFLECTION } else { &[] };
        for (name, shape) in HEALTH.iter().chain(reflection) {
            plan.add(own_route(name, *shape, limits), "PUBLIC");
        }
        for service in pool.services() {
            for method in service.methods() {
                let rpc = format!("{}/{}", service.full_name(), method.name());
                let access =
                    access::of(&method).filter(|access| access.level() != Level::Unspecified);
                let access = access.ok_or_else(|| PlanError::NoAccess(rpc.clone()))?;
                let rule = bindings::of(&method);
                if access.level() == Level::Mesh {
                    match rule {
                        Some(_) => return Err(PlanError::MeshOverHttp(rpc)),
                        None => continue,
                    }
                }
                let upstream =
                    upstream::of(&service).ok_or_else(|| PlanError::NoUpstream(rpc.clone()))?;
                let route = Arc::new(route(rpc, upstream, &method, &access, bounds, limits)?);
                plan.rpcs.insert(route.path.as_str().into(), route.clone());
                let level = access.level().as_str_name().trim_start_matches("LEVEL_");
                let mut who = vec![level.to_owned()];
                who.extend(access.roles.iter().chain(&access.scopes).cloned());
                let who = who.join(" ");
                plan.table.push(row(&route, None, &who));
                if let Some(rule) = rule {
                    for rule in std::iter::once(&rule).chain(&rule.additional_bindings) {
                        plan.bind(&route, &method, rule, &who)?;
                    }
                }
            }
        }
        plan.table.sort();
        Ok(plan)
    }

    /// The RPC with this path, `/package.Service/Method`.
    pub(crate) fn rpc(&self, path: &str) -> Option<&Arc<Route>> {
        self.rpcs.get(path)
    }

    /// The HTTP binding of this path.
    pub(crate) fn http(&self, method: &Method, path: &str) -> Found<'_> {
        self.paths.find(method, path)
    }

    /// Every HTTP binding with its method, in the order of the contracts.
    pub(crate) fn bindings(&self) -> &[(Method, Arc<Binding>)] {
        &self.bindings
    }

    /// The longest that any unary call may take.
    pub(crate) fn longest_deadline(&self) -> Duration {
        let unary = self.rpcs.values();
        let unary = unary.filter(|route| route.shape == Shape::Unary);
        let deadlines = unary.filter_map(|route| route.deadline);
        deadlines.max().unwrap_or_default()
    }

    /// Names of the upstreams that the routes lead to.
    pub(crate) fn upstreams(&self) -> BTreeSet<String> {
        self.rpcs
            .values()
            .map(|route| route.upstream.clone())
            .filter(|name| name != OWN)
            .collect()
    }

    /// Whether any RPC of this service is in the plan.
    pub(crate) fn serves(&self, service: &str) -> bool {
        let of_service = |rpc: &str| {
            rpc.strip_prefix('/')
                .and_then(|rpc| rpc.strip_prefix(service))
                .is_some_and(|rest| rest.starts_with('/'))
        };
        self.rpcs.keys().any(|rpc| of_service(rpc))
    }

    /// The routing table as JSON, for people.
    pub(crate) fn table(&self) -> String {
        serde_json::to_string_pretty(&self.table).unwrap_or_default()
    }

    /// Changes when any route does: 16 hexadecimal digits.
    pub(crate) fn hash(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.table().as_bytes());
        digest.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn add(&mut self, route: Route, who: &str) {
        self.table.push(row(&route, None, who));
        self.rpcs
            .insert(route.path.as_str().into(), Arc::new(route));
    }

    fn bind(
        &mut self,
        route: &Arc<Route>,
        method: &MethodDescriptor,
        rule: &HttpRule,
        who: &str,
    ) -> Result<(), PlanError> {
        let rpc = &route.name;
        if route.shape == Shape::ClientStream {
            return Err(PlanError::StreamOverHttp(rpc.clone()));
        }
        let (http_method, path) = pattern(rule).ok_or_else(|| PlanError::EmptyRule(rpc.clone()))?;
        let template = Template::parse(path).map_err(|error| PlanError::Template {
            rpc: rpc.clone(),
            path: path.to_owned(),
            error,
        })?;
        let unknown = |field: &str| PlanError::UnknownField {
            rpc: rpc.clone(),
            field: field.to_owned(),
        };
        let input = method.input();
        let output = method.output();
        let mut variables = Vec::new();
        for variable in &template.variables {
            let fields =
                field_path(&input, &variable.field).ok_or_else(|| unknown(&variable.field))?;
            let to_the_end = template.segments.last() == Some(&Segment::Rest)
                && variable.end == template.segments.len();
            let end = if to_the_end { usize::MAX } else { variable.end };
            variables.push(BoundVariable {
                fields,
                first: variable.first,
                end,
            });
        }
        let body = match rule.body.as_str() {
            "" => Body::None,
            "*" => Body::Whole,
            field => Body::Field(
                input
                    .get_field_by_name(field)
                    .ok_or_else(|| unknown(field))?,
            ),
        };
        let response_body = match rule.response_body.as_str() {
            "" => None,
            field => Some(
                output
                    .get_field_by_name(field)
                    .ok_or_else(|| unknown(field))?,
            ),
        };
        let mask = match (&http_method, &body) {
            (&Method::PATCH, Body::Field(_)) => input.fields().find(is_mask),
            _ => None,
        };
        let binding = Arc::new(Binding {
            metrics: RouteMetrics::new(&http_method, path),
            route: route.clone(),
            template: path.to_owned(),
            verb: template.verb.clone(),
            input,
            output,
            variables,
            body,
            response_body,
            mask,
        });
        self.table
            .push(row(route, Some(format!("{http_method} {path}")), who));
        self.paths
            .insert(http_method.clone(), &template, binding.clone())
            .map_err(|other| PlanError::Conflict {
                first: other.route.name.clone(),
                second: rpc.clone(),
                method: http_method.clone(),
                path: path.to_owned(),
            })?;
        self.bindings.push((http_method, binding));
        Ok(())
    }
}

fn route(
    rpc: String,
    upstream: String,
    method: &MethodDescriptor,
    access: &access::Access,
    bounds: &BoundConfig,
    limits: &Limits,
) -> Result<Route, PlanError> {
    let edge = edge::of(method);
    let class = match edge.limit_class.as_str() {
        "" => None,
        name => Some(Class::named(name).ok_or_else(|| PlanError::UnknownClass {
            rpc: rpc.clone(),
            class: name.to_owned(),
        })?),
    };
    let shape = Shape::of(method);
    let deadline = if edge.deadline_ms == 0 {
        bounds.deadline
    } else {
        edge.deadline_ms
    };
    let access = Requirement::of(access);
    Ok(Route {
        path: rpc_path(&rpc),
        metrics: RouteMetrics::new(&Method::POST, &rpc),
        policy: limits.policy(class, access.signed_in),
        name: rpc,
        upstream,
        shape,
        access,
        class,
        deadline: (shape == Shape::Unary || edge.deadline_ms != 0)
            .then(|| Duration::from_millis(deadline.into())),
        max_body: if edge.max_body_bytes == 0 {
            bounds.max_body
        } else {
            edge.max_body_bytes as usize
        },
        fresh_trust: edge.fresh_trust,
        repeatable: route::repeatable(method),
    })
}

fn own_route(name: &str, shape: Shape, limits: &Limits) -> Route {
    Route {
        name: name.to_owned(),
        path: rpc_path(name),
        upstream: OWN.to_owned(),
        shape,
        access: Requirement::default(),
        class: None,
        deadline: None,
        max_body: OWN_BODY,
        fresh_trust: false,
        repeatable: false,
        policy: limits.policy(None, false),
        metrics: RouteMetrics::new(&Method::POST, name),
    }
}

/// Names of services and methods are identifiers and dots, which a path always takes.
fn rpc_path(rpc: &str) -> PathAndQuery {
    PathAndQuery::try_from(format!("/{rpc}")).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

fn row(route: &Route, http: Option<String>, access: &str) -> Row {
    Row {
        rpc: route.name.clone(),
        http,
        upstream: route.upstream.clone(),
        access: access.to_owned(),
    }
}

fn pattern(rule: &HttpRule) -> Option<(Method, &str)> {
    Some(match rule.pattern.as_ref()? {
        Pattern::Get(path) => (Method::GET, path),
        Pattern::Put(path) => (Method::PUT, path),
        Pattern::Post(path) => (Method::POST, path),
        Pattern::Delete(path) => (Method::DELETE, path),
        Pattern::Patch(path) => (Method::PATCH, path),
        Pattern::Custom(custom) => (
            Method::from_bytes(custom.kind.as_bytes()).ok()?,
            &custom.path,
        ),
    })
}

/// The singular fields from `message` to the one that `path` names.
fn field_path(message: &MessageDescriptor, path: &str) -> Option<Vec<FieldDescriptor>> {
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    let mut message = Some(message.clone());
    for name in path.split('.') {
        let field = message?
            .get_field_by_name(name)
            .filter(|field| !field.is_list() && !field.is_map())?;
        message = field.kind().as_message().cloned();
        fields.push(field);
    }
    message.is_none().then_some(fields)
}

fn is_mask(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(message) if message.full_name() == "google.protobuf.FieldMask")
}

#[cfg(test)]
mod tests;
