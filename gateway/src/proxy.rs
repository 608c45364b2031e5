//! The way of a request through the gateway. `Gateway::chain` has the order of its links.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use grimoire_proto::Reason;
use http::{HeaderMap, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::answer::{Answer, drains_soon, write_answer, write_problem};
use crate::config::Origins;
use crate::exchange::Exchange;
use crate::filters::cors::{self, CrossOrigin};
use crate::filters::route::Target;
use crate::filters::{access, guards, identity_headers, rate_limit, request_id, route, token};
use crate::limits::Limits;
use crate::listener::{HeadBound, becomes_a_stream};
use crate::places::Places;
use crate::plan::{OWN, Shape};
use crate::problem::{self, Problem};
use crate::protocol::Protocol;
use crate::serving::Current;
use crate::streamed::{self, Streamed};
use crate::trust::Trust;
use crate::trust::keys::JWKS_MAX_AGE;
use crate::trust::token::Tokens;
use crate::upstream::not_processed;
use crate::{client_address, grpc_web, log_line, metrics, own, pass_through, rest, scheme};

/// What is left of a body that was refused is read for at most this long, to keep the connection.
const DRAIN: Duration = Duration::from_secs(1);
/// How long a client may take to read a refusal.
const READING: Duration = Duration::from_secs(5);

/// The gateway as Pingora drives it.
pub(crate) struct Gateway {
    pub(crate) current: Arc<Current>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Arc<Limits>,
    pub(crate) own_streams: Arc<Places>,
    /// Whose pages may call.
    pub(crate) origins: Origins,
    /// Cancelled when answers without an end must end.
    pub(crate) stop: CancellationToken,
    pub(crate) max_head: usize,
    /// How long an HTTP/1.1 connection may be idle.
    pub(crate) idle: Duration,
    /// What browsers are told that came over TLS.
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) trusted_proxies: usize,
}

/// What is done about a request that was not refused.
enum Step {
    /// This is its answer.
    Answer(Answer),
    /// Its call is to be made, and answered as what comes.
    Stream(Streamed),
    /// Pingora passes it through.
    PassThrough,
}

impl Gateway {
    /// The links, in their order. Each refuses by its error.
    async fn chain(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Step, Box<Problem>> {
        let checked = guards::check(session, self.max_head);
        identity_headers::strip(session.req_header_mut());
        let (found, policy) = {
            let serving = self.current.load();
            let found = checked.and_then(|()| {
                // Both are of one plan, and stay this request's whatever is served next.
                let target = route::find(&serving.plan, session.req_header(), exchange.protocol)?;
                let route = target.route();
                let upstream =
                    route.and_then(|route| serving.targets.get(&route.upstream).cloned());
                Ok((target, upstream))
            });
            (found, serving.plan.policy.clone())
        };
        exchange.target = found.as_ref().ok().map(|(target, _)| target.clone());
        exchange.cross_origin = cors::check(&self.origins, session.req_header());
        let route = exchange.target.as_ref().and_then(Target::route).cloned();
        let policy = route.as_ref().map_or(policy, |route| route.policy.clone());
        exchange.policy = Some(policy);
        // Whatever is refused is charged first, or refusals would be free.
        let charged = rate_limit::address(&self.limits, exchange.client, route.as_deref());
        exchange.standing = Some(charged.await?);
        let (target, upstream) = found?;
        let Some(route) = route else {
            return self.own(target, &exchange.cross_origin).map(Step::Answer);
        };

        exchange.caller = token::check(&self.tokens, &session.req_header().headers, &route).await?;
        access::check(&route, exchange.caller.as_deref(), &self.trust)?;
        if let Some(caller) = &exchange.caller {
            let charged = rate_limit::account(&self.limits, caller.account, &route);
            let standing = charged.await?;
            exchange.standing = Some(standing.tighter(exchange.standing.take()));
        }

        let upstream = upstream
            .ok_or_else(|| Problem::internal(&format!("no upstream {}", route.upstream)))?;
        match (target, exchange.protocol) {
            (Target::Rest(binding), _) if route.shape == Shape::Unary => {
                let answer = rest::call(session, exchange, &binding, &upstream).await?;
                Ok(Step::Answer(answer))
            }
            (Target::Rest(binding), _) => {
                exchange.upstream = Some(upstream.clone());
                let prepared = rest::prepare(session, exchange, &binding, &upstream);
                Ok(Step::Stream(prepared.await?))
            }
            (_, protocol) => {
                if route.upstream == OWN {
                    let place = self.own_streams.take(Some(exchange.client));
                    exchange.place = Some(place.map_err(own::too_many)?);
                }
                exchange.upstream = Some(upstream.clone());
                let Protocol::GrpcWeb(encoding) = protocol else {
                    // The bound of this stream may be of a plan that did not know the route.
                    if route.deadline.is_none() {
                        becomes_a_stream();
                    }
                    return Ok(Step::PassThrough);
                };
                let prepared = grpc_web::prepare(session, exchange, &route, &upstream, encoding);
                Ok(Step::Stream(prepared.await?))
            }
        }
    }

    /// What the gateway answers itself.
    fn own(&self, target: Target, cross_origin: &CrossOrigin) -> Result<Answer, Box<Problem>> {
        let (kind, max_age, body) = match target {
            Target::Methods(allow) => {
                let mut headers = cross_origin.preflight(&allow);
                headers.push((header::ALLOW, allow));
                return Ok(Answer {
                    status: 204,
                    headers,
                    body: Bytes::new(),
                });
            }
            Target::Reason(name) => {
                let body = problem::describe(&name);
                let body = body.ok_or_else(|| {
                    Problem::new(Reason::ResourceNotFound, "there is no such reason")
                })?;
                ("application/json", 86_400, body)
            }
            Target::Page(answer) => return Ok(answer),
            _ if !self.trust.is_known() => {
                return Err(
                    Problem::new(Reason::TrustStale, "the keys are not known yet")
                        .retry_after(problem::RETRY),
                );
            }
            _ => ("application/jwk-set+json", JWKS_MAX_AGE, self.trust.jwks()),
        };
        let mut headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        headers.extend(
            HeaderValue::try_from(format!("public, max-age={max_age}"))
                .ok()
                .map(|age| (header::CACHE_CONTROL, age)),
        );
        Ok(Answer {
            status: 200,
            headers,
            body,
        })
    }

    fn begin(&self, session: &mut Session, exchange: &mut Exchange) {
        HeadBound::ended(session.as_downstream());
        // Pingora waits for the next request of an HTTP/1.1 connection without end.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(self.idle.as_secs()));
        }
        // An answer before the end of a small body, such as a refusal, keeps the connection: what is left is read and dropped.
        session.set_total_drain_timeout(Some(DRAIN));
        let small = drains_soon(&session.req_header().headers);
        session.set_close_on_response_before_downstream_finish(!small);
        let request = session.req_header();
        exchange.protocol = Protocol::of(&request.headers);
        exchange.id = request_id::of(&request.headers);
        if let Some(peer) = session.client_addr().and_then(|address| address.as_inet()) {
            exchange.client = client_address::of(peer.ip(), &request.headers, self.trusted_proxies);
        }
        let encrypted = session
            .digest()
            .is_some_and(|digest| digest.ssl_digest.is_some());
        let https = scheme::is_https(encrypted, &request.headers, self.trusted_proxies);
        exchange.hsts = self.hsts.clone().filter(|_| https);
        let span = tracing::info_span!(
            "request",
            otel.kind = "server",
            http.request.method = request.method.as_str(),
            url.scheme = if https { "https" } else { "http" },
            http.route = tracing::field::Empty,
            http.response.status_code = tracing::field::Empty,
        );
        // A client that chose the trace would file its events under another's, and decide what is sampled.
        if self.trusted_proxies == 0 {
            telemetry::propagation::add_link_from_headers(&span, &request.headers);
        } else {
            telemetry::propagation::set_parent_from_headers(&span, &request.headers);
        }
        let trace_id = span.in_scope(telemetry::propagation::current_trace_id);
        exchange.trace_id = trace_id.unwrap_or_else(|| uuid::Uuid::now_v7().simple().to_string());
        exchange.span = span;
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::begin()
    }

    /// No module touches what passes: compression is not ours to add.
    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<bool> {
        self.begin(session, exchange);
        let span = exchange.span.clone();
        let chain = self.chain(session, exchange);
        let step = chain.instrument(span.clone()).await;
        match step {
            Ok(Step::PassThrough) => return Ok(false),
            Ok(Step::Answer(answer)) => write_answer(session, exchange, answer).await?,
            Ok(Step::Stream(streamed)) => {
                let answered = streamed::answer(session, exchange, streamed, self.idle, &self.stop);
                answered.instrument(span).await?;
            }
            Err(problem) => {
                let written = write_problem(session, exchange, &problem);
                // It is short: who does not read it holds a stream, and could hold many.
                let written = tokio::time::timeout(READING, written).await;
                written.unwrap_or_else(|_| Err(Error::new_down(ErrorType::WriteTimedout)))?;
            }
        }
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<Box<HttpPeer>> {
        pass_through::peer(exchange).await.map(Box::new)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        pass_through::tell(request, exchange)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        pass_through::bound(body.as_ref().map_or(0, Bytes::len), exchange)
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        pass_through::note_status(&response.headers, exchange);
        identity_headers::strip_answer(response);
        for (name, value) in exchange.answer_headers() {
            response.insert_header(name, value)?;
        }
        Ok(())
    }

    fn upstream_response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        pass_through::note_status(trailers, exchange);
        Ok(())
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        peer: &HttpPeer,
        _fd: RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        if let (Some(upstream), Some(address)) = (&exchange.upstream, pass_through::address(peer)) {
            upstream.reached(address);
        }
        Ok(())
    }

    /// A service that could not be reached saw nothing.
    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let (Some(upstream), Some(address)) = (&exchange.upstream, pass_through::address(peer)) {
            upstream.failed(address);
        }
        let again = pass_through::again(session, exchange, &error, false);
        error.set_retry(again);
        error
    }

    /// Pingora itself repeats nothing that is a POST.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        exchange: &mut Exchange,
        _client_reused: bool,
    ) -> Box<Error> {
        let seen = !not_processed(error.root_cause());
        let mut error = error.more_context(format!("Peer: {peer}"));
        let again = pass_through::again(session, exchange, &error, seen);
        error.set_retry(again);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let problem = match (exchange.refusal.take(), error.esource()) {
            (Some(problem), _) => problem,
            // Nobody is there to be told.
            (None, ErrorSource::Downstream) => {
                return FailToProxy {
                    error_code: 0,
                    can_reuse_downstream: false,
                };
            }
            (None, ErrorSource::Upstream) => {
                tracing::warn!(parent: &exchange.span, %error, "call failed");
                Problem::new(Reason::Unavailable, "the service is away").retry_after(problem::RETRY)
            }
            (None, _) => exchange.span.in_scope(|| Problem::internal(error)),
        };
        let error_code = problem.http_status;
        if session.response_written().is_none()
            && let Err(error) = write_problem(session, exchange, &problem).await
        {
            tracing::debug!(parent: &exchange.span, %error, "the answer cannot be written");
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        let written = session
            .response_written()
            .map(|response| response.status.as_u16());
        let status = exchange.outcome(written, error);
        let took = exchange.begun.elapsed();
        match &exchange.target {
            Some(Target::Rest(binding)) => binding.metrics.record(status, took),
            Some(Target::Rpc(route)) => route.metrics.record(status, took),
            _ => metrics::unrouted(&session.req_header().method, status, took),
        }
        log_line::write(session.req_header(), exchange, status, took, error);
    }

    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }
}
