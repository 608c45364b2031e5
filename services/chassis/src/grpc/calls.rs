//! What happens around each handler, from the arrival of a call to the end of its answer.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use grimoire_proto::Reason;
use http::{Request, Response};
use telemetry::propagation;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};
use tracing::{Instrument as _, Span};

use super::admission::admit;
use super::methods::{Method, Methods, Rule};
use super::peers::Peers;
use crate::caller::Caller;
use crate::ending::Late;
use crate::status::Failure;
use crate::{deadline, ending};

/// tonic has a timer of its own for the same deadline, whose answer has no details: ours must be first.
const BEFORE_TONIC: Duration = Duration::from_millis(5);

/// What happens around each handler, in this order: span, metrics, deadline, peer, caller and access, handler.
pub(super) struct Calls<S> {
    shared: Arc<Shared>,
    handlers: S,
}

struct Shared {
    methods: Methods,
    peers: Peers,
}

impl<S> Calls<S> {
    pub(super) fn new(methods: Methods, peers: Peers, handlers: S) -> Self {
        Self {
            shared: Arc::new(Shared { methods, peers }),
            handlers,
        }
    }
}

impl<S: Clone> Clone for Calls<S> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            handlers: self.handlers.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Calls<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each call takes handlers of its own, which are ready or wait there.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(observe(self.shared.clone(), self.handlers.clone(), request))
    }
}

/// Span and metrics around a call, to the end of its answer.
async fn observe<S>(
    shared: Arc<Shared>,
    handlers: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let method = shared.methods.at(request.uri().path());
    let span = span(&method, &request);
    let running = Running::begin(method.clone(), span.clone());
    let deadline = deadline::of(request.headers())
        .map(|timeout| running.begun + timeout - BEFORE_TONIC.min(timeout / 2));

    let answered = answer(&shared, &method, handlers, request, deadline).instrument(span);
    let response = deadline::within(deadline, answered).await;

    let late = deadline.map(|deadline| Late {
        deadline: Box::pin(tokio::time::sleep_until(deadline)),
        status: too_late,
    });
    Ok(ending::watch(response, late, move |code| running.end(code)))
}

/// The answer of the handler, or of whatever keeps the call from it.
async fn answer<S>(
    shared: &Shared,
    method: &Method,
    handlers: S,
    mut request: Request<Body>,
    deadline: Option<Instant>,
) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let caller = match &method.rule {
        Rule::Access(access) => admit(&shared.peers, access, request.headers()),
        Rule::Open => Ok(Caller::default()),
        Rule::Unknown => Err(Failure::new(
            Reason::RouteNotFound,
            "there is no such method",
        )),
    };
    match caller {
        Ok(caller) => request.extensions_mut().insert(caller),
        Err(failure) => return Status::from(failure).into_http(),
    };
    let handled = AssertUnwindSafe(handlers.oneshot(request)).catch_unwind();
    let handled = match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, handled).await,
        None => Ok(handled.await),
    };
    match handled {
        Ok(Ok(Ok(response))) => explained(response),
        // The panic itself is in the log, where it happened.
        Ok(Err(_)) => Status::from(Failure::internal(&Panicked)).into_http(),
        Err(_) => too_late().into_http(),
    }
}

/// Handlers always give a reason. A status without one is tonic's own, about a request that it could not read, and its INTERNAL would
/// look like a fault of ours.
fn explained(response: Response<Body>) -> Response<Body> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if !status.details().is_empty() {
        return response;
    }
    let failure = match status.code() {
        Code::Internal => Failure::new(
            Reason::MalformedRequest,
            "the request has no message that can be read",
        ),
        Code::OutOfRange => Failure::new(Reason::BodyTooLarge, "the message is too large"),
        Code::Unimplemented => Failure::new(
            Reason::UnsupportedMediaType,
            "messages are not taken in this grpc-encoding",
        ),
        _ => return response,
    };
    tracing::info!(
        cause = status.message(),
        "a request that cannot be read is refused"
    );
    Status::from(failure).into_http()
}

#[derive(Debug, thiserror::Error)]
#[error("the handler panicked")]
struct Panicked;

fn too_late() -> Status {
    Failure::new(Reason::DeadlineExceeded, "the deadline has passed").into()
}

fn span(method: &Method, request: &Request<Body>) -> Span {
    if matches!(method.rule, Rule::Open) {
        // Probes come every few seconds: their traces would bury the others.
        return Span::none();
    }
    let span = tracing::info_span!(
        "serve",
        otel.name = method.name,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method.name,
        rpc.response.status_code = tracing::field::Empty,
    );
    propagation::set_parent_from_headers(&span, request.headers());
    span
}

/// A call that has begun. Dropped before its end, the caller went away: CANCELLED.
struct Running {
    method: Arc<Method>,
    span: Span,
    begun: Instant,
    code: Code,
}

impl Running {
    fn begin(method: Arc<Method>, span: Span) -> Self {
        method.active.inc();
        Self {
            method,
            span,
            begun: Instant::now(),
            code: Code::Cancelled,
        }
    }

    fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.method.active.dec();
        self.method
            .durations
            .with_label_values(&[self.method.name.as_str(), code_name(self.code)])
            .observe(self.begun.elapsed().as_secs_f64());
        record(&self.span, self.code);
    }
}

/// Writes how a call ended into its span. Codes that stand for a fault of the server make the span one of an error.
pub(crate) fn record(span: &Span, code: Code) {
    span.record("rpc.response.status_code", code_name(code));
    let fault = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if fault {
        span.record("otel.status_code", "ERROR");
    }
}

/// The name of `code` in specifications, metrics and traces.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use http_body::{Body as HttpBody, Frame};
    use tonic_types::StatusExt as _;

    use super::*;

    const ALICE: &str = "018f0000-0000-7000-8000-00000000000a";
    const METHOD: &str = "/grimoire.user.v1.ProfileService/GetProfile";

    /// What `handler` makes of a call to `path` that has 50 ms.
    async fn call<H, F>(path: &str, handler: H) -> Response<Body>
    where
        H: Fn(Request<Body>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
    {
        let methods = Methods::of(&BTreeSet::from(["grimoire.user.v1.ProfileService"])).unwrap();
        let mut calls = Calls::new(methods, Peers::Unchecked, tower::service_fn(handler));
        let request = Request::builder()
            .uri(path)
            .header("grimoire-subject", ALICE)
            .header("grpc-timeout", "50m")
            .body(Body::empty())
            .unwrap();
        calls.call(request).await.unwrap()
    }

    fn refused(response: &Response<Body>) -> (Code, String) {
        let status = Status::from_header_map(response.headers()).unwrap();
        (
            status.code(),
            status.get_details_error_info().unwrap().reason,
        )
    }

    #[tokio::test]
    async fn a_handler_is_stopped_at_the_deadline() {
        let response = call(METHOD, |_| std::future::pending()).await;
        assert_eq!(
            refused(&response),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned())
        );
    }

    #[tokio::test]
    async fn a_stream_ends_at_the_deadline() {
        struct Endless;

        impl HttpBody for Endless {
            type Data = Bytes;
            type Error = Status;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
                Poll::Pending
            }
        }

        let response = call(METHOD, |_| async { Ok(Response::new(Body::new(Endless))) }).await;
        let mut body = response.into_body();
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(frame.trailers_ref().unwrap()["grpc-status"], "4");
        assert!(
            std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))
                .await
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_an_internal_error() {
        let response = call(METHOD, |request| async move {
            assert!(request.headers().is_empty(), "this handler panics");
            Ok(Status::ok("").into_http())
        })
        .await;
        assert_eq!(refused(&response), (Code::Internal, "INTERNAL".to_owned()));
    }

    #[tokio::test]
    async fn a_handler_sees_who_calls() {
        let response = call(METHOD, |request| async move {
            let caller: &Caller = request.extensions().get().unwrap();
            Ok(Status::not_found(caller.account().unwrap().to_string()).into_http())
        })
        .await;
        assert_eq!(
            Status::from_header_map(response.headers())
                .unwrap()
                .message(),
            ALICE
        );
    }

    #[tokio::test]
    async fn what_is_not_served_never_reaches_a_handler() {
        let response = call("/x.y.Z/W", |_| std::future::pending()).await;
        assert_eq!(
            refused(&response),
            (Code::Unimplemented, "ROUTE_NOT_FOUND".to_owned())
        );
    }
}
