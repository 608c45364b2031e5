//! Connections to the addresses of one upstream. Each thread has its own to each address.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::unary;

/// How long an address may take to accept.
pub(crate) const CONNECT: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(5);
/// Receive windows: of one call, which takes any usual answer at once, and of all on a connection.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 4 << 20;

/// Lazy connections: each begins with the first call it is used for, and again after it broke.
#[derive(Default)]
pub(crate) struct Connections {
    addresses: Vec<SocketAddr>,
    /// As many as there are addresses, in their order, for each thread.
    places: Vec<Arc<Place>>,
}

/// Where calls go: a connection for unary calls, and one for streams.
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) unary: unary::Client,
    endpoint: Endpoint,
    streams: OnceLock<Channel>,
}

impl Connections {
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A thread's place for the address at `at` in the list.
    pub(super) fn place(&self, at: usize, thread: usize) -> Option<&Arc<Place>> {
        self.places.get(thread * self.addresses.len() + at)
    }

    /// Those of so many threads to `addresses`. Each thread keeps what it has.
    pub(crate) fn changed(&self, addresses: Vec<SocketAddr>, origin: &Uri, threads: usize) -> Self {
        let mut places = Vec::with_capacity(addresses.len() * threads);
        for thread in 0..threads {
            for address in &addresses {
                let known = self.addresses.iter().position(|known| known == address);
                let kept = known.and_then(|at| self.place(at, thread).cloned());
                places.extend(kept.or_else(|| Place::new(*address, origin).map(Arc::new)));
            }
        }
        Self { addresses, places }
    }
}

impl Place {
    /// An address always makes a URI, so there is always a connection.
    fn new(address: SocketAddr, origin: &Uri) -> Option<Self> {
        let authority = origin
            .authority()
            .map_or("", |authority| authority.as_str());
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        let endpoint = endpoint
            .origin(origin.clone())
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        Some(Self {
            address,
            unary: unary::Client::new(address, authority),
            endpoint,
            streams: OnceLock::new(),
        })
    }

    /// The connection for streams. It is served by the thread that asks first, which is the one that this place is of.
    pub(super) fn streams(&self) -> Channel {
        self.streams
            .get_or_init(|| self.endpoint.connect_lazy())
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports
            .iter()
            .map(|port| SocketAddr::from(([127, 0, 0, 1], *port)))
            .collect()
    }

    #[tokio::test]
    async fn each_address_has_its_connections_which_stay_when_others_come_and_go() {
        let origin = Uri::from_static("http://auth:50051");
        let none = Connections::default();
        assert!(none.place(0, 0).is_none());
        let connections = none.changed(addresses(&[1, 2]), &origin, 2);
        let place = |at, thread| connections.place(at, thread).unwrap();
        assert_eq!(place(1, 0).address, connections.addresses()[1]);
        assert!(!Arc::ptr_eq(place(1, 0), place(1, 1)));
        let fewer = connections.changed(addresses(&[2]), &origin, 2);
        assert_eq!(fewer.addresses(), addresses(&[2]));
        for thread in 0..2 {
            let kept = fewer.place(0, thread).unwrap();
            assert!(Arc::ptr_eq(kept, place(1, thread)));
        }
    }
}
