//! Takes what connects to a port and gives it to the worker that has the fewest connections.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::{HttpServerApp, ServerApp as _};
use pingora::protocols::l4::stream::Stream as Socket;
use pingora::protocols::{GetSocketDigest as _, SocketDigest, Stream};
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;

use super::Listener;
use super::first_bytes::FirstBytes;
use crate::workers::Workers;

/// How long no connection is accepted when the system has no means for one more.
const PAUSE: Duration = Duration::from_secs(1);

/// Until `shutdown`. Connections go on.
pub(super) async fn accept<A: HttpServerApp + Send + Sync + 'static>(
    listener: Listener,
    app: FirstBytes<A>,
    workers: &Workers,
    shutdown: ShutdownWatch,
) {
    let app = Arc::new(app);
    let mut stopped = shutdown.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => break,
        };
        // The worker is to watch it from now on.
        let accepted = accepted.and_then(|(stream, client)| Ok((stream.into_std()?, client)));
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_the_client(&error) {
                    tracing::error!(%error, "no connection can be accepted for a second");
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let Some((runtime, connection)) = workers.least_busy() else {
            continue;
        };
        let (app, shutdown) = (app.clone(), shutdown.clone());
        runtime.spawn(async move {
            let _connection = connection;
            match opened(stream, client) {
                Ok(stream) => drop(app.process_new(stream, &shutdown).await),
                Err(error) => tracing::warn!(%error, "a new connection cannot be served"),
            }
        });
    }
    app.cleanup().await;
}

/// A client that went before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// As Pingora wants a connection. It has no buffers: [`super::bounded`] has one.
fn opened(stream: std::net::TcpStream, client: SocketAddr) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let _ = digest.peer_addr.set(Some(client.into()));
    let mut socket = Socket::from(TcpStream::from_std(stream)?);
    socket.set_socket_digest(digest);
    Ok(Box::new(socket))
}
