//! Connections to the addresses of one upstream. An HTTP/2 connection takes turns on a lock, so each address has as many as
//! there are worker threads.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use tonic::transport::{Channel, Endpoint};

/// How long an address may take to accept.
pub(crate) const CONNECT: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(5);
/// Receive windows: a stream's takes any answer of a unary call at once.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Lazy connections: each begins with the first call it is used for, and again after it broke.
#[derive(Default)]
pub(crate) struct Connections {
    addresses: Vec<SocketAddr>,
    /// Addresses take turns: neighbours in this list lead to different ones.
    channels: Vec<Channel>,
}

impl Connections {
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn channel(&self, turn: usize) -> Option<Channel> {
        self.channels
            .get(turn.checked_rem(self.channels.len())?)
            .cloned()
    }

    /// The address of this turn, and how many turns that address had before.
    pub(crate) fn address(&self, turn: usize) -> Option<(SocketAddr, usize)> {
        let count = self.addresses.len();
        let address = *self.addresses.get(turn.checked_rem(count)?)?;
        Some((address, turn / count))
    }

    /// Connections to `addresses`, keeping those there are.
    pub(crate) fn changed(
        &self,
        addresses: Vec<SocketAddr>,
        origin: &Uri,
        per_address: usize,
    ) -> Self {
        let count = self.addresses.len();
        let mut kept: HashMap<SocketAddr, Vec<Channel>> = HashMap::new();
        for (at, channel) in self.channels.iter().enumerate() {
            kept.entry(self.addresses[at % count])
                .or_default()
                .push(channel.clone());
        }
        let mut channels = Vec::with_capacity(addresses.len() * per_address);
        for _ in 0..per_address {
            for address in &addresses {
                let channel = kept
                    .get_mut(address)
                    .and_then(Vec::pop)
                    .or_else(|| connection(*address, origin));
                channels.extend(channel);
            }
        }
        Self {
            addresses,
            channels,
        }
    }
}

/// An address always makes a URI, so there is always a connection.
fn connection(address: SocketAddr, origin: &Uri) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
    let channel = endpoint
        .origin(origin.clone())
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_lazy();
    Some(channel)
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
    async fn addresses_take_turns_and_each_has_its_connections() {
        let origin = Uri::from_static("http://auth:50051");
        let none = Connections::default();
        assert!(none.channel(0).is_none() && none.address(7).is_none());
        let connections = none.changed(addresses(&[1, 2]), &origin, 2);
        assert_eq!(connections.channels.len(), 4);
        let address = |turn| connections.address(turn).unwrap();
        assert_ne!(address(0).0, address(1).0);
        assert_eq!(address(0).0, address(2).0);
        assert_eq!((address(1).1, address(2).1), (0, 1));
        let fewer = connections.changed(addresses(&[2]), &origin, 2);
        assert_eq!(
            (fewer.channels.len(), fewer.addresses()),
            (2, addresses(&[2]).as_slice())
        );
    }
}
