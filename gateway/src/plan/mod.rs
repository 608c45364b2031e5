//! The plan: every route of the gateway, compiled from the descriptors of the contracts. A plan is whole or it is refused.

mod error;
pub(crate) mod paths;
pub(crate) mod route;
pub(crate) mod template;
mod writer;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use grimoire_proto::access::Level;
use grimoire_proto::google::api::{HttpRule, http_rule::Pattern};
use grimoire_proto::{access, http as bindings, upstream};
use http::{HeaderValue, Method};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde::Serialize;

use crate::config::BoundConfig;
use crate::contracts::Contracts;
use crate::limits::Limits;
use crate::metrics::RouteMetrics;
use crate::pages::Pages;
pub(crate) use error::PlanError;
use paths::{Found, Paths};
use route::named;
pub(crate) use route::{Binding, Body, BoundVariable, Requirement, Route, Shape};
use template::{Segment, Template};
pub(crate) use writer::Writer;

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
/// Paths that the gateway answers itself.
const PAGES: [&str; 5] = [
    "/.well-known/**",
    "/problems/**",
    "/openapi.json",
    "/docs",
    "/docs/**",
];
/// Lines that the routing table may have. Each is a series of metrics for each status.
const MOST_ROUTES: usize = 2000;

/// Every route.
pub(crate) struct Plan {
    rpcs: HashMap<Box<str>, Arc<Route>>,
    paths: Paths,
    /// Those of `paths`, in the order of the contracts.
    bindings: Vec<(Method, Arc<Binding>)>,
    table: Vec<Row>,
    /// The longest that any unary call may take.
    pub(crate) longest_deadline: Duration,
    /// Changes when anything does that contracts say: 16 hexadecimal digits.
    pub(crate) hash: String,
    /// The limits of what leads nowhere, as a `RateLimit-Policy`.
    pub(crate) policy: HeaderValue,
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
    source: String,
}

impl Plan {
    /// Compiles the routes of every service of `contracts` that is not for other processes only, and of what the gateway serves
    /// itself: health, and `reflection`.
    pub(crate) fn compile(
        contracts: &Contracts,
        bounds: &BoundConfig,
        limits: &Limits,
        reflection: bool,
    ) -> Result<Self, PlanError> {
        let mut plan = Self {
            rpcs: HashMap::new(),
            paths: Paths::default(),
            bindings: Vec::new(),
            table: Vec::new(),
            longest_deadline: Duration::ZERO,
            hash: String::new(),
            policy: limits.policy(None, false),
            pages: Pages::default(),
        };
        let reflection: &[(&str, Shape)] = if reflection { &REFLECTION } else { &[] };
        for (name, shape) in HEALTH.iter().chain(reflection) {
            plan.add(route::own(name, *shape, limits), "PUBLIC");
        }
        for service in contracts.pool.services() {
            for method in service.methods() {
                plan.add_method(contracts, &method, bounds, limits)?;
                if plan.table.len() > MOST_ROUTES {
                    return Err(PlanError::TooMany);
                }
            }
        }
        plan.table.sort();
        let unary = plan.rpcs.values();
        let unary = unary.filter(|route| route.shape == Shape::Unary);
        let deadlines = unary.filter_map(|route| route.deadline);
        plan.longest_deadline = deadlines.max().unwrap_or_default();
        plan.hash = plan.hashed(contracts);
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

    /// Names of the upstreams that the routes lead to.
    pub(crate) fn upstreams(&self) -> BTreeSet<String> {
        self.rpcs
            .values()
            .map(|route| route.upstream.clone())
            .filter(|name| name != OWN)
            .collect()
    }

    /// Names of the services that other upstreams than the own one serve.
    pub(crate) fn services(&self) -> BTreeSet<&str> {
        let routes = self.rpcs.values().filter(|route| route.upstream != OWN);
        let services = routes.filter_map(|route| route.name.split_once('/'));
        services.map(|(service, _)| service).collect()
    }

    /// What the metrics of each route call it.
    pub(crate) fn metric_names(&self) -> HashSet<&str> {
        let rpcs = self.rpcs.values().map(|route| route.name.as_str());
        let paths = self.bindings.iter();
        rpcs.chain(paths.map(|(_, binding)| binding.template.as_str()))
            .collect()
    }

    /// The routing table with the plan's hash as JSON, for people.
    pub(crate) fn table(&self) -> String {
        let table = serde_json::json!({"hash": self.hash, "routes": self.table});
        serde_json::to_string_pretty(&table).unwrap_or_default()
    }

    fn hashed(&self, contracts: &Contracts) -> String {
        let mut digest = Context::new(&SHA256);
        digest.update(&contracts.pool.encode_to_vec());
        digest.update(&serde_json::to_vec(&self.table).unwrap_or_default());
        for (name, address) in &contracts.upstreams {
            digest.update(format!("{name} {address}\n").as_bytes());
        }
        digest.finish().as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn add_method(
        &mut self,
        contracts: &Contracts,
        method: &MethodDescriptor,
        bounds: &BoundConfig,
        limits: &Limits,
    ) -> Result<(), PlanError> {
        let service = method.parent_service();
        let rpc = format!("{}/{}", service.full_name(), method.name());
        let source = contracts.source(method).map(str::to_owned);
        let named = named(&rpc, source.as_deref());
        let access = access::of(method).filter(|access| access.level() != Level::Unspecified);
        let access = access.ok_or_else(|| PlanError::NoAccess(named.clone()))?;
        let rule = bindings::of(method);
        if access.level() == Level::Mesh {
            return match rule {
                Some(_) => Err(PlanError::MeshOverHttp(named)),
                None => Ok(()),
            };
        }
        let upstream = upstream::of(service).ok_or_else(|| PlanError::NoUpstream(named.clone()))?;
        if upstream == OWN {
            return Err(PlanError::OwnUpstream(named));
        }
        let route = route::of(rpc, source, upstream, method, &access, bounds, limits)?;
        let level = access.level().as_str_name().trim_start_matches("LEVEL_");
        let mut who = vec![level.to_owned()];
        who.extend(access.roles.iter().chain(&access.scopes).cloned());
        let who = who.join(" ");
        if self.rpcs.contains_key(route.path.as_str()) {
            return Err(PlanError::OwnMethod(named));
        }
        let route = self.add(route, &who);
        if let Some(rule) = rule {
            for rule in std::iter::once(&rule).chain(&rule.additional_bindings) {
                self.bind(&route, method, rule, &who)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, route: Route, who: &str) -> Arc<Route> {
        self.table.push(row(&route, None, who));
        let route = Arc::new(route);
        self.rpcs.insert(route.path.as_str().into(), route.clone());
        route
    }

    /// Refuses a path that would take requests from where they go without it: from what the gateway answers, and from what is compiled in.
    fn check_path(&self, route: &Route, path: &str, template: &Template) -> Result<(), PlanError> {
        for own in PAGES {
            if Template::parse(own).is_ok_and(|page| page.overlaps(template)) {
                return Err(PlanError::OwnPage {
                    rpc: route.full_name(),
                    path: path.to_owned(),
                    own,
                });
            }
        }
        if route.source.is_none() {
            return Ok(());
        }
        let compiled_in = self.bindings.iter().map(|(_, binding)| binding);
        let mut compiled_in = compiled_in.filter(|binding| binding.route.source.is_none());
        let shadowed = compiled_in.find(|binding| {
            Template::parse(&binding.template)
                .is_ok_and(|taken| taken.overlaps(template) && !taken.is_like(template))
        });
        match shadowed {
            Some(binding) => Err(PlanError::Shadow {
                first: binding.route.full_name(),
                second: route.full_name(),
                path: path.to_owned(),
                taken: binding.template.clone(),
            }),
            None => Ok(()),
        }
    }

    fn bind(
        &mut self,
        route: &Arc<Route>,
        method: &MethodDescriptor,
        rule: &HttpRule,
        who: &str,
    ) -> Result<(), PlanError> {
        let rpc = &route.full_name();
        if route.shape == Shape::ClientStream {
            return Err(PlanError::StreamOverHttp(rpc.clone()));
        }
        let (http_method, path) = pattern(rule).ok_or_else(|| PlanError::EmptyRule(rpc.clone()))?;
        let template = Template::parse(path).map_err(|error| PlanError::Template {
            rpc: rpc.clone(),
            path: path.to_owned(),
            error,
        })?;
        self.check_path(route, path, &template)?;
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
            writer: Writer::compile(&output),
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
                first: other.route.full_name(),
                second: rpc.clone(),
                method: http_method.clone(),
                path: path.to_owned(),
            })?;
        self.bindings.push((http_method, binding));
        Ok(())
    }
}

fn row(route: &Route, http: Option<String>, access: &str) -> Row {
    Row {
        rpc: route.name.clone(),
        http,
        upstream: route.upstream.clone(),
        access: access.to_owned(),
        source: route
            .source
            .clone()
            .unwrap_or_else(|| "compiled in".to_owned()),
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
