//! The dashboards. What each must show at first sight stands in its first row.

mod auth;
mod database;
mod event_consumer;
mod events;
mod gateway;
mod mesh;
mod overview;
mod rows;
mod slo;
mod user;

use crate::panel::Dashboard;

/// All of them, the one to begin with first.
pub fn dashboards() -> Vec<Dashboard> {
    vec![
        overview::dashboard(),
        slo::dashboard(),
        gateway::dashboard(),
        auth::dashboard(),
        user::dashboard(),
        event_consumer::dashboard(),
        events::dashboard(),
        database::dashboard(),
        mesh::dashboard(),
    ]
}
