use std::time::{Duration, Instant};

use chassis::upstream;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use tonic::Code;

use crate::world::{ALICE, get, reason, uri, world};

const SUBJECT: (&str, &str) = ("grimoire-subject", ALICE);

#[tokio::test]
async fn a_call_that_is_not_answered_in_time_fails_with_its_deadline() {
    let world = world(&[]).await;
    let mut request = get("never", &[SUBJECT]);
    request
        .metadata_mut()
        .insert("grpc-timeout", "100m".parse().unwrap());
    let status = world.client().get_profile(request).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
}

#[tokio::test]
async fn a_call_passes_on_what_is_left_of_its_deadline() {
    let world = world(&[]).await;
    let mut request = get("again", &[SUBJECT]);
    request
        .metadata_mut()
        .insert("grpc-timeout", "2S".parse().unwrap());
    let answer = world.client().get_profile(request).await.unwrap();
    let passed_on = answer.into_inner().profile.unwrap().bio;
    let milliseconds: u64 = passed_on.strip_suffix('m').unwrap().parse().unwrap();
    assert!((1..2_000).contains(&milliseconds), "{passed_on}");
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_unavailable_within_a_moment() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut client = ProfileServiceClient::new(upstream::connect("user", &uri(address)));
    let begun = Instant::now();
    let status = client.get_profile(get("me", &[SUBJECT])).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "UNAVAILABLE")
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
}
