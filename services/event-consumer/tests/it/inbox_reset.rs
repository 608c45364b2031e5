use std::collections::BTreeMap;

use event_consumer::EventConsumerError;
use event_consumer::config::{DatabaseConfig, ResetConfig};
use event_consumer::topics;
use grimoire_proto::audit::v1::{AuditRecord, ListAuditRecordsRequest};

use crate::world::{World, by_admin};

const PARTITION: i32 = 2;

fn place(world: &World, partition: i32, to: Option<i64>) -> ResetConfig {
    ResetConfig {
        database: DatabaseConfig {
            database_url: world.database.url.parse().unwrap(),
        },
        subscriber: "audit".into(),
        topic: topics::ACCOUNT.into(),
        partition,
        to,
    }
}

async fn resets(world: &World) -> Vec<AuditRecord> {
    let request = ListAuditRecordsRequest {
        r#type: "INBOX_RESET".into(),
        ..ListAuditRecordsRequest::default()
    };
    let answer = world.audit().list_audit_records(by_admin(request)).await;
    answer.unwrap().into_inner().audit_records
}

#[tokio::test]
async fn a_reset_is_on_record_with_what_it_changed() {
    let world = World::start().await;
    sqlx::query(
        "insert into inbox.offsets (subscriber, topic, partition, next_offset) values ('audit', $1, $2, 7)",
    )
    .bind(topics::ACCOUNT)
    .bind(PARTITION)
    .execute(&world.database.pool)
    .await
    .unwrap();

    event_consumer::reset(&place(&world, PARTITION, Some(120)))
        .await
        .unwrap();
    event_consumer::reset(&place(&world, PARTITION, None))
        .await
        .unwrap();

    let found = resets(&world).await;
    let changes: Vec<_> = found
        .iter()
        .map(|record| {
            (
                record.details["old_offset"].as_str(),
                record.details["new_offset"].as_str(),
            )
        })
        .collect();
    assert_eq!(changes, [("120", "oldest"), ("7", "120")]);
    let told = &found[1];
    assert_eq!((told.account_id.as_str(), told.trace_id.as_str()), ("", ""));
    let details: BTreeMap<_, _> = told
        .details
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        details,
        BTreeMap::from([
            ("by", "operator"),
            ("subscriber", "audit"),
            ("topic", topics::ACCOUNT),
            ("partition", "2"),
            ("old_offset", "7"),
            ("new_offset", "120"),
        ])
    );
}

#[tokio::test]
async fn where_there_is_no_place_nothing_is_reset_and_nothing_is_recorded() {
    let world = World::start().await;
    let refused = event_consumer::reset(&place(&world, PARTITION, Some(1)))
        .await
        .unwrap_err();
    assert!(matches!(refused, EventConsumerError::NoPlace { .. }));
    assert!(resets(&world).await.is_empty());
}
