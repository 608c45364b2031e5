//! The databases, as their services see them.

use telemetry::names::*;

use super::{RuleFile, Severity::*, alert};

pub(super) fn file() -> RuleFile {
    RuleFile {
        name: "database",
        rules: vec![
            alert(
                "PoolExhausted",
                format!(
                    "sum by (job, instance) ({DB_CONNECTIONS}{{db_client_connection_state='used'}}) / sum by (job, instance) ({DB_CONNECTIONS_MAX}) > 0.9"
                ),
                "5m",
                Ticket,
                "{{ $labels.job }} at {{ $labels.instance }} uses {{ $value | humanizePercentage }} of its database connections",
            ),
            alert(
                "ConnectionsWaitedFor",
                format!(
                    "histogram_quantile(0.99, sum by (le, job) (rate({DB_CONNECTION_WAIT}_bucket[5m]))) > 0.1"
                ),
                "5m",
                Ticket,
                "{{ $labels.job }} waits for a database connection for {{ $value | humanizeDuration }}",
            ),
            alert(
                "StatementsSlow",
                format!(
                    "histogram_quantile(0.95, sum by (le, job) (rate({DB_OPERATION_DURATION}_bucket[5m]))) > 0.25"
                ),
                "10m",
                Ticket,
                "Statements of {{ $labels.job }} take {{ $value | humanizeDuration }}",
            ),
            alert(
                "TransactionLeftOpen",
                format!("max by (job) ({OUTBOX_XMIN_AGE}) > 10000"),
                "10m",
                Ticket,
                "{{ $value }} transactions began in the database of {{ $labels.job }} since the oldest one that still writes",
            ),
        ],
    }
}
