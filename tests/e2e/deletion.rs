//! Accounts that are deleted: over REST and over gRPC, to the last receipt.

use std::time::SystemTime;

use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::erasure_service_client::ErasureServiceClient;
use grimoire_proto::auth::v1::{DeleteAccountRequest, RecordReceiptRequest};
use grimoire_proto::user::v1::activity_service_client::ActivityServiceClient;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use grimoire_proto::user::v1::{
    ActivityRecord, EraseUserRequest, ListActivitiesRequest, RecordActivitiesRequest,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tests::rest::Client;
use tests::stack::{Person, TestStack, eventually, shared};
use uuid::Uuid;

use crate::grpc::{blamed, channel, refused, with, with_token};
use crate::passwords::{after_a_day, comes_to};

/// The entry of a paged list that `is_it` finds.
async fn find(
    client: &Client,
    path: &str,
    list: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Option<Value> {
    let mut token = String::new();
    loop {
        let page = client
            .get(&format!("{path}pageSize=200&pageToken={token}"))
            .await
            .ok();
        let entries = page[list].as_array().cloned().unwrap_or_default();
        if let Some(found) = entries.into_iter().find(|entry| is_it(entry)) {
            return Some(found);
        }
        token = page["nextPageToken"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if token.is_empty() {
            return None;
        }
    }
}

/// The account as an administrator sees it.
async fn managed(admin: &Person, account: &str) -> Option<Value> {
    let is_it = |entry: &Value| entry["id"] == account;
    find(&admin.client, "/v1/admin/accounts?", "accounts", is_it).await
}

async fn is_erased(admin: &Person, account: &str) {
    eventually("the last receipt", || async {
        let seen = managed(admin, account).await?;
        let address = seen["email"].as_str().unwrap_or_default();
        (seen["state"] == "STATE_ERASED" && address.is_empty()).then_some(())
    })
    .await;
}

async fn registers_again(stack: &TestStack, email: &str, first_mail: &str) -> Value {
    let client = stack.client();
    let register = json!({"email": email});
    client.post("/v1/accounts:register", register).await.ok();
    let token = eventually("another mail with a token", || async {
        let mails = stack.smtp.mails().into_iter();
        let mut mails = mails.filter(|mail| mail.recipient == email);
        let mail = mails.find(|mail| mail.token().is_some() && mail.message_id != first_mail)?;
        mail.token().map(str::to_owned)
    })
    .await;
    let complete = json!({"token": token, "password": "a long enough secret 17"});
    client
        .post("/v1/accounts:completeRegistration", complete)
        .await
        .ok()
}

#[tokio::test]
async fn a_deleted_account_is_closed_at_once_and_then_forgotten_by_all() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let id = &person.account;
    let first_mail = stack.smtp.mail_to(&person.email).await.message_id;
    let name = json!({"displayName": "Wilhelmina Gone"});
    person.client.patch("/v1/users/me", name).await.ok();
    let of_account = format!("/v1/admin/auditRecords?accountId={id}");
    let login_of_account = format!("{of_account}&type=LOGGED_IN");
    let record = eventually("the record of the registration", || async {
        let audit = admin.client.get(&login_of_account).await.ok();
        let record = audit["auditRecords"][0]["id"].clone();
        record.is_string().then_some(record)
    })
    .await;

    let deleted = person.client.delete("/v1/accounts/me").await;
    assert_eq!(deleted.ok(), json!({}));
    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let client = stack.client();
    let refresh = json!({"refreshToken": person.tokens["refreshToken"]});
    let refreshed = client.post("/v1/sessions:refresh", refresh).await;
    refreshed.problem(401, "INVALID_REFRESH_TOKEN");
    let login = json!({"email": person.email, "password": person.password});
    let signed_in = client.post("/v1/sessions:login", login.clone()).await;
    signed_in.problem(401, "INVALID_CREDENTIALS");

    let mail = stack
        .smtp
        .mail_that_says(&person.email, "your account was deleted")
        .await;
    assert_eq!(mail.token(), None);
    is_erased(&admin, id).await;
    for path in [format!("/v1/users/{id}"), format!("/v1/accounts/{id}")] {
        let answer = admin.client.get(&path).await;
        answer.problem(404, "RESOURCE_NOT_FOUND");
    }
    let found = admin.client.get("/v1/users:search?query=Wilhelmina%20Gone");
    let found = found.await.ok();
    assert_eq!(found["profiles"].as_array().map_or(0, Vec::len), 0);

    let named = admin.client.get(&of_account).await.ok();
    assert_eq!(named["auditRecords"].as_array().map_or(0, Vec::len), 0);
    let path = "/v1/admin/auditRecords?type=LOGGED_IN&";
    let is_it = |entry: &Value| entry["id"] == record;
    let kept = find(&admin.client, path, "auditRecords", is_it).await;
    let kept = kept.expect("type and time are kept");
    let pseudonym = kept["accountId"].as_str().unwrap();
    assert!(!pseudonym.is_empty() && pseudonym != id, "{kept}");

    let made = registers_again(stack, &person.email, &first_mail).await;
    assert_ne!(made["account"]["id"], *id);
    client.post("/v1/sessions:login", login).await.ok();
}

#[tokio::test]
async fn who_proved_long_ago_who_it_is_proves_it_again_before_the_account_goes() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let client = after_a_day(stack, &person).await;
    let answer = client.delete("/v1/accounts/me").await;
    answer.problem(401, "RECENT_LOGIN_REQUIRED");
    client.get("/v1/accounts/me").await.ok();
}

#[tokio::test]
async fn an_administrator_deletes_anothers_account_and_not_the_own_one_over_grpc_too() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let token = admin.tokens["accessToken"].as_str().unwrap();
    let mut accounts = AccountServiceClient::new(channel(stack, "gateway").await);
    let delete = |account: &str| {
        let message = DeleteAccountRequest {
            account: account.to_owned(),
        };
        with_token(token, message)
    };
    let own = accounts.delete_account(delete("me")).await;
    refused(&own.unwrap_err(), "OWN_ACCOUNT");
    let path = format!("/v1/accounts/{}", admin.account);
    let own = admin.client.delete(&path).await;
    own.problem(403, "OWN_ACCOUNT");

    // Twice, as a client does that has lost the first answer.
    for _ in 0..2 {
        let deleted = accounts.delete_account(delete(&person.account)).await;
        deleted.unwrap();
    }
    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let path = format!("/v1/admin/accounts/{}:unlock", person.account);
    let unlocked = admin.client.post(&path, json!({})).await;
    unlocked.problem(404, "RESOURCE_NOT_FOUND");
    is_erased(&admin, &person.account).await;
}

#[tokio::test]
async fn an_erasure_is_applied_again_after_a_restore() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    person.client.delete("/v1/accounts/me").await.ok();
    is_erased(&admin, &person.account).await;

    let url = stack.stack.instance().database_url("user").unwrap();
    let mut user = PgConnection::connect(&url).await.unwrap();
    let account: Uuid = person.account.parse().unwrap();
    let restore = "update profiles set erased_at = null, display_name = 'Back' where id = $1";
    let restored = sqlx::query(restore).bind(account).execute(&mut user).await;
    assert_eq!(restored.unwrap().rows_affected(), 1);
    let profile = format!("/v1/users/{account}");
    admin.client.get(&profile).await.ok();

    stack.auth(&["reapply-erasures", &person.account]).await;
    eventually("the erasure", || async {
        let answer = admin.client.get(&profile).await;
        (answer.body["reason"] == "RESOURCE_NOT_FOUND").then_some(())
    })
    .await;
    is_erased(&admin, &person.account).await;
}

#[tokio::test]
async fn services_erase_for_good_and_receipts_are_of_deleted_accounts() {
    let stack = shared().await;
    let user = channel(stack, "user").await;
    let mut data = UserDataServiceClient::new(user.clone());
    let account = Uuid::now_v7().to_string();
    let erase = |account: &str| EraseUserRequest {
        account: account.to_owned(),
    };
    for _ in 0..2 {
        data.erase_user(erase(&account)).await.unwrap();
    }
    let late = RecordActivitiesRequest {
        activities: vec![ActivityRecord {
            event: Uuid::now_v7().to_string(),
            account: account.clone(),
            r#type: "ACCOUNT_REGISTERED".to_owned(),
            time: Some(SystemTime::now().into()),
            ..Default::default()
        }],
    };
    data.record_activities(late).await.unwrap();
    let request = ListActivitiesRequest {
        user: "me".to_owned(),
        ..Default::default()
    };
    let subject = [("grimoire-subject", account.as_str())];
    let mut activities = ActivityServiceClient::new(user);
    let list = activities.list_activities(with(&subject, request)).await;
    assert!(list.unwrap().into_inner().activities.is_empty());
    let status = data.erase_user(erase("me")).await.unwrap_err();
    blamed(&status, "INVALID_FIELD", "account");

    let mut erasures = ErasureServiceClient::new(channel(stack, "auth").await);
    let receipt = |account: &str, service: &str| RecordReceiptRequest {
        account: account.to_owned(),
        service: service.to_owned(),
    };
    let alive = stack.sign_up().await;
    for account in [&account, &alive.account] {
        let status = erasures.record_receipt(receipt(account, "user")).await;
        refused(&status.unwrap_err(), "RESOURCE_NOT_FOUND");
    }
    let status = erasures.record_receipt(receipt(&account, "gateway")).await;
    blamed(&status.unwrap_err(), "INVALID_FIELD", "service");
    alive.client.get("/v1/accounts/me").await.ok();
}
