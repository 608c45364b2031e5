use grimoire_proto::user::v1::{ActivityRecord, RecordActivitiesRequest};
use prost_types::Timestamp;
use uuid::Uuid;

use crate::service::{Service, failure, invalid};

/// Something that `account` did `seconds` after an hour that is long past.
pub(crate) fn activity(account: Uuid, of_type: &str, seconds: i64) -> ActivityRecord {
    ActivityRecord {
        event: Uuid::now_v7().to_string(),
        account: account.to_string(),
        r#type: of_type.to_owned(),
        time: Some(Timestamp {
            seconds: 1_700_000_000 + seconds,
            nanos: 123_456_000,
        }),
        session_id: Uuid::now_v7().to_string(),
        fields: vec!["bio".into(), "notifications.product_news".into()],
    }
}

/// Sends `activities` as event-consumer would.
pub(crate) async fn record(service: &Service, activities: Vec<ActivityRecord>) {
    service
        .user_data()
        .record_activities(RecordActivitiesRequest { activities })
        .await
        .unwrap();
}

async fn count(service: &Service) -> i64 {
    sqlx::query_scalar("select count(*) from activities")
        .fetch_one(&service.database.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_activity_is_recorded_once_however_often_it_is_sent() {
    let service = Service::start().await;
    // Of an account that has no profile yet.
    let (one, two) = (
        activity(Uuid::now_v7(), "LOGGED_IN", 0),
        activity(Uuid::now_v7(), "LOGGED_OUT", 1),
    );
    record(&service, vec![one.clone(), one.clone()]).await;
    record(&service, vec![two.clone(), one]).await;
    record(&service, vec![two]).await;
    assert_eq!(count(&service).await, 2);
}

#[tokio::test]
async fn a_batch_with_an_invalid_entry_is_refused_as_a_whole() {
    let service = Service::start().await;
    let account = Uuid::now_v7();
    let wrong = ActivityRecord {
        account: "me".into(),
        ..activity(account, "LOGGED_IN", 0)
    };
    let timeless = ActivityRecord {
        time: None,
        ..activity(account, "LOGGED_IN", 0)
    };
    let activities = vec![activity(account, "LOGGED_IN", 0), wrong, timeless];
    let answer = service
        .user_data()
        .record_activities(RecordActivitiesRequest { activities })
        .await;
    assert_eq!(
        failure(answer),
        invalid(&["activities[1].account", "activities[2].time"])
    );
    assert_eq!(count(&service).await, 0);
}

#[tokio::test]
async fn a_batch_has_at_most_500_entries() {
    let service = Service::start().await;
    let batch = |entries| {
        (0..entries)
            .map(|n| activity(Uuid::now_v7(), "LOGGED_IN", n))
            .collect::<Vec<_>>()
    };
    record(&service, batch(500)).await;
    assert_eq!(count(&service).await, 500);
    let answer = service
        .user_data()
        .record_activities(RecordActivitiesRequest {
            activities: batch(501),
        })
        .await;
    assert_eq!(failure(answer), invalid(&["activities"]));
}
