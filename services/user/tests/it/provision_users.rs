use grimoire_proto::user::v1::{
    GetProfileRequest, Profile, ProvisionUsersRequest, UpdateProfileRequest,
};
use prost_types::FieldMask;
use tonic::Code;
use uuid::Uuid;

use crate::service::{Service, by, failure, invalid, plain};

fn provision(accounts: impl IntoIterator<Item = Uuid>) -> ProvisionUsersRequest {
    ProvisionUsersRequest {
        accounts: accounts
            .into_iter()
            .map(|account| account.to_string())
            .collect(),
    }
}

async fn count(service: &Service) -> i64 {
    sqlx::query_scalar("select count(*) from profiles")
        .fetch_one(&service.database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn accounts_get_a_profile_once_and_unknown_ones_none() {
    let mut service = Service::start().await;
    let (one, two) = (service.registered(), service.registered());
    service
        .user_data()
        .provision_users(provision([one, two, Uuid::now_v7(), one]))
        .await
        .unwrap();
    service
        .user_data()
        .provision_users(provision([two, one]))
        .await
        .unwrap();
    assert_eq!(count(&service).await, 2);

    service.lose_auth().await;
    let answer = service
        .profiles()
        .get_profile(by(one, GetProfileRequest { user: "me".into() }))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().profile.unwrap().display_name, "Ada");
}

#[tokio::test]
async fn a_late_event_changes_no_profile() {
    let service = Service::start().await;
    let account = service.registered();
    let renamed = UpdateProfileRequest {
        user: "me".into(),
        profile: Some(Profile {
            display_name: "Countess".into(),
            ..Profile::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["display_name".into()],
        }),
    };
    service
        .profiles()
        .update_profile(by(account, renamed))
        .await
        .unwrap();
    service
        .user_data()
        .provision_users(provision([account]))
        .await
        .unwrap();
    let answer = service
        .profiles()
        .get_profile(by(account, GetProfileRequest { user: "me".into() }))
        .await
        .unwrap();
    assert_eq!(
        answer.into_inner().profile.unwrap().display_name,
        "Countess"
    );
}

#[tokio::test]
async fn without_auth_new_accounts_have_to_wait() {
    let mut service = Service::start().await;
    let (known, new) = (service.registered(), service.registered());
    service
        .user_data()
        .provision_users(provision([known]))
        .await
        .unwrap();
    service.lose_auth().await;
    service
        .user_data()
        .provision_users(provision([known]))
        .await
        .unwrap();
    assert_eq!(
        failure(
            service
                .user_data()
                .provision_users(provision([known, new]))
                .await
        ),
        plain(Code::Unavailable, "UNAVAILABLE")
    );
}

#[tokio::test]
async fn a_batch_has_at_most_500_account_ids() {
    let service = Service::start().await;
    let answer = service
        .user_data()
        .provision_users(ProvisionUsersRequest {
            accounts: vec!["me".into()],
        })
        .await;
    assert_eq!(failure(answer), invalid(&["accounts[0]"]));
    let answer = service
        .user_data()
        .provision_users(provision((0..501).map(|_| Uuid::now_v7())))
        .await;
    assert_eq!(failure(answer), invalid(&["accounts"]));
    assert_eq!(count(&service).await, 0);
}
