//! What the gateway shows and refuses, for every method that the contracts describe.

use std::collections::BTreeSet;

use grimoire_proto::access::{self, Level};
use grimoire_proto::user::v1::GetProfileRequest;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use prost_reflect::MethodDescriptor;
use tests::stack::{eventually, shared};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::visitor::Visitor;
use super::{channel, methods, refused, with};

fn level(method: &MethodDescriptor) -> Level {
    access::of(method).expect("an access option").level()
}

fn is_mesh(method: &MethodDescriptor) -> bool {
    level(method) == Level::Mesh
}

/// What reflection answers to one question; none where it refuses.
async fn reflect(channel: &Channel, question: MessageRequest) -> Option<MessageResponse> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(tokio_stream::iter([request]));
    let answer = answers.await.unwrap().into_inner().message().await;
    answer.ok()??.message_response
}

async fn listed(channel: &Channel) -> BTreeSet<String> {
    let answer = reflect(channel, MessageRequest::ListServices(String::new())).await;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?} is no list of services");
    };
    list.service.into_iter().map(|one| one.name).collect()
}

/// What reflection lists beside the services of the contracts.
fn listed_everywhere() -> BTreeSet<String> {
    [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ]
    .map(str::to_owned)
    .into()
}

#[tokio::test]
async fn reflection_at_the_gateway_shows_the_services_of_the_edge_and_nothing_else() {
    let gateway = channel(shared().await, "gateway").await;
    let mut expected = listed_everywhere();
    for method in methods().iter().filter(|method| !is_mesh(method)) {
        expected.insert(method.parent_service().full_name().to_owned());
    }
    assert_eq!(listed(&gateway).await, expected);
    for method in methods() {
        let symbol = method.parent_service().full_name().to_owned();
        let answer = reflect(&gateway, MessageRequest::FileContainingSymbol(symbol)).await;
        let shown = matches!(answer, Some(MessageResponse::FileDescriptorResponse(_)));
        assert_eq!(shown, !is_mesh(&method), "{}", method.full_name());
    }
}

#[tokio::test]
async fn reflection_at_a_service_shows_what_it_serves() {
    let stack = shared().await;
    for process in ["auth", "user", "event-consumer"] {
        let service = channel(stack, process).await;
        let mut expected = listed_everywhere();
        for service in grimoire_proto::descriptors().services() {
            if grimoire_proto::upstream::of(&service).as_deref() == Some(process) {
                expected.insert(service.full_name().to_owned());
            }
        }
        assert_eq!(listed(&service).await, expected, "{process}");
    }
}

#[tokio::test]
async fn health_is_told_of_what_is_served() {
    let stack = shared().await;
    for process in ["gateway", "auth", "user", "event-consumer"] {
        let mut client = HealthClient::new(channel(stack, process).await);
        // The gateway tells its health twice a second.
        eventually("a process that serves", || {
            let mut client = client.clone();
            async move {
                let whole = client.check(HealthCheckRequest::default()).await.ok()?;
                (whole.into_inner().status() == ServingStatus::Serving).then_some(())
            }
        })
        .await;
        for service in grimoire_proto::descriptors().services() {
            let here = match process {
                "gateway" => !service.methods().any(|method| is_mesh(&method)),
                _ => grimoire_proto::upstream::of(&service).as_deref() == Some(process),
            };
            let request = HealthCheckRequest {
                service: service.full_name().to_owned(),
            };
            let told = client.check(request).await;
            let name = service.full_name();
            match told {
                Ok(told) => {
                    let status = told.into_inner().status();
                    assert_eq!(
                        (status, here),
                        (ServingStatus::Serving, true),
                        "{process} {name}"
                    );
                }
                Err(status) => {
                    assert_eq!(
                        (status.code(), here),
                        (Code::NotFound, false),
                        "{process} {name}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn methods_for_other_processes_do_not_exist_at_the_gateway() {
    let stack = shared().await;
    let admin = Visitor::of(stack, &stack.admin().await);
    for method in methods().iter().filter(|method| is_mesh(method)) {
        admin.is_refused(method, "me", "ROUTE_NOT_FOUND").await;
    }
}

#[tokio::test]
async fn a_method_for_people_who_are_signed_in_needs_a_token() {
    let stack = shared().await;
    let (nobody, forger) = (
        Visitor::nobody(stack),
        Visitor::with_token(stack, "e30.e30.e30"),
    );
    let signed_in = |method: &MethodDescriptor| level(method) == Level::SignedIn;
    for method in methods().iter().filter(|method| signed_in(method)) {
        nobody.is_refused(method, "me", "TOKEN_MISSING").await;
        forger.is_refused(method, "me", "TOKEN_INVALID").await;
    }
}

#[tokio::test]
async fn a_token_makes_no_difference_to_a_method_for_everybody() {
    let stack = shared().await;
    let (nobody, forger) = (
        Visitor::nobody(stack),
        Visitor::with_token(stack, "e30.e30.e30"),
    );
    let public = |method: &MethodDescriptor| level(method) == Level::Public;
    for method in methods().iter().filter(|method| public(method)) {
        let told = nobody.told(method, "me").await;
        let name = method.full_name();
        // It lacks whatever the method asks for.
        assert!(told[0].is_some(), "{name}");
        assert_eq!(told, forger.told(method, "me").await, "{name}");
        assert!(told.iter().all(|one| *one == told[0]), "{name}: {told:?}");
    }
}

#[tokio::test]
async fn a_method_for_a_role_needs_it() {
    let stack = shared().await;
    let person = Visitor::of(stack, &stack.sign_up().await);
    let of_a_role = |method: &MethodDescriptor| !access::of(method).unwrap().roles.is_empty();
    for method in methods().iter().filter(|method| of_a_role(method)) {
        person.is_refused(method, "me", "ROLE_REQUIRED").await;
    }
}

#[tokio::test]
async fn what_belongs_to_another_person_does_not_exist() {
    let stack = shared().await;
    let (owner, stranger) = (stack.sign_up().await, stack.sign_up().await);
    let (own, strange) = (Visitor::of(stack, &owner), Visitor::of(stack, &stranger));
    let nobody = uuid::Uuid::now_v7().to_string();
    let owned = |method: &MethodDescriptor| !access::of(method).unwrap().owner.is_empty();
    for method in methods().iter().filter(|method| owned(method)) {
        for account in [owner.account.as_str(), &nobody, "everybody"] {
            strange
                .is_refused(method, account, "RESOURCE_NOT_FOUND")
                .await;
        }
        // What changes something is tried by its owner elsewhere.
        if !only_reads(method) {
            continue;
        }
        for account in [owner.account.as_str(), "me"] {
            let told = own.told(method, account).await;
            assert!(
                told.iter().all(Option::is_none),
                "{}: {told:?}",
                method.full_name()
            );
        }
    }
}

#[tokio::test]
async fn who_claims_to_be_somebody_is_nobody() {
    let stack = shared().await;
    let (owner, stranger) = (stack.sign_up().await, stack.sign_up().await);
    let mut profiles = ProfileServiceClient::new(channel(stack, "gateway").await);
    let me = || GetProfileRequest {
        user: "me".to_owned(),
    };
    let claims = [
        ("grimoire-subject", owner.account.as_str()),
        ("grimoire-roles", "admin"),
        (
            "l5d-client-id",
            "gateway.grimoire.serviceaccount.identity.linkerd.cluster.local",
        ),
    ];
    let status = profiles.get_profile(with(&claims, me())).await.unwrap_err();
    refused(&status, "TOKEN_MISSING");
    let token = format!(
        "Bearer {}",
        stranger.tokens["accessToken"].as_str().unwrap()
    );
    let claims: Vec<_> = claims
        .into_iter()
        .chain([("authorization", &*token)])
        .collect();
    let answer = profiles.get_profile(with(&claims, me())).await.unwrap();
    assert_eq!(answer.into_inner().profile.unwrap().id, stranger.account);
}

fn only_reads(method: &MethodDescriptor) -> bool {
    use prost_reflect::prost_types::method_options::IdempotencyLevel;
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
}
