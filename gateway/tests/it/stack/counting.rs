//! A service that answers by a stream, written frame by frame: numbers, and then what was asked for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use grimoire_proto::Reason;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::frame;

/// Its one method.
pub(crate) const COUNT: &str = "/test.v1.CountingService/Count";

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CountRequest {
    #[prost(uint32, tag = "1")]
    pub(crate) to: u32,
    /// `fail` and `wait`; otherwise the stream ends well.
    #[prost(string, tag = "2")]
    pub(crate) then: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CountResponse {
    #[prost(uint32, tag = "1")]
    pub(crate) number: u32,
}

/// The contract of it, beside the options that contracts are written with.
pub(crate) fn contracts() -> DescriptorPool {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("../proto"), here.join("tests/it/stack")];
    let mut compiler = protox::Compiler::new(folders).unwrap();
    compiler.include_imports(true);
    compiler.open_file("counting.proto").unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

/// Serves it. Who waits learns how many calls were given up.
pub(crate) async fn serve() -> (SocketAddr, watch::Receiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (given_up, told) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let given_up = given_up.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond, given_up.clone()));
                }
            });
        }
    });
    (address, told)
}

async fn answer(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    given_up: watch::Sender<u32>,
) {
    let mut body = request.into_body();
    let mut sent = Vec::new();
    while let Some(part) = body.data().await {
        sent.extend_from_slice(&part.unwrap());
    }
    let asked = CountRequest::decode(&sent[5..]).unwrap();
    let head = http::Response::builder()
        .header("content-type", "application/grpc")
        .header("x-counts", "yes")
        .header("l5d-server-id", "counting")
        .body(())
        .unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    for number in 1..=asked.to {
        send(&mut stream, &CountResponse { number });
    }
    let mut trailers = http::HeaderMap::new();
    match asked.then.as_str() {
        "wait" => {
            let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
            given_up.send_modify(|count| *count += 1);
            return;
        }
        "fail" => {
            let reason = Reason::ResourceNotFound;
            let details = ErrorDetails::with_error_info(reason.name(), "grimoire", HashMap::new());
            let status = Status::with_error_details(reason.code(), "no more numbers", details);
            status.add_header(&mut trailers).unwrap();
        }
        _ => {
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("x-last", "yes".parse().unwrap());
        }
    }
    stream.send_trailers(trailers).unwrap();
}

fn send(stream: &mut SendStream<Bytes>, message: &CountResponse) {
    let frame = frame(&message.encode_to_vec());
    stream.send_data(Bytes::from(frame), false).unwrap();
}
