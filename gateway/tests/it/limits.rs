//! Budgets of addresses and accounts.

use grimoire_proto::auth::v1::LoginRequest;
use grimoire_proto::auth::v1::session_service_client::SessionServiceClient;
use grimoire_proto::user::v1::GetProfileRequest;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use reqwest::Method;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::stack::{Stack, reason, with_token};

#[tokio::test(flavor = "multi_thread")]
async fn over_the_limit_the_answer_says_when_to_come_back() {
    let stack = Stack::start().await;
    let body = json!({"email": "a@example.com", "password": "x"}).to_string();
    for left in (0..10).rev() {
        let answer = stack.post("/v1/sessions:login", &body).await;
        answer.problem(401, "INVALID_CREDENTIALS");
        // Who has nothing left is told when there is more.
        let more = if left == 0 { ";t=6" } else { "" };
        assert_eq!(
            answer.header("ratelimit"),
            format!("\"credentials\";r={left}{more}")
        );
    }
    let refused = stack.post("/v1/sessions:login", &body).await;
    refused.problem(429, "RATE_LIMITED");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=6).contains(&seconds), "{seconds}");
    assert_eq!(
        refused.header("ratelimit"),
        format!("\"credentials\";r=0;t={seconds}")
    );
    assert_eq!(
        refused.header("ratelimit-policy"),
        "\"address\";q=100;w=5, \"credentials\";q=10;w=60"
    );

    let mut client = SessionServiceClient::new(stack.channel().await);
    let status = client.login(LoginRequest::default()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED")
    );
    assert!(
        status
            .get_details_retry_info()
            .and_then(|retry| retry.retry_delay)
            .is_some()
    );

    let token = stack.issuer.token();
    assert_eq!(
        stack.get("/v1/users/me", Some(&token)).await.status,
        200,
        "other methods have budgets of their own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_limits_over_grpc_as_metadata() {
    let stack = Stack::start().await;
    let nowhere = stack.get("/v1/nothing", None).await;
    nowhere.problem(404, "ROUTE_NOT_FOUND");
    assert_eq!(nowhere.header("ratelimit-policy"), "\"address\";q=100;w=5");
    assert!(!nowhere.header("ratelimit").is_empty());

    let token = stack.issuer.token();
    let mut client = ProfileServiceClient::new(stack.channel().await);
    let request = GetProfileRequest { user: "me".into() };
    let good = client
        .get_profile(with_token(request.clone(), &token))
        .await;
    let refused = client.get_profile(request).await.unwrap_err();
    for metadata in [good.unwrap().metadata(), refused.metadata()] {
        assert_eq!(
            metadata.get("ratelimit-policy").unwrap().to_str().unwrap(),
            "\"address\";q=100;w=5, \"account\";q=200;w=4"
        );
        let left = metadata.get("ratelimit").unwrap().to_str().unwrap();
        assert!(left.starts_with("\"address\";r="), "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_accounts_counts_what_it_is_named_for() {
    let classes = "credentials=10/min per address,search=2/h per account,admin=10/s per account";
    let stack = Stack::with(&["--limit-classes", classes]).await;
    let (one, other) = (stack.issuer.token(), stack.issuer.token());
    let search = async |token: &str| stack.get("/v1/users:search?query=Ada", Some(token)).await;
    for left in [";r=1", ";r=0;t=1800"] {
        let found = search(&one).await;
        assert_ne!(found.status, 429);
        assert_eq!(found.header("ratelimit"), format!("\"search\"{left}"));
        assert_eq!(
            found.header("ratelimit-policy"),
            "\"address\";q=100;w=5, \"search\";q=2;w=3600, \"account\";q=200;w=4"
        );
    }
    search(&one).await.problem(429, "RATE_LIMITED");
    assert_ne!(search(&other).await.status, 429);
    assert_eq!(stack.get("/v1/users/me", Some(&one)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_budget_from_wherever_it_comes() {
    let stack = Stack::with(&["--limit-account", "2/h"]).await;
    let (one, other) = (stack.issuer.token(), stack.issuer.token());
    for _ in 0..2 {
        assert_eq!(stack.get("/v1/users/me", Some(&one)).await.status, 200);
    }
    stack
        .get("/v1/users/me", Some(&one))
        .await
        .problem(429, "RATE_LIMITED");
    assert_eq!(stack.get("/v1/users/me", Some(&other)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_one_budget_for_everything_and_a_proxy_speaks_for_its_clients() {
    let stack = Stack::with(&["--limit-address", "2/h", "--trusted-proxies", "1"]).await;
    let from = async |address: &str| {
        let headers = [("x-forwarded-for", address)];
        stack
            .send_with(Method::GET, "/v1/nothing", None, &headers, None)
            .await
    };
    from("198.51.100.1").await.problem(404, "ROUTE_NOT_FOUND");
    from("203.0.113.7, 198.51.100.1")
        .await
        .problem(404, "ROUTE_NOT_FOUND");
    from("198.51.100.1").await.problem(429, "RATE_LIMITED");
    from("198.51.100.2").await.problem(404, "ROUTE_NOT_FOUND");
}
