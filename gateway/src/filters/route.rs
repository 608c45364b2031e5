//! Finds what a request asks for.

use std::sync::Arc;

use grimoire_proto::Reason;
use http::{HeaderValue, Method, Version};
use pingora::http::RequestHeader;

use crate::answer::Answer;
use crate::plan::paths::Found;
use crate::plan::{Binding, Plan, Route, Shape};
use crate::problem::Problem;
use crate::protocol::Protocol;

/// What a request asks for.
#[derive(Clone)]
pub(crate) enum Target {
    /// An RPC over REST.
    Rest(Arc<Binding>),
    /// An RPC over gRPC or gRPC-Web.
    Rpc(Arc<Route>),
    /// The public keys.
    Jwks,
    /// The description of a reason.
    Reason(String),
    /// A page that describes the API.
    Page(Answer),
    /// Which methods a path has.
    Methods(HeaderValue),
}

impl Target {
    pub(crate) fn route(&self) -> Option<&Arc<Route>> {
        match self {
            Self::Rest(binding) => Some(&binding.route),
            Self::Rpc(route) => Some(route),
            Self::Jwks | Self::Reason(_) | Self::Page(_) | Self::Methods(_) => None,
        }
    }
}

pub(crate) fn find(
    plan: &Plan,
    request: &RequestHeader,
    protocol: Protocol,
) -> Result<Target, Box<Problem>> {
    let path = request.uri.path();
    match protocol {
        Protocol::Rest => {}
        Protocol::Grpc => return rpc(plan, request, path),
        Protocol::GrpcWeb(_) => return web(plan, request, path),
    }
    match plan.http(&request.method, path) {
        Found::Binding(binding) => Ok(Target::Rest(binding.clone())),
        Found::OtherMethods(methods) => {
            let allow = allow(&methods);
            if request.method == Method::OPTIONS {
                Ok(Target::Methods(allow))
            } else {
                Err(not_allowed(&request.method, allow))
            }
        }
        // A browser asks before it calls by gRPC-Web.
        Found::Nothing if request.method == Method::OPTIONS && plan.rpc(path).is_some() => {
            Ok(Target::Methods(HeaderValue::from_static("POST")))
        }
        Found::Nothing => own(plan, request, path),
    }
}

fn rpc(plan: &Plan, request: &RequestHeader, path: &str) -> Result<Target, Box<Problem>> {
    if request.version != Version::HTTP_2 || request.method != Method::POST {
        return Err(Problem::new(
            Reason::MalformedRequest,
            "gRPC needs HTTP/2 and the method POST",
        ));
    }
    Ok(Target::Rpc(called(plan, path)?.clone()))
}

/// Any version of HTTP will do, and a request is one message.
fn web(plan: &Plan, request: &RequestHeader, path: &str) -> Result<Target, Box<Problem>> {
    if request.method != Method::POST {
        return Err(Problem::new(
            Reason::MalformedRequest,
            "gRPC-Web needs the method POST",
        ));
    }
    let route = called(plan, path)?;
    if route.shape == Shape::ClientStream {
        let detail = format!("{path} takes a stream of messages, which gRPC-Web has not");
        return Err(Problem::new(Reason::RouteNotFound, detail));
    }
    Ok(Target::Rpc(route.clone()))
}

fn called<'a>(plan: &'a Plan, path: &str) -> Result<&'a Arc<Route>, Box<Problem>> {
    plan.rpc(path)
        .ok_or_else(|| Problem::new(Reason::RouteNotFound, format!("there is no method {path}")))
}

/// What the gateway answers itself.
fn own(plan: &Plan, request: &RequestHeader, path: &str) -> Result<Target, Box<Problem>> {
    let nothing = || {
        let detail = format!("there is nothing at {path}");
        Problem::new(Reason::RouteNotFound, detail)
    };
    let target = match (path, path.strip_prefix("/problems/")) {
        ("/.well-known/jwks.json", _) => Target::Jwks,
        (_, Some(reason)) => Target::Reason(reason.to_owned()),
        _ => {
            let page = plan.pages.answer(path, &request.headers);
            Target::Page(page.ok_or_else(nothing)?)
        }
    };
    let method = &request.method;
    let allow = HeaderValue::from_static("GET, HEAD");
    match *method {
        Method::GET | Method::HEAD => Ok(target),
        Method::OPTIONS => Ok(Target::Methods(allow)),
        _ => Err(not_allowed(method, allow)),
    }
}

fn allow(methods: &[&Method]) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    HeaderValue::try_from(names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn not_allowed(method: &Method, allow: HeaderValue) -> Box<Problem> {
    let allowed = allow.to_str().unwrap_or_default();
    let detail = format!("{method} is not a method of this path; it has {allowed}");
    Problem::new(Reason::MethodNotAllowed, detail).header("allow", allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_get_may_ask_for_the_head() {
        assert_eq!(allow(&[&Method::PATCH, &Method::GET]), "GET, HEAD, PATCH");
        assert_eq!(allow(&[&Method::POST]), "POST");
    }
}
