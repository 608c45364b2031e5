//! How much of something may be open at once: altogether, and for one client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::client::Network;

/// The places there are.
pub(crate) struct Places {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    altogether: usize,
    /// Of those who have any.
    by_client: HashMap<Network, usize>,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    client: Option<Network>,
}

/// Which bound there is no place under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Altogether,
    OneClient,
}

impl Places {
    pub(crate) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one,
            taken: Mutex::default(),
        })
    }

    /// Takes a place, for a client where it is known. An IPv6 client is its /64, as it is for limits.
    pub(crate) fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Place, Full> {
        let client = client.map(|address| Network::of(address, false));
        let mut taken = self.taken();
        if taken.altogether >= self.most {
            return Err(Full::Altogether);
        }
        if let Some(client) = client {
            let of_one = taken.by_client.get(&client).copied().unwrap_or_default();
            if of_one >= self.most_of_one {
                return Err(Full::OneClient);
            }
            taken.by_client.insert(client, of_one + 1);
        }
        taken.altogether += 1;
        Ok(Place {
            places: self.clone(),
            client,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.altogether -= 1;
        if let Some(client) = self.client
            && let Entry::Occupied(mut of_one) = taken.by_client.entry(client)
        {
            *of_one.get_mut() -= 1;
            if *of_one.get() == 0 {
                of_one.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn refusal(taken: Result<Place, Full>) -> Option<Full> {
        taken.err()
    }

    #[test]
    fn one_client_cannot_take_every_place() {
        let places = Places::new(3, 2);
        let first = places.take(client("192.0.2.1")).unwrap();
        let _second = places.take(client("192.0.2.1")).unwrap();
        assert_eq!(
            refusal(places.take(client("192.0.2.1"))),
            Some(Full::OneClient)
        );
        let _other = places.take(client("192.0.2.2")).unwrap();
        assert_eq!(
            refusal(places.take(client("192.0.2.3"))),
            Some(Full::Altogether)
        );
        drop(first);
        assert_eq!(refusal(places.take(client("192.0.2.1"))), None);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let places = Places::new(9, 1);
        let _place = places.take(client("2001:db8:1:2::1")).unwrap();
        assert_eq!(
            refusal(places.take(client("2001:db8:1:2:ffff::9"))),
            Some(Full::OneClient)
        );
    }

    #[test]
    fn a_client_that_has_left_is_not_remembered() {
        let places = Places::new(9, 9);
        drop(places.take(client("192.0.2.1")).unwrap());
        drop(places.take(None).unwrap());
        assert!(places.taken().by_client.is_empty());
        assert_eq!(places.taken().altogether, 0);
    }
}
