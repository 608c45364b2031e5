//! What this service does with events. Each subscriber has its own place in the topics and fails, waits and goes on alone.

pub(crate) mod audit;
pub(crate) mod mail;
pub(crate) mod user_data;

use inbox::{Event, Refusal};
use uuid::Uuid;

/// The account that an event of an account topic is about: its key.
fn account(event: &Event) -> Result<Uuid, Refusal> {
    event
        .key
        .parse()
        .map_err(|_| Refusal::refused(format_args!("the key {} is no account id", event.key)))
}
