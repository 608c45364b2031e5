//! A service that the gateway was not built with: its contract and its address are put into a folder while people use the others.

mod orders;

use std::time::Duration;

use tests::contracts_folder::ContractsFolder;
use tests::grpc_web::Encoding;
use tests::program::{self, Environment, Replica};
use tests::rest::{Client, next_address};
use tests::stack::{Person, eventually, shared};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::grpc::with_token;
use orders::{GET_ORDER, GetOrderRequest, GetOrderResponse, SERVICE};

/// A gateway that follows the folder, as it would beside the others of `shared`.
async fn environment(folder: &ContractsFolder) -> Environment {
    let mut environment = shared().await.environment("gateway");
    let (variable, path) = folder.setting();
    environment.insert(variable.to_owned(), path);
    environment
}

/// Waits until a path is answered with this status.
async fn answered(client: &Client, path: &str, status: u16) {
    eventually(&format!("{status} at {path}"), || async {
        (client.get(path).await.status.as_u16() == status).then_some(())
    })
    .await;
}

/// Waits until a metric of the gateway says so.
async fn measured(gateway: &Replica, line: &str) {
    let url = format!("http://{}/metrics", gateway.admin);
    eventually(line, || async {
        let text = reqwest::get(&url).await.ok()?.text().await.ok()?;
        text.lines().any(|one| one == line).then_some(())
    })
    .await;
}

async fn channel(gateway: &Replica) -> Channel {
    Endpoint::from_shared(gateway.url())
        .expect("a URI")
        .local_address(Some(next_address()))
        .timeout(Duration::from_secs(30))
        .connect()
        .await
        .expect("it takes connections")
}

async fn reflected(channel: &Channel) -> bool {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(SERVICE.to_owned())),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter([request]));
    let mut answers = answers.await.expect("reflection").into_inner();
    let answer = answers.next().await.and_then(Result::ok);
    let answer = answer.and_then(|answer| answer.message_response);
    matches!(answer, Some(MessageResponse::FileDescriptorResponse(_)))
}

async fn health(channel: &Channel) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest {
        service: SERVICE.to_owned(),
    };
    let told = HealthClient::new(channel.clone()).check(request).await;
    told.map(|told| told.into_inner().status())
        .map_err(|status| status.code())
}

/// Calls it in every way there is.
async fn is_served(gateway: &Replica, client: &Client, person: &Person) {
    let order = client.get("/v1/orders/7").await.ok();
    assert_eq!(order["id"], "7");
    assert_eq!(order["account"], person.account.as_str());
    let stranger = Client::new(&gateway.url());
    stranger
        .get("/v1/orders/7")
        .await
        .problem(401, "TOKEN_MISSING");

    let channel = channel(gateway).await;
    let message = GetOrderRequest { order: "7".into() };
    let token = person.tokens["accessToken"].as_str().expect("a token");
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("a connection");
    let codec = ProstCodec::<GetOrderRequest, GetOrderResponse>::default();
    let path = GET_ORDER.parse().expect("a path");
    let answer = grpc.unary(with_token(token, message.clone()), path, codec);
    let answer = answer.await.expect("an order").into_inner();
    let order = answer.order.expect("an order");
    assert_eq!((&*order.id, &*order.account), ("7", &*person.account));
    for encoding in Encoding::BOTH {
        let answer = client.grpc_web(encoding, GET_ORDER, &message).await;
        assert!(answer.is_ok(), "{answer:?}");
    }

    assert!(reflected(&channel).await);
    eventually("its health", || async {
        (health(&channel).await == Ok(ServingStatus::Serving)).then_some(())
    })
    .await;
    let described = stranger.get("/openapi.json").await.ok();
    let operation = &described["paths"]["/v1/orders/{order}"]["get"];
    assert_eq!(operation["operationId"], "OrderService_GetOrder");
    assert_eq!(operation["summary"], "Answers an order");
    let routes = reqwest::get(format!("http://{}/routes", gateway.admin)).await;
    let routes = routes.expect("an answer").text().await.expect("a table");
    assert!(routes.contains("\"source\": \"orders.binpb\""), "{routes}");
}

#[tokio::test]
async fn a_service_is_added_changed_broken_and_removed_and_no_request_is_lost() {
    let folder = ContractsFolder::new("added-service");
    let gateway = Replica::start("gateway", environment(&folder).await).await;
    let person = shared().await.sign_up().await;
    let token = person.tokens["accessToken"].as_str().expect("a token");
    let client = Client::new(&gateway.url()).with_token(token);
    let (stop, mut stopped) = oneshot::channel::<()>();
    let others = tokio::spawn({
        let client = Client::new(&gateway.url()).with_token(token);
        async move {
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            let mut answered = 0;
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                pace.tick().await;
                client.get("/v1/accounts/me").await.ok();
                answered += 1;
            }
            answered
        }
    });
    let missing = client.get("/v1/orders/7").await;
    missing.problem(404, "ROUTE_NOT_FOUND");

    let address = orders::serve().await;
    let contract = orders::contract();
    folder.put("upstreams.yaml", format!("orders: http://{address}\n"));
    folder.put("orders.binpb", orders::set(&contract));
    answered(&client, "/v1/orders/7", 200).await;
    is_served(&gateway, &client, &person).await;

    let moved = contract.replace("/v1/orders/{order}", "/v1/purchases/{order}");
    folder.put("orders.binpb", orders::set(&moved));
    answered(&client, "/v1/purchases/7", 200).await;
    answered(&client, "/v1/orders/7", 404).await;

    // Neither half a file nor a path that is another's takes away what is served.
    let taken = moved.replace("/v1/purchases/{order}", "/v1/users/{order}");
    let whole = orders::set(&taken);
    for broken in [&whole[..whole.len() / 2], &whole[..]] {
        folder.put("orders.binpb", broken);
        measured(&gateway, "gateway_plan_refused 1").await;
        client.get("/v1/purchases/7").await.ok();
        folder.put("orders.binpb", orders::set(&moved));
        measured(&gateway, "gateway_plan_refused 0").await;
    }

    folder.remove("orders.binpb");
    answered(&client, "/v1/purchases/7", 404).await;
    let channel = channel(&gateway).await;
    assert!(!reflected(&channel).await);
    eventually("an end of its health", || async {
        (health(&channel).await == Err(Code::NotFound)).then_some(())
    })
    .await;
    eventually("an end of its series", || async {
        let url = format!("http://{}/metrics", gateway.admin);
        let text = reqwest::get(url).await.ok()?.text().await.ok()?;
        (!text.contains("/v1/purchases")).then_some(())
    })
    .await;

    stop.send(()).expect("it runs");
    assert!(others.await.expect("every answer was good") > 10);
}

#[tokio::test]
async fn a_gateway_does_not_start_with_a_folder_that_it_cannot_serve() {
    let folder = ContractsFolder::new("refused-service");
    let mut environment = environment(&folder).await;
    for variable in ["GRIMOIRE_LISTEN", "GRIMOIRE_ADMIN_LISTEN"] {
        environment.insert(variable.to_owned(), "127.0.0.1:0".to_owned());
    }
    let open = orders::contract().replace(
        "option (grimoire.options.v1.access) = {level: LEVEL_SIGNED_IN};",
        "",
    );
    for (content, said) in [
        (
            b"half".to_vec(),
            ["orders.binpb: is not a set", "buf build"],
        ),
        (
            orders::set(&open),
            [
                "OrderService/GetOrder (orders.binpb)",
                "has no access option",
            ],
        ),
        (
            orders::set(&orders::contract()),
            ["GRIMOIRE_UPSTREAMS lacks orders", "upstreams.yaml"],
        ),
    ] {
        folder.put("orders.binpb", content);
        let ended = program::run("gateway", &environment).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        for part in said {
            assert!(ended.said.contains(part), "no `{part}`: {ended:?}");
        }
    }
}
