//! Who is at the other end, as the gateway saw it.

use std::net::{IpAddr, Ipv6Addr};

use chassis::caller::Caller;

/// The client of a call; empty where the gateway did not say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Client {
    pub(crate) address: String,
    /// The part of the address that is the same day after day.
    pub(crate) network: String,
    pub(crate) user_agent: String,
}

impl Client {
    pub(crate) fn of(caller: &Caller) -> Self {
        let address = caller.client_address;
        Self {
            address: address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            network: address.map(network).unwrap_or_default(),
            user_agent: caller.user_agent.clone().unwrap_or_default(),
        }
    }
}

/// IPv4 whole. Of IPv6 the first 64 bits: a device draws the others anew each day (RFC 8981), and its owner has all of them.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_the_first_half_of_an_ipv6_address() {
        for (address, expected) in [
            ("198.51.100.1", "198.51.100.1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected, "{address}");
        }
    }
}
