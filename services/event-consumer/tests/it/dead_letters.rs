use std::collections::BTreeMap;

use event_consumer::topics;
use sqlx::types::Json;
use uuid::Uuid;

use crate::kafka::Event;
use crate::world::{World, eventually};

type Letter = (String, i64, Vec<u8>, Json<BTreeMap<String, String>>);

async fn letters(world: &World, key: Uuid) -> Vec<Letter> {
    sqlx::query_as(
        "select topic, version, payload, headers from outbox.entries where key = $1 order by seq",
    )
    .bind(key.to_string())
    .fetch_all(&world.database.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_cannot_be_handled_leaves_a_copy_that_says_why_and_holds_up_only_its_key() {
    let world = World::consuming().await;
    let (account, other) = (Uuid::now_v7(), Uuid::now_v7());
    let garbled = Event {
        payload: vec![0xff; 3],
        ..Event::login(account, 1, false)
    };
    garbled.publish().await;
    Event::login(other, 1, false).publish().await;

    // Each subscriber gives up for itself.
    let letters = eventually("three dead letters", async || {
        Some(letters(&world, account).await).filter(|letters| letters.len() == 3)
    })
    .await;
    let mut subscribers = Vec::new();
    for (version, (topic, counted, payload, headers)) in (1..).zip(&letters) {
        assert_eq!(
            (topic.as_str(), *counted, payload),
            ("grimoire.auth.account.v1.dlq", version, &garbled.payload)
        );
        assert_eq!(
            (&headers["dead_topic"], &headers["original_ce_id"]),
            (&topics::ACCOUNT.to_owned(), &garbled.id.to_string())
        );
        assert!(!headers["dead_reason"].is_empty());
        subscribers.push(headers["dead_subscriber"].as_str());
    }
    subscribers.sort_unstable();
    assert_eq!(subscribers, ["audit", "mail", "user-data"]);
    eventually("the other account's activity", async || {
        world.others.activities(other).pop()
    })
    .await;
}

#[tokio::test]
async fn headers_that_would_fill_a_record_are_left_out_of_a_letter() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let large = Event {
        payload: vec![0xff; 3],
        filler: "f".repeat(40_000),
        ..Event::login(account, 1, false)
    };
    large.publish().await;
    let letters = eventually("three dead letters", async || {
        Some(letters(&world, account).await).filter(|letters| letters.len() == 3)
    })
    .await;
    let (_, _, payload, headers) = &letters[0];
    assert_eq!(*payload, large.payload);
    let omitted: usize = headers["dead_headers_omitted"].parse().unwrap();
    assert!(omitted > 40_000);
    assert!(headers.keys().all(|name| name.starts_with("dead_")));
}
