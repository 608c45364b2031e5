//! Sign-ins, refreshes, passwords, and what gateways are told.

use telemetry::names::*;

use super::rows;
use crate::panel::{Dashboard, Row, line, lines, row};
use crate::query::*;

const JOB: &str = "job='auth'";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "auth",
        title: "Auth",
        about: "Sign-ins, refreshes, the time and the queue of password hashes, and what gateways are told.",
        rows: vec![
            first_sight(),
            trust(),
            rows::served(JOB),
            rows::outbox(JOB),
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
                "Sign-ins",
                "ops",
                "`succeeded` that falls to nothing by day.",
                "PasswordGuessing",
                [line("{{outcome}}", rate(AUTH_LOGINS, JOB, "outcome"))],
            ),
            lines(
                "Sign-ins that were denied",
                "percentunit",
                "far above what is usual here: somebody guesses, or a client sends old passwords.",
                "PasswordGuessing",
                [line(
                    "denied",
                    share(AUTH_LOGINS, "outcome!='succeeded'", JOB, ""),
                )],
            )
            .bad_above(0.8),
            lines(
                "Refreshes",
                "ops",
                "`refused` or `overtaken` that grows: a client keeps its tokens badly.",
                "RefreshReuse",
                [line("{{outcome}}", rate(AUTH_REFRESHES, JOB, "outcome"))],
            ),
            lines(
                "Refresh tokens used again, in an hour",
                "short",
                "many at once: a client that stores tokens badly, or stolen ones. Each has ended its session, and its owner was told.",
                "RefreshReuse",
                [line(
                    "reuse",
                    sum(&format!("increase({AUTH_REFRESHES}{{{JOB}, outcome='reuse'}}[1h])"), "", ""),
                )],
            )
            .bad_above(10.0),
            lines(
                "One password hash",
                "s",
                "twice of what it was: the processor is shared with somebody.",
                "SignInsOverloaded",
                rows::percentiles(AUTH_PASSWORD_HASH_DURATION, JOB),
            ),
            lines(
                "Wait for a hash, p95",
                "s",
                "longer than a hash: more sign in than there are cores for.",
                "SignInsOverloaded",
                [line(
                    "p95",
                    quantile("0.95", AUTH_PASSWORD_WAIT_DURATION, JOB, ""),
                )],
            )
            .bad_above(0.25),
            lines(
                "Queue of hashes",
                "short",
                "`refused` above 0: sign-ins are answered 429 OVERLOADED.",
                "SignInsOverloaded",
                [
                    line("waiting", sum(AUTH_PASSWORD_QUEUE_LENGTH, JOB, "")),
                    line("refused in a second", rate(AUTH_PASSWORD_REFUSALS, JOB, "")),
                ],
            ),
            lines(
                "Keys that gateways verify with",
                "short",
                "fewer than 2: there is no key in reserve.",
                "TrustStale",
                [line("keys", format!("min({GATEWAY_TRUST_KEYS})"))],
            )
            .bad_below(2.0),
            lines(
                "Age of the signing key",
                "s",
                "above `GRIMOIRE_SIGNING_KEY_LIFETIME`, 30 days by default: keys do not take turns. auth's log says why, or a gateway does not acknowledge keys.",
                "TrustStale",
                [line("age", format!("max({AUTH_SIGNING_KEY_AGE})"))],
            ),
        ],
    )
}

fn trust() -> Row {
    row(
        "What gateways are told",
        [
            lines(
                "Gateways that follow",
                "short",
                "altogether fewer than there are gateways: one of them hears nothing.",
                "TrustStale",
                [line(
                    "{{instance}}",
                    sum(AUTH_TRUST_FOLLOWERS, JOB, "instance"),
                )],
            ),
            lines(
                "Reads that failed",
                "ops",
                "anything above 0 for more than a second: followers hear nothing meanwhile.",
                "TrustReadsFailing",
                [line("failed", rate(AUTH_TRUST_READ_FAILURES, JOB, ""))],
            ),
            lines(
                "Age of what gateways trust",
                "s",
                "above 5 s.",
                "TrustStale",
                [line("{{instance}}", max(GATEWAY_TRUST_AGE, "", "instance"))],
            )
            .bad_above(5.0),
            lines(
                "Mails that were not sent, in an hour",
                "short",
                "many: somebody registers addresses of others.",
                "PasswordGuessing",
                [line(
                    "capped",
                    sum(
                        &format!("increase({AUTH_MAILS_CAPPED}{{{JOB}}}[1h])"),
                        "",
                        "",
                    ),
                )],
            ),
        ],
    )
}
