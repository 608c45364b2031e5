//! A client for unary gRPC over HTTP/2 in plain text, and for nothing else: what the gateway does for each REST request. It is several times
//! cheaper than a general one: no layers, one lock and one task for each connection, one write for all that has gathered, and no map of
//! headers.

mod connection;
mod failure;
mod frame;
mod hpack;
mod incoming;
mod reply;
mod streams;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use tokio::net::TcpStream;
use tokio::time;
use tonic::Status;

use super::CONNECT;
use connection::{Handle, TICK};
use failure::Failure;

/// Pauses between tries to connect: the first, and the longest. Who waits for a service that comes back is `tries`.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What a call comes to: the message of its answer.
type Outcome = Result<Bytes, Status>;

/// One call.
pub(super) struct Request<'a> {
    /// With the slash before it.
    pub(super) path: &'a str,
    /// Names are in lower case.
    pub(super) metadata: &'a [(&'static str, HeaderValue)],
    /// A `grpc-timeout`.
    pub(super) timeout: Option<HeaderValue>,
    pub(super) message: &'a Bytes,
}

/// A connection to one address, which begins with the first call it is used for, and again after it ended.
pub(super) struct Client {
    address: SocketAddr,
    /// The fields that every request has, as they are written.
    head: Vec<u8>,
    state: Mutex<State>,
    /// Held by the one call that connects.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    live: Option<Arc<Handle>>,
    /// Tries that have failed, ever: who waits for one sees by this that it did.
    failed: u64,
    /// Of these, those since the last one that did not.
    in_a_row: u32,
    not_before: Option<Instant>,
    /// What the last one came to.
    refusal: Option<Status>,
}

impl Client {
    /// `authority` is how callers name the service.
    pub(super) fn new(address: SocketAddr, authority: &str) -> Self {
        let mut head = Vec::with_capacity(128);
        hpack::authority(&mut head, authority.as_bytes());
        for (name, value) in [
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            (
                "user-agent",
                concat!("grimoire-gateway/", env!("CARGO_PKG_VERSION")),
            ),
        ] {
            hpack::literal(&mut head, name.as_bytes(), value.as_bytes());
        }
        Self {
            address,
            head,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Makes the call. Dropped before its end, it is cancelled.
    ///
    /// # Errors
    /// What the service says, or UNAVAILABLE with [`super::broken::Broken`] as its source.
    pub(super) async fn call(&self, request: &Request<'_>) -> Outcome {
        let connection = match self.live() {
            Ok(connection) => connection,
            Err(failed) => self.connect(failed).await?,
        };
        connection.call(&self.head, request).await
    }

    /// The connection, where there is one that takes calls; or how many tries to have one have failed.
    fn live(&self) -> Result<Arc<Handle>, u64> {
        let mut state = self.state();
        match &state.live {
            Some(live) if live.is_open() => Ok(live.clone()),
            // One that ends keeps to its calls.
            _ => {
                state.live = None;
                Err(state.failed)
            }
        }
    }

    /// Connects, or waits for the call that does and shares what it came to. In the pause after a failure it is shared, too. `failed`: as
    /// many tries had failed when this began.
    async fn connect(&self, failed: u64) -> Result<Arc<Handle>, Status> {
        let _turn = self.connecting.lock().await;
        if let Ok(connection) = self.live() {
            return Ok(connection);
        }
        if let Some(refusal) = self.refusal(failed) {
            return Err(refusal);
        }
        let connected = connected(self.address).await;
        let mut state = self.state();
        match connected {
            Ok(handle) => {
                let live = Arc::new(handle);
                *state = State {
                    live: Some(live.clone()),
                    failed: state.failed,
                    ..State::default()
                };
                Ok(live)
            }
            Err(failure) => {
                let status = failure.status(false);
                let doubled = FIRST_PAUSE * 2_u32.saturating_pow(state.in_a_row.min(8));
                let pause = doubled.min(LONGEST_PAUSE);
                // Those that failed together do not come again together.
                let pause = pause.mul_f64(rand::random_range(0.5..1.0));
                *state = State {
                    live: None,
                    failed: state.failed + 1,
                    in_a_row: state.in_a_row + 1,
                    not_before: Some(Instant::now() + pause),
                    refusal: Some(status.clone()),
                };
                Err(status)
            }
        }
    }

    /// What the last try came to, where it was after so many had failed, or is too short ago for another one.
    fn refusal(&self, failed: u64) -> Option<Status> {
        let state = self.state();
        let pauses = state.not_before.is_some_and(|end| end > Instant::now());
        let refusal = state.refusal.as_ref();
        refusal
            .filter(|_| pauses || state.failed != failed)
            .cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose peer has spoken HTTP/2.
async fn connected(address: SocketAddr) -> Result<Handle, Failure> {
    let connected = async {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (reader, writer) = socket.into_split();
        let (handle, begun) = Handle::start(reader, writer, TICK);
        begun.await.map_err(|_| Failure::Closed)?;
        Ok::<_, Failure>(handle)
    };
    time::timeout(CONNECT, connected)
        .await
        .unwrap_or(Err(Failure::Late))
}

impl Request<'_> {
    /// Writes the fields that only this request has.
    fn put_fields(&self, out: &mut Vec<u8>) {
        if let Some(timeout) = &self.timeout {
            hpack::literal(out, b"grpc-timeout", timeout.as_bytes());
        }
        for (name, value) in self.metadata {
            hpack::literal(out, name.as_bytes(), value.as_bytes());
        }
    }

    /// What comes before the message: that it is not compressed, and its length.
    fn prefix(&self) -> [u8; 5] {
        // A message is bounded far below what four bytes can count.
        let length = u32::try_from(self.message.len()).unwrap_or(u32::MAX);
        let [l0, l1, l2, l3] = length.to_be_bytes();
        [0, l0, l1, l2, l3]
    }
}
