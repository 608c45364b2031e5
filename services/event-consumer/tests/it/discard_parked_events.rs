use event_consumer::topics;
use grimoire_proto::delivery::v1::DiscardParkedEventsRequest;
use tonic::Code;
use uuid::Uuid;

use crate::kafka::Event;
use crate::operator::records;
use crate::parked::{applied, dead, park, waiting};
use crate::world::{World, by_admin, eventually, failure, subject};

fn discard(key: &str) -> DiscardParkedEventsRequest {
    DiscardParkedEventsRequest {
        subscriber: "audit".into(),
        topic: topics::ACCOUNT.into(),
        key: key.into(),
        ..DiscardParkedEventsRequest::default()
    }
}

#[tokio::test]
async fn the_first_event_is_given_up_on_record_and_what_waits_behind_it_follows() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let key = account.to_string();
    let unknown = Event {
        event_type: "grimoire.events.v1.Unheard".into(),
        ..Event::login(account, 1, false)
    };
    unknown.publish().await;
    let behind = Event::login(account, 2, false);
    behind.publish().await;
    eventually("both events to wait", async || {
        let found = waiting(&world, &key).await;
        found.filter(|parked| parked.event_count == 2)
    })
    .await;
    let shown = dead(&world, &key).await;

    let request = by_admin(DiscardParkedEventsRequest {
        etag: shown.etag,
        ..discard(&key)
    });
    let admin = subject(&request);
    let answer = world.delivery().discard_parked_events(request).await;
    let offset = answer.unwrap().into_inner().offset;
    eventually("the key to be free", async || {
        waiting(&world, &key).await.is_none().then_some(())
    })
    .await;
    let logins = records(&world, "LOGGED_IN").await;
    assert!(
        logins
            .iter()
            .any(|record| record.id == behind.id.to_string())
    );

    let found = records(&world, "INBOX_DISCARD").await;
    assert_eq!((found.len(), &found[0].account_id), (1, &key));
    let details = &found[0].details;
    assert_eq!(
        ["by", "offset", "accept_gap"].map(|name| details[name].as_str()),
        [&*admin, &*offset.to_string(), "false"]
    );
}

#[tokio::test]
async fn an_event_behind_a_gap_is_given_up_only_with_the_gap() {
    let world = World::start().await;
    let key = Uuid::now_v7().to_string();
    applied(&world, &key, 1).await;
    park(&world, "audit", &key, true, &[4, 5]).await;
    let mut delivery = world.delivery();
    let answer = delivery.discard_parked_events(by_admin(discard(&key)));
    assert_eq!(
        failure(answer.await),
        (
            Code::FailedPrecondition,
            "EVENTS_MISSING".into(),
            String::new()
        )
    );
    assert_eq!(waiting(&world, &key).await.unwrap().event_count, 2);
    assert!(records(&world, "INBOX_DISCARD").await.is_empty());

    let accepting = DiscardParkedEventsRequest {
        accept_gap: true,
        ..discard(&key)
    };
    let answer = delivery.discard_parked_events(by_admin(accepting)).await;
    assert_eq!(answer.unwrap().into_inner().offset, 104);
    assert_eq!(waiting(&world, &key).await.unwrap().event_count, 1);
    let found = records(&world, "INBOX_DISCARD").await;
    assert_eq!(found[0].details["accept_gap"], "true");
}

#[tokio::test]
async fn with_an_etag_only_the_event_that_was_seen_is_given_up() {
    let world = World::start().await;
    let key = Uuid::now_v7().to_string();
    park(&world, "audit", &key, true, &[1, 2]).await;
    let etag = waiting(&world, &key).await.unwrap().etag;
    let seen = |etag: &str| {
        by_admin(DiscardParkedEventsRequest {
            etag: etag.into(),
            ..discard(&key)
        })
    };
    let mut delivery = world.delivery();
    let answer = delivery.discard_parked_events(seen(&etag)).await;
    assert_eq!(answer.unwrap().into_inner().offset, 101);
    for stale in [&*etag, "made up"] {
        let answer = delivery.discard_parked_events(seen(stale)).await;
        assert_eq!(
            failure(answer),
            (Code::Aborted, "ETAG_MISMATCH".into(), String::new())
        );
    }
    assert_eq!(waiting(&world, &key).await.unwrap().event_count, 1);
    assert_eq!(records(&world, "INBOX_DISCARD").await.len(), 1);
}

#[tokio::test]
async fn what_is_not_parked_is_not_found() {
    let world = World::start().await;
    let answer = world
        .delivery()
        .discard_parked_events(by_admin(discard("a")))
        .await;
    assert_eq!(
        failure(answer),
        (Code::NotFound, "RESOURCE_NOT_FOUND".into(), String::new())
    );
}
