//! Answers that pass message by message: over gRPC-Web, and of streams over REST.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use grimoire_proto::Reason;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::answer::write_problem;
use crate::exchange::Exchange;
use crate::filters::identity_headers::identities;
use crate::grpc_web::Encoding;
use crate::listener::becomes_a_stream;
use crate::metrics;
use crate::plan::{Binding, OWN, Route, Shape};
use crate::problem::{Problem, RETRY};
use crate::transcode;
use crate::upstream::{Call, Next, Upstream};

/// What of a service's head and trailers is about one connection or one encoding, and not for who reads another one.
const OF_THE_HOP: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "grpc-accept-encoding",
    "grpc-encoding",
    "te",
    "trailer",
    "transfer-encoding",
];

/// A call that is ready to be made, and how it is answered.
pub(crate) struct Streamed {
    pub(crate) route: Arc<Route>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) form: Form,
    pub(crate) message: Bytes,
    /// None where the answer ends when either side ends it.
    pub(crate) deadline: Option<Instant>,
}

/// How the messages of an answer are written.
pub(crate) enum Form {
    GrpcWeb(Encoding),
    /// One line of JSON for each.
    Lines(Arc<Binding>),
    /// Server-sent events, of JSON.
    Events(Arc<Binding>),
}

/// Makes the call, and writes what comes. A stream ends with its client, its service, its deadline, a client that reads nothing for
/// `patience`, or `stop`.
pub(crate) async fn answer(
    session: &mut Session,
    exchange: &mut Exchange,
    streamed: Streamed,
    patience: Duration,
    stop: &CancellationToken,
) -> pingora::Result<()> {
    let Streamed {
        route,
        upstream,
        form,
        message,
        deadline,
    } = streamed;
    let call = Call {
        route: &route,
        metadata: exchange.metadata(&session.req_header().headers),
        message,
        deadline,
    };
    let is_stream = route.shape == Shape::ServerStream;
    if is_stream {
        becomes_a_stream();
    }
    let opened = tokio::select! {
        opened = upstream.open(call) => opened,
        _ = session.read_body_or_idle(true) => return Err(gone()),
    };
    let mut answers = match opened {
        Ok(answers) => answers,
        Err(status) => {
            let problem = form.explain(exchange, &route, &upstream, &status);
            let failed = fail(session, exchange, &form, &problem, &status);
            return patiently(failed, patience).await;
        }
    };

    let head = head(session, exchange, &form, mem::take(&mut answers.head))?;
    if session.req_header().method == Method::HEAD {
        exchange.status = Some(200);
        return write(
            session,
            vec![HttpTask::Header(Box::new(head), true)],
            patience,
        )
        .await;
    }
    let mut tasks = vec![HttpTask::Header(Box::new(head), false)];
    // Health tells of the stop itself.
    let ends_at_stop = is_stream && route.upstream != OWN;
    loop {
        // The one message of a unary call is written with what surrounds it.
        if is_stream {
            write(session, mem::take(&mut tasks), patience).await?;
        }
        let next = tokio::select! {
            next = answers.next() => next,
            _ = session.read_body_or_idle(true) => return Err(gone()),
            () = stop.cancelled(), if ends_at_stop => {
                let last = form.failure(exchange, &ending(), None);
                tasks.push(HttpTask::Body(last, true));
                return write(session, tasks, patience).await;
            }
        };
        let last = match next {
            Ok(Next::Message(_)) if !is_stream && tasks.len() > 1 => {
                let problem = Problem::internal(&"a unary call is answered more than once");
                form.failure(exchange, &problem, None)
            }
            Ok(Next::Message(message)) => match form.message(message) {
                Ok(body) => {
                    tasks.push(HttpTask::Body(Some(body), false));
                    continue;
                }
                Err(problem) => form.failure(exchange, &problem, None),
            },
            Ok(Next::End(trailers)) => {
                exchange.status = Some(200);
                form.end(trailers)
            }
            Err(status) => {
                let problem = form.explain(exchange, &route, &upstream, &status);
                form.failure(exchange, &problem, Some(&status))
            }
        };
        tasks.push(HttpTask::Body(last, true));
        return write(session, tasks, patience).await;
    }
}

/// Answers a call that did not begin: gRPC-Web as ever in a body, REST by a problem document.
async fn fail(
    session: &mut Session,
    exchange: &mut Exchange,
    form: &Form,
    problem: &Problem,
    status: &Status,
) -> pingora::Result<()> {
    let Form::GrpcWeb(_) = form else {
        return write_problem(session, exchange, problem).await;
    };
    let head = head(session, exchange, form, HeaderMap::new())?;
    let body = form.failure(exchange, problem, Some(status));
    let tasks = vec![
        HttpTask::Header(Box::new(head), false),
        HttpTask::Body(body, true),
    ];
    session.write_response_tasks(tasks).await.map(drop)
}

fn ending() -> Box<Problem> {
    let detail = "the gateway is about to end: call again";
    Problem::new(Reason::Unavailable, detail).retry_after(RETRY)
}

fn gone() -> Box<Error> {
    Error::new_down(ErrorType::ConnectionClosed)
}

async fn write(
    session: &mut Session,
    tasks: Vec<HttpTask>,
    patience: Duration,
) -> pingora::Result<()> {
    let written = async { session.write_response_tasks(tasks).await.map(drop) };
    patiently(written, patience).await
}

/// Lets a client go that does not read.
async fn patiently(
    written: impl Future<Output = pingora::Result<()>>,
    patience: Duration,
) -> pingora::Result<()> {
    tokio::time::timeout(patience, written)
        .await
        .unwrap_or_else(|_| {
            metrics::slow_clients().inc();
            Err(Error::new_down(ErrorType::WriteTimedout))
        })
}

/// The head of the answer, with what the service says in its own to who speaks gRPC.
fn head(
    session: &Session,
    exchange: &Exchange,
    form: &Form,
    told: HeaderMap,
) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(200, Some(12))?;
    if let Form::GrpcWeb(_) = form {
        for (name, value) in &passed(told) {
            head.append_header(name, value.clone())?;
        }
    }
    head.insert_header(header::CONTENT_TYPE, form.content_type())?;
    head.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    // Without it the end of the connection would be that of the body. HTTP/2 leaves it out.
    if session.req_header().version != Version::HTTP_10 {
        let chunked = HeaderValue::from_static("chunked");
        head.insert_header(header::TRANSFER_ENCODING, chunked)?;
    }
    for (name, value) in exchange.answer_headers() {
        head.insert_header(name, value)?;
    }
    Ok(head)
}

/// What clients may see of a service's head or trailers.
fn passed(mut headers: HeaderMap) -> HeaderMap {
    for name in identities(&headers) {
        headers.remove(name);
    }
    for name in OF_THE_HOP {
        headers.remove(name);
    }
    headers
}

impl Form {
    fn content_type(&self) -> HeaderValue {
        match self {
            Self::GrpcWeb(encoding) => encoding.content_type(),
            Self::Lines(_) => HeaderValue::from_static("application/x-ndjson"),
            Self::Events(_) => HeaderValue::from_static("text/event-stream"),
        }
    }

    fn message(&self, message: Bytes) -> Result<Bytes, Box<Problem>> {
        let json = |binding: &Binding| {
            transcode::decode(binding, message.clone()).map_err(|error| Problem::internal(&error))
        };
        Ok(match self {
            Self::GrpcWeb(encoding) => encoding.frame(&message),
            Self::Lines(binding) => around(&[], &json(binding)?, b"\n"),
            Self::Events(binding) => around(b"data: ", &json(binding)?, b"\n\n"),
        })
    }

    /// What follows the last message. Who reads events would begin again where it is not told that this was all.
    fn end(&self, trailers: HeaderMap) -> Option<Bytes> {
        match self {
            Self::GrpcWeb(encoding) => {
                let mut trailers = passed(trailers);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Some(encoding.trailers(&trailers))
            }
            Self::Lines(_) => None,
            Self::Events(_) => Some(Bytes::from_static(b"event: end\ndata: {}\n\n")),
        }
    }

    /// What a service's status means to the client.
    fn explain(
        &self,
        exchange: &Exchange,
        route: &Route,
        upstream: &Upstream,
        status: &Status,
    ) -> Box<Problem> {
        let mut problem = exchange
            .span
            .in_scope(|| Problem::from_call(&upstream.name, &route.name, status));
        if let Self::Lines(binding) | Self::Events(binding) = self {
            transcode::as_clients_see_them(binding, &mut problem);
        }
        problem
    }

    /// The end of an answer that fails, which is noted. A service's own status passes over gRPC-Web as it is, where it gives a reason.
    fn failure(
        &self,
        exchange: &mut Exchange,
        problem: &Problem,
        status: Option<&Status>,
    ) -> Option<Bytes> {
        if !problem.from_service {
            metrics::refused(&problem.reason);
        }
        exchange.status = Some(problem.http_status);
        exchange.reason = Some(problem.reason.clone());
        let document = || {
            let document = problem.to_rest(&exchange.trace_id);
            document.map(|(_, body)| body).unwrap_or_default()
        };
        Some(match self {
            Self::GrpcWeb(encoding) => {
                let own = status.filter(|_| problem.from_service).and_then(trailers);
                let trailers = own.unwrap_or_else(|| problem.to_trailers(&exchange.trace_id));
                encoding.trailers(&trailers)
            }
            Self::Lines(_) => around(b"{\"@problem\":", &document(), b"}\n"),
            Self::Events(_) => around(b"event: problem\ndata: ", &document(), b"\n\n"),
        })
    }
}

fn trailers(status: &Status) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).ok()?;
    Some(passed(trailers))
}

fn around(before: &[u8], body: &[u8], after: &[u8]) -> Bytes {
    Bytes::from([before, body, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_not_told_what_is_between_gateway_and_service() {
        let mut headers = HeaderMap::new();
        for name in [
            "content-type",
            "grpc-encoding",
            "l5d-server-id",
            "grimoire-subject",
            "x-cost",
        ] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        let passed = passed(headers);
        let left: Vec<_> = passed.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["x-cost"]);
    }
}
