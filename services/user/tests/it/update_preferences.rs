use grimoire_proto::events::v1::{PreferencesUpdated, ProfileUpdated};
use grimoire_proto::user::v1::{
    GetPreferencesRequest, Notifications, Preferences, Profile, Theme, UpdatePreferencesRequest,
    UpdateProfileRequest,
};
use prost_types::FieldMask;
use tonic::Code;
use uuid::Uuid;

use crate::service::{Service, by, failure, invalid, plain};

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
    })
}

fn update(preferences: Preferences, paths: &[&str]) -> UpdatePreferencesRequest {
    UpdatePreferencesRequest {
        user: "me".into(),
        preferences: Some(preferences),
        update_mask: mask(paths),
    }
}

fn dark() -> Preferences {
    Preferences {
        theme: Theme::Dark.into(),
        ..Preferences::default()
    }
}

async fn apply(service: &Service, account: Uuid, request: UpdatePreferencesRequest) -> Preferences {
    service
        .preferences()
        .update_preferences(by(account, request))
        .await
        .unwrap()
        .into_inner()
        .preferences
        .unwrap()
}

#[tokio::test]
async fn a_change_is_answered_kept_and_told() {
    let service = Service::start().await;
    let account = service.registered();
    let wanted = Preferences {
        notifications: Some(Notifications {
            product_news: true,
            weekly_summary: false,
        }),
        labels: [("editor.font".to_owned(), "mono".to_owned())].into(),
        ..dark()
    };
    let changed = apply(
        &service,
        account,
        update(wanted.clone(), &["theme", "notifications", "labels"]),
    )
    .await;
    assert_eq!(
        (changed.theme(), changed.notifications, &changed.labels),
        (Theme::Dark, wanted.notifications, &wanted.labels)
    );
    let read = GetPreferencesRequest { user: "me".into() };
    let read = service
        .preferences()
        .get_preferences(by(account, read))
        .await
        .unwrap()
        .into_inner()
        .preferences
        .unwrap();
    assert_eq!(read, changed);

    let events = service.events().await;
    assert_eq!(
        (events.len(), &events[0].key, events[0].version),
        (1, &account.to_string(), 1)
    );
    assert_eq!(
        events[0].message::<PreferencesUpdated>().fields,
        ["theme", "notifications.product_news", "labels"]
    );
}

#[tokio::test]
async fn what_the_mask_does_not_name_stays_and_what_is_the_same_is_no_change() {
    let service = Service::start().await;
    let account = service.registered();
    let news = Preferences {
        notifications: Some(Notifications {
            product_news: true,
            weekly_summary: true,
        }),
        ..Preferences::default()
    };
    apply(&service, account, update(dark(), &["theme"])).await;
    let both = apply(
        &service,
        account,
        update(news.clone(), &["notifications.product_news"]),
    )
    .await;
    assert_eq!(
        (both.theme(), both.notifications.unwrap().weekly_summary),
        (Theme::Dark, false)
    );
    assert_eq!(
        apply(
            &service,
            account,
            update(news, &["notifications.product_news"])
        )
        .await,
        both
    );
    assert_eq!(service.events().await.len(), 2);
}

#[tokio::test]
async fn profile_and_preferences_share_one_count_of_versions_and_no_etag() {
    let service = Service::start().await;
    let account = service.registered();
    let profile = |bio: &str| UpdateProfileRequest {
        user: "me".into(),
        profile: Some(Profile {
            bio: bio.into(),
            ..Profile::default()
        }),
        update_mask: mask(&["bio"]),
    };
    service
        .profiles()
        .update_profile(by(account, profile("one")))
        .await
        .unwrap();
    let etag = apply(&service, account, update(dark(), &["theme"]))
        .await
        .etag;
    service
        .profiles()
        .update_profile(by(account, profile("two")))
        .await
        .unwrap();
    let light = Preferences {
        theme: Theme::Light.into(),
        etag,
        ..Preferences::default()
    };
    apply(&service, account, update(light, &["theme"])).await;

    let events = service.events().await;
    assert_eq!(
        events.iter().map(|event| event.version).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    events[2].message::<ProfileUpdated>();
    events[3].message::<PreferencesUpdated>();
}

#[tokio::test]
async fn a_stale_etag_is_refused() {
    let service = Service::start().await;
    let account = service.registered();
    let read = GetPreferencesRequest { user: "me".into() };
    let etag = service
        .preferences()
        .get_preferences(by(account, read))
        .await
        .unwrap()
        .into_inner()
        .preferences
        .unwrap()
        .etag;
    let with_etag = Preferences { etag, ..dark() };
    apply(&service, account, update(with_etag.clone(), &["theme"])).await;
    let answer = service
        .preferences()
        .update_preferences(by(account, update(with_etag, &["theme"])))
        .await;
    assert_eq!(failure(answer), plain(Code::Aborted, "ETAG_MISMATCH"));
}

#[tokio::test]
async fn invalid_fields_and_masks_are_refused() {
    let service = Service::start().await;
    let account = service.registered();
    let wrong = Preferences {
        theme: 9,
        labels: [("Colour".to_owned(), "v".repeat(257))].into(),
        ..Preferences::default()
    };
    let answer = service
        .preferences()
        .update_preferences(by(account, update(wrong, &["*"])))
        .await;
    assert_eq!(
        failure(answer),
        invalid(&[
            "preferences.theme",
            "preferences.labels",
            "preferences.labels"
        ])
    );
    for paths in [&[][..], &["labels.colour"], &["update_time"], &["etag"]] {
        let answer = service
            .preferences()
            .update_preferences(by(account, update(dark(), paths)))
            .await;
        assert_eq!(failure(answer), invalid(&["update_mask"]), "{paths:?}");
    }
}

#[tokio::test]
async fn anothers_preferences_are_not_there_to_be_changed() {
    let service = Service::start().await;
    let (owner, other) = (service.registered(), service.registered());
    let request = UpdatePreferencesRequest {
        user: owner.to_string(),
        ..update(dark(), &["theme"])
    };
    assert_eq!(
        failure(
            service
                .preferences()
                .update_preferences(by(other, request))
                .await
        ),
        plain(Code::NotFound, "RESOURCE_NOT_FOUND")
    );
}
