//! The public ports. Pingora's own server is not used: it panics where a port is taken, sleeps its whole grace period after
//! SIGTERM, and waits without end for the first bytes of a connection.

mod accept;
mod bounded;
mod first_bytes;
mod frames;
mod guard;
mod head;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use pingora::apps::HttpServerOptions;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::places::Places;
use crate::proxy::Gateway;
use crate::workers::Workers;
use crate::{StartError, open_files};
use accept::accept;
use first_bytes::FirstBytes;
pub(crate) use guard::becomes_a_stream;
use guard::{Bounds, Guard};
pub(crate) use head::HeadBound;
pub(crate) use tls::{CertificateError, Follower, HandshakeFailure};
use tls::{Files, Handshakes};

/// How long an HTTP/2 connection may be idle.
const H2_IDLE: Duration = Duration::from_secs(300);
/// How long requests that are on their way may take to end after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted: as many as the system allows, which is less.
const BACKLOG: u32 = 65_535;
/// Streams of one client connection.
const STREAMS: u32 = 200;

/// A port is taken, or is not of this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({variable}): {cause}")]
pub struct ListenError {
    address: SocketAddr,
    variable: &'static str,
    cause: std::io::Error,
}

/// An open port that is not served yet.
pub(crate) struct Listener {
    socket: TcpListener,
    pub(crate) address: SocketAddr,
}

/// The ports that clients may reach.
pub(crate) struct Ports {
    pub(crate) plain: Listener,
    tls: Option<(Listener, Arc<ServerConfig>)>,
}

impl Listener {
    /// At an address that `variable` gives.
    fn open(address: SocketAddr, variable: &'static str) -> Result<Self, ListenError> {
        let open = || -> std::io::Result<Self> {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Connections that ended a moment ago do not keep the port.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        open().map_err(|cause| ListenError {
            address,
            variable,
            cause,
        })
    }
}

impl Ports {
    /// Opens them. Who follows the certificate, where there is one, is to run beside them.
    pub(crate) fn open(config: &Config) -> Result<(Self, Option<Follower>), StartError> {
        let plain = Listener::open(config.listen, "GRIMOIRE_LISTEN")?;
        let Some((address, certificate, key)) = config.tls.listener() else {
            return Ok((Self { plain, tls: None }, None));
        };
        let follower = Follower::new(Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })?;
        let server = tls::server_config(&follower)?;
        let listener = Listener::open(address, "GRIMOIRE_TLS_LISTEN")?;
        let tls = Some((listener, server));
        Ok((Self { plain, tls }, Some(follower)))
    }

    pub(crate) fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|(listener, _)| listener.address)
    }

    /// Serves until `stop`, and then until the requests that are on their way have ended, within a bound.
    pub(crate) async fn serve(
        self,
        gateway: Gateway,
        config: &Config,
        workers: &Workers,
        stop: CancellationToken,
    ) {
        let conf = ServerConf {
            threads: config.worker_threads(),
            // How often a call is tried is for the gateway to say.
            max_retries: usize::MAX,
            ..ServerConf::default()
        };
        let connections = &config.connections;
        let bounds = Arc::new(Bounds::new(
            gateway.current.clone(),
            connections.idle(),
            config.bounds.max_head,
        ));
        let mut proxy = HttpProxy::new(gateway, Arc::new(conf));
        proxy.handle_init_modules();
        proxy.h2_options = Some(h2_options(config.bounds.max_head));
        let proxy = Arc::new(proxy);
        // With `h2c` Pingora looks for an HTTP/2 preface itself, and would wait for 24 bytes of a shorter HTTP/1 request.
        let guard = |h2c| {
            let mut options = HttpServerOptions::default();
            options.h2c = h2c;
            options.h2_idle_timeout = Some(H2_IDLE);
            Arc::new(Guard {
                proxy: proxy.clone(),
                options,
                bounds: bounds.clone(),
            })
        };
        let (http1, http2) = (guard(false), guard(true));
        let places = Places::new(
            open_files::room_for(connections.max_connections.get()),
            connections.max_connections_per_address.get(),
        );
        // Held by the services and by each connection: closed when the last of them is gone.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let door = |tls| FirstBytes {
            http1: http1.clone(),
            http2: http2.clone(),
            places: places.clone(),
            tls,
            clients_connect: config.limits.trusted_proxies == 0,
            _alive: alive.clone(),
        };

        let mut doors = vec![(self.plain, door(None))];
        if let Some((listener, tls)) = self.tls {
            doors.push((listener, door(Some(Handshakes::new(tls)))));
        }
        drop(alive);
        let (stopping, stopped) = watch::channel(false);
        let tell = async {
            stop.cancelled().await;
            let _ = stopping.send(true);
        };
        let accepting = doors
            .into_iter()
            .map(|(listener, door)| accept(listener, door, workers, stopped.clone()));
        tokio::join!(join_all(accepting), tell);
        if tokio::time::timeout(DRAIN, ended.recv()).await.is_err() {
            tracing::warn!("connections did not end in time");
        }
    }
}

fn h2_options(max_head: usize) -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(STREAMS);
    options.max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX));
    options
}
