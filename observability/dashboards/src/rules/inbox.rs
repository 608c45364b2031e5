//! From Kafka to an effect.

use telemetry::names::*;

use super::{RuleFile, Severity::*, alert};

pub(super) fn file() -> RuleFile {
    RuleFile {
        name: "inbox",
        rules: vec![
            alert(
                "InboxLagging",
                format!("max by (subscriber) ({INBOX_LAG_SECONDS}) > 60"),
                "5m",
                Ticket,
                "{{ $labels.subscriber }} has had one batch in hand for {{ $value | humanizeDuration }}",
            ),
            alert(
                "EffectsLate",
                format!(
                    "histogram_quantile(0.99, sum by (le, subscriber) (rate({INBOX_COMMIT_TO_EFFECT_SECONDS}_bucket[10m]))) > 5"
                ),
                "10m",
                Ticket,
                "Effects of {{ $labels.subscriber }} come {{ $value | humanizeDuration }} after their cause",
            ),
            alert(
                "PartitionStopped",
                format!("max by (subscriber, topic, partition) ({INBOX_PARTITION_STOPPED}) > 0"),
                "1m",
                Page,
                "{{ $labels.subscriber }} reads nothing of partition {{ $labels.partition }} of {{ $labels.topic }}",
            ),
            alert(
                "KeysParked",
                format!("max by (subscriber) ({INBOX_PARKED_KEYS}) > 0"),
                "15m",
                Ticket,
                "{{ $value }} keys of {{ $labels.subscriber }} stand still, and trying again did not help",
            ),
            alert(
                "KeysDead",
                format!("max by (subscriber) ({INBOX_DEAD_KEYS}) > 0"),
                "0m",
                Ticket,
                "{{ $value }} keys of {{ $labels.subscriber }} wait for a decision",
            ),
            alert(
                "JobsLate",
                format!("max by (target) ({INBOX_JOBS_AGE_SECONDS}) > 300"),
                "5m",
                Ticket,
                "A job of {{ $labels.target }} has waited for {{ $value | humanizeDuration }}",
            ),
            alert(
                "JobsDead",
                format!("max by (target) ({INBOX_JOBS_DEAD_KEYS}) > 0"),
                "0m",
                Ticket,
                "{{ $value }} keys of {{ $labels.target }} have a job that was given up",
            ),
            alert(
                "Rebalancing",
                format!("sum by (subscriber) (increase({INBOX_REBALANCES}[15m])) > 20"),
                "0m",
                Ticket,
                "Partitions of {{ $labels.subscriber }} changed hands {{ $value | humanize }} times within a quarter of an hour",
            ),
        ],
    }
}
