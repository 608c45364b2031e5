//! SQL, one module per table. Functions take any executor, so that a use case decides what shares a transaction. Where several
//! rows are locked the order is: address_state, failed_logins, registrations, password_resets, email_changes, sessions, accounts. Each `sweep`
//! deletes `most` rows at a time and says how many it found.

pub(crate) mod accounts;
pub(crate) mod address_state;
pub(crate) mod email_changes;
pub(crate) mod erasure_receipts;
pub(crate) mod failed_logins;
pub(crate) mod known_devices;
pub(crate) mod notifications;
pub(crate) mod password_resets;
pub(crate) mod registrations;
pub(crate) mod revocations;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
pub(crate) mod trust_followers;
