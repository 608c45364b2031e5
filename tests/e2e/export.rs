//! What is kept about a person, taken away: over REST, gRPC and gRPC-Web.

use std::time::{SystemTime, UNIX_EPOCH};

use futures::TryStreamExt as _;
use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::{ExportAccountRequest, ExportAccountResponse, GetAccountRequest};
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use grimoire_proto::user::v1::{
    ActivityRecord, ExportUserRequest, ExportUserResponse, RecordActivitiesRequest,
};
use prost::Message as _;
use serde_json::{Value, json};
use tests::grpc_web::Encoding;
use tests::program::{Replica, refusing};
use tests::stack::{Person, eventually, shared};
use tonic::transport::Endpoint;
use uuid::Uuid;

use crate::grpc::{channel, refused, with, with_token};

const EXPORT: &str = "/grimoire.auth.v1.AccountService/ExportAccount";

/// The activities of somebody, once there are so many, as they are listed.
async fn activities(person: &Person, number: usize) -> Vec<Value> {
    eventually("the activities", || async {
        let list = person.client.get("/v1/users/me/activities").await.ok();
        let list = list["activities"].as_array()?.clone();
        (list.len() == number).then_some(list)
    })
    .await
}

/// The records of an answer: a line, and one member, for each.
fn records(text: &str) -> Vec<(String, Value)> {
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a line of JSON");
        let mut members = record.as_object().expect("an object").clone().into_iter();
        let (kind, value) = members.next().expect("a record");
        assert!(members.next().is_none(), "{line}");
        (kind, value)
    };
    text.lines().map(record).collect()
}

#[tokio::test]
async fn a_person_takes_away_what_is_kept_about_them() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let client = &person.client;
    let bio = json!({"bio": "Writes notes on engines."});
    let profile = client.patch("/v1/users/me", bio).await.ok();
    let theme = json!({"theme": "THEME_DARK"});
    let preferences = client.patch("/v1/users/me/preferences", theme).await.ok();
    let new = json!({"newEmail": stack.address()});
    client
        .post("/v1/accounts/me:changeEmail", new.clone())
        .await
        .ok();
    let activities = activities(&person, 4).await;

    let answer = client.post("/v1/accounts/me:export", json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/x-ndjson"),
        "{}",
        answer.text
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let records = records(&answer.text);
    let kinds: Vec<&str> = records.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "account",
            "session",
            "device",
            "emailChange",
            "profile",
            "preferences",
            "activity",
            "activity",
            "activity",
            "activity",
        ]
    );
    let account = &records[0].1;
    assert_eq!(
        (&account["id"], &account["email"]),
        (&json!(person.account), &json!(person.email))
    );
    let session = &records[1].1;
    assert_eq!(session["userAgent"], "grimoire-tests");
    assert!(
        session["address"]
            .as_str()
            .is_some_and(|address| address.starts_with("127.")),
        "{session}"
    );
    assert_eq!(records[3].1["newEmail"], new["newEmail"]);
    assert_eq!(records[3].1["sessionId"], session["id"]);
    assert_eq!((&records[4].1, &records[5].1), (&profile, &preferences));
    let told: Vec<&Value> = records[6..].iter().map(|(_, record)| record).collect();
    assert_eq!(told, activities.iter().collect::<Vec<_>>());
    for secret in [
        person.password,
        person.tokens["accessToken"].as_str().unwrap(),
        person.tokens["refreshToken"].as_str().unwrap(),
    ] {
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_long_history_comes_whole_and_the_same_over_grpc_and_grpc_web() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    activities(&person, 2).await;
    person.client.get("/v1/users/me").await.ok();
    let mut data = UserDataServiceClient::new(channel(stack, "user").await);
    for _ in 0..3 {
        let activity = || ActivityRecord {
            event: Uuid::now_v7().to_string(),
            account: person.account.clone(),
            r#type: "WATERED_THE_PLANTS".to_owned(),
            time: Some(SystemTime::now().into()),
            ..Default::default()
        };
        let activities = std::iter::repeat_with(activity).take(500).collect();
        let batch = RecordActivitiesRequest { activities };
        data.record_activities(batch).await.unwrap();
    }

    let answer = person
        .client
        .post("/v1/accounts/me:export", json!({}))
        .await;
    let lines = records(&answer.text);
    let activities = lines.iter().filter(|(kind, _)| kind == "activity");
    assert_eq!(activities.count(), 1502);

    let mut accounts = AccountServiceClient::new(channel(stack, "gateway").await);
    let request = ExportAccountRequest {
        account: person.account.clone(),
    };
    let token = person.tokens["accessToken"].as_str().unwrap();
    let asked = with_token(token, request.clone());
    let records = accounts.export_account(asked).await.unwrap().into_inner();
    let records: Vec<ExportAccountResponse> = records.try_collect().await.unwrap();
    assert_eq!(records.len(), lines.len());
    for encoding in Encoding::BOTH {
        let client = stack.client().with_token(token);
        let told = client.grpc_web_stream(encoding, EXPORT, &request).await;
        let told = told.unwrap().into_iter();
        let told: Vec<ExportAccountResponse> = told
            .map(|record| ExportAccountResponse::decode(record.as_slice()).unwrap())
            .collect();
        assert!(told == records, "{encoding:?} tells something else");
    }
}

#[tokio::test]
async fn user_tells_what_it_keeps_of_somebody_and_nothing_of_nobody() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    activities(&person, 2).await;
    person.client.get("/v1/users/me").await.ok();
    let mut data = UserDataServiceClient::new(channel(stack, "user").await);
    let of = |account: &str| ExportUserRequest {
        account: account.to_owned(),
    };
    let nobody = Uuid::now_v7().to_string();
    for (account, number) in [(&person.account, 3), (&nobody, 0)] {
        let records = data.export_user(of(account)).await.unwrap().into_inner();
        let records: Vec<ExportUserResponse> = records.try_collect().await.unwrap();
        assert_eq!(records.len(), number, "{records:?}");
    }
    let status = data.export_user(of("me")).await.unwrap_err();
    refused(&status, "INVALID_FIELD");
}

#[tokio::test]
async fn auth_is_ready_without_user_and_says_when_to_ask_again() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let (_held, nowhere) = refusing();
    let mut environment = stack.environment("auth");
    environment.insert("GRIMOIRE_USER_URL".to_owned(), format!("http://{nowhere}"));
    let auth = Replica::start("auth", environment).await;
    let channel = Endpoint::from_shared(auth.url()).unwrap().connect_lazy();
    let mut accounts = AccountServiceClient::new(channel);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs().to_string();
    let caller = [
        ("grimoire-subject", person.account.as_str()),
        ("grimoire-auth-time", now.as_str()),
    ];
    let account = || "me".to_owned();
    let export = with(&caller, ExportAccountRequest { account: account() });
    let status = accounts.export_account(export).await.unwrap_err();
    let details = refused(&status, "UNAVAILABLE");
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    assert!(wait.is_some_and(|wait| !wait.is_zero()), "{status:?}");
    let read = with(&caller, GetAccountRequest { account: account() });
    accounts.get_account(read).await.unwrap();
    auth.end().await;
}
