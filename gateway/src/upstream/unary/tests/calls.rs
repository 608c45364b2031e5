//! What goes well.

use bytes::Bytes;
use http::HeaderValue;

use super::peer::Peer;
use super::{Client, Request, call, soon};
use crate::upstream::call::LARGEST;

#[tokio::test]
async fn a_service_is_told_what_grpc_asks_for_and_who_calls() {
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "user:50052");
    let request = Request {
        path: "/told",
        metadata: &[
            ("grimoire-subject", HeaderValue::from_static("somebody")),
            ("x-request-id", HeaderValue::from_static("1")),
        ],
        timeout: Some(HeaderValue::from_static("1500m")),
        message: &Bytes::from_static(b"abc"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "POST http://user:50052/told\nte: trailers\ncontent-type: application/grpc\nuser-agent: grimoire-gateway/{version}\ngrpc-timeout: 1500m\ngrimoire-subject: somebody\nx-request-id: 1\n"
    );
    // The second goes without the update of the table that the first begins with.
    for _ in 0..2 {
        let told = soon(client.call(&request)).await.unwrap();
        let mut told: Vec<&str> = str::from_utf8(&told).unwrap().lines().collect();
        let mut expected: Vec<&str> = expected.lines().collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_calls_at_once_share_a_connection_and_keep_to_what_its_peer_takes() {
    let peer = Peer::start(|builder| {
        builder.max_concurrent_streams(50);
    })
    .await;
    let client = Client::new(peer.address, "peer");
    let calls = (0..1000_usize).map(|number| {
        let message = number.to_string().repeat(1 + number % 300);
        let client = &client;
        async move {
            let answer = call(client, "/echo", message.clone()).await.unwrap();
            assert_eq!(answer, message);
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(peer.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_pass_both_ways_beside_small_ones() {
    // Windows of the standard: 64 KiB for a call and for all.
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "peer");
    let large: Vec<u8> = (0..5_000_000_u32).map(|number| number as u8).collect();
    let larges = (0..3).map(|_| call(&client, "/echo", large.clone()));
    let smalls = (0..100).map(|_| call(&client, "/echo", "small"));
    let (larges, smalls) = tokio::join!(
        futures::future::join_all(larges),
        futures::future::join_all(smalls)
    );
    for answer in larges {
        assert!(answer.unwrap() == large);
    }
    for answer in smalls {
        assert_eq!(answer.unwrap(), "small");
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn the_largest_message_is_taken_and_a_larger_one_is_not() {
    let peer = Peer::start(|builder| {
        builder
            .initial_window_size(1 << 25)
            .initial_connection_window_size(1 << 25);
    })
    .await;
    let client = Client::new(peer.address, "peer");
    let answer = call(&client, "/echo", vec![7_u8; LARGEST]).await.unwrap();
    assert_eq!(answer.len(), LARGEST);
    let refused = call(&client, "/echo", vec![7_u8; LARGEST + 1]).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::OutOfRange);
    assert_eq!(call(&client, "/echo", "next").await.unwrap(), "next");
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_status_comes_as_its_service_told_it() {
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "peer");
    let status = call(&client, "/missing", "").await.unwrap_err();
    assert_eq!(
        (status.code(), status.message(), status.details()),
        (tonic::Code::NotFound, "not here", &[1, 2][..])
    );
    assert!(std::error::Error::source(&status).is_none());
}

#[tokio::test]
async fn an_answer_before_the_end_of_its_request_is_one() {
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "peer");
    let answer = call(&client, "/early", vec![0_u8; 1 << 20]).await;
    assert_eq!(answer.unwrap(), "early");
    // What was not sent takes no room from those after it.
    assert_eq!(call(&client, "/echo", "next").await.unwrap(), "next");
    assert_eq!(peer.connections(), 1);
}
