//! The line of a request in the log: refusals and failures, but for those by a limit; everything else at level debug.

use std::time::Duration;

use grimoire_proto::Reason;
use http::HeaderValue;
use pingora::http::RequestHeader;

use crate::exchange::Exchange;
use crate::filters::route::Target;

/// Characters of a path in the log. Paths are ASCII, or are refused.
const LONGEST_PATH: usize = 256;

pub(crate) fn write(
    request: &RequestHeader,
    exchange: &Exchange,
    status: u16,
    took: Duration,
    error: Option<&pingora::Error>,
) {
    let route = match &exchange.target {
        Some(Target::Rest(binding)) => binding.template.as_str(),
        Some(Target::Rpc(route)) => route.name.as_str(),
        _ => "",
    };
    let span = &exchange.span;
    if !span.is_disabled() {
        span.record("http.response.status_code", status);
        span.record("http.route", route);
        let name = if route.is_empty() {
            request.method.as_str()
        } else {
            route
        };
        telemetry::name_span(span, name);
    }
    // Who is over a limit may ask often, and a metric counts it.
    let refused = exchange.reason.as_deref();
    let refused = refused.is_some_and(|reason| reason != Reason::RateLimited.name());
    let seen = status >= 500 || error.is_some() || refused;
    if !seen && !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let _entered = span.enter();
    // The path without its query, which may have tokens.
    let path = shortened(request.uri.path());
    let method = request.method.as_str();
    let duration_ms = took.as_secs_f64() * 1e3;
    let client = exchange.client;
    let account = exchange
        .caller
        .as_ref()
        .map(|caller| tracing::field::display(caller.account));
    let protocol = exchange.protocol.name();
    let reason = exchange.reason.as_deref();
    let request_id = text(&exchange.id);
    if seen {
        let error = error.map(tracing::field::display);
        tracing::info!(method, path, protocol, route, status, reason, duration_ms, %client, account, request_id, error, "answered");
    } else {
        tracing::debug!(method, path, protocol, route, status, reason, duration_ms, %client, account, request_id, "answered");
    }
}

/// Of a path as long as heads may be.
fn shortened(path: &str) -> &str {
    path.get(..LONGEST_PATH).unwrap_or(path)
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}
