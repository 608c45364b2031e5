//! A server that answers by the path.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::soon;

pub(super) struct Peer {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    /// Calls of `/held` and `/never` that have come.
    begun: watch::Sender<usize>,
    /// Why calls of `/never` were reset.
    resets: watch::Sender<Vec<Reason>>,
    /// What `/held` waits for.
    release: CancellationToken,
    leave: CancellationToken,
    die: CancellationToken,
}

impl Peer {
    /// `build` has its say on each connection; those after the first neither leave nor die.
    pub(super) async fn start(build: fn(&mut Builder)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let first = shared.connections.fetch_add(1, Ordering::Relaxed) == 0;
                    tokio::spawn(serve(socket, build, shared.clone(), first));
                }
            }
        });
        Self { address, shared }
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many calls of `/held` or `/never` have come.
    pub(super) async fn begun(&self, count: usize) {
        let mut begun = self.shared.begun.subscribe();
        soon(begun.wait_for(|begun| *begun >= count)).await.unwrap();
    }

    /// Waits until a call was reset.
    pub(super) async fn reset(&self) -> Reason {
        let mut resets = self.shared.resets.subscribe();
        let resets = soon(resets.wait_for(|resets| !resets.is_empty())).await;
        resets.unwrap()[0]
    }

    /// Lets calls of `/held` end.
    pub(super) fn release(&self) {
        self.shared.release.cancel();
    }

    /// Ends the first connection, after its calls.
    pub(super) fn leave(&self) {
        self.shared.leave.cancel();
    }

    /// Ends the first connection now.
    pub(super) fn die(&self) {
        self.shared.die.cancel();
    }
}

async fn serve(socket: TcpStream, build: fn(&mut Builder), shared: Arc<Shared>, first: bool) {
    let mut builder = Builder::new();
    build(&mut builder);
    let mut connection = builder.handshake::<_, Bytes>(socket).await.unwrap();
    let mut leaving = !first;
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = shared.leave.cancelled(), if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                continue;
            }
            () = shared.die.cancelled(), if first => return,
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        tokio::spawn(answer(request, respond, shared.clone()));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
) {
    let (head, body) = request.into_parts();
    let message = match head.uri.path() {
        "/echo" => read(body).await.slice(5..),
        "/held" => {
            shared.begun.send_modify(|begun| *begun += 1);
            shared.release.cancelled().await;
            read(body).await.slice(5..)
        }
        "/told" => {
            let mut told = format!("{} {}\n", head.method, head.uri);
            for (name, value) in &head.headers {
                told += &format!("{name}: {}\n", value.to_str().unwrap());
            }
            told.into()
        }
        // Without a look at the request.
        "/early" => Bytes::from_static(b"early"),
        "/missing" => {
            let head = head_of(200)
                .header("grpc-status", "5")
                .header("grpc-message", "not%20here")
                .header("grpc-status-details-bin", "AQI");
            respond.send_response(head.body(()).unwrap(), true).unwrap();
            return;
        }
        "/refused" => return respond.send_reset(Reason::REFUSED_STREAM),
        "/fallen" => return respond.send_reset(Reason::INTERNAL_ERROR),
        _ => {
            shared.begun.send_modify(|begun| *begun += 1);
            if let Ok(reason) = poll_fn(|context| respond.poll_reset(context)).await {
                shared.resets.send_modify(|resets| resets.push(reason));
            }
            return;
        }
    };
    let head = head_of(200).body(()).unwrap();
    // Whoever has gone is not told.
    let Ok(mut stream) = respond.send_response(head, false) else {
        return;
    };
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    if stream.send_data(frame.freeze(), false).is_ok() {
        let _ = stream.send_trailers(trailers);
    }
}

fn head_of(status: u16) -> http::response::Builder {
    Response::builder()
        .status(status)
        .header("content-type", "application/grpc")
}

async fn read(mut body: RecvStream) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Ok(part)) = body.data().await {
        body.flow_control().release_capacity(part.len()).unwrap();
        read.put(part);
    }
    read.freeze()
}
