//! Ends what nothing else ends: a call that outlives its deadline, a stream without an end, a client that does not go on.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::HeadBound;
use crate::plan::{OWN, Route};
use crate::protocol::Protocol;
use crate::proxy::Gateway;
use crate::serving::Current;
use crate::{metrics, own};

/// What a call gets beyond its deadline before it is ended from here.
const MARGIN: Duration = Duration::from_secs(2);
/// What such a stream gets to end by itself after the stop signal.
const OWN_STREAM_END: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// Whether the answer of this turn is a stream. Nothing tells before the request is read, which is within the turn.
    static STREAMS: Cell<bool>;
}

/// Says that the answer of this turn is a stream, which has bounds of its own.
pub(crate) fn becomes_a_stream() {
    let _ = STREAMS.try_with(|streams| streams.set(true));
}

/// Pingora's proxy, with a bound around each turn of an HTTP/1 connection and each stream of an HTTP/2 one.
pub(super) struct Guard {
    pub(super) proxy: Arc<HttpProxy<Gateway>>,
    pub(super) options: HttpServerOptions,
    pub(super) bounds: Arc<Bounds>,
}

/// How long things may take.
pub(super) struct Bounds {
    current: Arc<Current>,
    /// The wait for a request that is not passed through, and for its reader; its deadline comes on top.
    turn: Duration,
    /// Bytes of the head of an HTTP/1 request. Twice of what `filters::guards` lets pass, so that who is a little above it is told so.
    head: usize,
}

/// The bound of one turn or stream.
enum Bound {
    /// A gRPC call with a deadline, by which its service and its client should have ended it.
    Call(Arc<Route>, Duration),
    /// A stream of reflection or health.
    OwnStream,
    /// Waiting for a request, reading, answering.
    Turn(Duration),
    /// A stream of a service without a deadline, which either side ends.
    Endless,
}

impl Bounds {
    /// HTTP/1 connections may be idle for `idle`; a client gets as long again to send its request and to read its answer.
    pub(super) fn new(current: Arc<Current>, idle: Duration, max_head: usize) -> Self {
        Self {
            current,
            turn: 2 * idle + MARGIN,
            head: max_head.saturating_mul(2),
        }
    }

    /// `request` is what an HTTP/2 stream begins with. A turn of HTTP/1 begins before its request is there, and is never gRPC.
    fn of(&self, request: Option<&RequestHeader>) -> Bound {
        let serving = self.current.load();
        let route = request
            .filter(|request| Protocol::of(&request.headers) == Protocol::Grpc)
            .and_then(|request| serving.plan.rpc(request.uri.path()));
        match route {
            None => Bound::Turn(self.turn + serving.plan.longest_deadline),
            Some(route) => match route.deadline {
                Some(deadline) => Bound::Call(route.clone(), deadline + MARGIN),
                None if route.upstream == OWN => Bound::OwnStream,
                None => Bound::Endless,
            },
        }
    }
}

#[async_trait]
impl HttpServerApp for Guard {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let bound = self
            .bounds
            .of(session.as_http2().map(|_| session.req_header()));
        HeadBound::begins(&session, self.bounds.head);
        let answered = self.proxy.process_new_http(session, shutdown);
        match bound {
            Bound::Turn(turn) => {
                STREAMS
                    .scope(Cell::new(false), within(turn, answered))
                    .await
            }
            Bound::Call(route, bound) => match tokio::time::timeout(bound, answered).await {
                Ok(reused) => reused,
                Err(_) => {
                    // Nobody else tells of a call whose future is dropped.
                    metrics::hung_calls().inc();
                    route.metrics.record(504, bound);
                    tracing::warn!(
                        rpc = route.name,
                        "a gRPC call was ended because nothing else ended it"
                    );
                    None
                }
            },
            Bound::OwnStream => tokio::select! {
                reused = tokio::time::timeout(own::LONGEST, answered) => reused.ok().flatten(),
                () = after_stop(shutdown.clone()) => None,
            },
            Bound::Endless => answered.await,
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// What comes of a turn within its bound, or without it from when it is a stream.
async fn within(
    bound: Duration,
    answered: impl Future<Output = Option<ReusedHttpStream>>,
) -> Option<ReusedHttpStream> {
    let mut answered = pin!(answered);
    let within = tokio::time::timeout(bound, &mut answered).await;
    match within {
        Ok(reused) => reused,
        Err(_) if STREAMS.with(Cell::get) => answered.await,
        Err(_) => {
            metrics::slow_clients().inc();
            tracing::info!("a client was let go that did not go on");
            None
        }
    }
}

async fn after_stop(mut shutdown: ShutdownWatch) {
    let _ = shutdown.wait_for(|stopped| *stopped).await;
    tokio::time::sleep(OWN_STREAM_END).await;
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Config;
    use crate::contracts::Contracts;
    use crate::limits::Limits;
    use crate::plan::Plan;

    fn bounds() -> Bounds {
        let config = Config::parse_from(["gateway", "--upstreams", ""]);
        let plan = Plan::compile(
            &Contracts::compiled_in(grimoire_proto::descriptors()),
            &config.bounds,
            &Limits::new(&config.limits),
            true,
        );
        let current = Current::for_tests(plan.unwrap());
        Bounds::new(current, Duration::from_secs(60), 1024)
    }

    fn request(path: &str, kind: &str) -> RequestHeader {
        let mut request = RequestHeader::build("POST", path.as_bytes(), None).unwrap();
        request.insert_header("content-type", kind).unwrap();
        request
    }

    #[tokio::test]
    async fn a_turn_has_an_end_unless_it_is_a_stream() {
        let ends = async |streams: bool| {
            let ended = Cell::new(false);
            let answered = async {
                if streams {
                    becomes_a_stream();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                ended.set(true);
                None
            };
            let bounded = within(Duration::from_millis(1), answered);
            STREAMS.scope(Cell::new(false), bounded).await;
            ended.get()
        };
        assert!(!ends(false).await);
        assert!(ends(true).await);
    }

    #[test]
    fn whatever_is_not_a_stream_of_a_service_has_an_end() {
        let bounds = bounds();
        let grpc = |path| bounds.of(Some(&request(path, "application/grpc")));
        let ten_seconds = Duration::from_secs(10);
        assert!(matches!(
            grpc("/grimoire.auth.v1.SessionService/Login"),
            Bound::Call(_, bound) if bound == ten_seconds + MARGIN
        ));
        assert!(matches!(
            grpc("/grimoire.auth.v1.AccountService/ExportAccount"),
            Bound::Call(_, bound) if bound == Duration::from_secs(60) + MARGIN
        ));
        for stream in [
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(matches!(grpc(stream), Bound::OwnStream), "{stream}");
        }
        let turn = Duration::from_secs(120) + ten_seconds + MARGIN;
        let rest = request("/v1/sessions:login", "application/json");
        let web = request("/grpc.health.v1.Health/Watch", "application/grpc-web+proto");
        for bound in [
            bounds.of(None),
            bounds.of(Some(&rest)),
            bounds.of(Some(&web)),
            grpc("/nothing.Here/AtAll"),
        ] {
            assert!(matches!(bound, Bound::Turn(bound) if bound == turn));
        }
    }
}
