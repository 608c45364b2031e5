//! The public listener. Pingora's own server is not used: it panics where a port is taken, sleeps its whole grace period after
//! SIGTERM, and waits without end for the first bytes of a connection.

mod first_bytes;
mod guard;
mod head;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerOptions;
use pingora::listeners::Listeners;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::open_files;
use crate::places::Places;
use crate::proxy::Gateway;
use first_bytes::FirstBytes;
pub(crate) use guard::becomes_a_stream;
use guard::{Bounds, Guard};
pub(crate) use head::HeadBound;

/// How long an HTTP/2 connection may be idle.
const H2_IDLE: Duration = Duration::from_secs(300);
/// How long requests that are on their way may take to end after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);
/// Streams of one client connection.
const STREAMS: u32 = 200;

/// A port is taken, or is not of this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (GRIMOIRE_LISTEN): {cause}")]
pub struct ListenError {
    address: SocketAddr,
    cause: std::io::Error,
}

/// An open port that is not served yet.
pub(crate) struct Listener {
    socket: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Listener {
    pub(crate) fn open(address: SocketAddr) -> Result<Self, ListenError> {
        let open = || -> std::io::Result<Self> {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        open().map_err(|cause| ListenError { address, cause })
    }

    /// Serves until `stop`, and then until the requests that are on their way have ended, within a bound.
    pub(crate) async fn serve(self, gateway: Gateway, config: &Config, stop: CancellationToken) {
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

        let name = self.address.to_string();
        // Held by the service and by each connection: closed when the last of them is gone.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let app = FirstBytes {
            http1: guard(false),
            http2: guard(true),
            places: Places::new(
                open_files::room_for(connections.max_connections.get()),
                connections.max_connections_per_address.get(),
            ),
            clients_connect: config.limits.trusted_proxies == 0,
            _alive: alive,
        };
        let mut service = Service::with_listeners("gateway".to_owned(), Listeners::tcp(&name), app);
        let mut sockets = Fds::new();
        sockets.add(name, self.socket.into_raw_fd());
        let sockets: ListenFds = Arc::new(sockets.into());

        let (stopping, stopped) = watch::channel(false);
        let tell = async {
            stop.cancelled().await;
            let _ = stopping.send(true);
        };
        tokio::join!(service.start_service(Some(sockets), stopped, 1), tell);
        drop(service);
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
