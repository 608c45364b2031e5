//! Native gRPC, which Pingora passes through: where a call goes, what its service is told, and how much of it there may be.

use std::net::SocketAddr;
use std::time::Duration;

use grimoire_proto::Reason;
use http::{HeaderMap, HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::{Error, ErrorSource, ErrorType};

use crate::deadline::time_left;
use crate::exchange::Exchange;
use crate::filters::route::Target;
use crate::plan::OWN;
use crate::problem::Problem;
use crate::upstream::{CONNECT, Tries, grpc_timeout};
use crate::workers;

/// How long a connection to a service may be idle.
const IDLE: Duration = Duration::from_secs(60);
/// Streams of one connection to a service.
const STREAMS: usize = 100;
/// How often a connection to a service is asked whether anybody is there.
const PING: Duration = Duration::from_secs(10);
/// A gRPC message has a head of five bytes.
const FRAME: usize = 5;

/// The connection of a call, when its next try is due.
pub(crate) async fn peer(exchange: &mut Exchange) -> pingora::Result<HttpPeer> {
    let nowhere = || Error::new_up(ErrorType::ConnectNoRoute);
    let upstream = exchange.upstream.clone().ok_or_else(nowhere)?;
    let tries = exchange.tries.get_or_insert_with(|| Tries::of(&upstream));
    let turn = tries.next().await;
    let address = upstream.address(turn).ok_or_else(nowhere)?;
    let mut peer = HttpPeer::new(address, false, String::new());
    // Each thread has connections of its own.
    peer.group_key = workers::index() as u64;
    peer.options.set_http_version(2, 2);
    peer.options.max_h2_streams = STREAMS;
    peer.options.connection_timeout = Some(CONNECT);
    peer.options.total_connection_timeout = Some(CONNECT);
    peer.options.idle_timeout = Some(IDLE);
    // A service that vanished without a word would keep its connection, and calls would go there.
    peer.options.h2_ping_interval = Some(PING);
    Ok(peer)
}

/// Where a connection to a service leads.
pub(crate) fn address(peer: &HttpPeer) -> Option<SocketAddr> {
    peer.address().as_inet().copied()
}

/// Whether a call that failed with its connection, or for the lack of one, is sent again: as any other, see [`Tries`], as long as nothing
/// was answered and what was read of its body is still there.
pub(crate) fn again(session: &Session, exchange: &mut Exchange, error: &Error, seen: bool) -> bool {
    let left = time_left(&session.req_header().headers, exchange);
    let target = exchange.target.as_ref();
    let (Some(route), Some(upstream), Some(tries)) = (
        target.and_then(Target::route),
        &exchange.upstream,
        &mut exchange.tries,
    ) else {
        return false;
    };
    let again = *error.esource() == ErrorSource::Upstream
        && session.response_written().is_none()
        && !session.retry_buffer_truncated()
        && tries.again(
            upstream,
            seen,
            route.repeatable,
            left.unwrap_or(Duration::MAX),
        );
    if again {
        // The body is passed from its beginning.
        exchange.passed = 0;
    }
    again
}

/// Says who calls in place of what the client said for itself, and how much time is left.
pub(crate) fn tell(request: &mut RequestHeader, exchange: &mut Exchange) -> pingora::Result<()> {
    let metadata = exchange.metadata(&request.headers);
    for secret in [header::AUTHORIZATION, header::COOKIE] {
        request.remove_header(&secret);
    }
    for theirs in ["traceparent", "tracestate", "baggage"] {
        request.remove_header(theirs);
    }
    for (name, value) in metadata {
        request.insert_header(name, value)?;
    }
    request.insert_header(header::TE, HeaderValue::from_static("trailers"))?;
    if let Some(tries) = &mut exchange.tries {
        tries.arrived();
    }
    if let Some(upstream) = &exchange.upstream {
        upstream.takes_calls();
        request.insert_header(header::HOST, upstream.authority.clone())?;
    }
    if let Some(left) = time_left(&request.headers, exchange) {
        request.insert_header("grpc-timeout", grpc_timeout(left))?;
    }
    Ok(())
}

/// Bounds what a unary call sends, and a stream of reflection or health in all. A stream of a service is bounded there, message
/// by message.
pub(crate) fn bound(sent: usize, exchange: &mut Exchange) -> pingora::Result<()> {
    let Some(route) = exchange.target.as_ref().and_then(Target::route) else {
        return Ok(());
    };
    exchange.passed += sent;
    let bounded = route.deadline.is_some() || route.upstream == OWN;
    if bounded && exchange.passed > route.max_body + FRAME {
        let detail = format!("the message is larger than {} bytes", route.max_body);
        exchange.refusal = Some(Problem::new(Reason::BodyTooLarge, detail));
        return Err(Error::new_down(ErrorType::InvalidHTTPHeader));
    }
    Ok(())
}

/// Remembers the status of a call, wherever it stands.
pub(crate) fn note_status(headers: &HeaderMap, exchange: &mut Exchange) {
    if let Some(status) = headers.get("grpc-status") {
        exchange.grpc_status = Some(tonic::Code::from_bytes(status.as_bytes()));
    }
}
