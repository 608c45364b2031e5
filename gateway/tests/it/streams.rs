//! Answers of a service that are streams, over REST and gRPC-Web.

use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

use crate::stack::counting::{COUNT, CountRequest, CountResponse, contracts, serve};
use crate::stack::{Encoding, Stack, WebAnswer, eventually, frame, reason};

async fn stack() -> Stack {
    let (counting, _) = serve().await;
    Stack::of(&contracts(), Some(counting), &[]).await
}

fn count(to: u32, then: &str) -> Vec<u8> {
    let request = CountRequest {
        to,
        then: then.to_owned(),
    };
    request.encode_to_vec()
}

fn numbers(answer: &WebAnswer) -> Vec<u32> {
    let numbers = answer
        .messages
        .iter()
        .map(|message| CountResponse::decode(message.as_slice()).unwrap().number);
    numbers.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_a_line_of_json() {
    let answer = stack().await.get("/v1/counts/3", None).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/x-ndjson"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.text,
        "{\"number\":1}\n{\"number\":2}\n{\"number\":3}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_ask_for_events() {
    let events = [("accept", "text/html, text/event-stream;q=0.9")];
    let stack = stack().await;
    let answer = stack
        .send_with(Method::GET, "/v1/counts/2", None, &events, None)
        .await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(
        answer.text,
        "data: {\"number\":1}\n\ndata: {\"number\":2}\n\nevent: end\ndata: {}\n\n"
    );
    let answer = stack
        .send_with(Method::GET, "/v1/counts/0?then=fail", None, &events, None)
        .await;
    let document = answer.text.strip_prefix("event: problem\ndata: ").unwrap();
    let document: Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["reason"], "RESOURCE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_ends_with_its_problem() {
    let stack = stack().await;
    let answer = stack.get("/v1/counts/1?then=fail", None).await;
    let lines: Vec<Value> = answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((answer.status, lines.len()), (200, 2), "{}", answer.text);
    assert_eq!(lines[0], json!({"number": 1}));
    let problem = &lines[1]["@problem"];
    assert_eq!(
        (&problem["status"], &problem["reason"]),
        (&json!(404), &json!("RESOURCE_NOT_FOUND"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_begin_is_a_problem_as_any_other() {
    let stack = stack().await;
    stack
        .get("/v1/counts/many", None)
        .await
        .problem(400, "INVALID_FIELD");
    let head = stack.send(Method::HEAD, "/v1/counts/3", None, None).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));

    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let stack = Stack::of(&contracts(), Some(nobody), &[]).await;
    let answer = stack.get("/v1/counts/3", None).await;
    answer.problem(503, "UNAVAILABLE");
    let answer = stack.web(Encoding::Text, COUNT, None, &count(3, "")).await;
    answer.refused(Code::Unavailable, "UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_grpc_web_ends_with_its_trailers() {
    let stack = stack().await;
    for encoding in Encoding::BOTH {
        let answer = stack.web(encoding, COUNT, None, &count(3, "")).await;
        assert_eq!(numbers(&answer), [1, 2, 3]);
        assert_eq!(answer.header("x-counts"), "yes");
        assert_eq!(answer.header("l5d-server-id"), "");
        assert_eq!(answer.trailers["grpc-status"], "0");
        assert_eq!(answer.trailers["x-last"], "yes");

        let answer = stack.web(encoding, COUNT, None, &count(2, "fail")).await;
        assert_eq!(numbers(&answer), [1, 2]);
        let status = answer.tonic();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "RESOURCE_NOT_FOUND")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_call_along() {
    let (counting, given_up) = serve().await;
    let stack = Stack::of(&contracts(), Some(counting), &[]).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/v1/counts/1?then=wait", stack.address);
    for (gone, http2) in [(1, false), (2, true), (3, false)] {
        let request = if gone == 3 {
            client.get(&url)
        } else {
            let body = frame(&count(1, "wait"));
            stack.web_request(http2, Encoding::Binary, COUNT, &[], body)
        };
        let mut response = request.send().await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        drop(response);
        eventually("the service to be told", || async {
            (*given_up.borrow() == gone).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_hold_up_the_end() {
    let mut stack = stack().await;
    let body = frame(&count(1, "wait"));
    let request = stack.web_request(true, Encoding::Binary, COUNT, &[], body);
    let mut response = request.send().await.unwrap();
    let mut body = response.chunk().await.unwrap().unwrap().to_vec();
    stack.stop();
    body.extend_from_slice(&response.bytes().await.unwrap());
    let answer = WebAnswer::read(Encoding::Binary, &body);
    assert_eq!(numbers(&answer), [1]);
    assert_eq!(answer.tonic().code(), Code::Unavailable);
    tokio::time::timeout(std::time::Duration::from_secs(5), stack.ended())
        .await
        .expect("an end before that of patience");
}
