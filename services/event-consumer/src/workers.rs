//! What is done outside of this service's database, one worker for each target.

pub(crate) mod erase_audit;
pub(crate) mod erase_user;
mod in_parts;
pub(crate) mod provision_users;
pub(crate) mod record_activities;
pub(crate) mod send_mail;

use grimoire_proto::auth::v1::RecordReceiptRequest;
use grimoire_proto::auth::v1::erasure_service_client::ErasureServiceClient;
use inbox::jobs::Outcome;
use tonic::{Code, Status};

/// The callee is away, or not as this build expects it: either passes.
fn later(callee: &str, status: &Status) -> Outcome {
    Outcome::Retry(format!(
        "{callee}: {:?}: {}",
        status.code(),
        status.message()
    ))
}

/// Tells auth that `service` has erased what it kept of `account`.
async fn give_receipt(
    auth: &ErasureServiceClient<chassis::upstream::Upstream>,
    account: &str,
    service: &str,
) -> Outcome {
    let request = RecordReceiptRequest {
        account: account.to_owned(),
        service: service.to_owned(),
    };
    match auth.clone().record_receipt(request).await {
        Ok(_) => Outcome::Done,
        // Auth was restored to before the deletion.
        Err(status) if status.code() == Code::NotFound => {
            Outcome::Skipped(status.message().to_owned())
        }
        Err(status) => later("auth", &status),
    }
}
