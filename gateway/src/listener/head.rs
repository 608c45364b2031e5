//! Bounds the head of an HTTP/1 request while it arrives. Pingora takes up to 1 MiB of it, and reads all that it has anew for each
//! part that comes, before anybody of ours sees the request.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;

use super::bounded::{Bound, Bounded};
use crate::metrics;

/// What comes is no head.
const UNBOUNDED: usize = usize::MAX;

/// What is left of a head. Atomic because a session shows its connection only shared.
#[derive(Debug)]
pub(crate) struct HeadBound {
    /// Bytes that may still come.
    left: AtomicUsize,
    /// Parts in which they may come: each has Pingora read all before it again.
    parts: AtomicUsize,
}

/// Of a head. One in a single packet has a few.
const PARTS: usize = 256;

impl HeadBound {
    /// A connection that breaks when a head does not end.
    pub(super) fn on(stream: Stream) -> Bounded<Self> {
        let bound = Self {
            left: AtomicUsize::new(UNBOUNDED),
            parts: AtomicUsize::new(PARTS),
        };
        Bounded::new(stream, bound)
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
        let bounded = stream.and_then(|stream| stream.as_any().downcast_ref::<Bounded<Self>>());
        if let Some(Bounded { bound, .. }) = bounded {
            bound.left.store(left, Ordering::Relaxed);
            bound.parts.store(PARTS, Ordering::Relaxed);
        }
    }
}

impl Bound for HeadBound {
    fn more(&self) -> io::Result<()> {
        let left = self.left.load(Ordering::Relaxed);
        let parts = self.parts.load(Ordering::Relaxed);
        if left == 0 || left != UNBOUNDED && parts == 0 {
            metrics::slow_clients().inc();
            let endless = "the head of the request does not end";
            return Err(io::Error::new(io::ErrorKind::InvalidData, endless));
        }
        Ok(())
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.left.get_mut();
        if *left != UNBOUNDED {
            *left = left.saturating_sub(bytes.len());
            let parts = self.parts.get_mut();
            *parts = parts.saturating_sub(1);
        }
        Ok(())
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
            let mut bounded = HeadBound::on(Box::new(stream));
            let set = |left, parts| HeadBound {
                left: AtomicUsize::new(left),
                parts: AtomicUsize::new(parts),
            };
            bounded.bound = set(left, parts);
            for _ in 0..taken {
                client.write_all(b"a").await.unwrap();
                assert_eq!(bounded.read(&mut [0; 16]).await.unwrap(), 1);
            }
            client.write_all(b"a").await.unwrap();
            assert!(bounded.read(&mut [0; 16]).await.is_err());
            bounded.bound = set(UNBOUNDED, 0);
            assert_eq!(bounded.read(&mut [0; 16]).await.unwrap(), 1);
        }
    }
}
