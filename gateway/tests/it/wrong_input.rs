//! What is wrong is answered by a problem document that names it.

use reqwest::Method;
use serde_json::json;

use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_json_is_told_from_one_of_the_wrong_shape() {
    let stack = Stack::start().await;
    stack
        .post("/v1/sessions:login", "{\"email\": ")
        .await
        .problem(400, "MALFORMED_JSON");
    let answer = stack
        .post("/v1/accounts:register", &json!({"email": 7}).to_string())
        .await;
    answer.problem(400, "INVALID_FIELD");
    assert_eq!(answer.body["errors"][0]["field"], "email");
    let answer = stack
        .post(
            "/v1/accounts:register",
            &json!({"email": "a", "nickname": "b"}).to_string(),
        )
        .await;
    answer.problem(400, "UNKNOWN_FIELD");
    assert_eq!(answer.body["errors"][0]["field"], "nickname");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_parameter_is_named() {
    let stack = Stack::start().await;
    let answer = stack
        .get("/v1/users/me?pagesize=3", Some(&stack.issuer.token()))
        .await;
    answer.problem(400, "UNKNOWN_FIELD");
    assert_eq!(answer.body["errors"][0]["field"], "pagesize");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_say_that_it_is_json() {
    let stack = Stack::start().await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = stack
        .send_with(Method::POST, "/v1/sessions:login", None, &form, Some("{}"))
        .await;
    answer.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let utf8 = [("content-type", "application/json; charset=utf-8")];
    let answer = stack
        .send_with(
            Method::POST,
            "/v1/accounts:register",
            None,
            &utf8,
            Some("{}"),
        )
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_bound_is_refused() {
    let stack = Stack::start().await;
    let body = json!({"email": "a".repeat(100_000)}).to_string();
    stack
        .post("/v1/accounts:register", &body)
        .await
        .problem(413, "BODY_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_route_and_a_wrong_method_are_told_apart() {
    let stack = Stack::start().await;
    for path in [
        "/",
        "/v1/nothing",
        "/v1/users/me/nothing",
        "/grimoire.auth.v1.TrustService/Follow",
    ] {
        stack.get(path, None).await.problem(404, "ROUTE_NOT_FOUND");
    }
    let answer = stack.get("/v1/sessions:login", None).await;
    answer.problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_refuses_is_told_with_the_names_of_the_client() {
    let stack = Stack::start().await;
    let token = stack.issuer.token();
    stack
        .get("/v1/users/missing", Some(&token))
        .await
        .problem(404, "RESOURCE_NOT_FOUND");
    let stale = json!({"bio": "x", "etag": "stale"}).to_string();
    stack
        .send(Method::PATCH, "/v1/users/me", Some(&token), Some(&stale))
        .await
        .problem(409, "ETAG_MISMATCH");
    let long = json!({"displayName": "a".repeat(101)}).to_string();
    let answer = stack
        .send(Method::PATCH, "/v1/users/me", Some(&token), Some(&long))
        .await;
    answer.problem(400, "INVALID_FIELD");
    assert_eq!(
        answer.body["errors"][0],
        json!({"field": "displayName", "reason": "INVALID_FIELD", "message": "is longer than 100 characters"})
    );
    let login = json!({"email": "a@example.com", "password": "x"}).to_string();
    stack
        .post("/v1/sessions:login", &login)
        .await
        .problem(401, "INVALID_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_a_fault_is_not_told() {
    let stack = Stack::start().await;
    let answer = stack
        .get("/v1/users/broken", Some(&stack.issuer.token()))
        .await;
    answer.problem(500, "INTERNAL");
    assert!(!answer.text.contains("password"), "{}", answer.text);
}
