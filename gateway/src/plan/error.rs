//! What keeps contracts from being a plan.

use http::Method;

use super::MOST_ROUTES;
use super::template::TemplateError;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("{0}: has no access option, and nothing is public by omission")]
    NoAccess(String),
    #[error("{0}: its service has no upstream option")]
    NoUpstream(String),
    #[error("{0}: its upstream is `self`, which is the gateway itself")]
    OwnUpstream(String),
    #[error("{0}: is served by the gateway itself")]
    OwnMethod(String),
    #[error("{0}: is for other processes only, and cannot be bound to HTTP")]
    MeshOverHttp(String),
    #[error(
        "{rpc}: the limit class `{class}` is not configured: add `{class}=RATE per address`, or per account, to GRIMOIRE_LIMIT_CLASSES"
    )]
    UnknownClass { rpc: String, class: String },
    #[error(
        "{rpc}: anybody may call it, and the limit class `{class}` counts accounts: GRIMOIRE_LIMIT_CLASSES must have it per address"
    )]
    ClassOfNobody { rpc: String, class: String },
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
    #[error("{second}: `{path}` takes paths of `{taken}`, which is bound to {first}")]
    Shadow {
        first: String,
        second: String,
        path: String,
        taken: String,
    },
    #[error("{rpc}: `{path}` takes paths of `{own}`, which the gateway answers itself")]
    OwnPage {
        rpc: String,
        path: String,
        own: &'static str,
    },
    #[error("there are more routes than {most}, and no more are taken", most = MOST_ROUTES)]
    TooMany,
}
