//! What goes wrong is answered by a problem document that says what and why.

mod credentials;

use reqwest::Method;
use serde_json::json;
use tests::stack::shared;

#[tokio::test]
async fn a_body_that_is_not_json_is_named_as_such() {
    let client = shared().await.client();
    let answer = client
        .send(
            Method::POST,
            "/v1/sessions:login",
            Some("{\"email\": ".into()),
        )
        .await
        .unwrap();
    answer.problem(400, "MALFORMED_JSON");
}

#[tokio::test]
async fn an_unknown_field_is_named() {
    let answer = shared()
        .await
        .client()
        .post(
            "/v1/accounts:register",
            json!({"email": "a@example.com", "nickname": "a"}),
        )
        .await;
    answer.problem(400, "UNKNOWN_FIELD");
    assert_eq!(
        answer.body["errors"][0]["field"], "nickname",
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let answer = shared()
        .await
        .client()
        .post("/v1/accounts:register", json!({"email": 7}))
        .await;
    answer.problem(400, "INVALID_FIELD");
    assert_eq!(
        answer.body["errors"][0]["field"], "email",
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn an_unknown_query_parameter_is_named() {
    let person = shared().await.sign_up().await;
    let answer = person
        .client
        .get("/v1/users/me/activities?pagesize=3")
        .await;
    answer.problem(400, "UNKNOWN_FIELD");
    assert_eq!(
        answer.body["errors"][0]["field"], "pagesize",
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_bad_address_is_an_invalid_field() {
    for email in [
        "",
        "nobody",
        "a@",
        "@example.com",
        "a b@example.com",
        &format!("{}@example.com", "a".repeat(300)),
    ] {
        let answer = shared()
            .await
            .client()
            .post("/v1/accounts:register", json!({"email": email}))
            .await;
        answer.problem(400, "INVALID_FIELD");
        assert_eq!(
            answer.body["errors"][0]["field"], "email",
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let person = shared().await.sign_up().await;
    for token in ["nonsense", "AAAA"] {
        let answer = person
            .client
            .get(&format!("/v1/users/me/activities?pageToken={token}"))
            .await;
        answer.problem(400, "INVALID_PAGE_TOKEN");
    }
}

#[tokio::test]
async fn a_page_token_goes_on_with_the_list_that_made_it_only() {
    let stack = shared().await;
    let (person, other) = (stack.sign_up().await, stack.sign_up().await);
    let login = json!({"email": person.email, "password": person.password});
    person.client.post("/v1/sessions:login", login).await.ok();
    let list = "/v1/accounts/me/sessions?pageSize=1";
    let first = person.client.get(list).await.ok();
    let token = first["nextPageToken"].as_str().unwrap();
    let next = format!("{list}&pageToken={token}");
    let second = person.client.get(&next).await.ok();
    assert_ne!(first["sessions"][0]["id"], second["sessions"][0]["id"]);
    other
        .client
        .get(&next)
        .await
        .problem(400, "INVALID_PAGE_TOKEN");
    person
        .client
        .get(&format!("/v1/users/me/activities?pageToken={token}"))
        .await
        .problem(400, "INVALID_PAGE_TOKEN");
}

#[tokio::test]
async fn a_stale_etag_changes_nothing() {
    let person = shared().await.sign_up().await;
    let profile = person.client.get("/v1/users/me").await.ok();
    let changed = person
        .client
        .patch(
            "/v1/users/me",
            json!({"bio": "first", "etag": profile["etag"]}),
        )
        .await
        .ok();
    let stale = person
        .client
        .patch(
            "/v1/users/me",
            json!({"bio": "second", "etag": profile["etag"]}),
        )
        .await;
    stale.problem(409, "ETAG_MISMATCH");
    assert_eq!(
        person.client.get("/v1/users/me").await.ok()["bio"],
        changed["bio"]
    );
}

#[tokio::test]
async fn a_stale_etag_of_preferences_changes_nothing() {
    let person = shared().await.sign_up().await;
    let read = person.client.get("/v1/users/me/preferences").await.ok();
    let dark = json!({"theme": "THEME_DARK", "etag": read["etag"]});
    let changed = person.client.patch("/v1/users/me/preferences", dark).await;
    assert_ne!(changed.ok()["etag"], read["etag"]);
    let light = json!({"theme": "THEME_LIGHT", "etag": read["etag"]});
    let stale = person.client.patch("/v1/users/me/preferences", light).await;
    stale.problem(409, "ETAG_MISMATCH");
    let after = person.client.get("/v1/users/me/preferences").await.ok();
    assert_eq!(after["theme"], "THEME_DARK");
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused() {
    let answer = shared()
        .await
        .client()
        .post(
            "/v1/accounts:register",
            json!({"email": "a".repeat(100_000)}),
        )
        .await;
    answer.problem(413, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a_body_of_another_media_type_is_refused() {
    let client = shared().await.client();
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json-patch+json",
    ] {
        let answer = client
            .send_as(
                media_type,
                Method::POST,
                "/v1/sessions:refresh",
                Some("{}".into()),
            )
            .await;
        answer.unwrap().problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[tokio::test]
async fn a_head_over_the_bound_is_refused() {
    let path = format!("/v1/users/me?{}", "a".repeat(40_000));
    let answer = shared().await.client().get(&path).await;
    answer.problem(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn a_value_that_a_field_cannot_have_is_named() {
    let person = shared().await.sign_up().await;
    for (path, body, field) in [
        (
            "/v1/users/me",
            json!({"timeZone": "Mars/Olympus"}),
            "timeZone",
        ),
        (
            "/v1/users/me",
            json!({"avatarUri": "ftp://example.com/a"}),
            "avatarUri",
        ),
        (
            "/v1/users/me",
            json!({"displayName": "a".repeat(101)}),
            "displayName",
        ),
        (
            "/v1/users/me/preferences",
            json!({"theme": "THEME_PLAID"}),
            "theme",
        ),
    ] {
        let answer = person.client.patch(path, body).await;
        answer.problem(400, "INVALID_FIELD");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.text);
    }
}

#[tokio::test]
async fn an_unknown_route_and_a_wrong_method_are_told_apart() {
    let client = shared().await.client();
    client
        .get("/v1/nothing")
        .await
        .problem(404, "ROUTE_NOT_FOUND");
    let answer = client.get("/v1/sessions:login").await;
    answer.problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn no_token_and_a_bad_token_are_refused_with_a_challenge() {
    let client = shared().await.client();
    let missing = client.get("/v1/users/me").await;
    missing.problem(401, "TOKEN_MISSING");
    assert!(
        missing.header("www-authenticate").starts_with("Bearer"),
        "{:?}",
        missing.headers
    );
    let forged = client.with_token("e30.e30.e30").get("/v1/users/me").await;
    forged.problem(401, "TOKEN_INVALID");
    assert!(
        forged.header("www-authenticate").contains("invalid_token"),
        "{:?}",
        forged.headers
    );
}

#[tokio::test]
async fn another_persons_resources_do_not_exist() {
    let stack = shared().await;
    let (owner, stranger) = (stack.sign_up().await, stack.sign_up().await);
    let id = &owner.account;
    for path in [
        "/v1/accounts/ID",
        "/v1/accounts/ID/sessions",
        "/v1/users/ID",
        "/v1/users/ID/preferences",
        "/v1/users/ID/activities",
    ] {
        let path = path.replace("ID", id);
        owner.client.get(&path).await.ok();
        stranger
            .client
            .get(&path)
            .await
            .problem(404, "RESOURCE_NOT_FOUND");
    }
    let calls = [
        (
            "/v1/accounts/ID:changePassword",
            json!({"newPassword": "nine quiet otters swim"}),
        ),
        (
            "/v1/accounts/ID:changeEmail",
            json!({"newEmail": "ada@example.com"}),
        ),
        ("/v1/accounts/ID/sessions:revokeAll", json!({})),
    ];
    for (path, body) in calls {
        stranger
            .client
            .post(&path.replace("ID", id), body)
            .await
            .problem(404, "RESOURCE_NOT_FOUND");
    }
    let session = &owner.client.get("/v1/accounts/me/sessions").await.ok()["sessions"][0]["id"];
    let session = session.as_str().unwrap();
    stranger
        .client
        .delete(&format!("/v1/accounts/{id}/sessions/{session}"))
        .await
        .problem(404, "RESOURCE_NOT_FOUND");
    for path in ["/v1/users/ID", "/v1/users/ID/preferences"] {
        stranger
            .client
            .patch(&path.replace("ID", id), json!({}))
            .await
            .problem(404, "RESOURCE_NOT_FOUND");
    }
}

#[tokio::test]
async fn the_audit_log_needs_the_role_admin() {
    let person = shared().await.sign_up().await;
    person
        .client
        .get("/v1/admin/auditRecords")
        .await
        .problem(403, "ROLE_REQUIRED");
}

#[tokio::test]
async fn over_the_limit_the_answer_says_when_to_come_back() {
    let client = shared().await.client();
    let mut refused = None;
    for _ in 0..12 {
        let answer = client
            .post(
                "/v1/sessions:login",
                json!({"email": "nobody@example.com", "password": "whatever it is"}),
            )
            .await;
        if answer.status == 429 {
            refused = Some(answer);
        }
    }
    let refused = refused.expect("twelve sign-ins in a row from one address are too many");
    refused.problem(429, "RATE_LIMITED");
    assert!(
        refused
            .header("retry-after")
            .parse::<u64>()
            .is_ok_and(|seconds| seconds > 0),
        "{:?}",
        refused.headers
    );
}
