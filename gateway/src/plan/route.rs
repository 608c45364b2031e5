//! What the gateway must know of one RPC, read once from its descriptor.

use std::sync::Arc;
use std::time::Duration;

use grimoire_proto::access::{Access, Level};
use grimoire_proto::edge;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};

use super::{OWN, PlanError, Writer};
use crate::config::{BoundConfig, Per};
use crate::limits::{Limit, Limits};
use crate::metrics::RouteMetrics;

/// Bytes that a call of the own upstream may send in all: some hundred questions of reflection, each of which may be answered by many files.
const OWN_BODY: usize = 64 * 1024;

/// One RPC.
pub(crate) struct Route {
    /// `grimoire.user.v1.ProfileService/GetProfile`: the name in metrics and logs.
    pub(crate) name: String,
    /// The set of the folder of contracts that it comes from; none where it is compiled in.
    pub(crate) source: Option<String>,
    /// Its path on the wire, with a slash before the name.
    pub(crate) path: PathAndQuery,
    /// Name of the upstream that serves it.
    pub(crate) upstream: String,
    pub(crate) shape: Shape,
    pub(crate) access: Requirement,
    /// The limit class that its contract names.
    pub(crate) class: Option<Arc<Limit>>,
    /// The longest that a call may take; none for a stream whose contract names none, which ends when either side ends it.
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_body: usize,
    /// Refuse while revocations may be missing.
    pub(crate) fresh_trust: bool,
    /// A second try does no harm.
    pub(crate) repeatable: bool,
    /// What its limits are, as a `RateLimit-Policy`.
    pub(crate) policy: HeaderValue,
    pub(crate) metrics: RouteMetrics,
}

/// Which side sends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Unary,
    /// The service.
    ServerStream,
    /// The client; the service may send one, too.
    ClientStream,
}

/// Who may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) signed_in: bool,
    /// One of these.
    pub(crate) roles: Vec<String>,
    /// All of these.
    pub(crate) scopes: Vec<String>,
    /// Seconds since the caller proved who it is, at most; 0: however many.
    pub(crate) recent_login: u64,
}

/// One HTTP binding of an RPC that takes one message.
pub(crate) struct Binding {
    pub(crate) route: Arc<Route>,
    /// The template as the contract writes it: `http_route` in metrics.
    pub(crate) template: String,
    /// The custom verb that ends the path; empty where there is none.
    pub(crate) verb: String,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    /// For answers that are of usual types.
    pub(crate) writer: Option<Writer>,
    pub(crate) variables: Vec<BoundVariable>,
    pub(crate) body: Body,
    /// The field of the answer that is the HTTP body; none: the whole answer.
    pub(crate) response_body: Option<FieldDescriptor>,
    /// The `google.protobuf.FieldMask` that a PATCH derives from its body.
    pub(crate) mask: Option<FieldDescriptor>,
    pub(crate) metrics: RouteMetrics,
}

/// A variable of the template and the field it is bound to.
pub(crate) struct BoundVariable {
    /// From the message to the field; all but the last are messages.
    pub(crate) fields: Vec<FieldDescriptor>,
    pub(crate) first: usize,
    pub(crate) end: usize,
}

/// What the HTTP body is.
pub(crate) enum Body {
    None,
    Whole,
    Field(FieldDescriptor),
}

impl Shape {
    pub(crate) fn of(method: &MethodDescriptor) -> Self {
        match (method.is_client_streaming(), method.is_server_streaming()) {
            (true, _) => Self::ClientStream,
            (false, true) => Self::ServerStream,
            (false, false) => Self::Unary,
        }
    }
}

impl Requirement {
    pub(crate) fn of(access: &Access) -> Self {
        Self {
            signed_in: access.level() == Level::SignedIn,
            roles: access.roles.clone(),
            scopes: access.scopes.clone(),
            recent_login: access.recent_login.into(),
        }
    }
}

impl Route {
    /// The name, and where it comes from, for whoever has to find it.
    pub(crate) fn full_name(&self) -> String {
        named(&self.name, self.source.as_deref())
    }

    /// Whether a call of this is refused without a good token.
    pub(crate) fn needs_token(&self) -> bool {
        self.access.signed_in
    }

    /// Its limit class, where that counts requests by `per`.
    pub(crate) fn class(&self, per: Per) -> Option<&Arc<Limit>> {
        self.class.as_ref().filter(|class| class.per == per)
    }
}

/// The route of `method`.
pub(super) fn of(
    rpc: String,
    source: Option<String>,
    upstream: String,
    method: &MethodDescriptor,
    access: &Access,
    bounds: &BoundConfig,
    limits: &Limits,
) -> Result<Route, PlanError> {
    let edge = edge::of(method);
    let named = named(&rpc, source.as_deref());
    let class = class(named, &edge.limit_class, access, limits)?;
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
        policy: limits.policy(class.as_deref(), access.signed_in),
        name: rpc,
        source,
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
        repeatable: repeatable(method),
    })
}

/// The limit class that a contract names; the empty name is none.
fn class(
    rpc: String,
    name: &str,
    access: &Access,
    limits: &Limits,
) -> Result<Option<Arc<Limit>>, PlanError> {
    if name.is_empty() {
        return Ok(None);
    }
    let class = name.to_owned();
    match limits.class(name) {
        None => Err(PlanError::UnknownClass { rpc, class }),
        Some(limit) if limit.per == Per::Account && access.level() == Level::Public => {
            Err(PlanError::ClassOfNobody { rpc, class })
        }
        Some(limit) => Ok(Some(limit.clone())),
    }
}

/// A route to the own upstream.
pub(super) fn own(name: &str, shape: Shape, limits: &Limits) -> Route {
    Route {
        name: name.to_owned(),
        path: rpc_path(name),
        source: None,
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

/// `acme.orders.v1.OrderService/GetOrder (orders.binpb)`.
pub(super) fn named(rpc: &str, source: Option<&str>) -> String {
    match source {
        Some(source) => format!("{rpc} ({source})"),
        None => rpc.to_owned(),
    }
}

/// Whether protobuf says that repeating `method` does no harm.
fn repeatable(method: &MethodDescriptor) -> bool {
    use prost_reflect::prost_types::method_options::IdempotencyLevel;
    let options = method.method_descriptor_proto().options.as_ref();
    options
        .is_some_and(|options| options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown)
}
