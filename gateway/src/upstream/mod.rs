//! The services behind the gateway: where each is, connections to it, and calls. Both ways through the gateway, transcoded and
//! passed through, ask here.

mod answers;
mod broken;
mod bytes_codec;
mod call;
mod connections;
mod ejection;
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
pub(crate) use call::{Call, Metadata, grpc_timeout};
pub(crate) use connections::CONNECT;
use connections::{Connections, Place};
use ejection::Ejections;

use crate::plan::OWN;

/// How often a name is looked up again.
const LOOK_UP: Duration = Duration::from_secs(5);
/// How often, while a name leads nowhere.
const LOOK_UP_MISSING: Duration = Duration::from_millis(500);

/// Every upstream, by name.
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
    connections_per_address: usize,
    metrics: call::CallMetrics,
}

/// A name that the contracts use has no address.
#[derive(Debug, thiserror::Error)]
#[error(
    "GRIMOIRE_UPSTREAMS lacks {missing}: it must have an entry such as {missing}=http://{missing}:50051 for each service that the contracts name"
)]
pub struct MissingUpstream {
    missing: String,
}

impl Targets {
    /// The upstreams that `needed` names, at the addresses of `configured`, and the one inside of this process.
    pub(crate) fn new(
        needed: impl IntoIterator<Item = String>,
        configured: &BTreeMap<String, Uri>,
        own: SocketAddr,
        connections_per_address: usize,
    ) -> Result<Self, MissingUpstream> {
        let mut targets = HashMap::new();
        for name in needed {
            let Some(origin) = configured.get(&name) else {
                return Err(MissingUpstream { missing: name });
            };
            targets.insert(
                name.clone(),
                Arc::new(Upstream::new(name, origin.clone(), connections_per_address)),
            );
        }
        let origin = Uri::builder()
            .scheme("http")
            .authority(own.to_string())
            .path_and_query("/")
            .build()
            .unwrap_or_default();
        targets.insert(
            OWN.to_owned(),
            Arc::new(Upstream::new(OWN.to_owned(), origin, 1)),
        );
        Ok(Self(targets))
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
    fn new(name: String, origin: Uri, connections_per_address: usize) -> Self {
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
            connections_per_address,
        }
    }

    /// The place of a call among all. A second try goes to the place after it: to another address where there is one.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The connection for streams of this turn; none while the name leads nowhere.
    pub(crate) fn channel(&self, turn: usize) -> Option<Channel> {
        self.place(turn).ok().map(|place| place.streams.clone())
    }

    /// The address of this turn, and how many turns that address had before.
    pub(crate) fn address(&self, turn: usize) -> Option<(SocketAddr, usize)> {
        let connections = self.connections.load();
        let addresses = connections.addresses();
        let at = self.ejections.pick(addresses, turn)?;
        Some((*addresses.get(at)?, turn / addresses.len()))
    }

    fn place(&self, turn: usize) -> Result<Arc<Place>, Status> {
        let connections = self.connections.load();
        let addresses = connections.addresses();
        let at = self.ejections.pick(addresses, turn);
        at.and_then(|at| connections.place(at, turn / addresses.len()))
            .cloned()
            .ok_or_else(|| Status::unavailable(format!("{} has no address", self.name)))
    }

    /// Remembers whether the service was reached there.
    fn note(&self, address: SocketAddr, failure: Option<&Status>) {
        let broken = failure.map(|status| (status.code(), Broken::of(status)));
        match broken {
            Some((_, Some(Broken { lost: true, .. }))) => self.failed(address),
            // It may be at the deadline that nobody is there.
            Some((Code::DeadlineExceeded, None)) | Some((_, Some(_))) => {}
            None | Some((_, None)) => self.reached(address),
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
                    let next = now.changed(addresses, &self.origin, self.connections_per_address);
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
