//! Another address for an account: over REST and over gRPC.

use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::{ChangeEmailRequest, ConfirmEmailRequest, GetAccountRequest};
use serde_json::json;
use tests::stack::{Person, eventually, shared};

use crate::grpc::{channel, refused, with_token};

fn token(person: &Person) -> &str {
    person.tokens["accessToken"].as_str().unwrap()
}

#[tokio::test]
async fn an_address_changes_when_the_new_one_is_proven_and_the_old_one_is_told() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let new = stack.address();
    let asked = person
        .client
        .post("/v1/accounts/me:changeEmail", json!({"newEmail": new}))
        .await;
    assert_eq!(asked.ok(), json!({}));
    let before = person.client.get("/v1/accounts/me").await.ok();
    assert_eq!(before["email"], person.email);

    let mail = stack
        .smtp
        .mail_that_says(&new, "would like to use this address")
        .await;
    let proof = json!({"token": mail.token().unwrap()});
    let client = stack.client();
    let confirmed = client.post("/v1/emails:confirm", proof.clone()).await;
    assert_eq!(confirmed.ok(), json!({}));
    client
        .post("/v1/emails:confirm", proof)
        .await
        .problem(400, "MAIL_TOKEN_USED");

    // The session goes on.
    let after = person.client.get("/v1/accounts/me").await.ok();
    assert_eq!(after["email"], new);
    assert_ne!(after["etag"], before["etag"]);
    let told = stack
        .smtp
        .mail_that_says(&person.email, "your account has another address now")
        .await;
    assert_eq!(told.token(), None);
    let login = |email: &str| json!({"email": email, "password": person.password});
    let old = client
        .post("/v1/sessions:login", login(&person.email))
        .await;
    old.problem(401, "INVALID_CREDENTIALS");
    client.post("/v1/sessions:login", login(&new)).await.ok();
    let activity = "/v1/users/me/activities?type=EMAIL_CHANGED";
    eventually("the activity of the change", || async {
        let activities = person.client.get(activity).await.ok();
        activities["activities"][0]["sessionId"]
            .is_string()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_taken_address_reads_like_a_free_one_and_its_owner_is_told() {
    let stack = shared().await;
    let (person, owner) = (stack.sign_up().await, stack.sign_up().await);
    for email in [&owner.email, &stack.address()] {
        let asked = person
            .client
            .post("/v1/accounts/me:changeEmail", json!({"newEmail": email}))
            .await;
        assert_eq!(asked.ok(), json!({}));
    }
    let mail = stack
        .smtp
        .mail_that_says(&owner.email, "for another account")
        .await;
    assert_eq!(mail.token(), None);
    let wrong = person
        .client
        .post("/v1/accounts/me:changeEmail", json!({"newEmail": "a@"}))
        .await;
    wrong.problem(400, "INVALID_FIELD");
    assert_eq!(
        wrong.body["errors"][0]["field"], "newEmail",
        "{}",
        wrong.text
    );
}

#[tokio::test]
async fn it_goes_over_grpc_too() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let mut accounts = AccountServiceClient::new(channel(stack, "gateway").await);
    let new = stack.address();
    let change = ChangeEmailRequest {
        account: "me".to_owned(),
        new_email: new.clone(),
    };
    let asked = accounts.change_email(with_token(token(&person), change));
    asked.await.unwrap();
    let mail = stack
        .smtp
        .mail_that_says(&new, "would like to use this address")
        .await;
    let forged = ConfirmEmailRequest {
        token: format!("{}x", mail.token().unwrap()),
    };
    let status = accounts.confirm_email(forged).await.unwrap_err();
    refused(&status, "MAIL_TOKEN_INVALID");
    let proof = ConfirmEmailRequest {
        token: mail.token().unwrap().to_owned(),
    };
    accounts.confirm_email(proof).await.unwrap();
    let read = GetAccountRequest {
        account: "me".to_owned(),
    };
    let read = accounts.get_account(with_token(token(&person), read)).await;
    assert_eq!(read.unwrap().into_inner().account.unwrap().email, new);
}
