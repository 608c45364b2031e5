use std::collections::BTreeMap;

use event_consumer::EventConsumerError;
use event_consumer::config::{DatabaseConfig, JobKey, ParkedKeyConfig, ResetConfig};
use event_consumer::topics;
use grimoire_proto::audit::v1::{AuditRecord, ListAuditRecordsRequest};
use uuid::Uuid;

use crate::kafka::Event;
use crate::world::{World, by_admin, eventually};

const PARTITION: i32 = 2;

fn place(world: &World, partition: i32, to: Option<i64>) -> ResetConfig {
    ResetConfig {
        database: database(world),
        subscriber: "audit".into(),
        topic: topics::ACCOUNT.into(),
        partition,
        to,
    }
}

fn database(world: &World) -> DatabaseConfig {
    DatabaseConfig {
        database_url: world.database.url.parse().unwrap(),
    }
}

/// The audit records of a type, newest first.
pub(crate) async fn records(world: &World, r#type: &str) -> Vec<AuditRecord> {
    let request = ListAuditRecordsRequest {
        r#type: r#type.into(),
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

    let found = records(&world, "INBOX_RESET").await;
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
    assert!(records(&world, "INBOX_RESET").await.is_empty());
}

#[tokio::test]
async fn a_parked_key_is_listed_retried_and_discarded_on_record() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let unknown = Event {
        event_type: "grimoire.events.v1.Unheard".into(),
        ..Event::login(account, 1, false)
    };
    unknown.publish().await;
    dead(&world, account).await;

    let key = ParkedKeyConfig {
        database: database(&world),
        subscriber: "audit".into(),
        topic: topics::ACCOUNT.into(),
        key: account.to_string(),
        accept_gap: false,
    };
    event_consumer::retry(&key).await.unwrap();
    dead(&world, account).await;
    let offset = event_consumer::discard(&key).await.unwrap();
    let waiting = event_consumer::waiting(&key.database).await.unwrap();
    let account = account.to_string();
    assert!(
        waiting.parked.iter().all(|parked| parked.key != account),
        "{waiting:?}"
    );
    let again = event_consumer::discard(&key).await.unwrap_err();
    assert!(matches!(again, EventConsumerError::NotParked { .. }));

    let (retries, discards) = (
        records(&world, "INBOX_RETRY").await,
        records(&world, "INBOX_DISCARD").await,
    );
    assert_eq!((retries.len(), discards.len()), (1, 1));
    assert_eq!(discards[0].account_id, account);
    let details = &discards[0].details;
    assert_eq!(
        (details["subscriber"].as_str(), details["offset"].as_str()),
        ("audit", offset.to_string().as_str())
    );
}

#[tokio::test]
async fn a_job_that_was_given_up_is_listed_retried_and_discarded_on_record() {
    let world = World::start().await;
    let (key, event) = (testkit::kafka::unique("address"), Uuid::now_v7());
    let give_up = "insert into inbox.job_keys (target, key, due_at, reason) values ('send-mail', $1, null, 'lost')
                   on conflict (target, key) do update set due_at = null";
    sqlx::query(give_up)
        .bind(&key)
        .execute(&world.database.pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into inbox.jobs (target, key, event_id, payload) values ('send-mail', $1, $2, '')",
    )
    .bind(&key)
    .bind(event)
    .execute(&world.database.pool)
    .await
    .unwrap();
    let job = JobKey {
        database: database(&world),
        target: "send-mail".into(),
        key: key.clone(),
    };
    let listed = event_consumer::waiting(&job.database).await.unwrap();
    assert_eq!(listed.dead_jobs[0].key, key);

    event_consumer::retry_job(&job).await.unwrap();
    let alive = event_consumer::discard_job(&job).await.unwrap_err();
    assert!(matches!(alive, EventConsumerError::NoDeadJob { .. }));
    sqlx::query(give_up)
        .bind(&key)
        .execute(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(event_consumer::discard_job(&job).await.unwrap(), event);
    assert_eq!(world.jobs(event).await, 0);

    assert_eq!(records(&world, "INBOX_JOB_RETRY").await.len(), 1);
    let discards = records(&world, "INBOX_JOB_DISCARD").await;
    assert_eq!(discards[0].details["event"], event.to_string());
}

/// Waits until the key of `account` is given up.
async fn dead(world: &World, account: Uuid) {
    eventually("the key to be dead", async || {
        let waiting = event_consumer::waiting(&database(world)).await.unwrap();
        let mut parked = waiting.parked.iter();
        parked
            .any(|parked| parked.key == account.to_string() && parked.dead)
            .then_some(())
    })
    .await;
}
