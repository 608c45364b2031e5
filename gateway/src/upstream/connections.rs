//! Connections to the addresses of one upstream. An HTTP/2 connection takes turns on a lock, so each address has as many as
//! there are worker threads.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
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
    /// As many as there are addresses, in their order, and so on.
    places: Vec<Arc<Place>>,
}

/// Where calls go: a connection for unary calls, and one for streams.
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) unary: unary::Client,
    pub(super) streams: Channel,
}

impl Connections {
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The place of the address at `at` in the list, in its turn among those of that address.
    pub(super) fn place(&self, at: usize, turn: usize) -> Option<&Arc<Place>> {
        let count = self.addresses.len();
        let per_address = self.places.len().checked_div(count)?;
        self.places.get(turn.checked_rem(per_address)? * count + at)
    }

    /// Connections to `addresses`, keeping those there are.
    pub(crate) fn changed(
        &self,
        addresses: Vec<SocketAddr>,
        origin: &Uri,
        per_address: usize,
    ) -> Self {
        let mut kept: HashMap<SocketAddr, Vec<Arc<Place>>> = HashMap::new();
        for place in &self.places {
            kept.entry(place.address).or_default().push(place.clone());
        }
        let mut places = Vec::with_capacity(addresses.len() * per_address);
        for _ in 0..per_address {
            for address in &addresses {
                let place = kept
                    .get_mut(address)
                    .and_then(Vec::pop)
                    .or_else(|| Place::new(*address, origin).map(Arc::new));
                places.extend(place);
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
        let streams = endpoint
            .origin(origin.clone())
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_lazy();
        Some(Self {
            address,
            unary: unary::Client::new(address, authority),
            streams,
        })
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
        let place = |at, turn| connections.place(at, turn).unwrap();
        assert_eq!(place(1, 0).address, connections.addresses()[1]);
        assert!(!Arc::ptr_eq(place(1, 0), place(1, 1)));
        assert!(Arc::ptr_eq(place(1, 0), place(1, 2)));
        let fewer = connections.changed(addresses(&[2]), &origin, 2);
        assert_eq!(fewer.addresses(), addresses(&[2]));
        for turn in 0..2 {
            let kept = fewer.place(0, turn).unwrap();
            assert!((0..2).any(|turn| Arc::ptr_eq(kept, place(1, turn))));
        }
    }
}
