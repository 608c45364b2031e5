//! Dashboards, recording rules and alerts. They are written with the constants by which the programs register their metrics, so a
//! metric that is renamed is renamed here, or this does not compile.

mod boards;
pub mod elsewhere;
mod panel;
mod query;
mod rules;

use std::path::{Path, PathBuf};

pub use boards::dashboards;
pub use panel::{Dashboard, Panel, Row, Target};
pub use query::STEP;
pub use rules::{Rule, RuleFile, Severity, rule_files};

/// The folder observability/ of the repository.
pub fn room() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file that is made from this crate: its path below observability/, and its text.
pub fn files() -> Vec<(String, String)> {
    let boards = dashboards().into_iter().map(|board| {
        let path = format!("grafana/dashboards/{}.json", board.name);
        (path, format!("{:#}\n", board.json()))
    });
    let rules = rule_files().into_iter().map(|file| {
        let path = format!("prometheus/rules/{}.yaml", file.name);
        (path, file.yaml())
    });
    boards.chain(rules).collect()
}
