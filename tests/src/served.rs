//! What this process serves in place of another one.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tonic::transport::server::{Router, TcpIncoming};

/// gRPC, as [`listen`] has it.
pub(crate) fn serve(router: Router) -> SocketAddr {
    listen(async move |listener| {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        router
            .serve_with_incoming(incoming)
            .await
            .expect("a server");
    })
}

/// Listens on a free port of 127.0.0.1, in a thread of its own: it outlives the runtime of who started it, and ends with the process.
pub(crate) fn listen(accept: impl AsyncFnOnce(TcpListener) + Send + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .set_nonblocking(true)
        .expect("a non-blocking listener");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            accept(TcpListener::from_std(listener).expect("a listener")).await;
        });
    });
    address
}
