//! gRPC-Web, in both encodings.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grimoire_proto::auth::v1::RegisterRequest;
use grimoire_proto::user::v1::{GetProfileRequest, GetProfileResponse};
use prost::Message as _;
use tonic::Code;
use tonic_health::pb::HealthCheckResponse;

use crate::stack::{Encoding, Stack, WebAnswer, claims_of, frame};

const GET_PROFILE: &str = "/grimoire.user.v1.ProfileService/GetProfile";
const REGISTER: &str = "/grimoire.auth.v1.AccountService/Register";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn profile_of(user: &str) -> Vec<u8> {
    let request = GetProfileRequest { user: user.into() };
    request.encode_to_vec()
}

/// What a body that is no message of `Health.Check` is answered.
async fn sent(stack: &Stack, encoding: Encoding, body: &[u8]) -> WebAnswer {
    let request = stack.web_request(false, encoding, CHECK, &[], body.to_vec());
    WebAnswer::whole(encoding, request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_in_the_encoding_it_came_in() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-grpc-web", "1"),
        ("grimoire-subject", "forged"),
    ];
    for encoding in Encoding::BOTH {
        for http2 in [false, true] {
            let body = encoding.written(&frame(&profile_of("me")));
            let request = stack.web_request(http2, encoding, GET_PROFILE, &headers, body);
            let answer = WebAnswer::whole(encoding, request.send().await.unwrap()).await;
            assert_eq!(
                (answer.status, answer.messages.len()),
                (200, 1),
                "{answer:?}"
            );
            let profile = GetProfileResponse::decode(answer.messages[0].as_slice()).unwrap();
            assert_eq!(profile.profile.unwrap().display_name, "Ada");
            assert_eq!(answer.trailers["grpc-status"], "0");
            assert!(!answer.header("x-request-id").is_empty());
            assert!(!answer.header("ratelimit").is_empty());
            assert_eq!(
                stack.seen.metadata("grimoire-subject").as_deref(),
                claims_of(&token)["sub"].as_str()
            );
            assert_eq!(stack.seen.metadata("authorization"), None);
            assert!(stack.seen.metadata("grpc-timeout").is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_was_padded_in_parts_is_read() {
    let stack = Stack::start().await;
    let bearer = format!("Bearer {}", stack.issuer.token());
    let headers = [("authorization", bearer.as_str())];
    let whole = frame(&profile_of("me"));
    let (head, message) = whole.split_at(5);
    let body = [STANDARD.encode(head), STANDARD.encode(message)].concat();
    let request = stack.web_request(
        false,
        Encoding::Text,
        GET_PROFILE,
        &headers,
        body.into_bytes(),
    );
    let answer = WebAnswer::whole(Encoding::Text, request.send().await.unwrap()).await;
    assert_eq!(answer.trailers["grpc-status"], "0", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_told_as_it_comes_and_to_its_end() {
    let stack = Stack::start().await;
    for (encoding, http2) in [(Encoding::Binary, true), (Encoding::Text, false)] {
        let body = encoding.written(&frame(&[]));
        let request = stack.web_request(http2, encoding, WATCH, &[], body);
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let mut body = Vec::new();
        // Text is cut anywhere on its way.
        while !WebAnswer::read(encoding, &body)
            .messages
            .iter()
            .any(|message| {
                HealthCheckResponse::decode(message.as_slice())
                    .unwrap()
                    .status
                    == 1
            })
        {
            body.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
        assert!(WebAnswer::read(encoding, &body).trailers.is_empty());
        if http2 {
            continue;
        }
        stack.stop();
        while let Some(part) = response.chunk().await.unwrap() {
            body.extend_from_slice(&part);
        }
        let answer = WebAnswer::read(encoding, &body);
        let last = answer.messages.last().unwrap().as_slice();
        assert_eq!(HealthCheckResponse::decode(last).unwrap().status, 2);
        assert!(answer.trailers.contains_key("grpc-status"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_trailers_in_the_body() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    let bad = Some("e30.e30.e30");
    for encoding in Encoding::BOTH {
        let me = profile_of("me");
        let answer = stack.web(encoding, GET_PROFILE, None, &me).await;
        answer.refused(Code::Unauthenticated, "TOKEN_MISSING");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        let answer = stack.web(encoding, GET_PROFILE, bad, &me).await;
        answer.refused(Code::Unauthenticated, "TOKEN_INVALID");
        for path in [
            "/grimoire.auth.v1.TrustService/Follow",
            "/grimoire.user.v1.UserDataService/ProvisionUsers",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/v1/users/me",
        ] {
            let answer = stack.web(encoding, path, Some(&token), &[]).await;
            answer.refused(Code::Unimplemented, "ROUTE_NOT_FOUND");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_refuses_arrives_with_its_details_and_a_faults_cause_does_not() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    for encoding in Encoding::BOTH {
        let missing = profile_of("missing");
        let answer = stack
            .web(encoding, GET_PROFILE, Some(&token), &missing)
            .await;
        answer.refused(Code::NotFound, "RESOURCE_NOT_FOUND");
        assert_eq!(answer.tonic().message(), "there is no such profile");
        let broken = profile_of("broken");
        let answer = stack
            .web(encoding, GET_PROFILE, Some(&token), &broken)
            .await;
        answer.refused(Code::Internal, "INTERNAL");
        assert!(!answer.tonic().message().contains("password"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_one_whole_message_is_malformed() {
    let stack = Stack::start().await;
    let two = [frame(b""), frame(b"")].concat();
    for body in [&b""[..], b"\0\0\0", b"\0\0\0\0\x02a", b"\x80\0\0\0\0", &two] {
        for encoding in Encoding::BOTH {
            let answer = sent(&stack, encoding, &encoding.written(body)).await;
            answer.refused(Code::InvalidArgument, "MALFORMED_REQUEST");
        }
    }
    for text in ["AAAAAA*=", "AAAAAAA", "=", "AAA=AAA"] {
        let answer = sent(&stack, Encoding::Text, text.as_bytes()).await;
        answer.refused(Code::InvalidArgument, "MALFORMED_REQUEST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_message_is_not_taken() {
    let stack = Stack::start().await;
    for encoding in Encoding::BOTH {
        let body = encoding.written(b"\x01\0\0\0\x01x");
        let answer = sent(&stack, encoding, &body).await;
        answer.refused(Code::Unimplemented, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_formats_than_protobuf_are_not_taken() {
    let stack = Stack::start().await;
    let client = reqwest::Client::new();
    let request = client
        .post(format!("http://{}{CHECK}", stack.address))
        .header("content-type", "application/grpc-web+json")
        .body("{}");
    let answer = WebAnswer::whole(Encoding::Binary, request.send().await.unwrap()).await;
    answer.refused(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_bound_of_its_method_is_refused() {
    let stack = Stack::start().await;
    let register = |length| {
        let request = RegisterRequest {
            email: "a".repeat(length),
            ..RegisterRequest::default()
        };
        request.encode_to_vec()
    };
    for encoding in Encoding::BOTH {
        // Above what the method takes, and above what is read at all.
        for length in [9000, 100_000] {
            let answer = stack.web(encoding, REGISTER, None, &register(length)).await;
            answer.refused(Code::ResourceExhausted, "BODY_TOO_LARGE");
        }
        let answer = stack.web(encoding, REGISTER, None, &register(20)).await;
        assert_eq!(answer.trailers["grpc-status"], "0", "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_says_how_long_it_waits() {
    let stack = Stack::start().await;
    let bearer = format!("Bearer {}", stack.issuer.token());
    let headers = [("authorization", bearer.as_str()), ("grpc-timeout", "300m")];
    let begun = Instant::now();
    let body = frame(&profile_of("slow"));
    let request = stack.web_request(true, Encoding::Binary, GET_PROFILE, &headers, body);
    let answer = WebAnswer::whole(Encoding::Binary, request.send().await.unwrap()).await;
    answer.refused(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_limit_a_page_is_told_when_to_come_back() {
    let stack = Stack::with(&["--limit-address", "1/h"]).await;
    let first = stack.web(Encoding::Text, CHECK, None, &[]).await;
    assert_eq!(first.trailers["grpc-status"], "0", "{first:?}");
    let answer = stack.web(Encoding::Text, CHECK, None, &[]).await;
    answer.refused(Code::ResourceExhausted, "RATE_LIMITED");
    assert!(answer.header("ratelimit").contains("r=0"));
}
