use event_consumer::topics;
use grimoire_proto::audit::v1::{AuditRecord, ListAuditRecordsRequest};
use grimoire_proto::events::v1::ProfileUpdated;
use uuid::Uuid;

use crate::kafka::{Event, TRACE};
use crate::world::{World, by_admin, eventually};

pub(crate) async fn records(world: &World, account: Uuid) -> Vec<AuditRecord> {
    let request = ListAuditRecordsRequest {
        account_id: account.to_string(),
        ..ListAuditRecordsRequest::default()
    };
    world
        .audit()
        .list_audit_records(by_admin(request))
        .await
        .unwrap()
        .into_inner()
        .audit_records
}

#[tokio::test]
async fn every_event_of_an_account_leads_to_one_record_however_often_it_comes() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let login = Event::login(account, 1, false);
    let update = ProfileUpdated {
        account_id: account.to_string(),
        fields: vec!["bio".into(), "locale".into()],
        ..ProfileUpdated::default()
    };
    let update = Event::new(topics::PROFILE, account, 1, &update);
    for event in [
        &login,
        &login,
        &update,
        &Event::login(account, 2, false),
        &login,
    ] {
        event.publish().await;
    }

    let found = eventually("three records", async || {
        Some(records(&world, account).await).filter(|records| records.len() == 3)
    })
    .await;
    let told = found
        .iter()
        .find(|record| record.id == update.id.to_string())
        .unwrap();
    assert_eq!(
        (
            told.r#type.as_str(),
            told.account_id.as_str(),
            told.trace_id.as_str()
        ),
        ("PROFILE_UPDATED", &*account.to_string(), TRACE)
    );
    assert_eq!(
        (
            told.details["version"].as_str(),
            told.details["fields"].as_str()
        ),
        ("1", "bio,locale")
    );
    assert_eq!(
        (told.time.unwrap().seconds, told.time.unwrap().nanos),
        (1_795_521_600, 123_456_000)
    );
    let told = found
        .iter()
        .find(|record| record.id == login.id.to_string())
        .unwrap();
    assert_eq!(
        (told.r#type.as_str(), told.details["new_device"].as_str()),
        ("LOGGED_IN", "false")
    );
}
