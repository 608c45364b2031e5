//! Every call of the service, against a real PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

mod erase_user;
mod export_user;
mod get_preferences;
mod get_profile;
mod list_activities;
mod provision_users;
mod record_activities;
mod search_profiles;
mod update_preferences;
mod update_profile;
