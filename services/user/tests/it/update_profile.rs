use futures::future::join_all;
use grimoire_proto::events::v1::ProfileUpdated;
use grimoire_proto::user::v1::{Profile, UpdateProfileRequest};
use prost_types::FieldMask;
use tonic::{Code, Request};
use uuid::Uuid;

use crate::service::{Service, by, failure, invalid, plain};

fn update(profile: Profile, paths: &[&str]) -> UpdateProfileRequest {
    let update_mask = FieldMask {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
    };
    UpdateProfileRequest {
        user: "me".into(),
        profile: Some(profile),
        update_mask: Some(update_mask),
    }
}

fn bio(bio: &str) -> UpdateProfileRequest {
    update(
        Profile {
            bio: bio.into(),
            ..Profile::default()
        },
        &["bio"],
    )
}

async fn apply(service: &Service, request: Request<UpdateProfileRequest>) -> Profile {
    service
        .profiles()
        .update_profile(request)
        .await
        .unwrap()
        .into_inner()
        .profile
        .unwrap()
}

#[tokio::test]
async fn a_change_is_answered_kept_and_told() {
    let service = Service::start().await;
    let (account, session) = (service.registered(), Uuid::now_v7());
    let wanted = Profile {
        display_name: "ignored: the mask does not name it".into(),
        bio: "Analyst".into(),
        time_zone: "Europe/London".into(),
        ..Profile::default()
    };
    let mut request = by(account, update(wanted, &["time_zone", "bio"]));
    request
        .metadata_mut()
        .insert("grimoire-session", session.to_string().parse().unwrap());
    let changed = apply(&service, request).await;
    assert_eq!(
        (
            changed.display_name.as_str(),
            changed.bio.as_str(),
            changed.time_zone.as_str()
        ),
        ("Ada", "Analyst", "Europe/London")
    );
    assert!(changed.update_time.unwrap().seconds >= changed.create_time.unwrap().seconds);

    let events = service.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].topic.as_str(), &events[0].key, events[0].version),
        ("grimoire.user.profile.v1", &account.to_string(), 1)
    );
    let told = ProfileUpdated {
        account_id: account.to_string(),
        session_id: session.to_string(),
        fields: vec!["bio".into(), "time_zone".into()],
    };
    assert_eq!(events[0].message::<ProfileUpdated>(), told);
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_none() {
    let service = Service::start().await;
    let account = service.registered();
    let first = apply(&service, by(account, bio("Analyst"))).await;
    assert_eq!(apply(&service, by(account, bio("Analyst"))).await, first);
    assert_eq!(service.events().await.len(), 1);
}

#[tokio::test]
async fn a_named_field_without_a_value_is_cleared() {
    let service = Service::start().await;
    let account = service.registered();
    let cleared = apply(&service, by(account, update(Profile::default(), &["*"]))).await;
    assert_eq!(
        (cleared.display_name.as_str(), cleared.locale.as_str()),
        ("", "")
    );
    assert_eq!(
        service.events().await[0].message::<ProfileUpdated>().fields,
        ["display_name", "locale"]
    );
}

#[tokio::test]
async fn of_two_changes_to_what_both_have_read_one_is_refused() {
    let service = Service::start().await;
    let account = service.registered();
    let etag = apply(&service, by(account, bio("read by both"))).await.etag;
    let with_etag = |bio: &str| {
        update(
            Profile {
                bio: bio.into(),
                etag: etag.clone(),
                ..Profile::default()
            },
            &["bio"],
        )
    };
    let answers = join_all(["one", "two"].map(|bio| {
        let (mut profiles, request) = (service.profiles(), by(account, with_etag(bio)));
        async move { profiles.update_profile(request).await }
    }))
    .await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 1);
    let refused = refused.into_iter().next().unwrap();
    assert_eq!(failure(refused), plain(Code::Aborted, "ETAG_MISMATCH"));
    assert_eq!(service.events().await.len(), 2);
}

#[tokio::test]
async fn parallel_changes_leave_no_gap_between_versions() {
    let service = Service::start().await;
    let account = service.registered();
    join_all((0..20).map(|n| {
        let (mut profiles, request) = (service.profiles(), by(account, bio(&n.to_string())));
        async move { profiles.update_profile(request).await.unwrap() }
    }))
    .await;
    let versions: Vec<i64> = service
        .events()
        .await
        .iter()
        .map(|event| event.version)
        .collect();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_invalid_field_is_named_and_nothing_changes() {
    let service = Service::start().await;
    let account = service.registered();
    let wrong = Profile {
        display_name: "n".repeat(101),
        bio: "b".repeat(2_001),
        avatar_uri: "http://example.com/a.png".into(),
        locale: "de_AT".into(),
        time_zone: "Europe/Atlantis".into(),
        ..Profile::default()
    };
    let answer = service
        .profiles()
        .update_profile(by(account, update(wrong, &["*"])))
        .await;
    let fields = [
        "profile.display_name",
        "profile.bio",
        "profile.avatar_uri",
        "profile.locale",
        "profile.time_zone",
    ];
    assert_eq!(failure(answer), invalid(&fields));
    assert!(service.events().await.is_empty());
}

#[tokio::test]
async fn a_mask_that_names_nothing_or_what_callers_may_not_set_is_refused() {
    let service = Service::start().await;
    let account = service.registered();
    for paths in [
        &[][..],
        &["id"],
        &["etag"],
        &["create_time"],
        &["nickname"],
        &["bio", "update_time"],
    ] {
        let answer = service
            .profiles()
            .update_profile(by(account, update(Profile::default(), paths)))
            .await;
        assert_eq!(failure(answer), invalid(&["update_mask"]), "{paths:?}");
    }
}

#[tokio::test]
async fn anothers_profile_is_not_there_to_be_changed() {
    let service = Service::start().await;
    let (owner, other) = (service.registered(), service.registered());
    let request = UpdateProfileRequest {
        user: owner.to_string(),
        ..bio("mine now")
    };
    assert_eq!(
        failure(service.profiles().update_profile(by(other, request)).await),
        plain(Code::NotFound, "RESOURCE_NOT_FOUND")
    );
    assert!(service.events().await.is_empty());
}
