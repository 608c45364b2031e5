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

/// IPv4 whole. Of IPv6 the first 48 bits, which is what one site may have (RFC 6177): whoever has them has 65,536 times a /64.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_ipv4_address_or_what_a_site_has_of_ipv6() {
        for (address, expected) in [
            ("198.51.100.1", "198.51.100.1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("2001:db8:1:aaaa::1", "2001:db8:1::/48"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected, "{address}");
        }
    }
}
