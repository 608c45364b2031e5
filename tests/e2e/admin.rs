//! What administrators do to accounts: over REST and over gRPC.

use grimoire_proto::auth::v1::admin_service_client::AdminServiceClient;
use grimoire_proto::auth::v1::managed_account::State;
use grimoire_proto::auth::v1::{
    DisableAccountRequest, ForceResetRequest, ListAccountsRequest, LockAccountRequest,
    SetRolesRequest, UnlockAccountRequest,
};
use serde_json::{Value, json};
use tests::stack::{Person, TestStack, eventually, shared};

use crate::grpc::{channel, refused, with_token};
use crate::passwords::comes_to;

async fn login(stack: &TestStack, person: &Person, password: &str) -> Value {
    let login = json!({"email": person.email, "password": password});
    let answer = stack.client().post("/v1/sessions:login", login).await;
    answer.body
}

/// As the person's client does when its token is outdated.
async fn refresh(stack: &TestStack, person: &Person) -> Value {
    let refresh = json!({"refreshToken": person.tokens["refreshToken"]});
    let answer = stack.client().post("/v1/sessions:refresh", refresh).await;
    answer.body
}

#[tokio::test]
async fn a_locked_account_waits_and_goes_on_when_it_is_unlocked() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let id = &person.account;
    let locked = admin
        .client
        .post(&format!("/v1/admin/accounts/{id}:lock"), json!({}))
        .await
        .ok();
    assert_eq!(locked["state"], "STATE_LOCKED");
    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let refused = login(stack, &person, person.password).await;
    assert_eq!(refused["reason"], "INVALID_CREDENTIALS");
    let refused = refresh(stack, &person).await;
    assert_eq!(refused["reason"], "INVALID_REFRESH_TOKEN");

    let unlocked = admin
        .client
        .post(&format!("/v1/admin/accounts/{id}:unlock"), json!({}))
        .await
        .ok();
    assert_eq!(unlocked["state"], "STATE_ACTIVE");
    let again = refresh(stack, &person).await;
    let again = person
        .client
        .with_token(again["accessToken"].as_str().unwrap());
    again.get("/v1/accounts/me").await.ok();
}

#[tokio::test]
async fn a_disabled_account_has_no_session_and_the_audit_log_says_who_did_it() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let id = &person.account;
    let disabled = admin
        .client
        .post(&format!("/v1/admin/accounts/{id}:disable"), json!({}))
        .await
        .ok();
    assert_eq!(disabled["state"], "STATE_DISABLED");
    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let refused = refresh(stack, &person).await;
    assert_eq!(refused["reason"], "INVALID_REFRESH_TOKEN");

    let path = format!("/v1/admin/auditRecords?accountId={id}&type=ACCOUNT_DISABLED");
    let by = eventually("the record of it", || async {
        let audit = admin.client.get(&path).await.ok();
        let by = audit["auditRecords"][0]["details"]["by_account_id"].as_str();
        by.map(str::to_owned)
    })
    .await;
    assert_eq!(by, admin.account);
}

#[tokio::test]
async fn roles_are_set_as_a_whole_and_by_the_etag_that_was_read() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let id = &person.account;
    let list = format!("/v1/admin/accounts?email={}", person.email);
    let listed = admin.client.get(&list).await.ok()["accounts"].clone();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["state"], &listed[1]),
        (&json!(id), &json!("STATE_ACTIVE"), &Value::Null)
    );
    let roles = json!({"roles": ["editor"], "etag": listed[0]["etag"]});
    let set = admin
        .client
        .post(&format!("/v1/admin/accounts/{id}:setRoles"), roles)
        .await
        .ok();
    assert_eq!(set["roles"], json!(["editor"]));
    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let tokens = refresh(stack, &person).await;
    let renewed = person
        .client
        .with_token(tokens["accessToken"].as_str().unwrap());
    let account = renewed.get("/v1/accounts/me").await.ok();
    assert_eq!(account["roles"], json!(["editor"]));

    let path = format!("/v1/admin/accounts/{id}:setRoles");
    let stale = json!({"roles": [], "etag": listed[0]["etag"]});
    let stale = admin.client.post(&path, stale).await;
    stale.problem(409, "ETAG_MISMATCH");
    let wrong = admin
        .client
        .post(&path, json!({"roles": ["No role"]}))
        .await;
    wrong.problem(400, "INVALID_FIELD");
}

#[tokio::test]
async fn a_forced_reset_signs_out_and_sends_the_owner_a_mail() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let id = &person.account;
    let forced = admin
        .client
        .post(&format!("/v1/admin/accounts/{id}:forceReset"), json!({}))
        .await;
    assert_eq!(forced.ok(), json!({}));
    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let refused = login(stack, &person, person.password).await;
    assert_eq!(refused["reason"], "INVALID_CREDENTIALS");
    let mail = stack
        .smtp
        .mail_that_says(&person.email, "forgotten the password")
        .await;
    let new = "nine quiet otters swim";
    let reset = json!({"token": mail.token().unwrap(), "newPassword": new});
    let done = stack.client().post("/v1/passwords:reset", reset).await;
    assert_eq!(done.ok(), json!({}));
    let account = login(stack, &person, new).await["account"].clone();
    assert_eq!(account["id"], person.account);
}

#[tokio::test]
async fn an_administrator_cannot_shut_themselves_out() {
    let stack = shared().await;
    let admin = stack.admin().await;
    let id = &admin.account;
    for (call, body) in [
        ("lock", json!({})),
        ("disable", json!({})),
        ("setRoles", json!({"roles": ["editor"]})),
    ] {
        for name in [id.as_str(), "me"] {
            let path = format!("/v1/admin/accounts/{name}:{call}");
            let answer = admin.client.post(&path, body.clone()).await;
            answer.problem(403, "OWN_ACCOUNT");
        }
    }
    admin.client.get("/v1/admin/accounts?pageSize=1").await.ok();
}

#[tokio::test]
async fn what_is_no_account_is_not_found_and_who_is_no_administrator_is_refused() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let nobody = uuid::Uuid::now_v7().to_string();
    for call in ["lock", "unlock", "disable", "setRoles", "forceReset"] {
        for none in [nobody.as_str(), "everybody"] {
            let path = format!("/v1/admin/accounts/{none}:{call}");
            let answer = admin.client.post(&path, json!({})).await;
            answer.problem(404, "RESOURCE_NOT_FOUND");
        }
        let path = format!("/v1/admin/accounts/{}:{call}", person.account);
        let answer = person.client.post(&path, json!({})).await;
        answer.problem(403, "ROLE_REQUIRED");
    }
}

#[tokio::test]
async fn it_all_goes_over_grpc_too() {
    let stack = shared().await;
    let (admin, person) = (stack.admin().await, stack.sign_up().await);
    let token = admin.tokens["accessToken"].as_str().unwrap();
    let mut accounts = AdminServiceClient::new(channel(stack, "gateway").await);
    let account = || person.account.clone();

    let request = ListAccountsRequest {
        email: person.email.clone(),
        ..Default::default()
    };
    let list = accounts.list_accounts(with_token(token, request)).await;
    let list = list.unwrap().into_inner().accounts;
    assert_eq!((list.len(), &list[0].id), (1, &person.account));
    let request = SetRolesRequest {
        account: account(),
        roles: vec!["editor".to_owned()],
        etag: list[0].etag.clone(),
    };
    let set = accounts.set_roles(with_token(token, request)).await;
    let set = set.unwrap().into_inner().account.unwrap();
    assert_eq!(set.roles, ["editor"]);

    let request = LockAccountRequest { account: account() };
    let locked = accounts.lock_account(with_token(token, request)).await;
    let locked = locked.unwrap().into_inner().account.unwrap();
    assert_eq!(locked.state(), State::Locked);
    let request = DisableAccountRequest { account: account() };
    let disabled = accounts.disable_account(with_token(token, request)).await;
    let disabled = disabled.unwrap().into_inner().account.unwrap();
    assert_eq!(disabled.state(), State::Disabled);
    let request = UnlockAccountRequest { account: account() };
    let unlocked = accounts.unlock_account(with_token(token, request)).await;
    let unlocked = unlocked.unwrap().into_inner().account.unwrap();
    assert_eq!(unlocked.state(), State::Active);
    let request = ForceResetRequest { account: account() };
    let forced = accounts.force_reset(with_token(token, request)).await;
    forced.unwrap();
    stack
        .smtp
        .mail_that_says(&person.email, "forgotten the password")
        .await;

    let request = LockAccountRequest {
        account: "me".to_owned(),
    };
    let own = accounts.lock_account(with_token(token, request)).await;
    refused(&own.unwrap_err(), "OWN_ACCOUNT");
}
