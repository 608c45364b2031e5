//! Answers REST requests: reads the body, transcodes, calls, transcodes back.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use grimoire_proto::Reason;
use http::{HeaderMap, header};
use pingora::proxy::Session;

use crate::exchange::Exchange;
use crate::plan::Binding;
use crate::problem::Problem;
use crate::transcode::{self, Parts};
use crate::upstream::{Call, Upstream};

/// How long a call may take when its route says nothing.
const DEADLINE: Duration = Duration::from_secs(10);

/// Makes the call that a request is bound to; answers the JSON of its HTTP body.
pub(crate) async fn call(
    session: &mut Session,
    exchange: &Exchange,
    binding: &Binding,
    upstream: &Upstream,
) -> Result<Bytes, Box<Problem>> {
    let deadline = exchange.begun + binding.route.deadline.unwrap_or(DEADLINE);
    let body = read(session, binding.route.max_body, deadline).await?;
    let request = session.req_header();
    let parts = Parts {
        path: request.uri.path(),
        query: request.uri.query(),
        body: &body,
    };
    if !body.is_empty() {
        check_media_type(&request.headers)?;
    }
    let message = transcode::encode(binding, &parts)?;
    let headers = exchange.metadata(&request.headers);
    let answer = upstream
        .call(Call {
            route: &binding.route,
            headers,
            message,
            deadline,
        })
        .await
        .map_err(|status| {
            if matches!(
                status.code(),
                tonic::Code::Unavailable | tonic::Code::DeadlineExceeded
            ) {
                tracing::warn!(
                    upstream = upstream.name,
                    rpc = binding.route.name,
                    error = status.message(),
                    "call failed"
                );
            }
            let mut problem = Problem::from_status(&status);
            transcode::as_clients_see_them(binding, &mut problem);
            problem
        })?;
    transcode::decode(binding, answer).map_err(|error| Problem::internal(&error))
}

/// Reads a body of at most `most` bytes, all of which must be there by the deadline.
async fn read(
    session: &mut Session,
    most: usize,
    deadline: Instant,
) -> Result<Bytes, Box<Problem>> {
    let too_large = || {
        Problem::new(
            Reason::BodyTooLarge,
            format!("the body is larger than {most} bytes"),
        )
        .closing()
    };
    let announced = session
        .get_header(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > most) {
        return Err(too_large());
    }
    if session.is_body_empty() {
        return Ok(Bytes::new());
    }
    let all = async {
        if session
            .get_header(header::EXPECT)
            .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        {
            session
                .write_continue_response()
                .await
                .map_err(|error| broken(&error))?;
        }
        let mut whole = Bytes::new();
        while let Some(part) = session
            .read_request_body()
            .await
            .map_err(|error| broken(&error))?
        {
            if whole.len() + part.len() > most {
                return Err(too_large());
            }
            whole = if whole.is_empty() {
                part
            } else {
                joined(&whole, &part)
            };
        }
        Ok(whole)
    };
    let late =
        || Problem::new(Reason::MalformedRequest, "the body did not arrive in time").closing();
    tokio::time::timeout_at(deadline.into(), all)
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// Most bodies come in one part, and are not copied.
fn joined(whole: &Bytes, part: &Bytes) -> Bytes {
    let mut joined = BytesMut::with_capacity(whole.len() + part.len());
    joined.extend_from_slice(whole);
    joined.extend_from_slice(part);
    joined.freeze()
}

fn broken(error: &pingora::Error) -> Box<Problem> {
    Problem::new(
        Reason::MalformedRequest,
        format!("the body cannot be read: {}", error.etype().as_str()),
    )
    .closing()
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
