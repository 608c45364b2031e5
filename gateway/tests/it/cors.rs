//! Pages of other origins.

use chassis::process::Process;
use clap::Parser as _;
use gateway::Config;
use reqwest::Method;

use crate::stack::{Answer, Encoding, Stack, WebAnswer, frame};

const PAGE: &str = "https://app.example.com";

async fn asked(stack: &Stack, path: &str, method: &str) -> Answer {
    let headers = [
        ("origin", PAGE),
        ("access-control-request-method", method),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    stack
        .send_with(Method::OPTIONS, path, None, &headers, None)
        .await
}

/// A gateway that a page may call.
async fn open() -> Stack {
    Stack::with(&["--cors-origins", PAGE]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_asks_first_is_told_what_may_be_sent() {
    let stack = open().await;
    for (path, asks, methods) in [
        ("/v1/users/me", "PATCH", "GET, HEAD, PATCH"),
        (
            "/grimoire.user.v1.ProfileService/GetProfile",
            "POST",
            "POST",
        ),
        ("/.well-known/jwks.json", "GET", "GET, HEAD"),
    ] {
        let answer = asked(&stack, path, asks).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        assert_eq!(answer.header("access-control-allow-methods"), methods);
        let headers = answer.header("access-control-allow-headers");
        for header in ["authorization", "content-type", "x-grpc-web"] {
            assert!(headers.contains(header), "{headers}");
        }
        assert_eq!(answer.header("access-control-max-age"), "7200");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(answer.header("vary"), "origin");
    }
    asked(&stack, "/grimoire.auth.v1.TrustService/Follow", "POST")
        .await
        .problem(404, "ROUTE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_read_answers_and_why_it_is_refused() {
    let stack = open().await;
    let origin = [("origin", PAGE)];
    let token = stack.issuer.token();
    for (path, token, status) in [
        ("/v1/users/me", Some(token.as_str()), 200),
        ("/v1/users/me", None, 401),
        ("/v1/nothing", None, 404),
    ] {
        let answer = stack
            .send_with(Method::GET, path, token, &origin, None)
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), PAGE);
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("www-authenticate"), "{exposed}");
    }
    let path = "/grimoire.user.v1.ProfileService/GetProfile";
    for path in [path, "/grpc.health.v1.Health/Check"] {
        let request = stack.web_request(false, Encoding::Binary, path, &origin, frame(&[]));
        let answer = WebAnswer::whole(Encoding::Binary, request.send().await.unwrap()).await;
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_over_the_limit_can_read_that_it_is() {
    let stack = Stack::with(&["--cors-origins", PAGE, "--limit-address", "1/h"]).await;
    asked(&stack, "/v1/users/me", "GET").await;
    let origin = [("origin", PAGE)];
    let answer = stack
        .send_with(Method::GET, "/v1/users/me", None, &origin, None)
        .await;
    answer.problem(429, "RATE_LIMITED");
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_told_nothing() {
    let listed = Stack::with(&["--cors-origins", "https://other.example.com"]).await;
    let answer = asked(&listed, "/v1/users/me", "GET").await;
    assert_eq!(answer.header("vary"), "origin");
    let unset = Stack::start().await;
    for answer in [answer, asked(&unset, "/v1/users/me", "GET").await] {
        assert_eq!(
            (answer.status, answer.header("allow")),
            (204, "GET, HEAD, PATCH")
        );
        let told = answer.headers.keys();
        let told: Vec<_> = told
            .filter(|name| name.as_str().starts_with("access-control-"))
            .collect();
        assert!(told.is_empty(), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_origin_is_for_development_only() {
    let stack = Stack::with(&["--cors-origins", "*"]).await;
    let answer = asked(&stack, "/v1/users/me", "GET").await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");

    let config = Config::parse_from([
        "gateway",
        "--env",
        "production",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--issuer",
        "https://issuer.test",
        "--upstreams",
        "auth=http://127.0.0.1:1,user=http://127.0.0.1:1,event-consumer=http://127.0.0.1:1",
        "--cors-origins",
        "*",
    ]);
    let process = Process::start("gateway", &config.process, axum::Router::new())
        .await
        .unwrap();
    let started = gateway::start(&config, grimoire_proto::descriptors(), &process).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("GRIMOIRE_CORS_ORIGINS"), "{error}");
    process.stop.cancel();
}
