//! From a committed row to Kafka.

use telemetry::names::*;

use super::{RuleFile, Severity::*, alert};

pub(super) fn file() -> RuleFile {
    RuleFile {
        name: "outbox",
        rules: vec![
            alert(
                "OutboxStalled",
                format!("max by (job) ({OUTBOX_OLDEST_UNPUBLISHED}) > 60"),
                "2m",
                Page,
                "An event of {{ $labels.job }} has waited for Kafka for {{ $value | humanizeDuration }}",
            ),
            alert(
                "OutboxBacklog",
                format!("max by (job) ({OUTBOX_UNPUBLISHED}) > 10000"),
                "10m",
                Ticket,
                "{{ $value }} events of {{ $labels.job }} wait for Kafka",
            ),
            alert(
                "OutboxLeaseless",
                format!("sum by (job) ({OUTBOX_LEASE_HELD}) < 1"),
                "2m",
                Page,
                "No replica of {{ $labels.job }} publishes its events",
            ),
            alert(
                "OutboxHalted",
                format!(
                    "(max by (job, kind) ({OUTBOX_RELAY_HALTED}) or 0 * max by (job) ({OUTBOX_LEASE_HELD})) > 0"
                ),
                "1m",
                Page,
                "The relay of {{ $labels.job }} waits for an operator: {{ $labels.kind }}",
            ),
            alert(
                "OutboxRotationBlocked",
                format!("max by (job) ({OUTBOX_ROTATION_BLOCKED}) > 0"),
                "10m",
                Ticket,
                "The outbox of {{ $labels.job }} grows, because a transaction is left open",
            ),
            alert(
                "OutboxFailing",
                format!(
                    "(sum by (job, kind) (increase({OUTBOX_RELAY_FAILURES}[15m])) or 0 * max by (job) ({OUTBOX_LEASE_HELD})) > 10"
                ),
                "0m",
                Ticket,
                "The relay of {{ $labels.job }} failed {{ $value | humanize }} times within a quarter of an hour: {{ $labels.kind }}",
            ),
        ],
    }
}
