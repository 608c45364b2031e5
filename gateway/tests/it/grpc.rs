//! Native gRPC, passed through.

use std::collections::BTreeSet;

use grimoire_proto::auth::v1::RegisterRequest;
use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::trust_service_client::TrustServiceClient;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use grimoire_proto::user::v1::{GetProfileRequest, ProvisionUsersRequest};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::stack::{Stack, claims_of, reason, with_token};

fn me() -> GetProfileRequest {
    GetProfileRequest { user: "me".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_passed_through_with_who_calls() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    let mut client = ProfileServiceClient::new(stack.channel().await);
    let mut request = with_token(me(), &token);
    request
        .metadata_mut()
        .insert("grimoire-subject", "forged".parse().unwrap());
    let answer = client.get_profile(request).await.unwrap();
    assert!(answer.metadata().get("x-request-id").is_some());
    assert_eq!(answer.into_inner().profile.unwrap().display_name, "Ada");
    assert_eq!(
        stack.seen.metadata("grimoire-subject").as_deref(),
        claims_of(&token)["sub"].as_str()
    );
    assert_eq!(stack.seen.metadata("authorization"), None);
    assert!(stack.seen.metadata("grpc-timeout").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_services_status_arrives_with_its_details() {
    let stack = Stack::start().await;
    let mut client = ProfileServiceClient::new(stack.channel().await);
    let request = GetProfileRequest {
        user: "missing".into(),
    };
    let status = client
        .get_profile(with_token(request, &stack.issuer.token()))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "RESOURCE_NOT_FOUND")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_statuses_with_a_reason() {
    let stack = Stack::start().await;
    let mut client = ProfileServiceClient::new(stack.channel().await);
    let status = client.get_profile(me()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "TOKEN_MISSING")
    );
    let status = client
        .get_profile(with_token(me(), "e30.e30.e30"))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "TOKEN_INVALID")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_bound_of_its_method_is_refused() {
    let stack = Stack::start().await;
    let mut client = AccountServiceClient::new(stack.channel().await);
    let request = RegisterRequest {
        email: "a".repeat(100_000),
        ..RegisterRequest::default()
    };
    let status = client.register(request).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "BODY_TOO_LARGE")
    );
    let good = RegisterRequest {
        email: "ada@example.com".into(),
        ..RegisterRequest::default()
    };
    client.register(good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_for_other_processes_do_not_exist_out_here() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    let mut data = UserDataServiceClient::new(stack.channel().await);
    let status = data
        .provision_users(with_token(ProvisionUsersRequest::default(), &token))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unimplemented, "ROUTE_NOT_FOUND")
    );
    let mut trust = TrustServiceClient::new(stack.channel().await);
    let status = trust.follow(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unimplemented, "ROUTE_NOT_FOUND")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_streams_the_services_of_the_edge() {
    let stack = Stack::start().await;
    let mut client = ServerReflectionClient::new(stack.channel().await);
    let ask = |request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    };
    let asked = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(
            "grimoire.user.v1.ProfileService".into(),
        )),
        // By which clients read the details of a failure.
        ask(MessageRequest::FileContainingSymbol(
            "google.rpc.ErrorInfo".into(),
        )),
        ask(MessageRequest::FileContainingSymbol(
            "grimoire.auth.v1.TrustService".into(),
        )),
    ]);
    let mut answers = client
        .server_reflection_info(asked)
        .await
        .unwrap()
        .into_inner();

    let first = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = first else {
        panic!("a list of services")
    };
    let names: BTreeSet<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in [
        "grimoire.auth.v1.SessionService",
        "grimoire.user.v1.ProfileService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(
        !names
            .iter()
            .any(|name| name.contains("TrustService") || name.contains("UserDataService")),
        "{names:?}"
    );
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap().message_response;
        assert!(
            matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))),
            "{answer:?}"
        );
    }
    assert!(answers.message().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_readiness() {
    let stack = Stack::start().await;
    let mut client = HealthClient::new(stack.channel().await);
    for service in ["", "grimoire.user.v1.ProfileService"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        crate::stack::eventually("a service that serves", || {
            let (mut client, request) = (client.clone(), request.clone());
            async move {
                client
                    .check(request)
                    .await
                    .ok()
                    .filter(|answer| answer.get_ref().status == 1)
            }
        })
        .await;
    }
    let unknown = client
        .check(HealthCheckRequest {
            service: "grimoire.auth.v1.TrustService".into(),
        })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

fn watch() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_open_health_streams_without_number() {
    let stack = Stack::start().await;
    let client = HealthClient::new(stack.channel().await);
    let mut open = Vec::new();
    let refused = loop {
        match client.clone().watch(watch()).await {
            Ok(stream) => open.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!(open.len(), 50);
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED")
    );
    assert!(refused.message().contains("health"), "{refused}");
    open.truncate(10);
    crate::stack::eventually("a place", || {
        let mut client = client.clone();
        async move { client.check(watch()).await.ok() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_health_is_told_of_the_end_and_does_not_hold_it_up() {
    let mut stack = Stack::start().await;
    let channel = stack.channel().await;
    let watched = HealthClient::new(channel.clone()).watch(watch()).await;
    let mut watched = watched.unwrap().into_inner();
    while watched.message().await.unwrap().unwrap().status != 1 {}
    let (_asks, asked) = tokio::sync::mpsc::channel(1);
    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut reflection = ServerReflectionClient::new(channel);
    let _open = reflection.server_reflection_info(asked).await.unwrap();

    stack.stop();
    let told = async {
        let mut last = 1;
        while let Ok(Some(answer)) = watched.message().await {
            last = answer.status;
        }
        last
    };
    assert_eq!(told.await, 2, "NOT_SERVING");
    tokio::time::timeout(std::time::Duration::from_secs(5), stack.ended())
        .await
        .expect("an end before that of patience");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_health_cannot_read_is_no_fault_of_the_gateway() {
    /// `service` is a text in the contract.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Garbled {
        #[prost(int32, tag = "1")]
        service: i32,
    }
    let stack = Stack::start().await;
    let mut client = tonic::client::Grpc::new(stack.channel().await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Garbled, ()>::default();
    let path = "/grpc.health.v1.Health/Check".parse().unwrap();
    let request = tonic::Request::new(Garbled { service: 5 });
    let status = client.unary(request, path, codec).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "MALFORMED_REQUEST")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_of_reflection_asks_so_much_and_no_more() {
    let stack = Stack::start().await;
    let question = ServerReflectionRequest {
        host: "x".repeat(1000),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = tokio_stream::iter(vec![question; 100]);
    let mut client = ServerReflectionClient::new(stack.channel().await);
    let ended = async {
        let mut answers = client.server_reflection_info(questions).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    assert!(ended.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_does_not_choose_the_trace_that_services_are_told() {
    const THEIRS: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let stack = Stack::start().await;
    let mut client = ProfileServiceClient::new(stack.channel().await);
    let mut request = with_token(me(), &stack.issuer.token());
    let traceparent = format!("00-{THEIRS}-00f067aa0ba902b7-01");
    for (name, value) in [("traceparent", traceparent.as_str()), ("baggage", THEIRS)] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    client.get_profile(request).await.unwrap();
    for name in ["traceparent", "baggage"] {
        let told = stack.seen.metadata(name).unwrap_or_default();
        assert!(!told.contains(THEIRS), "{name}: {told}");
    }
}
