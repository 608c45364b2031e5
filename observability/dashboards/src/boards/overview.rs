//! Whether all is well, and where to look when it is not.

use telemetry::names::*;

use super::rows;
use crate::elsewhere::*;
use crate::panel::{Dashboard, Row, line, lines, number, row};
use crate::query::*;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "overview",
        title: "Overview",
        about: "Whether all is well, and which dashboard says more.",
        rows: vec![now(), clients(), events(), processes()],
    }
}

fn now() -> Row {
    row(
        "Now",
        [
            number(
                "Answers without a 5xx, one hour",
                "percentunit",
                "below 99.9 %: the objective is missed at this rate.",
                "GatewayErrorsBurnFast",
                [line(
                    "answers",
                    "1 - slo:gateway_errors:ratio_rate1h".to_owned(),
                )],
            )
            .bad_below(0.999),
            number(
                "Answers within 250 ms, one hour",
                "percentunit",
                "below 99 %: the objective is missed at this rate.",
                "GatewayLatencyBurnFast",
                [line(
                    "answers",
                    "1 - slo:gateway_slow:ratio_rate1h".to_owned(),
                )],
            )
            .bad_below(0.99),
            number(
                "Processes that are ready",
                "short",
                "a process with fewer replicas than it should have.",
                "ProcessNotReady",
                [line("{{job}}", sum(READY, "", "job"))],
            )
            .bad_below(1.0),
            number(
                "Alerts that fire",
                "short",
                "any; its name is that of its runbook.",
                "README",
                [line(
                    "{{alertname}}",
                    or_zero(sum(ALERTS, "alertstate='firing'", "alertname")),
                )],
            )
            .bad_above(1.0),
        ],
    )
}

fn clients() -> Row {
    row(
        "What clients see",
        [
            lines(
                "Requests by status",
                "reqps",
                "5xx that is visible at all; silence at a time of day that is never silent.",
                "GatewayErrorsBurnFast",
                [line(
                    "{{http_response_status_code}}",
                    calls(
                        HTTP_SERVER_REQUEST_DURATION,
                        "",
                        "http_response_status_code",
                    ),
                )],
            ),
            lines(
                "Time to an answer",
                "s",
                "a p99 above 250 ms.",
                "GatewayLatencyBurnFast",
                rows::percentiles(HTTP_SERVER_REQUEST_DURATION, ""),
            )
            .bad_above(0.25),
            lines(
                "Sign-ins",
                "ops",
                "`refused` and `delayed` far above `succeeded`: somebody guesses.",
                "PasswordGuessing",
                [line("{{outcome}}", rate(AUTH_LOGINS, "", "outcome"))],
            ),
            lines(
                "Age of what gateways trust",
                "s",
                "above 5 s: a gateway may not know of a revocation.",
                "TrustStale",
                [line("{{instance}}", max(GATEWAY_TRUST_AGE, "", "instance"))],
            )
            .bad_above(5.0),
        ],
    )
}

fn events() -> Row {
    row(
        "What follows from it",
        [
            lines(
                "Oldest event that is not in Kafka",
                "s",
                "above a minute, or growing.",
                "OutboxStalled",
                [line("{{job}}", max(OUTBOX_OLDEST_UNPUBLISHED, "", "job"))],
            )
            .bad_above(60.0),
            lines(
                "From a change to its effect, p99",
                "s",
                "above 5 s: readers see old activities, mails are late.",
                "EffectsLate",
                [line(
                    "{{subscriber}}",
                    quantile("0.99", INBOX_COMMIT_TO_EFFECT_SECONDS, "", "subscriber"),
                )],
            )
            .bad_above(5.0),
            lines(
                "Keys that stand still",
                "short",
                "`dead` above 0: it waits for a decision. `parked` above 0 for an hour: it will.",
                "KeysDead",
                [
                    line(
                        "parked {{subscriber}}",
                        sum(INBOX_PARKED_KEYS, "", "subscriber"),
                    ),
                    line(
                        "dead {{subscriber}}",
                        sum(INBOX_DEAD_KEYS, "", "subscriber"),
                    ),
                ],
            )
            .bad_above(1.0),
            lines(
                "Oldest job",
                "s",
                "above five minutes: mails, profiles or activities wait for their target.",
                "JobsLate",
                [line(
                    "{{target}}",
                    max(INBOX_JOBS_AGE_SECONDS, "", "target"),
                )],
            )
            .bad_above(300.0),
        ],
    )
}

fn processes() -> Row {
    row(
        "Processes",
        [
            lines(
                "Reached by Prometheus",
                "short",
                "0: the process is gone, or its admin port cannot be reached.",
                "ProcessDown",
                [line("{{job}}", format!("min by (job) ({UP})"))],
            )
            .bad_below(1.0),
            lines(
                "Processor",
                "short",
                "as many seconds in a second as there are cores.",
                "GatewayLatencyBurnFast",
                [line(
                    "{{job}}",
                    format!("sum by (job) (rate({PROCESS_CPU}[5m]))"),
                )],
            ),
            lines(
                "Memory",
                "bytes",
                "growth over days without growth of traffic.",
                "ProcessRestarting",
                [line("{{job}}", sum(PROCESS_MEMORY, "", "job"))],
            ),
            lines(
                "Wait for a database connection, p99",
                "s",
                "more than some milliseconds.",
                "ConnectionsWaitedFor",
                [line(
                    "{{job}}",
                    quantile("0.99", DB_CONNECTION_WAIT, "", "job"),
                )],
            )
            .bad_above(0.1),
        ],
    )
}
