//! A person's way through the whole system, over gRPC.

use std::collections::BTreeSet;

use grimoire_proto::audit::v1::ListAuditRecordsRequest;
use grimoire_proto::audit::v1::audit_service_client::AuditServiceClient;
use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::session_service_client::SessionServiceClient;
use grimoire_proto::auth::v1::{
    CompleteRegistrationRequest, GetAccountRequest, ListSessionsRequest, LoginRequest,
    LogoutRequest, RefreshTokensRequest, RegisterRequest,
};
use grimoire_proto::user::v1::activity_service_client::ActivityServiceClient;
use grimoire_proto::user::v1::preferences_service_client::PreferencesServiceClient;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use grimoire_proto::user::v1::{
    GetPreferencesRequest, GetProfileRequest, ListActivitiesRequest, Preferences, Profile, Theme,
    UpdatePreferencesRequest, UpdateProfileRequest,
};
use prost_types::FieldMask;
use tests::stack::{eventually, shared};

use super::{channel, refused, with_token};

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
    })
}

#[tokio::test]
async fn registering_leads_by_mail_to_a_signed_in_account_whose_events_took_effect() {
    let stack = shared().await;
    let gateway = channel(stack, "gateway").await;
    let mut accounts = AccountServiceClient::new(gateway.clone());
    let mut sessions = SessionServiceClient::new(gateway.clone());
    let mut profiles = ProfileServiceClient::new(gateway.clone());
    let mut preferences = PreferencesServiceClient::new(gateway.clone());
    let email = stack.address();
    let password = "a long enough secret 17".to_owned();

    let registration = RegisterRequest {
        email: email.clone(),
        display_name: "Ada".to_owned(),
        ..Default::default()
    };
    accounts.register(registration).await.unwrap();
    let mail = stack.smtp.mail_to(&email).await;
    let completion = CompleteRegistrationRequest {
        token: mail.token().unwrap().to_owned(),
        password: password.clone(),
    };
    let made = accounts.complete_registration(completion).await.unwrap();
    let account = made.into_inner().account.unwrap();
    assert_eq!(account.email, email);

    let credentials = LoginRequest { email, password };
    let tokens = sessions.login(credentials).await.unwrap().into_inner();
    let tokens = tokens.tokens.unwrap();
    let token = tokens.access_token.as_str();
    let me = || "me".to_owned();

    let read = with_token(token, GetAccountRequest { account: me() });
    let read = accounts.get_account(read).await.unwrap().into_inner();
    assert_eq!(read.account.unwrap().id, account.id);

    let read = with_token(token, GetProfileRequest { user: me() });
    let profile = profiles.get_profile(read).await.unwrap().into_inner();
    let profile = profile.profile.unwrap();
    assert_eq!(
        (&*profile.id, &*profile.display_name),
        (&*account.id, "Ada")
    );
    let change = UpdateProfileRequest {
        user: me(),
        profile: Some(Profile {
            bio: "Analyst".to_owned(),
            ..Default::default()
        }),
        update_mask: mask(&["bio", "display_name"]),
    };
    let changed = profiles.update_profile(with_token(token, change)).await;
    let changed = changed.unwrap().into_inner().profile.unwrap();
    assert_eq!((&*changed.bio, &*changed.display_name), ("Analyst", ""));
    assert_ne!(changed.etag, profile.etag);

    let change = UpdatePreferencesRequest {
        user: me(),
        preferences: Some(Preferences {
            theme: Theme::Dark.into(),
            ..Default::default()
        }),
        update_mask: mask(&["theme"]),
    };
    let set = preferences.update_preferences(with_token(token, change));
    let set = set.await.unwrap().into_inner().preferences;
    let read = with_token(token, GetPreferencesRequest { user: me() });
    let read = preferences.get_preferences(read).await.unwrap();
    assert_eq!(read.into_inner().preferences, set);
    assert_eq!(set.unwrap().theme(), Theme::Dark);

    let types = eventually("the activities of the journey", || {
        let mut activities = ActivityServiceClient::new(gateway.clone());
        async move {
            let request = ListActivitiesRequest {
                user: "me".to_owned(),
                ..Default::default()
            };
            let list = activities.list_activities(with_token(token, request)).await;
            let list = list.unwrap().into_inner().activities;
            (list.len() == 5).then(|| list.into_iter().map(|one| one.r#type).collect())
        }
    });
    let types: BTreeSet<String> = types.await;
    let expected = [
        "ACCOUNT_REGISTERED",
        "LOGGED_IN",
        "PREFERENCES_UPDATED",
        "PROFILE_UPDATED",
    ];
    assert_eq!(types, expected.map(str::to_owned).into());

    let request = ListSessionsRequest {
        account: me(),
        ..Default::default()
    };
    let list = sessions.list_sessions(with_token(token, request)).await;
    let list = list.unwrap().into_inner().sessions;
    assert_eq!(list.len(), 2);
    assert!(list[0].current && !list[1].current, "{list:?}");

    let request = RefreshTokensRequest {
        refresh_token: tokens.refresh_token,
    };
    let refreshed = sessions.refresh_tokens(request).await.unwrap();
    let refreshed = refreshed.into_inner().tokens.unwrap();
    let token = refreshed.access_token.as_str();
    let request = with_token(token, LogoutRequest::default());
    sessions.logout(request).await.unwrap();
    let status = eventually("the refusal of the ended session's token", || {
        let mut profiles = profiles.clone();
        async move {
            let read = with_token(
                token,
                GetProfileRequest {
                    user: "me".to_owned(),
                },
            );
            profiles.get_profile(read).await.err()
        }
    });
    refused(&status.await, "TOKEN_REVOKED");

    let admin = stack.admin().await;
    let admin = admin.tokens["accessToken"].as_str().unwrap();
    eventually("the audit records of the journey", || {
        let mut audit = AuditServiceClient::new(gateway.clone());
        let request = ListAuditRecordsRequest {
            account_id: account.id.clone(),
            ..Default::default()
        };
        async move {
            let list = audit.list_audit_records(with_token(admin, request)).await;
            let list = list.unwrap().into_inner().audit_records;
            let ended = list.iter().any(|record| record.r#type == "LOGGED_OUT");
            (list.len() == 6 && ended).then_some(())
        }
    })
    .await;
}
