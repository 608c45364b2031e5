use futures::future::join_all;
use grimoire_proto::user::v1::{GetProfileRequest, Profile};
use tonic::{Code, Request};
use uuid::Uuid;

use crate::service::{Service, by, by_admin, failure, plain};

fn get(user: &str) -> GetProfileRequest {
    GetProfileRequest {
        user: user.to_owned(),
    }
}

async fn read(service: &Service, account: Uuid) -> Profile {
    service
        .profiles()
        .get_profile(by(account, get("me")))
        .await
        .unwrap()
        .into_inner()
        .profile
        .unwrap()
}

#[tokio::test]
async fn the_first_sight_of_an_account_makes_its_profile() {
    let service = Service::start().await;
    let account = service.registered();
    let profile = read(&service, account).await;
    assert_eq!(
        (
            profile.id.as_str(),
            profile.display_name.as_str(),
            profile.locale.as_str()
        ),
        (&*account.to_string(), "Ada", "en-GB")
    );
    assert!(profile.create_time.is_some() && !profile.etag.is_empty());
    assert_eq!(read(&service, account).await, profile);
    assert!(
        service.events().await.is_empty(),
        "nobody has changed anything"
    );
}

#[tokio::test]
async fn parallel_first_sights_make_one_profile() {
    let service = Service::start().await;
    let account = service.registered();
    let profiles = join_all((0..8).map(|_| read(&service, account))).await;
    assert!(profiles.iter().all(|profile| *profile == profiles[0]));
}

#[tokio::test]
async fn an_account_that_auth_does_not_know_has_no_profile() {
    let service = Service::start().await;
    let nobody = Uuid::now_v7();
    let not_found = plain(Code::NotFound, "RESOURCE_NOT_FOUND");
    assert_eq!(
        failure(service.profiles().get_profile(by(nobody, get("me"))).await),
        not_found
    );
    assert_eq!(
        failure(
            service
                .profiles()
                .get_profile(by_admin(get(&nobody.to_string())))
                .await
        ),
        not_found
    );
}

#[tokio::test]
async fn a_profile_is_seen_by_its_owner_and_by_admins_only() {
    let service = Service::start().await;
    let (owner, other) = (service.registered(), service.registered());
    let named = get(&owner.to_string());
    for request in [by(owner, named.clone()), by_admin(named.clone())] {
        let answer = service
            .profiles()
            .get_profile(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.profile.unwrap().id, owner.to_string());
    }
    assert_eq!(
        failure(
            service
                .profiles()
                .get_profile(by(other, named.clone()))
                .await
        ),
        plain(Code::NotFound, "RESOURCE_NOT_FOUND")
    );
    assert_eq!(
        failure(
            service
                .profiles()
                .get_profile(by(other, get("nobody")))
                .await
        ),
        plain(Code::NotFound, "RESOURCE_NOT_FOUND")
    );
    assert_eq!(
        failure(service.profiles().get_profile(Request::new(named)).await),
        plain(Code::Unauthenticated, "TOKEN_MISSING")
    );
}

#[tokio::test]
async fn without_auth_only_first_sights_fail() {
    let mut service = Service::start().await;
    let (seen, unseen) = (service.registered(), service.registered());
    read(&service, seen).await;
    service.lose_auth().await;
    assert_eq!(read(&service, seen).await.display_name, "Ada");
    assert_eq!(
        failure(service.profiles().get_profile(by(unseen, get("me"))).await),
        plain(Code::Unavailable, "UNAVAILABLE")
    );
}
