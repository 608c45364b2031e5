//! Mail: asks auth what to say and to whom, and sends it. The last one to a deleted account has a receipt.

use std::time::{Duration, SystemTime};

use futures::future::join_all;
use grimoire_proto::auth::v1::erasure_service_client::ErasureServiceClient;
use grimoire_proto::auth::v1::notification_service_client::NotificationServiceClient;
use grimoire_proto::auth::v1::{GetNotificationRequest, NotificationKind};
use inbox::jobs::{Job, Outcome, Worker};
use tonic::{Code, async_trait};

use crate::mail::delivery::{self, Delivery, DeliveryError};
use crate::mail::letter::{self, Links};
use crate::workers::{give_receipt, later};

/// Kept in the database with each job.
pub(crate) const TARGET: &str = "send-mail";

pub(crate) struct SendMail {
    pub(crate) auth: NotificationServiceClient<chassis::upstream::Upstream>,
    pub(crate) erasures: ErasureServiceClient<chassis::upstream::Upstream>,
    pub(crate) delivery: Delivery,
    pub(crate) links: Links,
}

#[async_trait]
impl Worker for SendMail {
    fn target(&self) -> &'static str {
        TARGET
    }

    fn max_batch(&self) -> usize {
        8
    }

    fn patience(&self) -> Duration {
        delivery::LONGEST + ASKING
    }

    async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
        // No closure: with one, the compiler cannot see that the future is Send.
        let mut sending = Vec::with_capacity(jobs.len());
        for job in jobs {
            sending.push(self.send(job));
        }
        join_all(sending).await
    }
}

/// More than auth takes to say what a mail says and to take a receipt: a batch that takes too long is done again as a whole.
const ASKING: Duration = Duration::from_secs(15);

impl SendMail {
    async fn send(&self, job: &Job) -> Outcome {
        let request = GetNotificationRequest {
            event: job.event_id.to_string(),
        };
        let notification = match self.auth.clone().get_notification(request).await {
            Ok(answer) => answer.into_inner(),
            // Used, expired, superseded, or no mail at all.
            Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::NotFound) => {
                return Outcome::Skipped(status.message().to_owned());
            }
            Err(status) => return later("auth", &status),
        };
        let Some(letter) = letter::write(&notification, &self.links) else {
            return Outcome::Retry(format!(
                "this build does not know mails of kind {}",
                notification.kind
            ));
        };
        let time = notification
            .event_time
            .and_then(|time| SystemTime::try_from(time).ok())
            .unwrap_or_else(|| job.created_at.into());
        let sent = self
            .delivery
            .send(job.event_id, time, &notification.address, letter)
            .await;
        let outcome = match sent {
            Ok(()) => Outcome::Done,
            // Trying again would not reach it, and giving the key up would keep later mails from an address that works by then.
            Err(error) if error.is_permanent() => Outcome::Skipped(error.to_string()),
            // A few copies more, and not one each half minute for as long as the notice lives. And who has the server refuse
            // mails holds up no others.
            Err(error @ (DeliveryError::Unclear(_) | DeliveryError::Doubtful(_))) => {
                Outcome::Failed(error.to_string())
            }
            Err(error) => Outcome::Retry(error.to_string()),
        };
        if matches!(outcome, Outcome::Done | Outcome::Skipped(_))
            && notification.kind() == NotificationKind::AccountDeleted
        {
            self.tell_last(job).await;
        }
        outcome
    }

    /// After the last mail auth can forget the address. It does so anyway when a day has passed, so a receipt that it does not take is not
    /// worth a second mail.
    async fn tell_last(&self, job: &Job) {
        let told = give_receipt(&self.erasures, &job.key, "mail").await;
        if told != Outcome::Done {
            tracing::warn!(event_id = %job.event_id, outcome = ?told, "auth was not told that the last mail has left");
        }
    }
}
