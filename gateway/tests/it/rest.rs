//! Good requests over REST.

use reqwest::Method;
use serde_json::json;

use crate::stack::{Stack, claims_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_their_profile() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    let answer = stack.get("/v1/users/me", Some(&token)).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json"),
        "{}",
        answer.text
    );
    assert_eq!(answer.body["displayName"], "Ada");
    assert_eq!(answer.body["bio"], "");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_told_who_calls_and_no_header_of_the_client_says_so() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    let claims = claims_of(&token);
    let forged = [
        ("grimoire-subject", "018f0000-0000-7000-8000-000000000001"),
        ("grimoire-roles", "admin"),
        ("grimoire-anything", "x"),
        ("l5d-client-id", "auth.prod"),
        ("x-request-id", "support-4711"),
        ("user-agent", "test-agent"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    let answer = stack
        .send_with(Method::GET, "/v1/users/me", Some(&token), &forged, None)
        .await;
    assert_eq!(
        (answer.status, answer.header("x-request-id")),
        (200, "support-4711")
    );
    let seen = &stack.seen;
    assert_eq!(
        seen.metadata("grimoire-subject").as_deref(),
        claims["sub"].as_str()
    );
    assert_eq!(
        seen.metadata("grimoire-session").as_deref(),
        claims["sid"].as_str()
    );
    assert_eq!(seen.metadata("grimoire-roles").as_deref(), Some(""));
    assert_eq!(
        seen.metadata("grimoire-auth-time"),
        Some(claims["auth_time"].to_string())
    );
    assert_eq!(
        seen.metadata("grimoire-client-address").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(
        seen.metadata("grimoire-client-user-agent").as_deref(),
        Some("test-agent")
    );
    assert_eq!(
        seen.metadata("x-request-id").as_deref(),
        Some("support-4711")
    );
    assert_eq!(seen.metadata("grimoire-anything"), None);
    assert_eq!(seen.metadata("l5d-client-id"), None);
    assert_eq!(seen.metadata("authorization"), None);
    assert!(seen.metadata("grpc-timeout").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_what_it_names() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    let body = json!({"bio": "Analyst", "timeZone": null, "etag": "e"}).to_string();
    let answer = stack
        .send(Method::PATCH, "/v1/users/me", Some(&token), Some(&body))
        .await;
    assert_eq!(
        (answer.status, &answer.body["bio"]),
        (200, &json!("Analyst")),
        "{}",
        answer.text
    );
    assert_eq!(stack.seen.mask(), ["bio", "time_zone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_register_and_a_bad_token_is_ignored_there() {
    let stack = Stack::start().await;
    let body = json!({"email": "ada@example.com"}).to_string();
    let answer = stack
        .send(
            Method::POST,
            "/v1/accounts:register",
            Some("e30.e30.e30"),
            Some(&body),
        )
        .await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    assert_eq!(stack.seen.metadata("grimoire-subject"), None);
    let answer = stack
        .send(
            Method::POST,
            "/v1/sessions:logout",
            Some(&stack.issuer.token()),
            Some("{}"),
        )
        .await;
    assert_eq!(answer.status, 200);
    assert!(stack.seen.metadata("grimoire-subject").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_what_may_be_read_has_no_body() {
    let stack = Stack::start().await;
    let answer = stack
        .send(
            Method::HEAD,
            "/v1/users/me",
            Some(&stack.issuer.token()),
            None,
        )
        .await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert_ne!(answer.header("content-length"), "0");
    let answer = stack
        .send(Method::OPTIONS, "/v1/users/me", None, None)
        .await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (204, "GET, HEAD, PATCH")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_keys_and_the_reasons_can_be_read() {
    let stack = Stack::start().await;
    let answer = stack.get("/.well-known/jwks.json", None).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/jwk-set+json")
    );
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.body["keys"][0]["kid"], "first");
    let answer = stack.get("/problems/TOKEN_EXPIRED", None).await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!(401)));
    stack
        .get("/problems/NONSENSE", None)
        .await
        .problem(404, "RESOURCE_NOT_FOUND");
}
