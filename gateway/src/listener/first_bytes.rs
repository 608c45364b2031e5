//! The door: how many connections there may be, and what a new one speaks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use tokio::sync::mpsc;

use super::HeadBound;
use crate::metrics;
use crate::places::Places;

/// How long a new connection may take to say what it speaks.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// The begin of an HTTP/2 preface. No request of HTTP/1 is shorter, and none that is anything begins so.
const HTTP2: [u8; 4] = *b"PRI ";
/// Length of the preface, which Pingora waits for without a bound.
const PREFACE: usize = 24;

/// Closes a connection that there is no place for, and one that does not say what it speaks.
pub(super) struct FirstBytes<A> {
    pub(super) http1: Arc<A>,
    pub(super) http2: Arc<A>,
    pub(super) places: Arc<Places>,
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
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for FirstBytes<A> {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let place = self.places.take(self.client(&stream));
        let _place = place
            .inspect_err(|full| metrics::connection_refused(*full))
            .ok()?;
        let _counted = metrics::Counted::connection();
        let mut stopped = shutdown.clone();
        let speaks_http2 = tokio::select! {
            looked = tokio::time::timeout(FIRST_BYTES, speaks_http2(&mut stream)) => looked.ok()?.ok()?,
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => return None,
        };
        if speaks_http2 {
            return self.http2.process_new(stream, shutdown).await;
        }
        let bounded = Box::new(HeadBound::new(stream));
        self.http1.process_new(bounded, shutdown).await
    }

    async fn cleanup(&self) {
        self.http1.http_cleanup().await;
        self.http2.http_cleanup().await;
    }
}

/// What was looked at is put back; of HTTP/2 there is so much that Pingora's own look does not wait.
async fn speaks_http2(stream: &mut Stream) -> std::io::Result<bool> {
    let mut first = [0; HTTP2.len()];
    stream.try_peek(&mut first).await?;
    if first != HTTP2 {
        return Ok(false);
    }
    stream.try_peek(&mut [0; PREFACE]).await?;
    Ok(true)
}
