//! People find each other by name: over REST and over gRPC.

use grimoire_proto::user::v1::SearchProfilesRequest;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use serde_json::{Value, json};
use tests::stack::{Person, TestStack, shared};
use uuid::Uuid;

use crate::grpc::{channel, refused, with_token};

/// A name that nobody else has.
fn name() -> String {
    let id = Uuid::now_v7().simple().to_string();
    format!("Quillon {}", &id[20..])
}

async fn called(stack: &TestStack, name: &str) -> Person {
    let person = stack.sign_up().await;
    let profile = json!({"displayName": name, "avatarUri": "https://example.com/q.png", "bio": "Nobody's business."});
    person.client.patch("/v1/users/me", profile).await.ok();
    person
}

fn ids(page: &Value) -> Vec<&str> {
    let profiles = page["profiles"].as_array().unwrap().iter();
    profiles
        .map(|profile| profile["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn people_are_found_by_name_page_by_page_and_show_what_is_public() {
    let (stack, name) = (shared().await, name());
    let (one, other) = (called(stack, &name).await, called(stack, &name).await);
    let seeker = stack.sign_up().await.client;
    let query = name.to_lowercase().replace(' ', "+");

    let first = seeker
        .get(&format!("/v1/users:search?query={query}&pageSize=1"))
        .await
        .ok();
    let token = first["nextPageToken"].as_str().unwrap();
    let next = format!("/v1/users:search?query={query}&pageSize=1&pageToken={token}");
    let second = seeker.get(&next).await.ok();
    let mut shown = [ids(&first), ids(&second)].concat();
    shown.sort_unstable();
    let mut expected = [one.account.as_str(), other.account.as_str()];
    expected.sort_unstable();
    assert_eq!(shown, expected);
    let public = json!({
        "id": ids(&first)[0],
        "displayName": name,
        "avatarUri": "https://example.com/q.png",
    });
    assert_eq!(first["profiles"][0], public);

    let unnamed = json!({"displayName": ""});
    one.client.patch("/v1/users/me", unnamed).await.ok();
    let again = seeker
        .get(&format!("/v1/users:search?query={query}"))
        .await
        .ok();
    assert!(!ids(&again).contains(&one.account.as_str()), "{again}");
}

#[tokio::test]
async fn a_search_that_says_too_little_is_refused() {
    let person = shared().await.sign_up().await;
    for query in ["", "a", "%2A%2A%2A"] {
        let answer = person
            .client
            .get(&format!("/v1/users:search?query={query}"))
            .await;
        answer.problem(400, "INVALID_FIELD");
        assert_eq!(answer.body["errors"][0]["field"], "query");
    }
    let answer = person
        .client
        .get("/v1/users:search?query=Ada&pageToken=nonsense")
        .await;
    answer.problem(400, "INVALID_PAGE_TOKEN");
    let client = shared().await.client();
    let answer = client.get("/v1/users:search?query=Ada").await;
    answer.problem(401, "TOKEN_MISSING");
}

#[tokio::test]
async fn people_are_found_over_grpc_too() {
    let (stack, name) = (shared().await, name());
    let person = called(stack, &name).await;
    let token = person.tokens["accessToken"].as_str().unwrap();
    let mut profiles = ProfileServiceClient::new(channel(stack, "gateway").await);
    let query = |query: &str| SearchProfilesRequest {
        query: query.to_owned(),
        ..Default::default()
    };
    let found = profiles.search_profiles(with_token(token, query(&name)));
    let found = found.await.unwrap().into_inner().profiles;
    assert_eq!(
        (&found[0].id, &found[0].display_name),
        (&person.account, &name)
    );
    let status = profiles.search_profiles(with_token(token, query("a")));
    refused(&status.await.unwrap_err(), "INVALID_FIELD");
}
