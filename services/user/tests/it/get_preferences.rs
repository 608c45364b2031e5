use grimoire_proto::user::v1::{GetPreferencesRequest, Notifications, Theme};
use tonic::Code;
use uuid::Uuid;

use crate::service::{Service, by, failure, plain};

fn get(user: &str) -> GetPreferencesRequest {
    GetPreferencesRequest {
        user: user.to_owned(),
    }
}

#[tokio::test]
async fn who_has_set_nothing_has_the_defaults() {
    let service = Service::start().await;
    let account = service.registered();
    let preferences = service
        .preferences()
        .get_preferences(by(account, get("me")))
        .await
        .unwrap()
        .into_inner()
        .preferences
        .unwrap();
    assert_eq!(
        (preferences.theme(), preferences.notifications),
        (Theme::Unspecified, Some(Notifications::default()))
    );
    assert!(
        preferences.labels.is_empty()
            && preferences.update_time.is_none()
            && !preferences.etag.is_empty()
    );
}

#[tokio::test]
async fn nobody_has_no_preferences_and_anothers_are_not_there() {
    let service = Service::start().await;
    let (owner, nobody) = (service.registered(), Uuid::now_v7());
    for request in [by(nobody, get("me")), by(nobody, get(&owner.to_string()))] {
        let answer = service.preferences().get_preferences(request).await;
        assert_eq!(failure(answer), plain(Code::NotFound, "RESOURCE_NOT_FOUND"));
    }
}
