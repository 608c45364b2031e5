use event_consumer::topics;
use grimoire_proto::events::v1::{AccountRegistered, PreferencesUpdated, RolesChanged};
use uuid::Uuid;

use crate::kafka::Event;
use crate::world::{World, eventually};

#[tokio::test]
async fn a_registration_leads_to_a_profile_and_what_people_do_to_activities() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let registered = AccountRegistered {
        account_id: account.to_string(),
        ..AccountRegistered::default()
    };
    let roles = RolesChanged {
        account_id: account.to_string(),
        roles: vec!["admin".into()],
        ..RolesChanged::default()
    };
    let set = PreferencesUpdated {
        account_id: account.to_string(),
        session_id: Uuid::nil().to_string(),
        fields: vec!["theme".into()],
    };
    let set = Event::new(topics::PROFILE, account, 1, &set);
    for event in [
        &Event::new(topics::ACCOUNT, account, 1, &registered),
        &Event::login(account, 2, false),
        &Event::new(topics::ACCOUNT, account, 3, &roles),
        &set,
    ] {
        event.publish().await;
    }

    let activities = eventually("three activities and a profile", async || {
        (world.others.provisioned(account) > 0)
            .then(|| world.others.activities(account))
            .filter(|activities| activities.len() == 3)
    })
    .await;
    let mut types: Vec<_> = activities
        .iter()
        .map(|activity| activity.r#type.as_str())
        .collect();
    types.sort_unstable();
    assert_eq!(
        types,
        ["ACCOUNT_REGISTERED", "LOGGED_IN", "PREFERENCES_UPDATED"],
        "a change of roles is none of the owner's doing"
    );
    let told = activities
        .iter()
        .find(|activity| activity.event == set.id.to_string())
        .unwrap();
    assert_eq!(
        (told.session_id.as_str(), told.fields.as_slice()),
        (&*Uuid::nil().to_string(), &["theme".to_owned()][..])
    );
}

#[tokio::test]
async fn while_user_is_away_mail_still_goes_out_and_activities_wait() {
    let world = World::consuming().await;
    world.others.user_is_away(true);
    let account = Uuid::now_v7();
    let login = Event::login(account, 1, true);
    world
        .others
        .notify(login.id, Ok(crate::mail::notification("ada@example.com")));
    login.publish().await;
    eventually("the mail", async || {
        world.smtp.mails_to("ada@example.com").pop()
    })
    .await;
    assert!(world.others.activities(account).is_empty());

    world.others.user_is_away(false);
    eventually("the activity", async || {
        world.others.activities(account).pop()
    })
    .await;
    eventually("the end of its job", async || {
        (world.jobs(login.id).await == 0).then_some(())
    })
    .await;
    assert_eq!(world.others.activities(account).len(), 1);
}

#[tokio::test]
async fn an_activity_that_user_refuses_holds_up_no_other() {
    let world = World::consuming().await;
    world.others.user_is_away(true);
    let (refused, sound) = (Uuid::now_v7(), Uuid::now_v7());
    world.others.refuse_all_of(refused);
    for account in [refused, sound] {
        Event::login(account, 1, false).publish().await;
    }
    eventually("both to be heard", async || {
        let heard = world.settled(refused, 1, 3).await && world.settled(sound, 1, 3).await;
        heard.then_some(())
    })
    .await;
    world.others.user_is_away(false);
    eventually("the sound one", async || {
        world.others.activities(sound).pop()
    })
    .await;
    assert!(world.others.activities(refused).is_empty());
}

#[tokio::test]
async fn a_profile_that_user_cannot_make_holds_up_no_other() {
    let world = World::consuming().await;
    world.others.user_is_away(true);
    let (refused, sound) = (Uuid::now_v7(), Uuid::now_v7());
    world.others.refuse_all_of(refused);
    for account in [refused, sound] {
        let registered = AccountRegistered {
            account_id: account.to_string(),
            ..AccountRegistered::default()
        };
        let registered = Event::new(topics::ACCOUNT, account, 1, &registered);
        registered.publish().await;
    }
    eventually("both to be heard", async || {
        let heard = world.settled(refused, 1, 3).await && world.settled(sound, 1, 3).await;
        heard.then_some(())
    })
    .await;
    world.others.user_is_away(false);
    eventually("the sound one", async || {
        (world.others.provisioned(sound) > 0).then_some(())
    })
    .await;
    assert_eq!(world.others.provisioned(refused), 0);
}
