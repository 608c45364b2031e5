//! What a server has beside its services: health, reflection, traces, metrics, and its end.

use std::time::Duration;

use telemetry::TelemetryConfig;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::world::{ALICE, get, uri, world};

const PROFILES: &str = "grimoire.user.v1.ProfileService";

#[tokio::test]
async fn health_follows_readiness_for_the_server_and_for_each_service() {
    let world = world(&[]).await;
    let database = world.process.readiness.condition("database");
    let mut health = HealthClient::new(Endpoint::from(uri(world.address)).connect_lazy());
    for service in ["", PROFILES] {
        database.set(false);
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut changes = health.watch(request).await.unwrap().into_inner();
        await_status(&mut changes, ServingStatus::NotServing).await;
        database.set(true);
        await_status(&mut changes, ServingStatus::Serving).await;
    }
}

async fn await_status(
    changes: &mut tonic::Streaming<tonic_health::pb::HealthCheckResponse>,
    wanted: ServingStatus,
) {
    while changes.message().await.unwrap().unwrap().status() != wanted {}
}

#[tokio::test]
async fn reflection_lists_the_services_that_are_served() {
    let world = world(&[]).await;
    let channel = Endpoint::from(uri(world.address)).connect_lazy();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<String> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in [PROFILES, "grpc.health.v1.Health"] {
        assert!(
            names.iter().any(|listed| listed == name),
            "{name} of {names:?}"
        );
    }
    assert!(
        !names.iter().any(|name| name.starts_with("grimoire.auth.")),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_call_continues_the_trace_of_its_caller_and_is_measured() {
    let _telemetry = telemetry::init("user", &quiet()).unwrap();
    let world = world(&[]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");

    // The client's own span is a child of what the test says, and the server's a child of that one.
    let span = tracing::info_span!("test");
    telemetry::propagation::set_parent(&span, &parent);
    let mut client = world.client();
    let request = get("traceparent", &[("grimoire-subject", ALICE)]);
    let answer = tracing::Instrument::instrument(client.get_profile(request), span)
        .await
        .unwrap();
    let seen = answer.into_inner().profile.unwrap().bio;
    assert!(
        seen.starts_with(&format!("00-{trace}-")) && seen != parent,
        "{seen}"
    );

    let metrics = telemetry::metrics::encode().unwrap();
    for name in [
        "rpc_server_call_duration_seconds",
        "rpc_client_call_duration_seconds",
    ] {
        assert!(metrics.contains(&format!("{name}_count")), "{metrics}");
    }
    assert!(metrics.contains("rpc_method=\"grimoire.user.v1.ProfileService/GetProfile\",rpc_response_status_code=\"OK\""), "{metrics}");
}

fn quiet() -> TelemetryConfig {
    TelemetryConfig {
        log: "off".to_owned(),
        ..TelemetryConfig::default()
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_those_who_watch_and_lets_a_call_finish() {
    let world = world(&[]).await;
    let mut health = HealthClient::new(Endpoint::from(uri(world.address)).connect_lazy());
    let mut watching = health
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    watching.message().await.unwrap().unwrap();

    // A call that its deadline ends half a second after the stop.
    let mut client = world.client();
    let mut request = get("never", &[("grimoire-subject", ALICE)]);
    request
        .metadata_mut()
        .insert("grpc-timeout", "500m".parse().unwrap());
    let call = tokio::spawn(async move { client.get_profile(request).await });
    world.begun.notified().await;

    world.process.stop.cancel();
    assert_eq!(
        call.await.unwrap().unwrap_err().code(),
        tonic::Code::DeadlineExceeded
    );
    while let Ok(Some(_)) = watching.message().await {}
    drop(health);
    tokio::time::timeout(Duration::from_secs(5), world.served)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
