use futures::future::join_all;
use grimoire_proto::events::v1::UserErased;
use grimoire_proto::user::v1::{
    EraseUserRequest, GetPreferencesRequest, GetProfileRequest, ListActivitiesRequest, Preferences,
    Profile, ProvisionUsersRequest, RecordActivitiesRequest, SearchProfilesRequest,
    UpdatePreferencesRequest, UpdateProfileRequest,
};
use prost_types::FieldMask;
use tonic::Code;
use uuid::Uuid;

use crate::record_activities::{activity, record};
use crate::service::{Service, by, by_admin, failure, invalid, plain};

async fn erase(service: &Service, account: Uuid) {
    let request = EraseUserRequest {
        account: account.to_string(),
    };
    service.user_data().erase_user(request).await.unwrap();
}

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec![path.to_owned()],
    })
}

fn renamed(name: &str) -> UpdateProfileRequest {
    UpdateProfileRequest {
        user: "me".into(),
        profile: Some(Profile {
            display_name: name.into(),
            ..Profile::default()
        }),
        update_mask: mask("display_name"),
    }
}

fn labelled() -> UpdatePreferencesRequest {
    UpdatePreferencesRequest {
        user: "me".into(),
        preferences: Some(Preferences {
            labels: [("side".to_owned(), "left".to_owned())].into(),
            ..Preferences::default()
        }),
        update_mask: mask("labels"),
    }
}

/// Rows that say anything of the person, beside the tombstone.
async fn rows(service: &Service, account: Uuid) -> i64 {
    sqlx::query_scalar(
        "select (select count(*) from profiles where id = $1 and erased_at is null)
              + (select count(*) from preferences where id = $1)
              + (select count(*) from activities where account_id = $1)",
    )
    .bind(account)
    .fetch_one(&service.database.pool)
    .await
    .unwrap()
}

/// Somebody with a profile, preferences and activities.
async fn somebody(service: &Service) -> Uuid {
    let account = service.registered();
    let mut profiles = service.profiles();
    let named = profiles.update_profile(by(account, renamed("Wilhelmina")));
    named.await.unwrap();
    let mut preferences = service.preferences();
    let set = preferences.update_preferences(by(account, labelled()));
    set.await.unwrap();
    let activities = (0..3).map(|second| activity(account, "LOGGED_IN", second));
    record(service, activities.collect()).await;
    assert_eq!(rows(service, account).await, 5);
    account
}

#[tokio::test]
async fn everything_goes_and_one_event_tells_of_it() {
    let service = Service::start().await;
    let account = somebody(&service).await;
    let other = somebody(&service).await;
    erase(&service, account).await;
    erase(&service, account).await;
    assert_eq!(rows(&service, account).await, 0);
    assert_eq!(rows(&service, other).await, 5);

    let events = service.events().await;
    let told: Vec<_> = events
        .iter()
        .filter(|event| event.key == account.to_string())
        .collect();
    let last = told.last().unwrap();
    assert_eq!(
        (told.len(), last.version, last.topic.as_str()),
        (3, 3, "grimoire.user.profile.v1")
    );
    let erased: UserErased = last.message();
    assert_eq!(erased.account_id, account.to_string());
}

#[tokio::test]
async fn who_was_erased_is_not_found_by_anybody() {
    let service = Service::start().await;
    let account = somebody(&service).await;
    erase(&service, account).await;
    let not_found = plain(Code::NotFound, "RESOURCE_NOT_FOUND");
    let get = |user: String| GetProfileRequest { user };
    let mut profiles = service.profiles();
    // auth may still tell of the account.
    let own = profiles.get_profile(by(account, get("me".into()))).await;
    assert_eq!(failure(own), not_found);
    let admins = profiles
        .get_profile(by_admin(get(account.to_string())))
        .await;
    assert_eq!(failure(admins), not_found);
    let update = profiles.update_profile(by(account, renamed("Again"))).await;
    assert_eq!(failure(update), not_found);

    let mut preferences = service.preferences();
    let request = GetPreferencesRequest { user: "me".into() };
    let read = preferences.get_preferences(by(account, request)).await;
    assert_eq!(failure(read), not_found);
    let update = preferences
        .update_preferences(by(account, labelled()))
        .await;
    assert_eq!(failure(update), not_found);

    let search = SearchProfilesRequest {
        query: "Wilhelmina".into(),
        ..SearchProfilesRequest::default()
    };
    let found = profiles.search_profiles(by(account, search)).await.unwrap();
    assert!(found.into_inner().profiles.is_empty());
}

#[tokio::test]
async fn late_events_bring_nothing_back_whether_or_not_there_was_a_profile() {
    let service = Service::start().await;
    let (known, unseen) = (somebody(&service).await, service.registered());
    for account in [known, unseen] {
        erase(&service, account).await;
        let provision = ProvisionUsersRequest {
            accounts: vec![account.to_string()],
        };
        let mut user_data = service.user_data();
        user_data.provision_users(provision).await.unwrap();
        let living = Uuid::now_v7();
        let late = vec![
            activity(account, "ACCOUNT_REGISTERED", 0),
            activity(living, "LOGGED_IN", 1),
        ];
        record(&service, late).await;
        assert_eq!(rows(&service, account).await, 0);
        assert_eq!(rows(&service, living).await, 1, "others are not held up");
    }
    let list = ListActivitiesRequest {
        user: "me".into(),
        ..ListActivitiesRequest::default()
    };
    let list = service.activities().list_activities(by(known, list)).await;
    assert!(list.unwrap().into_inner().activities.is_empty());
    // The tombstone of the one that was never seen tells of itself, too.
    assert_eq!(service.events().await.len(), 4);
}

#[tokio::test]
async fn nothing_is_left_of_what_comes_while_somebody_is_erased() {
    let service = Service::start().await;
    let accounts: Vec<Uuid> = (0..8).map(|_| service.registered()).collect();
    let meanwhile = accounts.iter().map(|&account| {
        let service = &service;
        async move {
            let mut user_data = service.user_data();
            let mut profiles = service.profiles();
            let activities = (0..5).map(|second| activity(account, "LOGGED_IN", second));
            let batches = activities.map(|activity| RecordActivitiesRequest {
                activities: vec![activity],
            });
            let records = join_all(batches.map(|batch| {
                let mut user_data = service.user_data();
                async move { user_data.record_activities(batch).await.unwrap() }
            }));
            let erase = user_data.erase_user(EraseUserRequest {
                account: account.to_string(),
            });
            // It comes first, or finds nobody.
            let update = profiles.update_profile(by(account, renamed("Meanwhile")));
            let (_, erased, _) = tokio::join!(records, erase, update);
            erased.unwrap();
        }
    });
    join_all(meanwhile).await;
    for account in accounts {
        assert_eq!(rows(&service, account).await, 0);
    }
}

#[tokio::test]
async fn what_is_no_account_id_is_refused() {
    let service = Service::start().await;
    let request = EraseUserRequest {
        account: "me".into(),
    };
    let answer = service.user_data().erase_user(request).await;
    assert_eq!(failure(answer), invalid(&["account"]));
}
