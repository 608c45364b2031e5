//! An encrypted connection, as Pingora wants one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::server::TlsStream;

/// How long the word that ends the encryption may take to be sent.
const GOODBYE: Duration = Duration::from_secs(1);

/// What comes and goes in the clear through it is encrypted on the way.
#[derive(Debug)]
pub(super) struct Encrypted {
    stream: TlsStream<Stream>,
    /// What was looked at and is still to be read.
    peeked: BytesMut,
    digest: Arc<SslDigest>,
}

impl Encrypted {
    pub(super) fn new(stream: TlsStream<Stream>) -> Self {
        let (_, session) = stream.get_ref();
        let version = session.protocol_version().and_then(|it| it.as_str());
        let suite = session
            .negotiated_cipher_suite()
            .and_then(|it| it.suite().as_str());
        let digest = SslDigest::new(
            suite.unwrap_or_default(),
            version.unwrap_or_default(),
            None,
            None,
            Vec::new(),
        );
        Self {
            stream,
            peeked: BytesMut::new(),
            digest: Arc::new(digest),
        }
    }

    /// The connection below.
    fn plain(&self) -> &Stream {
        self.stream.get_ref().0
    }

    fn plain_mut(&mut self) -> &mut Stream {
        self.stream.get_mut().0
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.peeked.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.peeked.len().min(buffer.remaining());
        buffer.put_slice(&self.peeked[..length]);
        self.peeked.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Encrypted {
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
impl Shutdown for Encrypted {
    async fn shutdown(&mut self) {
        // Who does not hear it sees the connection closed all the same.
        let _ = tokio::time::timeout(GOODBYE, self.stream.shutdown()).await;
    }
}

#[async_trait]
impl Peek for Encrypted {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.read_exact(buffer).await?;
        let mut peeked = BytesMut::from(&*buffer);
        peeked.extend_from_slice(&self.peeked);
        self.peeked = peeked;
        Ok(true)
    }
}

impl UniqueID for Encrypted {
    fn id(&self) -> UniqueIDType {
        self.plain().id()
    }
}

impl Ssl for Encrypted {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        Some(self.digest.clone())
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match self.stream.get_ref().1.alpn_protocol()? {
            b"h2" => Some(ALPN::H2),
            _ => Some(ALPN::H1),
        }
    }
}

impl GetTimingDigest for Encrypted {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.plain().get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.plain().get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.plain().get_write_pending_time()
    }
}

impl GetProxyDigest for Encrypted {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.plain().get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.plain_mut().set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Encrypted {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.plain().get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.plain_mut().set_socket_digest(digest);
    }
}
