//! The way of an event, from a committed row to an applied effect, across processes.

use telemetry::names::*;

use crate::panel::{Dashboard, Row, line, lines, row};
use crate::query::*;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "events",
        title: "Events",
        about: "The way of an event: from a committed row in an outbox through Kafka to its effect, across processes.",
        rows: vec![first_sight(), relays(), slots(), subscribers()],
    }
}

fn first_sight() -> Row {
    row(
        "At first sight",
        [
            lines(
                "Oldest event that is not in Kafka",
                "s",
                "above a minute, or growing: events do not reach Kafka.",
                "OutboxStalled",
                [line("{{job}}", max(OUTBOX_OLDEST_UNPUBLISHED, "", "job"))],
            )
            .bad_above(60.0),
            lines(
                "Events that are not in Kafka",
                "short",
                "a number that grows. It is counted up to 100,000.",
                "OutboxBacklog",
                [line("{{job}}", max(OUTBOX_UNPUBLISHED, "", "job"))],
            )
            .bad_above(10_000.0),
            lines(
                "Records that are not settled",
                "short",
                "a number that grows: effects are late.",
                "InboxLagging",
                [line(
                    "{{subscriber}}",
                    sum(INBOX_LAG_RECORDS, "", "subscriber"),
                )],
            ),
            lines(
                "Age of the batch in hand",
                "s",
                "above a minute: the partition does not come forward.",
                "InboxLagging",
                [line(
                    "{{subscriber}}",
                    max(INBOX_LAG_SECONDS, "", "subscriber"),
                )],
            )
            .bad_above(60.0),
            lines(
                "From a change to its effect",
                "s",
                "a p99 above 5 s: readers see old activities, mails are late.",
                "EffectsLate",
                [
                    line(
                        "p50 {{subscriber}}",
                        quantile("0.5", INBOX_COMMIT_TO_EFFECT_SECONDS, "", "subscriber"),
                    ),
                    line(
                        "p99 {{subscriber}}",
                        quantile("0.99", INBOX_COMMIT_TO_EFFECT_SECONDS, "", "subscriber"),
                    ),
                ],
            )
            .bad_above(5.0),
            lines(
                "Keys that are parked",
                "short",
                "above 0 for more than a quarter of an hour: trying again did not help.",
                "KeysParked",
                [line(
                    "{{subscriber}}",
                    sum(INBOX_PARKED_KEYS, "", "subscriber"),
                )],
            )
            .bad_above(1.0),
            lines(
                "Keys and jobs that are dead",
                "short",
                "above 0: each waits for a decision.",
                "KeysDead",
                [
                    line("{{subscriber}}", sum(INBOX_DEAD_KEYS, "", "subscriber")),
                    line("{{target}}", max(INBOX_JOBS_DEAD_KEYS, "", "target")),
                ],
            )
            .bad_above(1.0),
            lines(
                "Rebalances, in a quarter of an hour",
                "short",
                "more than starts and stops explain: a consumer comes and goes.",
                "Rebalancing",
                [line(
                    "{{subscriber}}",
                    sum(
                        &format!("increase({INBOX_REBALANCES}[15m])"),
                        "",
                        "subscriber",
                    ),
                )],
            )
            .bad_above(20.0),
        ],
    )
}

fn relays() -> Row {
    row(
        "Relays",
        [
            lines(
                "Published",
                "ops",
                "nothing, while requests change things.",
                "OutboxStalled",
                [line("{{job}}", rate(OUTBOX_PUBLISHED, "", "job"))],
            ),
            lines(
                "From a row to Kafka, p99",
                "s",
                "above a second without a load: Kafka answers slowly.",
                "OutboxStalled",
                [line(
                    "{{job}}",
                    quantile("0.99", OUTBOX_PUBLISH_DELAY, "", "job"),
                )],
            )
            .bad_above(1.0),
            lines(
                "Replicas that publish",
                "short",
                "0: nobody does. 2: only for the moment of a take-over.",
                "OutboxLeaseless",
                [line("{{job}}", sum(OUTBOX_LEASE_HELD, "", "job"))],
            )
            .bad_below(1.0),
            lines(
                "Failures of relays, in a quarter of an hour",
                "short",
                "`kafka` or `database` that goes on: that one is away. `lease`: replicas take it from each other.",
                "OutboxFailing",
                [line(
                    "{{job}} {{kind}}",
                    or_zero_by_job(
                        sum(&format!("increase({OUTBOX_RELAY_FAILURES}[15m])"), "", "job, kind"),
                        "",
                    ),
                )],
            )
            .bad_above(10.0),
        ],
    )
}

fn slots() -> Row {
    row(
        "The outbox table",
        [
            lines(
                "Relays that wait for an operator",
                "short",
                "1: nothing is published until somebody decides.",
                "OutboxHalted",
                [line(
                    "{{job}} {{kind}}",
                    or_zero_by_job(max(OUTBOX_RELAY_HALTED, "", "job, kind"), ""),
                )],
            )
            .bad_above(1.0),
            lines(
                "Slot that is written",
                "short",
                "the same number for hours under load.",
                "OutboxRotationBlocked",
                [line("{{job}}", max(OUTBOX_CURRENT_SLOT, "", "job"))],
            ),
            lines(
                "Next slot cannot be emptied",
                "short",
                "1 for more than some minutes: a transaction that wrote events is open, and the table grows.",
                "OutboxRotationBlocked",
                [line("{{job}}", max(OUTBOX_ROTATION_BLOCKED, "", "job"))],
            )
            .bad_above(1.0),
            lines(
                "Transactions since the oldest that still writes",
                "short",
                "a number that grows and does not fall: a transaction is left open.",
                "TransactionLeftOpen",
                [line("{{job}}", max(OUTBOX_XMIN_AGE, "", "job"))],
            )
            .bad_above(10_000.0),
        ],
    )
}

fn subscribers() -> Row {
    row(
        "Subscribers",
        [
            lines(
                "Repeats that were dropped",
                "ops",
                "many, for long: a relay publishes the same again and again.",
                "OutboxFailing",
                [line(
                    "{{subscriber}}",
                    or_zero(rate(INBOX_EVENTS, "outcome='repeat'", "subscriber")),
                )],
            ),
            lines(
                "Keys that were parked, in an hour",
                "short",
                "`gap`: an event is missing. `refused`: an event that cannot take effect. `undecodable`: a record that is not ours.",
                "KeysParked",
                [line(
                    "{{subscriber}} {{cause}}",
                    or_zero(sum(&format!("increase({INBOX_PARKED}[1h])"), "", "subscriber, cause")),
                )],
            )
            .bad_above(1.0),
            lines(
                "Batches that did not count",
                "ops",
                "`failed`: the events database is away. `fenced`: two consumers had one partition for a moment.",
                "InboxLagging",
                [
                    line(
                        "failed {{subscriber}}",
                        or_zero(rate(INBOX_FAILED_BATCHES, "", "subscriber")),
                    ),
                    line(
                        "fenced {{subscriber}}",
                        or_zero(rate(INBOX_FENCED, "", "subscriber")),
                    ),
                ],
            ),
            lines(
                "Partitions that stand still",
                "short",
                "1: its offset does not fit the topic, and nothing of it is read.",
                "PartitionStopped",
                [line(
                    "{{subscriber}} {{topic}}",
                    max(INBOX_PARTITION_STOPPED, "", "subscriber, topic"),
                )],
            )
            .bad_above(1.0),
        ],
    )
}
