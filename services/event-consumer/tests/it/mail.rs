use event_consumer::topics;
use grimoire_proto::auth::v1::{GetNotificationResponse, NotificationKind};
use grimoire_proto::events::v1::{
    EmailChanged, PasswordChanged, RefreshReuseDetected, RegistrationRequested,
};
use tonic::Status;
use uuid::Uuid;

use crate::kafka::Event;
use crate::world::{World, eventually};

/// What auth answers for a registration of `address`.
pub(crate) fn notification(address: &str) -> GetNotificationResponse {
    GetNotificationResponse {
        address: address.into(),
        kind: NotificationKind::Registration.into(),
        token: "tok-en_1".into(),
        ..GetNotificationResponse::default()
    }
}

fn notice(key: &str, version: i64) -> Event {
    let requested = RegistrationRequested {
        registration_id: Uuid::now_v7().to_string(),
    };
    Event::new(topics::NOTICE, key, version, &requested)
}

#[tokio::test]
async fn a_notice_leads_to_one_mail_whose_message_id_is_that_of_the_event() {
    let world = World::consuming().await;
    let event = notice(&testkit::kafka::unique("address"), 1);
    world
        .others
        .notify(event.id, Ok(notification("ada@example.com")));
    event.publish().await;
    event.publish().await;
    eventually("both copies to be heard", async || {
        world.settled(&event.key, 1, 1).await.then_some(())
    })
    .await;
    let mail = eventually("the mail", async || {
        world.smtp.mails_to("ada@example.com").pop()
    })
    .await;
    eventually("the end of its job", async || {
        (world.jobs(event.id).await == 0).then_some(())
    })
    .await;
    assert_eq!(world.smtp.mails_to("ada@example.com").len(), 1);
    for line in [
        "From: Grimoire <hello@example.com>",
        "To: ada@example.com",
        "token: tok-en_1",
        &format!("Message-ID: <{}@example.com>", event.id),
    ] {
        assert!(
            mail.text.lines().any(|found| found == line),
            "{line} in\n{}",
            mail.text
        );
    }
}

#[tokio::test]
async fn only_events_that_concern_the_owner_lead_to_mail() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let reuse = RefreshReuseDetected {
        account_id: account.to_string(),
        session_id: Uuid::now_v7().to_string(),
    };
    // That mail has the token for a new password, and is the one of a notice.
    let forced = PasswordChanged {
        account_id: account.to_string(),
        by_account_id: Uuid::now_v7().to_string(),
        ..PasswordChanged::default()
    };
    let moved = EmailChanged {
        account_id: account.to_string(),
        session_id: Uuid::now_v7().to_string(),
    };
    for (event, address) in [
        (&Event::login(account, 1, false), "known@example.com"),
        (&Event::login(account, 2, true), "new@example.com"),
        (
            &Event::new(topics::ACCOUNT, account, 3, &reuse),
            "reuse@example.com",
        ),
        (
            &Event::new(topics::ACCOUNT, account, 4, &forced),
            "forced@example.com",
        ),
        (
            &Event::new(topics::ACCOUNT, account, 5, &moved),
            "moved@example.com",
        ),
    ] {
        world.others.notify(event.id, Ok(notification(address)));
        event.publish().await;
    }
    eventually("the mails", async || {
        let come = |name: &str| {
            !world
                .smtp
                .mails_to(&format!("{name}@example.com"))
                .is_empty()
        };
        (come("new") && come("reuse") && come("moved")).then_some(())
    })
    .await;
    for none in ["known@example.com", "forced@example.com"] {
        assert!(world.smtp.mails_to(none).is_empty(), "{none}");
    }
}

#[tokio::test]
async fn a_mail_with_nothing_left_to_tell_is_skipped() {
    let world = World::consuming().await;
    let key = testkit::kafka::unique("address");
    let (obsolete, unknown, sound) = (notice(&key, 1), notice(&key, 2), notice(&key, 3));
    world.others.notify(
        obsolete.id,
        Err(Status::failed_precondition("the token was used")),
    );
    world
        .others
        .notify(sound.id, Ok(notification("ada@example.com")));
    for event in [&obsolete, &unknown, &sound] {
        event.publish().await;
    }
    eventually("the one mail that is due", async || {
        world.smtp.mails_to("ada@example.com").pop()
    })
    .await;
}

#[tokio::test]
async fn a_busy_mail_server_is_asked_again_and_one_that_refuses_is_not() {
    let world = World::consuming().await;
    // A server that has taken no mail yet may refuse them all.
    let taken = notice(&testkit::kafka::unique("address"), 1);
    world
        .others
        .notify(taken.id, Ok(notification("there@example.com")));
    taken.publish().await;
    eventually("a mail that is taken", async || {
        world.smtp.mails_to("there@example.com").pop()
    })
    .await;
    let key = testkit::kafka::unique("address");
    let (gone, busy) = (notice(&key, 1), notice(&key, 2));
    world
        .others
        .notify(gone.id, Ok(notification("gone@example.com")));
    world
        .others
        .notify(busy.id, Ok(notification("busy@example.com")));
    gone.publish().await;
    busy.publish().await;
    eventually("the mail that was put off", async || {
        world.smtp.mails_to("busy@example.com").pop()
    })
    .await;
    assert_eq!(world.jobs(gone.id).await, 0);
}

#[tokio::test]
async fn a_mail_that_may_have_been_taken_is_tried_a_few_times_and_not_for_ever() {
    let world = World::consuming().await;
    let lost = notice(&testkit::kafka::unique("address"), 1);
    world
        .others
        .notify(lost.id, Ok(notification("lost@example.com")));
    lost.publish().await;
    eventually("the job to be given up", async || {
        let dead: i64 = sqlx::query_scalar(
            "select count(*) from inbox.job_keys where due_at is null and key = $1",
        )
        .bind(&lost.key)
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        (dead == 1).then_some(())
    })
    .await;
    // The first time and one for each tier.
    assert_eq!(world.smtp.mails_to("lost@example.com").len(), 2);
}
