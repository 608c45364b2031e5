//! Keys that stand still.

use event_consumer::topics;
use grimoire_proto::delivery::v1::parked_events::State;
use grimoire_proto::delivery::v1::{ListParkedEventsRequest, ParkedEvents};

use crate::world::{World, by_admin, eventually};

/// When the keys of [`park`] were parked, in seconds.
pub(crate) const PARKED_AT: i64 = 1_795_521_600;

/// Parks a key as the inbox does, with a record of each of `versions`, whose offset is the version and a hundred. One that is not dead
/// is not tried again during the test.
pub(crate) async fn park(world: &World, subscriber: &str, key: &str, dead: bool, versions: &[i64]) {
    sqlx::query(
        "insert into inbox.parked_keys (subscriber, topic, key, partition, cause, reason, attempts, due_at, parked_at)
         values ($1, $2, $3, 0, 'refused', 'it is not taken', 2, case when $4 then null else to_timestamp($5 + 3600) end, to_timestamp($5))",
    )
    .bind(subscriber)
    .bind(topics::ACCOUNT)
    .bind(key)
    .bind(dead)
    .bind(PARKED_AT as f64)
    .execute(&world.database.pool)
    .await
    .unwrap();
    for version in versions {
        sqlx::query(
            "insert into inbox.parked_records
                 (subscriber, topic, key, partition, \"offset\", record_key, headers, payload, generation, version)
             values ($1, $2, $3, 0, $4 + 100, convert_to($3, 'UTF8'),
                     jsonb_build_array(jsonb_build_array('ce_generation', '1'), jsonb_build_array('ce_sequence', $4::text)), '', 1, $4)",
        )
        .bind(subscriber)
        .bind(topics::ACCOUNT)
        .bind(key)
        .bind(version)
        .execute(&world.database.pool)
        .await
        .unwrap();
    }
}

/// Notes that `audit` has applied `last` of a key.
pub(crate) async fn applied(world: &World, key: &str, last: i64) {
    sqlx::query(
        "insert into inbox.versions (subscriber, topic, key, generation, last) values ('audit', $1, $2, 1, $3)",
    )
    .bind(topics::ACCOUNT)
    .bind(key)
    .bind(last)
    .execute(&world.database.pool)
    .await
    .unwrap();
}

/// What waits for `audit` of a key; none where it is not parked.
pub(crate) async fn waiting(world: &World, key: &str) -> Option<ParkedEvents> {
    let request = ListParkedEventsRequest {
        subscriber: "audit".into(),
        page_size: 200,
        ..ListParkedEventsRequest::default()
    };
    let answer = world.delivery().list_parked_events(by_admin(request)).await;
    let mut listed = answer.unwrap().into_inner().parked_events.into_iter();
    listed.find(|parked| parked.key == key)
}

/// The same, once `audit` has given the key up.
pub(crate) async fn dead(world: &World, key: &str) -> ParkedEvents {
    eventually("the key to be dead", async || {
        let found = waiting(world, key).await;
        found.filter(|parked| parked.state() == State::Dead)
    })
    .await
}
