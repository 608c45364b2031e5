//! Recording rules and alerts, as values and as Prometheus reads them.

mod auth;
mod database;
mod gateway;
mod inbox;
mod mesh;
mod outbox;
mod processes;
pub(crate) mod slo;

use std::fmt::Write as _;

use serde_json::Value;

/// One file of Prometheus's rules.
pub struct RuleFile {
    pub name: &'static str,
    pub rules: Vec<Rule>,
}

/// What Prometheus evaluates again and again.
pub enum Rule {
    /// A series of its own.
    Record { name: String, expr: String },
    Alert {
        /// Also the name of its runbook in observability/runbooks.
        name: &'static str,
        /// Has an answer while something is wrong. Written so that it has one at any time when its comparisons answer 0 or 1.
        expr: String,
        /// How long it has to hold, as `2m`.
        hold: &'static str,
        severity: Severity,
        /// A sentence for whoever is called, with `{{ $labels.job }}` and the like.
        summary: &'static str,
    },
}

/// What an alert asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody looks now.
    Page,
    /// Somebody looks within days.
    Ticket,
}

/// Every file.
pub fn rule_files() -> Vec<RuleFile> {
    vec![
        slo::file(),
        processes::file(),
        gateway::file(),
        auth::file(),
        outbox::file(),
        inbox::file(),
        database::file(),
        mesh::file(),
    ]
}

fn alert(
    name: &'static str,
    expr: String,
    hold: &'static str,
    severity: Severity,
    summary: &'static str,
) -> Rule {
    Rule::Alert {
        name,
        expr,
        hold,
        severity,
        summary,
    }
}

impl Rule {
    pub fn expr(&self) -> &str {
        match self {
            Self::Record { expr, .. } | Self::Alert { expr, .. } => expr,
        }
    }
}

impl RuleFile {
    pub(crate) fn yaml(&self) -> String {
        let mut text = format!(
            "# Made by ./dev prepare from observability/dashboards/src/rules/{0}.rs.\ngroups:\n  - name: {0}\n    rules:\n",
            self.name
        );
        for rule in &self.rules {
            let (kind, name) = match rule {
                Rule::Record { name, .. } => ("record", name.as_str()),
                Rule::Alert { name, .. } => ("alert", *name),
            };
            let _ = write!(text, "      - {kind}: {name}\n        expr: |-\n");
            for line in rule.expr().lines() {
                let _ = writeln!(text, "          {line}");
            }
            if let Rule::Alert {
                name,
                hold,
                severity,
                summary,
                ..
            } = rule
            {
                let severity = match severity {
                    Severity::Page => "page",
                    Severity::Ticket => "ticket",
                };
                // A string of JSON is one of YAML.
                let summary = Value::from(*summary);
                let _ = write!(
                    text,
                    "        for: {hold}\n        labels:\n          severity: {severity}\n        annotations:\n          summary: {summary}\n          runbook: observability/runbooks/{name}.md\n"
                );
            }
        }
        text
    }
}
