use event_consumer::topics;
use grimoire_proto::delivery::v1::RetryParkedEventsRequest;
use tonic::Code;
use uuid::Uuid;

use crate::kafka::Event;
use crate::operator::records;
use crate::parked::{dead, park, waiting};
use crate::world::{World, by_admin, eventually, failure, subject};

fn retry(key: &str) -> RetryParkedEventsRequest {
    RetryParkedEventsRequest {
        subscriber: "audit".into(),
        topic: topics::ACCOUNT.into(),
        key: key.into(),
        accept_gap: false,
    }
}

#[tokio::test]
async fn a_dead_key_is_tried_again_and_it_is_on_record_who_let_it() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let key = account.to_string();
    let unknown = Event {
        event_type: "grimoire.events.v1.Unheard".into(),
        ..Event::login(account, 1, false)
    };
    unknown.publish().await;
    dead(&world, &key).await;

    let request = by_admin(retry(&key));
    let admin = subject(&request);
    world.delivery().retry_parked_events(request).await.unwrap();
    // It was tried again, and refused again.
    assert_eq!(dead(&world, &key).await.event_count, 1);

    let found = records(&world, "INBOX_RETRY").await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].account_id, key);
    let details = &found[0].details;
    assert_eq!(
        ["by", "subscriber", "topic", "key", "accept_gap"].map(|name| details[name].as_str()),
        [&*admin, "audit", topics::ACCOUNT, &*key, "false"]
    );
}

#[tokio::test]
async fn a_gap_stays_one_until_it_is_accepted() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let key = account.to_string();
    for version in [1, 3] {
        Event::login(account, version, false).publish().await;
    }
    assert_eq!(
        dead(&world, &key).await.reason,
        "version 3 follows version 1"
    );
    let mut delivery = world.delivery();
    let answer = delivery.retry_parked_events(by_admin(retry(&key))).await;
    answer.unwrap();
    dead(&world, &key).await;

    let accepting = RetryParkedEventsRequest {
        accept_gap: true,
        ..retry(&key)
    };
    let answer = delivery.retry_parked_events(by_admin(accepting)).await;
    answer.unwrap();
    eventually("the key to be free", async || {
        waiting(&world, &key).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_not_parked_is_not_found_and_leaves_no_record() {
    let world = World::start().await;
    let key = Uuid::now_v7().to_string();
    park(&world, "mail", &key, true, &[2]).await;
    let answer = world
        .delivery()
        .retry_parked_events(by_admin(retry(&key)))
        .await;
    assert_eq!(
        failure(answer),
        (Code::NotFound, "RESOURCE_NOT_FOUND".into(), String::new())
    );
    assert!(records(&world, "INBOX_RETRY").await.is_empty());
}

#[tokio::test]
async fn a_request_names_subscriber_topic_and_key() {
    let world = World::start().await;
    for (wrong, field) in [
        (
            RetryParkedEventsRequest {
                subscriber: String::new(),
                ..retry("a")
            },
            "subscriber",
        ),
        (
            RetryParkedEventsRequest {
                topic: String::new(),
                ..retry("a")
            },
            "topic",
        ),
        (retry("a\0"), "key"),
    ] {
        let answer = world.delivery().retry_parked_events(by_admin(wrong)).await;
        assert_eq!(
            failure(answer),
            (Code::InvalidArgument, "INVALID_FIELD".into(), field.into())
        );
    }
}
