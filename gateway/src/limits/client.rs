//! Who is counted.

use std::net::IpAddr;

use uuid::Uuid;

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Network(Network),
    Account(Uuid),
}

/// The addresses that share a budget. One client has a whole IPv6 /64; while there are too many clients to remember, an IPv4
/// /16 and an IPv6 /32 share one, so that a flood from everywhere cannot fill the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(u64);

impl Client {
    /// One byte for its kind, and the bytes that tell it from others of that kind.
    pub(super) fn bytes(self) -> [u8; 17] {
        let (kind, number) = match self {
            Self::Network(Network(number)) => (0, u128::from(number)),
            Self::Account(account) => (1, account.as_u128()),
        };
        let mut bytes = [kind; 17];
        bytes[1..].copy_from_slice(&number.to_be_bytes());
        bytes
    }
}

impl Network {
    pub(crate) fn of(address: IpAddr, coarse: bool) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let address = u64::from(address.to_bits());
                // An IPv4 address takes the place of a /64 in ::/32, which no client has.
                Self(if coarse {
                    address & 0xffff_0000
                } else {
                    address
                })
            }
            IpAddr::V6(address) => {
                let prefix = (address.to_bits() >> 64) as u64;
                Self(if coarse {
                    prefix & 0xffff_ffff_0000_0000
                } else {
                    prefix
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_client_has_one_budget_for_its_whole_network() {
        assert_eq!(
            Network::of(ip("2001:db8:1:2::1"), false),
            Network::of(ip("2001:db8:1:2:ffff::9"), false)
        );
        assert_ne!(
            Network::of(ip("2001:db8:1:2::1"), false),
            Network::of(ip("2001:db8:1:3::1"), false)
        );
        assert_eq!(
            Network::of(ip("::ffff:192.0.2.1"), false),
            Network::of(ip("192.0.2.1"), false)
        );
    }

    #[test]
    fn neighbours_share_a_budget_while_there_are_too_many_clients() {
        assert_eq!(
            Network::of(ip("192.0.2.1"), true),
            Network::of(ip("192.0.99.1"), true)
        );
        assert_ne!(
            Network::of(ip("192.0.2.1"), true),
            Network::of(ip("192.1.2.1"), true)
        );
        assert_eq!(
            Network::of(ip("2001:db8:1:2::1"), true),
            Network::of(ip("2001:db8:9::1"), true)
        );
    }

    #[test]
    fn an_address_and_an_account_are_never_the_same_client() {
        let network = Network::of(ip("0.0.0.0"), false);
        assert_ne!(
            Client::Network(network).bytes(),
            Client::Account(Uuid::nil()).bytes()
        );
    }
}
