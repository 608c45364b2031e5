//! Profiles, preferences and activities.

use super::rows;
use crate::panel::Dashboard;

const JOB: &str = "job='user'";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "user",
        title: "User",
        about: "Profiles, preferences and activities: the calls that it answers, its one call to auth, its outbox and its database.",
        rows: vec![
            rows::served(JOB),
            rows::called(JOB),
            rows::outbox(JOB),
            rows::database(JOB),
            rows::process(JOB),
        ],
    }
}
