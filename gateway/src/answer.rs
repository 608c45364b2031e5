//! Writes answers that the gateway makes itself: good ones and problems.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;

use crate::exchange::Exchange;
use crate::metrics;
use crate::problem::Problem;
use crate::protocol::Protocol;

/// A good answer.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// Whether the body is known to be short enough to be read to its end for the sake of the connection.
pub(crate) fn drains_soon(headers: &HeaderMap) -> bool {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.map_or_else(
        || !headers.contains_key(header::TRANSFER_ENCODING),
        |length| length <= 64 * 1024,
    )
}

pub(crate) async fn write_answer(
    session: &mut Session,
    exchange: &mut Exchange,
    answer: Answer,
) -> pingora::Result<()> {
    let mut head = ResponseHeader::build_no_case(answer.status, Some(10))?;
    for (name, value) in answer.headers {
        head.insert_header(name, value)?;
    }
    // These have no body, and a length would be one of another answer.
    if !matches!(answer.status, 204 | 304) {
        head.insert_header(header::CONTENT_LENGTH, answer.body.len())?;
    }
    write(session, exchange, head, answer.body, answer.status).await
}

/// Refusals keep the connection, unless what is left of the request is not worth reading.
pub(crate) async fn write_problem(
    session: &mut Session,
    exchange: &mut Exchange,
    problem: &Problem,
) -> pingora::Result<()> {
    if !problem.from_service {
        metrics::refused(&problem.reason);
    }
    exchange.reason = Some(problem.reason.clone());
    if problem.close {
        session.set_keepalive(None);
    }
    let (head, body) = match exchange.protocol {
        Protocol::Rest => problem.to_rest(&exchange.trace_id)?,
        Protocol::Grpc => (problem.to_grpc(&exchange.trace_id)?, Bytes::new()),
        Protocol::GrpcWeb(encoding) => problem.to_grpc_web(&exchange.trace_id, encoding)?,
    };
    write(session, exchange, head, body, problem.http_status).await
}

async fn write(
    session: &mut Session,
    exchange: &mut Exchange,
    mut head: ResponseHeader,
    body: Bytes,
    status: u16,
) -> pingora::Result<()> {
    for (name, value) in exchange.answer_headers() {
        if !head.headers.contains_key(&name) {
            head.insert_header(name, value)?;
        }
    }
    exchange.status = Some(status);
    let no_body = body.is_empty() || session.req_header().method == Method::HEAD;
    let tasks = if no_body {
        vec![HttpTask::Header(Box::new(head), true)]
    } else {
        vec![
            HttpTask::Header(Box::new(head), false),
            HttpTask::Body(Some(body), true),
        ]
    };
    session.write_response_tasks(tasks).await.map(drop)
}
