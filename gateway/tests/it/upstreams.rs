//! Services that are away or late.

use std::time::{Duration, Instant};

use grimoire_proto::user::v1::GetProfileRequest;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use tonic::Code;

use crate::stack::{Stack, eventually, reason, with_token};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_is_told_within_the_deadline() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    assert_eq!(stack.get("/v1/users/me", Some(&token)).await.status, 200);
    stack.end_services();
    let (stack, token) = (&stack, token.as_str());
    let begun = Instant::now();
    let answer = eventually("the service to be away", || async move {
        let answer = stack.get("/v1/users/me", Some(token)).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    answer.problem(503, "UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );

    let mut client = ProfileServiceClient::new(stack.channel().await);
    let request = GetProfileRequest { user: "me".into() };
    let status = client
        .get_profile(with_token(request, token))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unavailable, "UNAVAILABLE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_late_is_not_waited_for() {
    let stack = Stack::with(&["--deadline", "300"]).await;
    let token = stack.issuer.token();
    let begun = Instant::now();
    stack
        .get("/v1/users/slow", Some(&token))
        .await
        .problem(504, "DEADLINE_EXCEEDED");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_through_call_that_nobody_ends_is_ended() {
    let stack = Stack::with(&["--deadline", "300"]).await;
    let mut client = ProfileServiceClient::new(stack.channel().await);
    let request = GetProfileRequest {
        user: "slow".into(),
    };
    let begun = Instant::now();
    let status = client
        .get_profile(with_token(request, &stack.issuer.token()))
        .await
        .unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
