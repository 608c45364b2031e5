use std::fmt;
use std::sync::LazyLock;

use prometheus::Histogram;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::{metrics, names};

/// Where sqlx reports each statement with the time that it took.
pub(crate) const TARGET: &str = "sqlx::query";

/// Measures database statements from sqlx's own report, so that no caller has to wrap its queries.
pub(crate) struct Statements {
    /// Made by the first statement: a process without a database has no such metric.
    durations: LazyLock<Durations>,
}

impl Statements {
    pub(crate) fn new() -> Self {
        Self {
            durations: LazyLock::new(Durations::new),
        }
    }
}

pub(crate) fn is_statement(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target() == TARGET
}

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        if let Some(seconds) = statement.seconds {
            self.durations.of(statement.operation).observe(seconds);
        }
    }
}

/// First words of statements; all others share `OTHER`.
const OPERATIONS: [&str; 8] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK",
];

struct Durations {
    known: [Histogram; OPERATIONS.len()],
    other: Histogram,
}

impl Durations {
    fn new() -> Self {
        let durations = metrics::histogram_vec(
            names::DB_OPERATION_DURATION,
            "Seconds from sending a statement to its last row",
            &["db_operation_name"],
            metrics::SECONDS,
        );
        Self {
            known: OPERATIONS.map(|operation| durations.with_label_values(&[operation])),
            other: durations.with_label_values(&["OTHER"]),
        }
    }

    fn of(&self, operation: Option<usize>) -> &Histogram {
        operation
            .and_then(|operation| self.known.get(operation))
            .unwrap_or(&self.other)
    }
}

#[derive(Default)]
struct Statement {
    /// Index in [`OPERATIONS`].
    operation: Option<usize>,
    seconds: Option<f64>,
}

impl Visit for Statement {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "summary" {
            self.operation = operation(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

fn operation(summary: &str) -> Option<usize> {
    let word = summary.split_whitespace().next()?;
    OPERATIONS
        .iter()
        .position(|operation| operation.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn a_statement_that_sqlx_reports_is_measured_by_its_first_word() {
        let subscriber = tracing_subscriber::registry().with(Statements::new());
        tracing::subscriber::with_default(subscriber, || {
            let summary = "insert into accounts …".to_owned();
            tracing::info!(target: "sqlx::query", summary, elapsed_secs = 0.004, rows_affected = 1_u64, "summary");
            tracing::info!(target: "sqlx::query", summary = "listen revocations", elapsed_secs = 0.004);
        });
        let text = metrics::encode().unwrap();
        for operation in ["INSERT", "OTHER"] {
            let line = format!(
                "db_client_operation_duration_seconds_count{{db_operation_name=\"{operation}\"}} 1"
            );
            assert!(text.contains(&line), "{text}");
        }
    }
}
