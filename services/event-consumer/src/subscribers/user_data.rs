//! Which events change what the user service keeps of a person: their profile, and their activities.

use chassis::wire;
use grimoire_proto::events::v1::{
    AccountDeleted, AccountRegistered, EmailChanged, LoggedIn, LoggedOut, PasswordChanged,
    PreferencesUpdated, ProfileUpdated, SessionRevoked,
};
use grimoire_proto::user::v1::ActivityRecord;
use inbox::jobs::{self, NewJob};
use inbox::{Effects, Event, Refusal, Subscriber};
use prost::Message as _;
use tonic::async_trait;

use crate::subscribers::account;
use crate::workers::{erase_user, provision_users, record_activities};
use crate::{event_type, topics};

pub(crate) struct UserData;

#[async_trait]
impl Subscriber for UserData {
    fn name(&self) -> &'static str {
        "user-data"
    }

    fn topics(&self) -> Vec<String> {
        vec![topics::ACCOUNT.to_owned(), topics::PROFILE.to_owned()]
    }

    async fn apply(&self, effects: &mut Effects<'_>, events: &[&Event]) -> Result<(), Refusal> {
        for event in events {
            if event.decode::<AccountRegistered>()?.is_some() {
                account(event)?;
                effects.enqueue(NewJob::of(event, provision_users::TARGET, Vec::<u8>::new()));
            }
            if event.decode::<AccountDeleted>()?.is_some() {
                account(event)?;
                // User would take no notice of them, and one that was given up would lie here for ever.
                for target in [provision_users::TARGET, record_activities::TARGET] {
                    jobs::forget(effects.connection, target, &event.key).await?;
                }
                effects.enqueue(NewJob::of(event, erase_user::TARGET, Vec::<u8>::new()));
            }
            if let Some(activity) = activity(event)? {
                effects.enqueue(NewJob::of(
                    event,
                    record_activities::TARGET,
                    activity.encode_to_vec(),
                ));
            }
        }
        Ok(())
    }
}

/// The activity that an event leads to.
fn activity(event: &Event) -> Result<Option<ActivityRecord>, Refusal> {
    let (session_id, fields) = if event.decode::<AccountRegistered>()?.is_some() {
        (String::new(), Vec::new())
    } else if let Some(LoggedIn { session_id, .. }) = event.decode()? {
        (session_id, Vec::new())
    } else if let Some(LoggedOut { session_id, .. }) = event.decode()? {
        (session_id, Vec::new())
    } else if let Some(PasswordChanged { session_id, .. }) = event.decode()? {
        (session_id, Vec::new())
    } else if let Some(EmailChanged { session_id, .. }) = event.decode()? {
        (session_id, Vec::new())
    } else if let Some(SessionRevoked { by_session_id, .. }) = event.decode()? {
        (by_session_id, Vec::new())
    } else if let Some(ProfileUpdated {
        session_id, fields, ..
    }) = event.decode()?
    {
        (session_id, fields)
    } else if let Some(PreferencesUpdated {
        session_id, fields, ..
    }) = event.decode()?
    {
        (session_id, fields)
    } else {
        return Ok(None);
    };
    Ok(Some(ActivityRecord {
        event: event.id.to_string(),
        account: account(event)?.to_string(),
        r#type: event_type::name(&event.event_type),
        time: Some(wire::timestamp(event.time)),
        session_id,
        fields,
    }))
}
