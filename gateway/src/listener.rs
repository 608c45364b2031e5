//! The public listener. Pingora's own server is not used: it panics where a port is taken, sleeps its whole grace period after
//! SIGTERM, and waits without end for the first bytes of a connection.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::listeners::Listeners;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::filters::route::is_grpc;
use crate::metrics;
use crate::plan::Plan;
use crate::proxy::Gateway;

/// How long a new connection may take to say what it speaks.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// How long a connection may be idle.
const H2_IDLE: Duration = Duration::from_secs(300);
/// How long requests that are on their way may take to end after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);
/// What a call gets beyond its deadline before it is ended from here.
const MARGIN: Duration = Duration::from_secs(2);
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
    pub(crate) async fn serve(
        self,
        gateway: Gateway,
        threads: usize,
        max_head: usize,
        stop: CancellationToken,
    ) {
        let conf = ServerConf {
            threads,
            ..ServerConf::default()
        };
        let plan = gateway.plan.clone();
        let mut proxy = HttpProxy::new(gateway, Arc::new(conf));
        proxy.handle_init_modules();
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(H2_IDLE);
        proxy.server_options = Some(options);
        proxy.h2_options = Some(h2_options(max_head));

        let name = self.address.to_string();
        // Held by the service and by each connection: closed when the last of them is gone.
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let app = FirstBytes {
            app: Arc::new(Guarded {
                proxy: Arc::new(proxy),
                plan,
            }),
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

/// Closes a connection that does not say what it speaks. An HTTP/2 preface has 24 bytes, and no HTTP/1.1 request has fewer.
struct FirstBytes<A> {
    app: Arc<A>,
    _alive: mpsc::Sender<()>,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for FirstBytes<A> {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let mut preface = [0; 24];
        let mut stopped = shutdown.clone();
        let looked = tokio::select! {
            looked = tokio::time::timeout(FIRST_BYTES, stream.try_peek(&mut preface)) => looked,
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => return None,
        };
        // What was looked at is put back, so Pingora's own look does not wait.
        match looked {
            Ok(Ok(_)) => self.app.process_new(stream, shutdown).await,
            Ok(Err(_)) | Err(_) => None,
        }
    }

    async fn cleanup(&self) {
        self.app.http_cleanup().await;
    }
}

/// Ends a gRPC call that nothing else ends: neither the service, which knows the deadline, nor the client. Its stream is reset.
struct Guarded {
    proxy: Arc<HttpProxy<Gateway>>,
    plan: Arc<Plan>,
}

#[async_trait]
impl HttpServerApp for Guarded {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let Some(bound) = self.bound(&session) else {
            return self.proxy.process_new_http(session, shutdown).await;
        };
        match tokio::time::timeout(bound, self.proxy.process_new_http(session, shutdown)).await {
            Ok(reused) => reused,
            Err(_) => {
                metrics::hung_calls().inc();
                tracing::warn!("a gRPC call was ended because nothing else ended it");
                None
            }
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl Guarded {
    /// How long a native gRPC call may take altogether; none for streams and for everything else, which has a timer of its own.
    fn bound(&self, session: &ServerSession) -> Option<Duration> {
        session.as_http2()?;
        let request = session.req_header();
        let route = is_grpc(&request.headers)
            .then(|| self.plan.rpc(request.uri.path()))
            .flatten()?;
        route.deadline.map(|deadline| deadline + MARGIN)
    }
}
