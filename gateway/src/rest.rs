//! REST requests: reads the body, transcodes, calls, transcodes back.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use grimoire_proto::Reason;
use http::{HeaderMap, HeaderValue, header};
use pingora::proxy::Session;

use crate::answer::Answer;
use crate::body;
use crate::exchange::Exchange;
use crate::plan::{Binding, Body};
use crate::problem::Problem;
use crate::streamed::{Form, Streamed};
use crate::transcode::{self, Parts};
use crate::upstream::{Call, Upstream};

/// Makes the unary call that a request is bound to.
pub(crate) async fn call(
    session: &mut Session,
    exchange: &Exchange,
    binding: &Binding,
    upstream: &Upstream,
) -> Result<Answer, Box<Problem>> {
    let message = message(session, exchange, binding).await?;
    let metadata = exchange.metadata(&session.req_header().headers);
    let answer = upstream
        .call(Call {
            route: &binding.route,
            metadata,
            message,
            deadline: deadline(exchange, binding),
        })
        .await
        .map_err(|status| {
            let mut problem = Problem::from_call(&upstream.name, &binding.route.name, &status);
            transcode::as_clients_see_them(binding, &mut problem);
            problem
        })?;
    let body = transcode::decode(binding, answer).map_err(|error| Problem::internal(&error))?;
    let json = HeaderValue::from_static("application/json");
    let store = HeaderValue::from_static("no-store");
    Ok(Answer {
        status: 200,
        headers: vec![(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, store)],
        body,
    })
}

/// Reads the request of a call that is answered by a stream.
pub(crate) async fn prepare(
    session: &mut Session,
    exchange: &Exchange,
    binding: &Arc<Binding>,
    upstream: &Arc<Upstream>,
) -> Result<Streamed, Box<Problem>> {
    let message = message(session, exchange, binding).await?;
    let form = if wants_events(&session.req_header().headers) {
        Form::Events(binding.clone())
    } else {
        Form::Lines(binding.clone())
    };
    Ok(Streamed {
        route: binding.route.clone(),
        upstream: upstream.clone(),
        form,
        message,
        deadline: deadline(exchange, binding),
    })
}

fn deadline(exchange: &Exchange, binding: &Binding) -> Option<Instant> {
    let deadline = binding.route.deadline?;
    Some(exchange.begun + deadline)
}

/// The request as the message of its contract.
async fn message(
    session: &mut Session,
    exchange: &Exchange,
    binding: &Binding,
) -> Result<Bytes, Box<Problem>> {
    let most = match binding.body {
        Body::None => 0,
        Body::Whole | Body::Field(_) => binding.route.max_body,
    };
    let arrived = exchange.begun + binding.route.deadline.unwrap_or(body::USUAL);
    let body = body::read(session, most, arrived).await?;
    let request = session.req_header();
    let parts = Parts {
        path: request.uri.path(),
        query: request.uri.query(),
        body: &body,
    };
    if !body.is_empty() {
        check_media_type(&request.headers)?;
    }
    transcode::encode(binding, &parts)
}

/// Whether a stream is to be server-sent events.
fn wants_events(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(header::ACCEPT).iter();
    let mut kinds = kinds
        .filter_map(|kinds| kinds.to_str().ok())
        .flat_map(|kinds| kinds.split(','));
    kinds.any(|kind| {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("text/event-stream")
    })
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    // Asking for the type also keeps forms of other sites out, which can send only types of their own.
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        Reason::UnsupportedMediaType,
        "the body must be application/json",
    ))
}
