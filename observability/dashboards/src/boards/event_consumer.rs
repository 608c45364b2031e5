//! What events lead to: subscribers, jobs, and those who are called for them.

use telemetry::names::*;

use super::rows;
use crate::panel::{Dashboard, Row, line, lines, row};
use crate::query::*;

const JOB: &str = "job='event-consumer'";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "event-consumer",
        title: "Event consumer",
        about: "What events lead to: how far its subscribers are, which keys wait, and how its jobs end.",
        rows: vec![
            first_sight(),
            rows::called(JOB),
            rows::served(JOB),
            rows::database(JOB),
            rows::process(JOB),
        ],
    }
}

fn first_sight() -> Row {
    row(
        "At first sight",
        [
            lines(
                "Records settled",
                "ops",
                "nothing, while there is lag; `behind` that grows: a key stands still and its records queue.",
                "InboxLagging",
                [line(
                    "{{subscriber}} {{outcome}}",
                    rate(INBOX_EVENTS, JOB, "subscriber, outcome"),
                )],
            ),
            lines(
                "Lag",
                "short",
                "a number that grows: effects are late.",
                "InboxLagging",
                [line(
                    "{{subscriber}}",
                    sum(INBOX_LAG_RECORDS, JOB, "subscriber"),
                )],
            ),
            lines(
                "From a change to its effect, p99",
                "s",
                "above 5 s.",
                "EffectsLate",
                [line(
                    "{{subscriber}}",
                    quantile("0.99", INBOX_COMMIT_TO_EFFECT_SECONDS, JOB, "subscriber"),
                )],
            )
            .bad_above(5.0),
            lines(
                "Keys that stand still",
                "short",
                "`dead` above 0: it waits for a decision.",
                "KeysDead",
                [
                    line(
                        "parked {{subscriber}}",
                        sum(INBOX_PARKED_KEYS, JOB, "subscriber"),
                    ),
                    line(
                        "dead {{subscriber}}",
                        sum(INBOX_DEAD_KEYS, JOB, "subscriber"),
                    ),
                ],
            )
            .bad_above(1.0),
            lines(
                "Tries of jobs",
                "ops",
                "`retry`: the target is away. `failed`: it refuses the job. `skipped` for mails: addresses that a server refuses for good.",
                "JobsLate",
                [line(
                    "{{target}} {{outcome}}",
                    rate(INBOX_JOBS_FINISHED, JOB, "target, outcome"),
                )],
            ),
            lines(
                "Jobs that wait",
                "short",
                "a number that grows.",
                "JobsLate",
                [line("{{target}}", max(INBOX_JOBS, JOB, "target"))],
            ),
            lines(
                "Oldest job",
                "s",
                "above five minutes: mails, profiles or activities wait for their target.",
                "JobsLate",
                [line(
                    "{{target}}",
                    max(INBOX_JOBS_AGE_SECONDS, JOB, "target"),
                )],
            )
            .bad_above(300.0),
            lines(
                "Keys with a dead job",
                "short",
                "above 0: a job was refused for good and waits for a decision.",
                "JobsDead",
                [line("{{target}}", max(INBOX_JOBS_DEAD_KEYS, JOB, "target"))],
            )
            .bad_above(1.0),
        ],
    )
}
