//! A connection whose bytes are looked at as they come, so that what never ends can be ended. What goes is gathered until it is flushed, so
//! that the head of an answer and a short body leave together.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter, ReadBuf};

/// What a client may send.
pub(super) trait Bound: Debug + Send + Sync + Unpin + 'static {
    /// Whether anything more may come. An error breaks the connection.
    fn more(&self) -> io::Result<()> {
        Ok(())
    }

    /// Looks at what has come. An error breaks the connection.
    fn read(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A connection within a bound.
#[derive(Debug)]
pub(super) struct Bounded<B> {
    stream: BufWriter<Stream>,
    pub(super) bound: B,
}

/// Bytes that are gathered: about what one packet has.
const GATHERED: usize = 1400;
/// How long what is gathered may take to leave when the connection ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl<B: Bound> Bounded<B> {
    pub(super) fn new(stream: Stream, bound: B) -> Self {
        Self {
            stream: BufWriter::with_capacity(GATHERED, stream),
            bound,
        }
    }
}

/// Pingora drops connections whose last answer broke off, and leaves it to them to send what there was of it.
impl<B> Drop for Bounded<B> {
    fn drop(&mut self) {
        let _ = self.stream.flush().now_or_never();
    }
}

impl<B: Bound> AsyncRead for Bounded<B> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.bound.more()?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.bound.read(&buffer.filled()[before..]))
    }
}

impl<B: Bound> AsyncWrite for Bounded<B> {
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
impl<B: Bound> Shutdown for Bounded<B> {
    async fn shutdown(&mut self) {
        let _ = tokio::time::timeout(LAST_WORDS, self.stream.flush()).await;
        Shutdown::shutdown(&mut **self.stream.get_mut()).await;
    }
}

#[async_trait]
impl<B: Bound> Peek for Bounded<B> {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.stream.get_mut().try_peek(buffer).await
    }
}

impl<B: Bound> UniqueID for Bounded<B> {
    fn id(&self) -> UniqueIDType {
        self.stream.get_ref().id()
    }
}

impl<B: Bound> Ssl for Bounded<B> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ref().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.get_ref().selected_alpn_proto()
    }
}

impl<B: Bound> GetTimingDigest for Bounded<B> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_ref().get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_ref().get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_ref().get_write_pending_time()
    }
}

impl<B: Bound> GetProxyDigest for Bounded<B> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_ref().get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.get_mut().set_proxy_digest(digest);
    }
}

impl<B: Bound> GetSocketDigest for Bounded<B> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_ref().get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.get_mut().set_socket_digest(digest);
    }
}
