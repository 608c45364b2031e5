use futures::TryStreamExt as _;
use grimoire_proto::user::v1::export_user_response::Record;
use grimoire_proto::user::v1::*;
use tonic::Status;
use uuid::Uuid;

use crate::record_activities::{activity, record};
use crate::service::{Service, by, failure, invalid};

fn of(account: Uuid) -> ExportUserRequest {
    ExportUserRequest {
        account: account.to_string(),
    }
}

async fn export(service: &Service, account: Uuid) -> Result<Vec<Record>, Status> {
    let records = service.user_data().export_user(of(account)).await?;
    let records = records.into_inner();
    records
        .map_ok(|answer| answer.record.expect("a record of a kind that is known"))
        .try_collect()
        .await
}

/// Ids of the activities among records.
fn activities(records: &[Record]) -> Vec<&str> {
    let ids = records.iter().filter_map(|record| match record {
        Record::Activity(activity) => Some(activity.id.as_str()),
        _ => None,
    });
    ids.collect()
}

#[tokio::test]
async fn profile_and_preferences_come_as_their_owner_sees_them_and_before_the_activities() {
    let service = Service::start().await;
    let account = service.registered();
    let user = || "me".to_owned();
    let read = GetProfileRequest { user: user() };
    let profile = service.profiles().get_profile(by(account, read)).await;
    let profile = profile.unwrap().into_inner().profile.unwrap();
    let change = UpdatePreferencesRequest {
        user: user(),
        preferences: Some(Preferences {
            theme: Theme::Dark.into(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["theme".to_owned()],
        }),
    };
    let preferences = service
        .preferences()
        .update_preferences(by(account, change))
        .await;
    let preferences = preferences.unwrap().into_inner().preferences.unwrap();
    let sent = activity(account, "LOGGED_IN", 0);
    record(
        &service,
        vec![sent.clone(), activity(Uuid::now_v7(), "LOGGED_IN", 0)],
    )
    .await;

    let records = export(&service, account).await.unwrap();
    assert_eq!(
        records,
        [
            Record::Profile(profile),
            Record::Preferences(preferences),
            Record::Activity(Activity {
                id: sent.event,
                r#type: sent.r#type,
                time: sent.time,
                session_id: sent.session_id,
                fields: sent.fields,
            }),
        ]
    );
}

#[tokio::test]
async fn more_than_a_page_of_activities_comes_whole_once_and_newest_first() {
    let service = Service::start().await;
    for number in [199, 200, 201, 450] {
        let account = service.registered();
        // Pairs of the same time, so that the id has to decide.
        let mut sent: Vec<_> = (0..number)
            .map(|n| activity(account, "LOGGED_IN", n / 2))
            .collect();
        record(&service, sent.clone()).await;
        sent.sort_by_key(|activity| {
            std::cmp::Reverse((activity.time.unwrap().seconds, activity.event.clone()))
        });
        let records = export(&service, account).await.unwrap();
        let sent: Vec<&str> = sent
            .iter()
            .map(|activity| activity.event.as_str())
            .collect();
        assert_eq!(activities(&records), sent, "{number}");
    }
}

#[tokio::test]
async fn of_somebody_who_is_not_known_nothing_is_kept_and_nothing_is_made() {
    let mut service = Service::start().await;
    let account = service.registered();
    // It is not even asked.
    service.lose_auth().await;
    assert!(export(&service, account).await.unwrap().is_empty());
    let profiles: i64 = sqlx::query_scalar("select count(*) from profiles")
        .fetch_one(&service.database.pool)
        .await
        .unwrap();
    assert_eq!(profiles, 0);
}

#[tokio::test]
async fn what_is_no_account_id_is_refused() {
    let service = Service::start().await;
    for wrong in ["", "me", "everybody"] {
        let request = ExportUserRequest {
            account: wrong.to_owned(),
        };
        let answer = service.user_data().export_user(request).await;
        assert_eq!(failure(answer), invalid(&["account"]), "{wrong}");
    }
}
