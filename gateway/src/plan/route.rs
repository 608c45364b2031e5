//! What the gateway must know of one RPC, read once from its descriptor.

use std::time::Duration;

use grimoire_proto::access::{Access, Level};
use http::HeaderValue;
use http::uri::PathAndQuery;
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};

use crate::limits::Class;
use crate::metrics::RouteMetrics;

/// One RPC.
pub(crate) struct Route {
    /// `grimoire.user.v1.ProfileService/GetProfile`: the name in metrics and logs.
    pub(crate) name: String,
    /// Its path on the wire, with a slash before the name.
    pub(crate) path: PathAndQuery,
    /// Name of the upstream that serves it.
    pub(crate) upstream: String,
    pub(crate) shape: Shape,
    pub(crate) access: Requirement,
    pub(crate) class: Option<Class>,
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
    pub(crate) route: std::sync::Arc<Route>,
    /// The template as the contract writes it: `http_route` in metrics.
    pub(crate) template: String,
    /// The custom verb that ends the path; empty where there is none.
    pub(crate) verb: String,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
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
    /// Whether a call of this is refused without a good token.
    pub(crate) fn needs_token(&self) -> bool {
        self.access.signed_in
    }
}

/// Whether protobuf says that repeating `method` does no harm.
pub(crate) fn repeatable(method: &MethodDescriptor) -> bool {
    use prost_reflect::prost_types::method_options::IdempotencyLevel;
    let options = method.method_descriptor_proto().options.as_ref();
    options
        .is_some_and(|options| options.idempotency_level() != IdempotencyLevel::IdempotencyUnknown)
}
