//! Which events lead to a mail. What it says, and to whom, is asked of auth when the mail is sent.

use grimoire_proto::events::v1::{
    AccountDeleted, EmailChanged, LoggedIn, PasswordChanged, RefreshReuseDetected,
};
use inbox::jobs::NewJob;
use inbox::{Effects, Event, Refusal, Subscriber};
use tonic::async_trait;

use crate::topics;
use crate::workers::send_mail;

pub(crate) struct Mail;

#[async_trait]
impl Subscriber for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn topics(&self) -> Vec<String> {
        vec![topics::ACCOUNT.to_owned(), topics::NOTICE.to_owned()]
    }

    /// What cannot be read is for `apply` to refuse.
    fn heeds(&self, event: &Event) -> bool {
        leads_to_mail(event).unwrap_or(true)
    }

    async fn apply(&self, effects: &mut Effects<'_>, events: &[&Event]) -> Result<(), Refusal> {
        for event in events {
            if leads_to_mail(event)? {
                effects.enqueue(NewJob::of(event, send_mail::TARGET, Vec::<u8>::new()));
            }
        }
        Ok(())
    }
}

fn leads_to_mail(event: &Event) -> Result<bool, Refusal> {
    // Notices serve nothing else.
    Ok(&*event.record.topic == topics::NOTICE
        || event
            .decode::<LoggedIn>()?
            .is_some_and(|login| login.new_device)
        // Of one that an administrator has replaced the mail with the token tells.
        || event
            .decode::<PasswordChanged>()?
            .is_some_and(|changed| changed.by_account_id.is_empty())
        || event.decode::<EmailChanged>()?.is_some()
        || event.decode::<RefreshReuseDetected>()?.is_some()
        || event.decode::<AccountDeleted>()?.is_some())
}
