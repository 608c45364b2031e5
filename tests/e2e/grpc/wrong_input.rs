//! What goes wrong over gRPC is a status that says what and why, for the same inputs that REST answers by a problem document.

use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::session_service_client::SessionServiceClient;
use grimoire_proto::auth::v1::{
    CompleteRegistrationRequest, ListSessionsRequest, LoginRequest, LogoutRequest,
    RefreshTokensRequest, RegisterRequest,
};
use grimoire_proto::user::v1::activity_service_client::ActivityServiceClient;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use grimoire_proto::user::v1::{
    GetProfileRequest, ListActivitiesRequest, Profile, UpdateProfileRequest,
};
use prost_types::FieldMask;
use tests::stack::{Person, shared};
use tonic::Code;
use tonic::client::Grpc;

use super::{blamed, channel, refused, with_token};

const PASSWORD: &str = "a long enough secret 17";

fn token(person: &Person) -> &str {
    person.tokens["accessToken"].as_str().unwrap()
}

fn registration(email: &str) -> RegisterRequest {
    RegisterRequest {
        email: email.to_owned(),
        ..Default::default()
    }
}

fn completion(token: &str, password: &str) -> CompleteRegistrationRequest {
    CompleteRegistrationRequest {
        token: token.to_owned(),
        password: password.to_owned(),
    }
}

/// A change of one's own biography.
fn change(bio: &str, etag: &str, mask: &[&str]) -> UpdateProfileRequest {
    UpdateProfileRequest {
        user: "me".to_owned(),
        profile: Some(Profile {
            bio: bio.to_owned(),
            etag: etag.to_owned(),
            ..Default::default()
        }),
        update_mask: Some(FieldMask {
            paths: mask.iter().map(|&path| path.to_owned()).collect(),
        }),
    }
}

#[tokio::test]
async fn a_field_that_the_contract_does_not_know_is_passed_over() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Later {
        #[prost(string, tag = "1")]
        email: String,
        #[prost(string, tag = "1000")]
        nickname: String,
    }
    let stack = shared().await;
    let email = stack.address();
    let message = Later {
        email: email.clone(),
        nickname: "a".to_owned(),
    };
    let mut client = Grpc::new(channel(stack, "gateway").await);
    client.ready().await.unwrap();
    let path = "/grimoire.auth.v1.AccountService/Register".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<Later, ()>::default();
    client
        .unary(tonic::Request::new(message), path, codec)
        .await
        .unwrap();
    stack.smtp.mail_to(&email).await;
}

#[tokio::test]
async fn a_bad_address_is_an_invalid_field() {
    let mut accounts = AccountServiceClient::new(channel(shared().await, "gateway").await);
    let long = format!("{}@example.com", "a".repeat(300));
    for email in ["", "nobody", "a@", "@example.com", "a b@example.com", &long] {
        let status = accounts.register(registration(email)).await.unwrap_err();
        blamed(&status, "INVALID_FIELD", "email");
    }
}

#[tokio::test]
async fn a_weak_password_comes_back_with_advice() {
    let stack = shared().await;
    let mut accounts = AccountServiceClient::new(channel(stack, "gateway").await);
    let email = stack.address();
    accounts.register(registration(&email)).await.unwrap();
    let mail = stack.smtp.mail_to(&email).await;
    let long = "a".repeat(257);
    for password in ["short", "password1", &long] {
        let request = completion(mail.token().unwrap(), password);
        let status = accounts.complete_registration(request).await.unwrap_err();
        blamed(&status, "WEAK_PASSWORD", "password");
    }
}

#[tokio::test]
async fn a_mail_token_works_once_and_a_forged_one_never() {
    let stack = shared().await;
    let mut accounts = AccountServiceClient::new(channel(stack, "gateway").await);
    let email = stack.address();
    accounts.register(registration(&email)).await.unwrap();
    let mail = stack.smtp.mail_to(&email).await;
    let token = mail.token().unwrap();
    let request = completion(&format!("{token}x"), PASSWORD);
    let status = accounts.complete_registration(request).await.unwrap_err();
    refused(&status, "MAIL_TOKEN_INVALID");
    let request = completion(token, PASSWORD);
    accounts
        .complete_registration(request.clone())
        .await
        .unwrap();
    let status = accounts.complete_registration(request).await.unwrap_err();
    refused(&status, "MAIL_TOKEN_USED");
}

#[tokio::test]
async fn wrong_credentials_read_the_same_whether_or_not_the_address_is_known() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let mut sessions = SessionServiceClient::new(channel(stack, "gateway").await);
    let mut messages = Vec::new();
    for email in [person.email.clone(), stack.address()] {
        let password = "not the password".to_owned();
        let status = sessions
            .login(LoginRequest { email, password })
            .await
            .unwrap_err();
        refused(&status, "INVALID_CREDENTIALS");
        messages.push(status.message().to_owned());
    }
    assert_eq!(messages[0], messages[1]);
}

#[tokio::test]
async fn a_bad_refresh_token_neither_refreshes_nor_signs_out() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let mut sessions = SessionServiceClient::new(channel(stack, "gateway").await);
    let good = person.tokens["refreshToken"].as_str().unwrap();
    for refresh_token in [String::new(), "nonsense".to_owned(), format!("{good}x")] {
        let request = RefreshTokensRequest {
            refresh_token: refresh_token.clone(),
        };
        let status = sessions.refresh_tokens(request).await.unwrap_err();
        refused(&status, "INVALID_REFRESH_TOKEN");
        let reason = if refresh_token.is_empty() {
            "TOKEN_MISSING"
        } else {
            "INVALID_REFRESH_TOKEN"
        };
        let status = sessions
            .logout(LogoutRequest { refresh_token })
            .await
            .unwrap_err();
        refused(&status, reason);
    }
}

#[tokio::test]
async fn a_page_token_of_another_list_is_refused() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let gateway = channel(stack, "gateway").await;
    let mut sessions = SessionServiceClient::new(gateway.clone());
    let mut activities = ActivityServiceClient::new(gateway);
    for page_token in ["nonsense", "AAAA"] {
        let request = ListActivitiesRequest {
            user: "me".to_owned(),
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let request = with_token(token(&person), request);
        let status = activities.list_activities(request).await.unwrap_err();
        refused(&status, "INVALID_PAGE_TOKEN");
        let request = ListSessionsRequest {
            account: "me".to_owned(),
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let request = with_token(token(&person), request);
        let status = sessions.list_sessions(request).await.unwrap_err();
        refused(&status, "INVALID_PAGE_TOKEN");
    }
}

#[tokio::test]
async fn a_stale_etag_changes_nothing() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let mut profiles = ProfileServiceClient::new(channel(stack, "gateway").await);
    let me = || {
        let user = "me".to_owned();
        with_token(token(&person), GetProfileRequest { user })
    };
    let read = profiles.get_profile(me()).await.unwrap().into_inner();
    let etag = read.profile.unwrap().etag;
    let first = with_token(token(&person), change("first", &etag, &["bio"]));
    profiles.update_profile(first).await.unwrap();
    let second = with_token(token(&person), change("second", &etag, &["bio"]));
    let status = profiles.update_profile(second).await.unwrap_err();
    refused(&status, "ETAG_MISMATCH");
    let read = profiles.get_profile(me()).await.unwrap().into_inner();
    assert_eq!(read.profile.unwrap().bio, "first");
}

#[tokio::test]
async fn a_mask_names_fields_that_may_be_changed() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let mut profiles = ProfileServiceClient::new(channel(stack, "gateway").await);
    let masks: [&[&str]; 4] = [&[], &["nickname"], &["id"], &["bio", "create_time"]];
    for mask in masks {
        let request = with_token(token(&person), change("a", "", mask));
        let status = profiles.update_profile(request).await.unwrap_err();
        blamed(&status, "INVALID_FIELD", "update_mask");
    }
    let long = "a".repeat(2001);
    let request = with_token(token(&person), change(&long, "", &["bio"]));
    let status = profiles.update_profile(request).await.unwrap_err();
    blamed(&status, "INVALID_FIELD", "profile.bio");
}

#[tokio::test]
async fn a_message_over_the_bound_is_refused() {
    let mut accounts = AccountServiceClient::new(channel(shared().await, "gateway").await);
    let request = registration(&"a".repeat(100_000));
    let status = accounts.register(request).await.unwrap_err();
    refused(&status, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn over_the_limit_the_status_says_when_to_come_back() {
    let mut sessions = SessionServiceClient::new(channel(shared().await, "gateway").await);
    let mut last = None;
    // Ten in a row are let through, and one more every six seconds.
    for _ in 0..30 {
        let request = LoginRequest {
            email: "nobody@example.com".to_owned(),
            password: "whatever it is".to_owned(),
        };
        let status = sessions.login(request).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            last = Some(status);
            break;
        }
    }
    let last = last.expect("thirty sign-ins in a row from one address are too many");
    let details = refused(&last, "RATE_LIMITED");
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    assert!(wait.is_some_and(|wait| !wait.is_zero()), "{last:?}");
}
