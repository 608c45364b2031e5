//! The databases, as their services see them.

use telemetry::names::*;

use crate::panel::{Dashboard, Row, line, lines, row};
use crate::query::*;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "database",
        title: "Database",
        about: "The databases of auth, user and event-consumer, as their services see them.",
        rows: vec![first_sight(), statements()],
    }
}

fn first_sight() -> Row {
    row(
        "At first sight",
        [
            lines(
                "Share of the pool in use",
                "percentunit",
                "above 90 % for minutes: callers wait for a connection.",
                "PoolExhausted",
                [line(
                    "{{job}}",
                    format!(
                        "{} / {}",
                        sum(DB_CONNECTIONS, "db_client_connection_state='used'", "job"),
                        sum(DB_CONNECTIONS_MAX, "", "job"),
                    ),
                )],
            )
            .bad_above(0.9),
            lines(
                "Wait for a connection, p99",
                "s",
                "more than some milliseconds: the pool is too small, or statements are slow.",
                "ConnectionsWaitedFor",
                [line(
                    "{{job}}",
                    quantile("0.99", DB_CONNECTION_WAIT, "", "job"),
                )],
            )
            .bad_above(0.1),
            lines(
                "Statements, p95",
                "s",
                "above 250 ms, or three times of what it was.",
                "StatementsSlow",
                [line(
                    "{{job}}",
                    quantile("0.95", DB_OPERATION_DURATION, "", "job"),
                )],
            )
            .bad_above(0.25),
            lines(
                "Connections",
                "short",
                "all replicas together near `max_connections` of the server.",
                "PoolExhausted",
                [line(
                    "{{job}} {{db_client_connection_state}}",
                    sum(DB_CONNECTIONS, "", "job, db_client_connection_state"),
                )],
            ),
            lines(
                "Transactions since the oldest that still writes",
                "short",
                "a number that grows and does not fall: the longest transaction is left open.",
                "TransactionLeftOpen",
                [line("{{job}}", max(OUTBOX_XMIN_AGE, "", "job"))],
            )
            .bad_above(10_000.0),
        ],
    )
}

fn statements() -> Row {
    row(
        "Statements",
        [
            lines(
                "By service",
                "ops",
                "a jump without more requests: something asks again and again.",
                "StatementsSlow",
                [line("{{job}}", calls(DB_OPERATION_DURATION, "", "job"))],
            ),
            lines(
                "By kind",
                "ops",
                "ROLLBACK that grows: transactions are given up.",
                "StatementsSlow",
                [line(
                    "{{db_operation_name}}",
                    calls(DB_OPERATION_DURATION, "", "db_operation_name"),
                )],
            ),
            lines(
                "Duration by kind, p99",
                "s",
                "COMMIT above 50 ms: the disk is slow. UPDATE alone: somebody waits for a lock.",
                "StatementsSlow",
                [line(
                    "{{db_operation_name}}",
                    quantile("0.99", DB_OPERATION_DURATION, "", "db_operation_name"),
                )],
            ),
        ],
    )
}
