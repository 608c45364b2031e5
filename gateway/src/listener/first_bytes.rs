//! The door: how many connections there may be, and what a new one speaks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::sync::mpsc;

use super::HeadBound;
use super::frames::FrameBound;
use super::tls::Handshakes;
use crate::metrics;
use crate::places::Places;

/// How long a new connection may take to say what it speaks, once both sides have agreed on encryption where there is any.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4). Pingora waits for all of it without a bound.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No request of HTTP/1 is shorter than so much of it, and none that is anything begins so.
const BEGIN: usize = 4;

/// Closes a connection that there is no place for, and one that does not say what it speaks.
pub(super) struct FirstBytes<A> {
    pub(super) http1: Arc<A>,
    pub(super) http2: Arc<A>,
    pub(super) places: Arc<Places>,
    /// Where connections are encrypted.
    pub(super) tls: Option<Handshakes>,
    /// Whether who connects is the client, rather than a proxy that connects for many.
    pub(super) clients_connect: bool,
    /// Closed when the last connection is gone.
    pub(super) _alive: mpsc::Sender<()>,
}

impl<A: HttpServerApp + Send + Sync + 'static> FirstBytes<A> {
    fn client(&self, stream: &Stream) -> Option<IpAddr> {
        let digest = stream
            .get_socket_digest()
            .filter(|_| self.clients_connect)?;
        Some(digest.peer_addr()?.as_inet()?.ip())
    }

    /// The connection, in the clear, and whether it speaks HTTP/2.
    async fn meet(&self, stream: Stream, client: Option<IpAddr>) -> Option<(Stream, bool)> {
        let mut stream = match &self.tls {
            Some(handshakes) => handshakes.shake(stream, client).await?,
            None => stream,
        };
        let looked = tokio::time::timeout(FIRST_BYTES, speaks_http2(&mut stream)).await;
        let speaks_http2 = looked.ok()?.ok()?;
        let agreed = stream.selected_alpn_proto() == Some(ALPN::H2);
        match self.tls {
            // RFC 9113, section 3.2: over TLS it is agreed on before.
            Some(_) if agreed != speaks_http2 => None,
            _ => Some((stream, speaks_http2)),
        }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for FirstBytes<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let client = self.client(&stream);
        let place = self.places.take(client);
        let _place = place
            .inspect_err(|full| metrics::connection_refused(*full))
            .ok()?;
        let _counted = metrics::Counted::connection();
        let mut stopped = shutdown.clone();
        let (stream, speaks_http2) = tokio::select! {
            met = self.meet(stream, client) => met?,
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => return None,
        };
        if speaks_http2 {
            let bounded = Box::new(FrameBound::on(stream));
            return self.http2.process_new(bounded, shutdown).await;
        }
        let bounded = Box::new(HeadBound::on(stream));
        self.http1.process_new(bounded, shutdown).await
    }

    async fn cleanup(&self) {
        self.http1.http_cleanup().await;
        self.http2.http_cleanup().await;
    }
}

/// What was looked at is put back; of HTTP/2 there is so much that Pingora's own look does not wait.
async fn speaks_http2(stream: &mut Stream) -> std::io::Result<bool> {
    let mut first = [0; BEGIN];
    stream.try_peek(&mut first).await?;
    if first != PREFACE[..BEGIN] {
        return Ok(false);
    }
    let mut preface = [0; PREFACE.len()];
    stream.try_peek(&mut preface).await?;
    Ok(preface == *PREFACE)
}
