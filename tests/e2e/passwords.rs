//! Passwords that are forgotten or changed, and sessions that are ended from elsewhere: over REST and over gRPC.

use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::session_service_client::SessionServiceClient;
use grimoire_proto::auth::v1::{
    ChangePasswordRequest, LoginRequest, ReauthenticateRequest, RequestPasswordResetRequest,
    ResetPasswordRequest, RevokeAllSessionsRequest, RevokeSessionRequest,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tests::rest::Client;
use tests::stack::{Person, TestStack, eventually, shared};

use crate::grpc::{channel, refused, with_token};

const NEW: &str = "nine quiet otters swim";

/// Answers 401 with `reason` once the news of it has come to the gateway.
pub(crate) async fn comes_to(client: &Client, reason: &str) {
    eventually(reason, || async {
        let answer = client.get("/v1/accounts/me").await;
        (answer.body["reason"] == reason).then_some(())
    })
    .await;
}

async fn login(client: &Client, email: &str, password: &str) -> Value {
    let login = json!({"email": email, "password": password});
    client.post("/v1/sessions:login", login).await.body
}

/// The session of `person` proved a day ago who it is, and has a new access token that says so.
pub(crate) async fn after_a_day(stack: &TestStack, person: &Person) -> Client {
    let url = stack.stack.instance().database_url("auth").unwrap();
    let mut database = PgConnection::connect(&url).await.unwrap();
    sqlx::query(
        "update sessions set auth_time = now() - interval '1 day' where account_id::text = $1",
    )
    .bind(&person.account)
    .execute(&mut database)
    .await
    .unwrap();
    let refresh = json!({"refreshToken": person.tokens["refreshToken"]});
    let tokens = person
        .client
        .post("/v1/sessions:refresh", refresh)
        .await
        .ok();
    person
        .client
        .with_token(tokens["accessToken"].as_str().unwrap())
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_mail_and_signs_out_everywhere() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let client = stack.client();
    let asked = client.post("/v1/passwords:requestReset", json!({"email": person.email}));
    assert_eq!(asked.await.ok(), json!({}));
    let mail = stack
        .smtp
        .mail_that_says(&person.email, "forgotten the password")
        .await;
    let reset = json!({"token": mail.token().unwrap(), "newPassword": NEW});
    let done = client.post("/v1/passwords:reset", reset.clone()).await;
    assert_eq!(done.ok(), json!({}));
    client
        .post("/v1/passwords:reset", reset)
        .await
        .problem(400, "MAIL_TOKEN_USED");

    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let refresh = json!({"refreshToken": person.tokens["refreshToken"]});
    client
        .post("/v1/sessions:refresh", refresh)
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
    let old = login(&client, &person.email, person.password).await;
    assert_eq!(old["reason"], "INVALID_CREDENTIALS");
    let new = login(&client, &person.email, NEW).await;
    assert_eq!(new["account"]["id"], person.account);
    stack
        .smtp
        .mail_that_says(&person.email, "another password now")
        .await;
}

#[tokio::test]
async fn who_proved_long_ago_who_it_is_proves_it_again_before_the_password_changes() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let client = after_a_day(stack, &person).await;
    let change = json!({"newPassword": NEW});
    let answer = client
        .post("/v1/accounts/me:changePassword", change.clone())
        .await;
    answer.problem(401, "RECENT_LOGIN_REQUIRED");
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("insufficient_user_authentication")
            && challenge.contains("max_age=\"600\""),
        "{challenge}"
    );
    let password = |password: &str| json!({"password": password});
    client
        .post("/v1/sessions:reauthenticate", password("not this one"))
        .await
        .problem(401, "INVALID_CREDENTIALS");
    let tokens = client
        .post("/v1/sessions:reauthenticate", password(person.password))
        .await
        .ok()["tokens"]
        .clone();
    let proven = client.with_token(tokens["accessToken"].as_str().unwrap());
    let weak = proven
        .post(
            "/v1/accounts/me:changePassword",
            json!({"newPassword": "password"}),
        )
        .await;
    weak.problem(400, "WEAK_PASSWORD");
    assert_eq!(
        weak.body["errors"][0]["field"], "newPassword",
        "{}",
        weak.text
    );

    let renewed = proven
        .post("/v1/accounts/me:changePassword", change)
        .await
        .ok()["tokens"]
        .clone();
    comes_to(&client, "TOKEN_OUTDATED").await;
    let renewed = client.with_token(renewed["accessToken"].as_str().unwrap());
    renewed.get("/v1/accounts/me").await.ok();
    let activity = "/v1/users/me/activities?type=PASSWORD_CHANGED";
    eventually("the activity of the change", || async {
        let activities = renewed.get(activity).await.ok();
        activities["activities"][0]["sessionId"]
            .is_string()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_session_is_ended_from_another_one_and_all_of_them_at_once() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let other = login(&stack.client(), &person.email, person.password).await;
    let other = person
        .client
        .with_token(other["tokens"]["accessToken"].as_str().unwrap());
    let list = other.get("/v1/accounts/me/sessions").await.ok();
    let own = list["sessions"].as_array().unwrap().iter();
    let own = own
        .clone()
        .find(|session| session["current"] == true)
        .unwrap();

    let own = own["id"].as_str().unwrap();
    let ended = person
        .client
        .delete(&format!("/v1/accounts/me/sessions/{own}"))
        .await;
    assert_eq!(ended.ok(), json!({}));
    comes_to(&other, "TOKEN_REVOKED").await;
    let all = person
        .client
        .post("/v1/accounts/me/sessions:revokeAll", json!({}))
        .await;
    assert_eq!(all.ok(), json!({}));
    comes_to(&person.client, "TOKEN_OUTDATED").await;
    let refresh = json!({"refreshToken": person.tokens["refreshToken"]});
    stack
        .client()
        .post("/v1/sessions:refresh", refresh)
        .await
        .problem(401, "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn it_all_goes_over_grpc_too() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let gateway = channel(stack, "gateway").await;
    let mut accounts = AccountServiceClient::new(gateway.clone());
    let mut sessions = SessionServiceClient::new(gateway);
    let token = |tokens: &Option<grimoire_proto::auth::v1::Tokens>| {
        tokens.as_ref().unwrap().access_token.clone()
    };

    let email = person.email.clone();
    let request = RequestPasswordResetRequest {
        email: email.clone(),
    };
    accounts.request_password_reset(request).await.unwrap();
    let mail = stack
        .smtp
        .mail_that_says(&email, "forgotten the password")
        .await;
    let reset = ResetPasswordRequest {
        token: mail.token().unwrap().to_owned(),
        new_password: NEW.to_owned(),
    };
    accounts.reset_password(reset).await.unwrap();
    let credentials = LoginRequest {
        email,
        password: NEW.to_owned(),
    };
    let tokens = sessions
        .login(credentials)
        .await
        .unwrap()
        .into_inner()
        .tokens;
    let stale = token(&tokens);

    let proof = ReauthenticateRequest {
        password: NEW.to_owned(),
    };
    let proven = sessions.reauthenticate(with_token(&stale, proof)).await;
    let proven = token(&proven.unwrap().into_inner().tokens);
    let change = ChangePasswordRequest {
        account: "me".to_owned(),
        new_password: "ten brisk badgers dig".to_owned(),
    };
    let changed = accounts.change_password(with_token(&proven, change)).await;
    let changed = token(&changed.unwrap().into_inner().tokens);

    let unknown = RevokeSessionRequest {
        account: "me".to_owned(),
        session: uuid::Uuid::now_v7().to_string(),
    };
    let status = sessions.revoke_session(with_token(&changed, unknown)).await;
    refused(&status.unwrap_err(), "RESOURCE_NOT_FOUND");
    let all = RevokeAllSessionsRequest {
        account: "me".to_owned(),
        keep_current: true,
    };
    sessions
        .revoke_all_sessions(with_token(&changed, all))
        .await
        .unwrap();
}
