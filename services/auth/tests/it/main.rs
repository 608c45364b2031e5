//! Auth over a real socket and a real PostgreSQL. Kafka is not needed: events are looked for in the outbox.

// Clippy knows test functions, not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod change_email;
mod change_password;
mod commands;
mod complete_registration;
mod confirm_email;
mod delete_account;
mod disable_account;
mod export_account;
mod follow;
mod force_reset;
mod get_account;
mod get_notification;
mod housekeeping;
mod kit;
mod list_accounts;
mod list_sessions;
mod lock_account;
mod login;
mod logout;
mod lookup_accounts;
mod reauthenticate;
mod record_receipt;
mod refresh_tokens;
mod register;
mod reset_password;
mod revoke_all_sessions;
mod revoke_session;
mod rotation;
mod set_roles;
mod signing_keys;
mod unlock_account;
