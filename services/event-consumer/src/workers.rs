//! What is done outside of this service's database, one worker for each target.

mod in_parts;
pub(crate) mod provision_users;
pub(crate) mod record_activities;
pub(crate) mod send_mail;

use inbox::jobs::Outcome;
use tonic::Status;

/// The callee is away, or not as this build expects it: either passes.
fn later(callee: &str, status: &Status) -> Outcome {
    Outcome::Retry(format!(
        "{callee}: {:?}: {}",
        status.code(),
        status.message()
    ))
}
