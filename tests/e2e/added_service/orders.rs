//! The service of docs/services.md, as somebody else would write it, and its contract.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;

use tests::stack::root;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::{Body, BoxFuture, Context, Poll, Service, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

pub(super) const SERVICE: &str = "acme.orders.v1.OrderService";
pub(super) const GET_ORDER: &str = "/acme.orders.v1.OrderService/GetOrder";
const FILE: &str = "acme/orders/v1/orders.proto";

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetOrderRequest {
    #[prost(string, tag = "1")]
    pub(super) order: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetOrderResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) order: Option<Order>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Order {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) account: String,
}

/// The contract that the document shows.
pub(super) fn contract() -> String {
    let page = fs::read_to_string(root().join("docs/services.md")).expect("the document");
    let (_, after) = page.split_once("```protobuf\n").expect("a contract");
    let (contract, _) = after.split_once("```").expect("its end");
    contract.to_owned()
}

/// The set that a compiler makes of a contract, with its imports.
pub(super) fn set(contract: &str) -> Vec<u8> {
    let scratch = root()
        .join(".dev/test")
        .join(format!("orders-{}", uuid::Uuid::new_v4()));
    let file = scratch.join(FILE);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, contract).expect("a file");
    let folders = [root().join("proto"), scratch.clone()];
    let mut compiler = protox::Compiler::new(folders).expect("folders");
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_file(file)
        .expect("a contract");
    fs::remove_dir_all(scratch).expect("a folder");
    compiler.encode_file_descriptor_set()
}

/// Serves it as long as the test runs.
pub(super) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Server::builder().add_service(Orders);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

#[derive(Clone)]
struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = SERVICE;
}

impl<B> Service<http::Request<B>> for Orders
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move {
            let codec = ProstCodec::<GetOrderResponse, GetOrderRequest>::default();
            Ok(Grpc::new(codec).unary(GetOrder, request).await)
        })
    }
}

/// Everybody has every order.
struct GetOrder;

impl UnaryService<GetOrderRequest> for GetOrder {
    type Response = GetOrderResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<GetOrderRequest>) -> Self::Future {
        let subject = request.metadata().get("grimoire-subject");
        let account = subject.and_then(|subject| subject.to_str().ok());
        let order = Order {
            account: account.unwrap_or_default().to_owned(),
            id: request.into_inner().order,
        };
        Box::pin(async move { Ok(Response::new(GetOrderResponse { order: Some(order) })) })
    }
}
