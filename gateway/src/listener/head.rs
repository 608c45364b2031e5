//! Bounds the head of an HTTP/1 request while it arrives. Pingora takes up to 1 MiB of it, and reads all that it has anew for each
//! part that comes, before anybody of ours sees the request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::metrics;

/// What comes is no head.
const UNBOUNDED: usize = usize::MAX;

/// A connection that breaks when a head does not end.
#[derive(Debug)]
pub(crate) struct HeadBound {
    stream: Stream,
    /// Bytes that may still come.
    left: AtomicUsize,
    /// Parts in which they may come: each has Pingora read all before it again.
    parts: AtomicUsize,
}

/// Of a head. One in a single packet has a few.
const PARTS: usize = 256;

impl HeadBound {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            left: AtomicUsize::new(UNBOUNDED),
            parts: AtomicUsize::new(PARTS),
        }
    }

    /// Says that the next head begins, of which up to `most` bytes are taken: more by what one read gives at most.
    pub(super) fn begins(session: &ServerSession, most: usize) {
        Self::set(session, most);
    }

    /// Says that the head is in: what comes is the body.
    pub(crate) fn ended(session: &ServerSession) {
        Self::set(session, UNBOUNDED);
    }

    /// HTTP/2 bounds its heads itself.
    fn set(session: &ServerSession, left: usize) {
        let stream = session.as_http1().map(|session| session.stream());
        if let Some(bound) = stream.and_then(|stream| stream.as_any().downcast_ref::<Self>()) {
            bound.left.store(left, Ordering::Relaxed);
            bound.parts.store(PARTS, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for HeadBound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.left.load(Ordering::Relaxed);
        let parts = self.parts.load(Ordering::Relaxed);
        if left == 0 || left != UNBOUNDED && parts == 0 {
            metrics::slow_clients().inc();
            let endless = "the head of the request does not end";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, endless)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if left != UNBOUNDED {
            let read = buffer.filled().len() - before;
            self.left
                .store(left.saturating_sub(read), Ordering::Relaxed);
            self.parts.store(parts.saturating_sub(1), Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HeadBound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for HeadBound {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

#[async_trait]
impl Peek for HeadBound {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buffer).await
    }
}

impl UniqueID for HeadBound {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for HeadBound {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for HeadBound {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for HeadBound {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for HeadBound {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.set_socket_digest(digest);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_head_ends_within_its_bytes_and_within_its_parts() {
        for (left, parts, taken) in [(1024, 3, 3), (2, 1024, 2)] {
            let (mut client, stream) = tokio::io::duplex(64);
            let mut bound = HeadBound::new(Box::new(stream));
            (bound.left, bound.parts) = (AtomicUsize::new(left), AtomicUsize::new(parts));
            for _ in 0..taken {
                client.write_all(b"a").await.unwrap();
                assert_eq!(bound.read(&mut [0; 16]).await.unwrap(), 1);
            }
            client.write_all(b"a").await.unwrap();
            assert!(bound.read(&mut [0; 16]).await.is_err());
            (bound.left, bound.parts) = (AtomicUsize::new(UNBOUNDED), AtomicUsize::new(0));
            assert_eq!(bound.read(&mut [0; 16]).await.unwrap(), 1);
        }
    }
}
