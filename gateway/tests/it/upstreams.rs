//! Services that are away or late.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use grimoire_proto::user::v1::GetProfileRequest;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use tokio::net::{TcpListener, TcpSocket};
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
async fn calls_wait_for_a_service_that_does_not_listen_yet_and_are_answered() {
    // Bound, the port is nobody else's; as long as it does not listen, it refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let stack = Stack::with_user_at(Some(socket.local_addr().unwrap()), &[]).await;
    let token = stack.issuer.token();
    let tries = "gateway_upstream_retries_total{server_address=\"user\"}";
    let before = stack.metric(tries).await;

    let mut client = ProfileServiceClient::new(stack.channel().await);
    let request = GetProfileRequest { user: "me".into() };
    let passed = client.get_profile(with_token(request, &token));
    let transcoded = stack.get("/v1/users/me", Some(&token));
    let stack = &stack;
    let listens = async {
        eventually("tries", || async move {
            (stack.metric(tries).await >= before + 6.0).then_some(())
        })
        .await;
        stack.serve_at(socket.listen(64).unwrap());
    };
    let (passed, transcoded, ()) = tokio::join!(passed, transcoded, listens);
    passed.unwrap();
    assert_eq!(transcoded.status, 200, "{}", transcoded.text);
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

/// A service that takes calls and says nothing more, whatever their deadline.
async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut calls = Vec::new();
                while let Some(Ok(call)) = connection.accept().await {
                    calls.push(call);
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_through_call_that_nobody_ends_is_ended() {
    let stack = Stack::with_user_at(Some(silent().await), &["--deadline", "300"]).await;
    let mut client = ProfileServiceClient::new(stack.channel().await);
    let request = GetProfileRequest { user: "me".into() };
    let begun = Instant::now();
    let call = client.get_profile(with_token(request, &stack.issuer.token()));
    let ended = tokio::time::timeout(Duration::from_secs(20), call).await;
    assert!(ended.unwrap().is_err());
    assert!(
        begun.elapsed() > Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
    assert!(stack.metric("gateway_hung_calls_total").await >= 1.0);
}
