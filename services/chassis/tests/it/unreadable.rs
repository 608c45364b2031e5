//! Requests that no handler ever sees, because their message cannot be read.

use http::Request;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::world::{ALICE, World, reason, uri, world};

/// What comes of a body to GetProfile, as it goes over the wire.
async fn send(world: &World, encoding: &str, body: &[u8]) -> (Code, String) {
    let request = Request::post("/grimoire.user.v1.ProfileService/GetProfile")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .header("grimoire-subject", ALICE)
        .body(Body::new(axum::body::Body::from(body.to_vec())))
        .unwrap();
    let channel = Endpoint::from(uri(world.address)).connect_lazy();
    let response = channel.oneshot(request).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    (status.code(), reason(&status))
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_the_callers_fault_and_says_so() {
    let world = world(&[]).await;
    let malformed = (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned());
    for (what, body) in [
        (
            "a length without an end",
            &[0_u8, 0, 0, 0, 2, 0x0a, 0xff][..],
        ),
        ("text that is not UTF-8", &[0, 0, 0, 0, 3, 0x0a, 1, 0xff]),
        ("compressed without an encoding", &[1, 0, 0, 0, 0]),
        ("neither compressed nor not", &[7, 0, 0, 0, 0]),
        ("fewer bytes than announced", &[0, 0, 0, 0, 9, 0x0a]),
        ("no message", &[]),
    ] {
        assert_eq!(send(&world, "identity", body).await, malformed, "{what}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_or_compressed_is_refused_by_name() {
    let world = world(&[]).await;
    // 5 MiB are announced.
    assert_eq!(
        send(&world, "identity", &[0, 0, 0x50, 0, 0]).await,
        (Code::ResourceExhausted, "BODY_TOO_LARGE".to_owned())
    );
    assert_eq!(
        send(&world, "gzip", &[0, 0, 0, 0, 0]).await,
        (Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE".to_owned())
    );
}
