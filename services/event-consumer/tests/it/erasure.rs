use event_consumer::topics;
use grimoire_proto::auth::v1::{GetNotificationResponse, NotificationKind};
use grimoire_proto::events::v1::{
    AccountDeleted, AccountLocked, AccountRegistered, ErasureCompleted, ProfileUpdated, UserErased,
};
use uuid::Uuid;

use crate::audit::records;
use crate::kafka::Event;
use crate::mail::notification;
use crate::world::{World, eventually};

fn deleted(account: Uuid, version: i64) -> Event {
    let deleted = AccountDeleted {
        account_id: account.to_string(),
        by_account_id: String::new(),
    };
    Event::new(topics::ACCOUNT, account, version, &deleted)
}

fn completed(account: Uuid, version: i64) -> Event {
    let completed = ErasureCompleted {
        account_id: account.to_string(),
    };
    Event::new(topics::ACCOUNT, account, version, &completed)
}

fn locked(account: Uuid, version: i64, by: Uuid) -> Event {
    let locked = AccountLocked {
        account_id: account.to_string(),
        by_account_id: by.to_string(),
    };
    Event::new(topics::ACCOUNT, account, version, &locked)
}

/// The account that the record of an event names, as soon as it is there.
async fn named_by(world: &World, event: &Event) -> Uuid {
    eventually("the record", async || {
        sqlx::query_scalar("select account_id from audit_records where id = $1")
            .bind(event.id)
            .fetch_optional(&world.database.pool)
            .await
            .unwrap()
    })
    .await
}

async fn has_receipts(world: &World, account: Uuid, services: &[&str]) {
    eventually("the receipts", async || {
        (world.others.receipts(account) == services).then_some(())
    })
    .await;
}

/// How often the database says the id of an account, but for where it says that it was erased and how far its events have come.
async fn said(world: &World, account: Uuid) -> i64 {
    sqlx::query_scalar(
        "select (select count(*) from audit_records where account_id = $1 or details::text like '%' || $1::text || '%')
              + (select count(*) from inbox.jobs where key = $1::text)",
    )
    .bind(account)
    .fetch_one(&world.database.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_deletion_leads_to_a_last_mail_an_erasure_everywhere_and_a_receipt_of_each() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let deleted = deleted(account, 1);
    let mail = GetNotificationResponse {
        kind: NotificationKind::AccountDeleted.into(),
        ..notification("ada@example.com")
    };
    world.others.notify(deleted.id, Ok(mail));
    deleted.publish().await;
    has_receipts(&world, account, &["event-consumer", "mail", "user"]).await;
    assert!(world.others.erased(account));
    let mails = world.smtp.mails_to("ada@example.com");
    assert!(
        mails[0].text.contains("Your account was deleted"),
        "{}",
        mails[0].text
    );
    eventually("the end of the jobs", async || {
        (world.jobs(deleted.id).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_last_mail_is_not_sent_again_because_auth_takes_no_receipt() {
    let world = World::consuming().await;
    world.others.auth_takes_no_receipts(true);
    let account = Uuid::now_v7();
    let deleted = deleted(account, 1);
    let mail = GetNotificationResponse {
        kind: NotificationKind::AccountDeleted.into(),
        ..notification("ada@example.com")
    };
    world.others.notify(deleted.id, Ok(mail));
    deleted.publish().await;
    eventually("the mail, and the erasures to wait alone", async || {
        let heard = world.settled(account, 1, 3).await && world.jobs(deleted.id).await == 2;
        (heard && !world.smtp.mails_to("ada@example.com").is_empty()).then_some(())
    })
    .await;
    world.others.auth_takes_no_receipts(false);
    has_receipts(&world, account, &["event-consumer", "user"]).await;
    assert_eq!(world.smtp.mails_to("ada@example.com").len(), 1);
}

#[tokio::test]
async fn the_audit_log_keeps_type_and_time_under_a_pseudonym_and_who_else_did_it() {
    let world = World::consuming().await;
    let (account, other, admin) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let before = [
        Event::login(account, 1, false),
        locked(account, 2, admin),
        locked(other, 1, account),
    ];
    for event in &before {
        event.publish().await;
        named_by(&world, event).await;
    }
    deleted(account, 3).publish().await;
    has_receipts(&world, account, &["event-consumer", "user"]).await;
    eventually("the end of the jobs", async || {
        (said(&world, account).await == 0).then_some(())
    })
    .await;

    let [login, lock, _] = &before;
    let pseudonym = named_by(&world, login).await;
    assert_ne!(pseudonym, account);
    let kept = records(&world, pseudonym).await;
    let login = kept.iter().find(|record| record.id == login.id.to_string());
    let login = login.unwrap();
    assert_eq!(
        (
            login.r#type.as_str(),
            login.trace_id.as_str(),
            login.details.len()
        ),
        ("LOGGED_IN", "", 0)
    );
    assert!(login.time.is_some());
    let lock = kept.iter().find(|record| record.id == lock.id.to_string());
    let details = &lock.unwrap().details;
    assert_eq!(
        (details.len(), details["by_account_id"].as_str()),
        (1, &*admin.to_string())
    );
    let others = records(&world, other).await;
    assert_eq!(others[0].details["by_account_id"], pseudonym.to_string());
}

#[tokio::test]
async fn late_events_of_an_erased_account_are_recorded_without_it() {
    let world = World::consuming().await;
    let (account, other) = (Uuid::now_v7(), Uuid::now_v7());
    // The registration itself came to nobody in time.
    deleted(account, 1).publish().await;
    has_receipts(&world, account, &["event-consumer", "user"]).await;
    let registered = AccountRegistered {
        account_id: account.to_string(),
        ..AccountRegistered::default()
    };
    let updated = ProfileUpdated {
        account_id: account.to_string(),
        fields: vec!["bio".into()],
        ..ProfileUpdated::default()
    };
    let late = [
        Event::new(topics::ACCOUNT, account, 2, &registered),
        Event::new(topics::PROFILE, account, 1, &updated),
    ];
    let mut pseudonyms = Vec::new();
    for event in &late {
        event.publish().await;
        pseudonyms.push(named_by(&world, event).await);
    }
    assert_eq!(pseudonyms[0], pseudonyms[1]);
    assert!(!pseudonyms.contains(&account));

    let completed = completed(account, 3);
    completed.publish().await;
    assert_eq!(named_by(&world, &completed).await, pseudonyms[0]);
    let erased = UserErased {
        account_id: account.to_string(),
    };
    // From now on nobody knows whose pseudonym it was.
    for event in [
        Event::new(topics::PROFILE, account, 2, &erased),
        Event::login(account, 4, false),
    ] {
        event.publish().await;
        assert_eq!(named_by(&world, &event).await, Uuid::nil());
    }
    let by_nobody = locked(other, 1, account);
    by_nobody.publish().await;
    assert_eq!(named_by(&world, &by_nobody).await, other);
    eventually("the end of the jobs", async || {
        (said(&world, account).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deletion_drops_what_waits_for_user_and_comes_again_after_a_restore() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    world.others.user_is_away(true);
    let login = Event::login(account, 1, false);
    login.publish().await;
    eventually("the activity to wait", async || {
        (world.jobs(login.id).await == 1).then_some(())
    })
    .await;
    deleted(account, 2).publish().await;
    eventually("the activity to be dropped", async || {
        (world.jobs(login.id).await == 0).then_some(())
    })
    .await;
    world.others.user_is_away(false);
    has_receipts(&world, account, &["event-consumer", "user"]).await;
    assert!(world.others.activities(account).is_empty());

    // As if the database were restored to before the deletion.
    completed(account, 3).publish().await;
    eventually("the end of the erasure", async || {
        world.settled(account, 3, 3).await.then_some(())
    })
    .await;
    sqlx::query("update audit_records set account_id = $1")
        .bind(account)
        .execute(&world.database.pool)
        .await
        .unwrap();
    deleted(account, 4).publish().await;
    eventually("the erasure", async || {
        (said(&world, account).await == 0 && world.settled(account, 4, 3).await).then_some(())
    })
    .await;
    assert_ne!(named_by(&world, &login).await, account);
}
