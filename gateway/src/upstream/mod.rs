//! The services behind the gateway: where each is, connections to it, and calls. Both ways through the gateway, transcoded and
//! passed through, ask here.

mod answers;
mod broken;
mod bytes_codec;
mod call;
mod connections;
mod ejection;
mod tries;
mod unary;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, Uri};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

pub(crate) use answers::Next;
use broken::Broken;
pub(crate) use broken::not_processed;
pub(crate) use call::{Call, Metadata, grpc_timeout};
pub(crate) use connections::CONNECT;
use connections::{Connections, Place};
use ejection::Ejections;
pub(crate) use tries::Tries;

use crate::plan::OWN;
use crate::workers;

/// How often a name is looked up again.
const LOOK_UP: Duration = Duration::from_secs(5);
/// How often, while a name leads nowhere.
const LOOK_UP_MISSING: Duration = Duration::from_millis(500);

/// How long new names are looked up before they are used.
const LOOK_UP_FIRST: Duration = Duration::from_secs(2);

/// Every upstream, by name.
#[derive(Default)]
pub(crate) struct Targets(HashMap<String, Arc<Upstream>>);

/// One service.
pub(crate) struct Upstream {
    pub(crate) name: String,
    /// Its authority, as callers say it.
    pub(crate) authority: HeaderValue,
    origin: Uri,
    connections: ArcSwap<Connections>,
    ejections: Ejections,
    turn: AtomicUsize,
    threads: usize,
    metrics: call::CallMetrics,
    away: tries::Away,
}

/// A name that the contracts use has no address.
#[derive(Debug, thiserror::Error)]
#[error(
    "GRIMOIRE_UPSTREAMS lacks {missing}: it must have an entry such as {missing}=http://{missing}:50051 for each service that the contracts name; for those of GRIMOIRE_CONTRACTS_DIR its upstreams.yaml may have it"
)]
pub struct MissingUpstream {
    missing: String,
}

impl Targets {
    /// The upstreams that `needed` names, at the addresses of `configured`, and the one inside of this process. What is at the same
    /// address as here stays, with its connections; whoever calls another goes on, and its connections end with the last call.
    pub(crate) fn changed(
        &self,
        needed: impl IntoIterator<Item = String>,
        configured: &BTreeMap<String, Uri>,
        own: SocketAddr,
        threads: usize,
    ) -> Result<Self, MissingUpstream> {
        let mut targets = HashMap::new();
        for name in needed {
            let Some(origin) = configured.get(&name) else {
                return Err(MissingUpstream { missing: name });
            };
            let upstream = self.known_or_new(name, origin, threads);
            targets.insert(upstream.name.clone(), upstream);
        }
        let origin = Uri::builder()
            .scheme("http")
            .authority(own.to_string())
            .path_and_query("/")
            .build()
            .unwrap_or_default();
        let upstream = self.known_or_new(OWN.to_owned(), &origin, threads);
        targets.insert(OWN.to_owned(), upstream);
        Ok(Self(targets))
    }

    fn known_or_new(&self, name: String, origin: &Uri, threads: usize) -> Arc<Upstream> {
        match self.0.get(&name).filter(|known| known.origin == *origin) {
            Some(known) => known.clone(),
            None => Arc::new(Upstream::new(name, origin.clone(), threads)),
        }
    }

    /// Looks up the names that lead nowhere yet, for a while. One that does not exist is no error: its service may come later.
    pub(crate) async fn look_up_new(&self) {
        let new = self
            .0
            .values()
            .filter(|upstream| upstream.connections.load().addresses().is_empty());
        let looked_up = futures::future::join_all(new.map(|upstream| upstream.look_up()));
        let _ = tokio::time::timeout(LOOK_UP_FIRST, looked_up).await;
    }

    /// Names of all of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }

    /// Keeps every address current until `stop`.
    pub(crate) async fn keep_current(&self, stop: CancellationToken) {
        let each = self.0.values().map(|upstream| upstream.keep_current());
        stop.run_until_cancelled(futures::future::join_all(each))
            .await;
    }
}

impl Upstream {
    fn new(name: String, origin: Uri, threads: usize) -> Self {
        let authority = origin
            .authority()
            .map_or("", |authority| authority.as_str());
        Self {
            authority: HeaderValue::try_from(authority)
                .unwrap_or_else(|_| HeaderValue::from_static("upstream")),
            metrics: call::CallMetrics::new(&name),
            ejections: Ejections::new(&name),
            name,
            origin,
            connections: ArcSwap::from_pointee(Connections::default()),
            turn: AtomicUsize::new(0),
            threads,
            away: tries::Away::new(),
        }
    }

    /// The place of a call among all. A second try goes to the place after it: to another address where there is one.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// A call has come to the service.
    pub(crate) fn takes_calls(&self) {
        self.away.ends();
    }

    /// The connection for streams of this turn; none while the name leads nowhere.
    pub(crate) fn channel(&self, turn: usize) -> Option<Channel> {
        self.place(turn).ok().map(|place| place.streams())
    }

    /// The address of this turn.
    pub(crate) fn address(&self, turn: usize) -> Option<SocketAddr> {
        let connections = self.connections.load();
        let addresses = connections.addresses();
        let at = self.ejections.pick(addresses, turn)?;
        addresses.get(at).copied()
    }

    fn place(&self, turn: usize) -> Result<Arc<Place>, Status> {
        let connections = self.connections.load();
        let addresses = connections.addresses();
        let at = self.ejections.pick(addresses, turn);
        at.and_then(|at| connections.place(at, workers::index()))
            .cloned()
            .ok_or_else(|| Status::unavailable(format!("{} has no address", self.name)))
    }

    /// Remembers whether the service was reached there. When it took this call, it takes calls.
    fn note(&self, address: SocketAddr, failure: Option<&Status>) {
        let broken = failure.map(|status| (status.code(), Broken::of(status)));
        match broken {
            Some((_, Some(Broken { lost: true, .. }))) => self.failed(address),
            // It may be at the deadline that nobody is there.
            Some((Code::DeadlineExceeded, None)) | Some((_, Some(_))) => {}
            None | Some((_, None)) => {
                self.takes_calls();
                self.reached(address);
            }
        }
    }

    /// Nothing could be reached at `address`, or it was lost.
    pub(crate) fn failed(&self, address: SocketAddr) {
        let connections = self.connections.load();
        self.ejections.failed(address, connections.addresses());
    }

    /// The service was reached at `address`.
    pub(crate) fn reached(&self, address: SocketAddr) {
        self.ejections.reached(address);
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::new("test".to_owned(), Uri::from_static("http://test:1"), 1)
    }

    async fn keep_current(&self) {
        loop {
            let known = self.look_up().await;
            tokio::time::sleep(if known { LOOK_UP } else { LOOK_UP_MISSING }).await;
        }
    }

    /// Looks the name up. Addresses that cannot be had stay as they were.
    async fn look_up(&self) -> bool {
        let host = self
            .origin
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']']);
        let port = self.origin.port_u16().unwrap_or(80);
        match tokio::net::lookup_host((host, port)).await {
            Ok(addresses) => {
                let now = self.connections.load();
                let mut addresses: Vec<SocketAddr> = addresses.collect();
                addresses.sort();
                addresses.dedup();
                if !addresses.is_empty() && addresses != now.addresses() {
                    tracing::info!(upstream = self.name, ?addresses, "upstream addresses");
                    self.ejections.keep(&addresses);
                    let next = now.changed(addresses, &self.origin, self.threads);
                    self.connections.store(Arc::new(next));
                }
            }
            Err(error) => {
                tracing::warn!(upstream = self.name, host, %error, "the name of an upstream cannot be looked up")
            }
        }
        !self.connections.load().addresses().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_stays_where_it_is_keeps_its_connections() {
        let own = SocketAddr::from(([127, 0, 0, 1], 1));
        let targets = |before: &Targets, orders: &str| {
            let addresses = [("user", "http://user:1"), ("orders", orders)];
            let addresses =
                addresses.map(|(name, uri)| (name.to_owned(), uri.parse::<Uri>().unwrap()));
            let addresses = BTreeMap::from(addresses);
            before.changed(addresses.keys().cloned(), &addresses, own, 1)
        };
        let before = targets(&Targets::default(), "http://orders:1").unwrap();
        let after = targets(&before, "http://elsewhere:1").unwrap();
        let stays = |name| Arc::ptr_eq(before.get(name).unwrap(), after.get(name).unwrap());
        assert!(stays("user") && stays(OWN));
        assert!(!stays("orders"));
    }
}
