use std::time::Duration;

use grimoire_proto::user::v1::{
    Profile, ProvisionUsersRequest, SearchProfilesRequest, SearchProfilesResponse,
    UpdateProfileRequest,
};
use prost_types::FieldMask;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::service::{Service, by, failure, invalid, plain};

fn query(query: &str) -> SearchProfilesRequest {
    SearchProfilesRequest {
        query: query.into(),
        ..SearchProfilesRequest::default()
    }
}

/// What somebody finds.
async fn search(service: &Service, request: SearchProfilesRequest) -> SearchProfilesResponse {
    let request = by(Uuid::now_v7(), request);
    let answer = service.profiles().search_profiles(request).await;
    answer.unwrap().into_inner()
}

async fn found(service: &Service, name: &str) -> Vec<String> {
    let profiles = search(service, query(name)).await.profiles;
    profiles.into_iter().map(|one| one.display_name).collect()
}

/// People of these names, each with a profile.
async fn people(service: &Service, names: &[&str]) -> Vec<Uuid> {
    let ids: Vec<Uuid> = names
        .iter()
        .map(|name| {
            let id = Uuid::now_v7();
            service.directory.add(id, name, "en");
            id
        })
        .collect();
    let request = ProvisionUsersRequest {
        accounts: ids.iter().map(Uuid::to_string).collect(),
    };
    service.user_data().provision_users(request).await.unwrap();
    ids
}

async fn change(service: &Service, id: Uuid, profile: Profile, field: &str) {
    let request = UpdateProfileRequest {
        user: "me".into(),
        profile: Some(profile),
        update_mask: Some(FieldMask {
            paths: vec![field.into()],
        }),
    };
    let answer = service.profiles().update_profile(by(id, request)).await;
    answer.unwrap();
}

#[tokio::test]
async fn names_are_found_by_parts_in_any_case_and_the_most_similar_comes_first() {
    let service = Service::start().await;
    let names = [
        "Ada Lovelace",
        "Ada",
        "Adam Smith",
        "Grace Hopper",
        "Zoë Übermut",
        "山田太郎",
    ];
    people(&service, &names).await;
    for (name, expected) in [
        ("ada", vec!["Ada", "Ada Lovelace", "Adam Smith"]),
        ("LOVE", vec!["Ada Lovelace"]),
        ("lovelase", vec!["Ada Lovelace"]),
        ("Zoë", vec!["Zoë Übermut"]),
        ("山田", vec!["山田太郎"]),
        ("Linus", vec![]),
    ] {
        assert_eq!(found(&service, name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn who_is_found_is_shown_by_id_name_and_picture() {
    let service = Service::start().await;
    let ada = people(&service, &["Ada"]).await[0];
    let avatar_uri = "https://example.com/ada.png";
    let picture = Profile {
        avatar_uri: avatar_uri.into(),
        ..Profile::default()
    };
    change(&service, ada, picture, "avatar_uri").await;
    let page = search(&service, query("Ada")).await;
    assert_eq!(page.profiles.len(), 1);
    let shown = &page.profiles[0];
    assert_eq!(
        (&*shown.id, &*shown.display_name, &*shown.avatar_uri),
        (&*ada.to_string(), "Ada", avatar_uri)
    );
    assert!(page.next_page_token.is_empty());
}

#[tokio::test]
async fn who_has_no_name_is_not_found_and_who_has_another_by_that_alone() {
    let service = Service::start().await;
    let ids = people(&service, &["Ada", "Grace", ""]).await;
    change(&service, ids[0], Profile::default(), "display_name").await;
    let renamed = Profile {
        display_name: "Linus".into(),
        ..Profile::default()
    };
    change(&service, ids[1], renamed, "display_name").await;
    assert!(found(&service, "Ada").await.is_empty());
    assert!(found(&service, "Grace").await.is_empty());
    assert_eq!(found(&service, "Linus").await, ["Linus"]);
}

#[tokio::test]
async fn pages_show_each_once_also_those_who_are_equally_similar() {
    let service = Service::start().await;
    let mut expected = people(&service, &["Ada Lovelace"; 7]).await;
    expected.sort();
    expected.extend(people(&service, &["Adele Lovelace"]).await);
    let (mut shown, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = SearchProfilesRequest {
            page_size: 3,
            page_token,
            ..query("Ada Lovelace")
        };
        let page = search(&service, request).await;
        shown.extend(page.profiles.into_iter().map(|profile| profile.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected: Vec<String> = expected.iter().map(Uuid::to_string).collect();
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_token_holds_for_its_query_only() {
    let service = Service::start().await;
    people(&service, &["Ada"; 2]).await;
    let first = SearchProfilesRequest {
        page_size: 1,
        ..query("Ada")
    };
    let page_token = search(&service, first).await.next_page_token;
    let other = SearchProfilesRequest {
        page_token,
        ..query("Adam")
    };
    let request = by(Uuid::now_v7(), other);
    let answer = service.profiles().search_profiles(request).await;
    let (code, reason, _) = failure(answer);
    assert_eq!(
        (code, reason.as_str()),
        (Code::InvalidArgument, "INVALID_PAGE_TOKEN")
    );
}

#[tokio::test]
async fn a_query_that_says_too_little_or_too_much_is_refused() {
    let service = Service::start().await;
    for wrong in ["", "a", "***", "a\0b", &"a".repeat(101)] {
        let request = by(Uuid::now_v7(), query(wrong));
        let answer = service.profiles().search_profiles(request).await;
        assert_eq!(failure(answer), invalid(&["query"]), "{wrong}");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_finds_nobody() {
    let service = Service::start().await;
    let request = Request::new(query("Ada"));
    let answer = service.profiles().search_profiles(request).await;
    assert_eq!(
        failure(answer),
        plain(Code::Unauthenticated, "TOKEN_MISSING")
    );
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_given_up() {
    let service = Service::start().await;
    let mut holder = service.database.pool.begin().await.unwrap();
    sqlx::query("lock table profiles")
        .execute(&mut *holder)
        .await
        .unwrap();
    let request = by(Uuid::now_v7(), query("Ada"));
    let answer = service.profiles().search_profiles(request).await;
    let status = answer.as_ref().unwrap_err();
    let retry = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(retry, Some(Duration::from_secs(1)));
    assert_eq!(
        failure(answer),
        plain(Code::ResourceExhausted, "OVERLOADED")
    );
}
