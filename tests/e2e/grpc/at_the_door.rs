//! What the gateway shows and refuses, for every method that the contracts describe.

use std::collections::BTreeSet;

use grimoire_proto::access::{self, Level};
use grimoire_proto::http::{self, Pattern};
use grimoire_proto::user::v1::GetProfileRequest;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use prost_reflect::MethodDescriptor;
use reqwest::Method;
use tests::grpc_web::Encoding;
use tests::rest::Client;
use tests::stack::{Person, TestStack, eventually, shared};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::{call, call_web, channel, methods, path, refused, with};

fn level(method: &MethodDescriptor) -> Level {
    access::of(method).expect("an access option").level()
}

fn is_mesh(method: &MethodDescriptor) -> bool {
    level(method) == Level::Mesh
}

fn bearer(person: &Person) -> String {
    format!("Bearer {}", token(person))
}

/// A client of gRPC-Web for each of its encodings, each with an address, and so a budget, of its own.
fn web(stack: &TestStack, token: Option<&str>) -> [(Encoding, Client); 2] {
    Encoding::BOTH.map(|encoding| {
        let client = stack.client();
        let client = token.map_or(client.clone(), |token| client.with_token(token));
        (encoding, client)
    })
}

fn token(person: &Person) -> &str {
    person.tokens["accessToken"].as_str().unwrap()
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
    let gateway = channel(stack, "gateway").await;
    let admin = stack.admin().await;
    let web = web(stack, Some(token(&admin)));
    let token = bearer(&admin);
    for method in methods().iter().filter(|method| is_mesh(method)) {
        let called = call(&gateway, method, &[], &[("authorization", &*token)]).await;
        refused(&called.unwrap_err(), "ROUTE_NOT_FOUND");
        let path = path(method);
        let answer = admin.client.post(&path, serde_json::json!({})).await;
        answer.problem(404, "ROUTE_NOT_FOUND");
        for (encoding, client) in &web {
            let called = call_web(client, *encoding, method, &[]).await;
            refused(&called.unwrap_err(), "ROUTE_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn a_method_for_people_who_are_signed_in_needs_a_token() {
    let stack = shared().await;
    let gateway = channel(stack, "gateway").await;
    let client = stack.client();
    let web = web(stack, None);
    let signed_in = |method: &MethodDescriptor| level(method) == Level::SignedIn;
    for method in methods().iter().filter(|method| signed_in(method)) {
        let called = call(&gateway, method, &[], &[]).await;
        refused(&called.unwrap_err(), "TOKEN_MISSING");
        let called = call(
            &gateway,
            method,
            &[],
            &[("authorization", "Bearer e30.e30.e30")],
        )
        .await;
        refused(&called.unwrap_err(), "TOKEN_INVALID");
        let (verb, path) = binding(method).expect("it is bound to HTTP");
        let answer = client.send(verb, &path("me"), None).await.unwrap();
        answer.problem(401, "TOKEN_MISSING");
        for (encoding, client) in &web {
            let called = call_web(client, *encoding, method, &[]).await;
            refused(&called.unwrap_err(), "TOKEN_MISSING");
        }
    }
}

#[tokio::test]
async fn a_method_for_a_role_needs_it() {
    let stack = shared().await;
    let gateway = channel(stack, "gateway").await;
    let person = stack.sign_up().await;
    let web = web(stack, Some(token(&person)));
    let token = bearer(&person);
    let of_a_role = |method: &MethodDescriptor| !access::of(method).unwrap().roles.is_empty();
    for method in methods().iter().filter(|method| of_a_role(method)) {
        let called = call(&gateway, method, &[], &[("authorization", &*token)]).await;
        refused(&called.unwrap_err(), "ROLE_REQUIRED");
        let (verb, path) = binding(method).expect("it is bound to HTTP");
        let answer = person.client.send(verb, &path("me"), None).await.unwrap();
        answer.problem(403, "ROLE_REQUIRED");
        for (encoding, client) in &web {
            let called = call_web(client, *encoding, method, &[]).await;
            refused(&called.unwrap_err(), "ROLE_REQUIRED");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_person_does_not_exist() {
    let stack = shared().await;
    let gateway = channel(stack, "gateway").await;
    let (owner, stranger) = (stack.sign_up().await, stack.sign_up().await);
    let (own, strange) = (bearer(&owner), bearer(&stranger));
    // Two strangers have twice the budget.
    let another = stack.sign_up().await;
    let web = web(stack, Some(token(&another)));
    let nobody = uuid::Uuid::now_v7().to_string();
    for method in methods() {
        let field = access::of(&method).unwrap().owner;
        if field.is_empty() {
            continue;
        }
        let name = method.full_name();
        for account in [owner.account.as_str(), &nobody, "everybody"] {
            let fields = [(field.as_str(), account)];
            let called = call(&gateway, &method, &fields, &[("authorization", &*strange)]).await;
            refused(&called.unwrap_err(), "RESOURCE_NOT_FOUND");
            let (verb, path) = binding(&method).unwrap_or_else(|| panic!("{name} has no path"));
            let body = (verb != Method::GET && verb != Method::DELETE).then(|| "{}".to_owned());
            let answer = stranger.client.send(verb, &path(account), body).await;
            answer.unwrap().problem(404, "RESOURCE_NOT_FOUND");
            for (encoding, client) in &web {
                let called = call_web(client, *encoding, &method, &fields).await;
                refused(&called.unwrap_err(), "RESOURCE_NOT_FOUND");
            }
        }
        // What changes something is tried by its owner elsewhere.
        if !only_reads(&method) {
            continue;
        }
        for account in [owner.account.as_str(), "me"] {
            let fields = [(field.as_str(), account)];
            let called = call(&gateway, &method, &fields, &[("authorization", &*own)]).await;
            called.unwrap();
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
    let token = bearer(&stranger);
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

/// The HTTP method and, for an account, the path that a method is bound to.
fn binding(method: &MethodDescriptor) -> Option<(Method, impl Fn(&str) -> String)> {
    let (verb, template) = match http::of(method)?.pattern? {
        Pattern::Get(path) => (Method::GET, path),
        Pattern::Put(path) => (Method::PUT, path),
        Pattern::Post(path) => (Method::POST, path),
        Pattern::Delete(path) => (Method::DELETE, path),
        Pattern::Patch(path) => (Method::PATCH, path),
        Pattern::Custom(_) => return None,
    };
    let path = move |account: &str| {
        let parts = template.split(['{', '}']).enumerate();
        // Every second part is the name of a variable.
        parts
            .map(|(index, part)| if index % 2 == 1 { account } else { part })
            .collect::<String>()
    };
    Some((verb, path))
}
