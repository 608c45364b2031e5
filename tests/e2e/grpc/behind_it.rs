//! The services themselves, where no gateway stands before them: on loopback `grimoire-subject` is believed, and methods for other
//! processes answer.

use std::collections::BTreeSet;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grimoire_proto::audit::v1::ListAuditRecordsRequest;
use grimoire_proto::audit::v1::audit_service_client::AuditServiceClient;
use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::directory_service_client::DirectoryServiceClient;
use grimoire_proto::auth::v1::notification_service_client::NotificationServiceClient;
use grimoire_proto::auth::v1::revocation::Target;
use grimoire_proto::auth::v1::trust_service_client::TrustServiceClient;
use grimoire_proto::auth::v1::{
    AccountState, FollowRequest, GetAccountRequest, GetNotificationRequest, LookupAccountsRequest,
    NotificationKind,
};
use grimoire_proto::user::v1::activity_service_client::ActivityServiceClient;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use grimoire_proto::user::v1::{
    ActivityRecord, GetProfileRequest, ListActivitiesRequest, ProvisionUsersRequest,
    RecordActivitiesRequest,
};
use serde_json::json;
use tests::stack::shared;
use uuid::Uuid;

use super::{blamed, channel, refused, with};

#[tokio::test]
async fn a_service_believes_who_calls_and_keeps_others_out() {
    let stack = shared().await;
    let (owner, stranger) = (stack.sign_up().await, stack.sign_up().await);
    let mut accounts = AccountServiceClient::new(channel(stack, "auth").await);
    let mut profiles = ProfileServiceClient::new(channel(stack, "user").await);
    let mut audit = AuditServiceClient::new(channel(stack, "event-consumer").await);
    let account = |name: &str| GetAccountRequest {
        account: name.to_owned(),
    };
    let profile = |name: &str| GetProfileRequest {
        user: name.to_owned(),
    };
    let own = [("grimoire-subject", owner.account.as_str())];
    let strange = [("grimoire-subject", stranger.account.as_str())];

    let read = accounts.get_account(with(&own, account("me"))).await;
    assert_eq!(
        read.unwrap().into_inner().account.unwrap().id,
        owner.account
    );
    let read = profiles.get_profile(with(&own, profile("me"))).await;
    assert_eq!(
        read.unwrap().into_inner().profile.unwrap().id,
        owner.account
    );

    let id = &owner.account;
    let read = accounts.get_account(with(&strange, account(id))).await;
    refused(&read.unwrap_err(), "RESOURCE_NOT_FOUND");
    let read = profiles.get_profile(with(&strange, profile(id))).await;
    refused(&read.unwrap_err(), "RESOURCE_NOT_FOUND");
    let read = profiles.get_profile(profile(id)).await;
    refused(&read.unwrap_err(), "TOKEN_MISSING");

    let records = ListAuditRecordsRequest::default;
    let list = audit.list_audit_records(with(&own, records())).await;
    refused(&list.unwrap_err(), "ROLE_REQUIRED");
    let admin = [own[0], ("grimoire-roles", "admin")];
    audit
        .list_audit_records(with(&admin, records()))
        .await
        .unwrap();
    let read = profiles.get_profile(with(&[strange[0], admin[1]], profile(id)));
    assert_eq!(read.await.unwrap().into_inner().profile.unwrap().id, *id);
}

#[tokio::test]
async fn the_directory_tells_of_accounts_that_exist() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let mut directory = DirectoryServiceClient::new(channel(stack, "auth").await);
    let request = LookupAccountsRequest {
        accounts: vec![person.account.clone(), Uuid::now_v7().to_string()],
    };
    let entries = directory.lookup_accounts(request).await.unwrap();
    let entries = entries.into_inner().entries;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].account, person.account);
    assert_eq!(entries[0].state(), AccountState::Active);
}

#[tokio::test]
async fn a_notification_reads_the_same_until_its_token_is_used() {
    let stack = shared().await;
    let (client, email) = (stack.client(), stack.address());
    let registration = json!({"email": email});
    client
        .post("/v1/accounts:register", registration)
        .await
        .ok();
    let mail = stack.smtp.mail_to(&email).await;
    let mut notifications = NotificationServiceClient::new(channel(stack, "auth").await);
    let of = |event: &str| GetNotificationRequest {
        event: event.to_owned(),
    };
    let event = mail
        .event()
        .expect("the Message-ID names the event")
        .to_string();

    let first = notifications
        .get_notification(of(&event))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (&first.address, Some(&*first.token)),
        (&email, mail.token())
    );
    assert_eq!(first.kind(), NotificationKind::Registration);
    let again = notifications
        .get_notification(of(&event))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);

    let completion = json!({"token": first.token, "password": "a long enough secret 17"});
    client
        .post("/v1/accounts:completeRegistration", completion)
        .await
        .ok();
    let status = notifications
        .get_notification(of(&event))
        .await
        .unwrap_err();
    refused(&status, "NOTIFICATION_OBSOLETE");
    let unknown = Uuid::now_v7().to_string();
    let status = notifications
        .get_notification(of(&unknown))
        .await
        .unwrap_err();
    refused(&status, "RESOURCE_NOT_FOUND");
    let status = notifications
        .get_notification(of("that one"))
        .await
        .unwrap_err();
    blamed(&status, "INVALID_FIELD", "event");
}

#[tokio::test]
async fn what_events_do_to_people_is_done_once() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let user = channel(stack, "user").await;
    let mut data = UserDataServiceClient::new(user.clone());
    let mut activities = ActivityServiceClient::new(user);
    let account = person.account.clone();
    let provision = ProvisionUsersRequest {
        accounts: vec![account.clone()],
    };
    data.provision_users(provision.clone()).await.unwrap();
    let before = person.client.get("/v1/users/me").await.ok();
    data.provision_users(provision).await.unwrap();
    assert_eq!(person.client.get("/v1/users/me").await.ok(), before);

    let event = Uuid::now_v7().to_string();
    let records = RecordActivitiesRequest {
        activities: vec![ActivityRecord {
            event: event.clone(),
            account: account.clone(),
            r#type: "WATERED_THE_PLANTS".to_owned(),
            time: Some(SystemTime::now().into()),
            ..Default::default()
        }],
    };
    for _ in 0..2 {
        data.record_activities(records.clone()).await.unwrap();
    }
    let request = ListActivitiesRequest {
        user: "me".to_owned(),
        r#type: "WATERED_THE_PLANTS".to_owned(),
        ..Default::default()
    };
    let subject = [("grimoire-subject", account.as_str())];
    let list = activities.list_activities(with(&subject, request)).await;
    let list = list.unwrap().into_inner().activities;
    let ids: Vec<&str> = list.iter().map(|activity| &*activity.id).collect();
    assert_eq!(ids, [event]);

    let too_many = ProvisionUsersRequest {
        accounts: vec![account; 501],
    };
    let status = data.provision_users(too_many).await.unwrap_err();
    blamed(&status, "INVALID_FIELD", "accounts");
}

#[tokio::test]
async fn who_follows_trust_is_told_the_published_keys_and_what_is_revoked() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let sessions = person.client.get("/v1/accounts/me/sessions").await.ok();
    let ended = sessions["sessions"][0]["id"].as_str().unwrap();
    person
        .client
        .post("/v1/sessions:logout", json!({}))
        .await
        .ok();
    let published = stack.client().get("/.well-known/jwks.json").await.ok();

    let mut trust = TrustServiceClient::new(channel(stack, "auth").await);
    let hello = FollowRequest {
        follower: format!("test-{}", Uuid::now_v7()),
        ..Default::default()
    };
    let told = trust.follow(tokio_stream::iter([hello])).await.unwrap();
    let mut told = told.into_inner();
    let (mut keys, mut revoked) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let message = told.message().await.unwrap().expect("a complete snapshot");
        for key in message.keys.into_iter().flat_map(|set| set.keys) {
            let (x, y) = (URL_SAFE_NO_PAD.encode(key.x), URL_SAFE_NO_PAD.encode(key.y));
            keys.insert([key.kid, x, y]);
        }
        for revocation in message.revocations {
            if let Some(Target::Session(session)) = revocation.target {
                revoked.insert(session);
            }
        }
        if message.complete {
            break;
        }
    }
    let published = published["keys"].as_array().unwrap().iter();
    let member = |key: &serde_json::Value, name: &str| key[name].as_str().unwrap().to_owned();
    let published = published.map(|key| ["kid", "x", "y"].map(|name| member(key, name)));
    assert_eq!(keys, published.collect());
    assert!(
        revoked.contains(ended),
        "{ended} is not among {}",
        revoked.len()
    );
}
