//! The two promises to clients, and how fast their budgets burn.

use telemetry::names::*;

use crate::panel::{Dashboard, Row, line, lines, number, row};
use crate::query::*;
use crate::rules::slo::{AVAILABILITY, LATENCY, Objective};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "slo",
        title: "SLO",
        about: "99.9 % of answers are no 5xx, and 99 % come within 250 ms. A burn of 1 uses the budget up exactly.",
        rows: vec![
            objective("Answers without a 5xx", &AVAILABILITY),
            objective("Answers within 250 ms", &LATENCY),
            routes(),
        ],
    }
}

fn objective(title: &'static str, of: &Objective) -> Row {
    let burn = |window: &str| format!("{} / {}", of.ratio(window), of.budget);
    row(
        title,
        [
            number(
                "Share of three days",
                "percentunit",
                "below the objective.",
                of.slow,
                [line("share", format!("1 - {}", of.ratio("3d")))],
            ),
            number(
                "Budget left of three days",
                "percentunit",
                "below 0: more was spent than these days had. Then repairs go before changes.",
                of.slow,
                [line("left", format!("1 - {}", burn("3d")))],
            )
            .bad_below(0.0),
            lines(
                "Burn that calls somebody",
                "short",
                "5m and 1h above 14.4 (2 % of a month's budget in an hour), or 30m and 6h above 6.",
                of.fast,
                [
                    line("5m", burn("5m")),
                    line("30m", burn("30m")),
                    line("1h", burn("1h")),
                    line("6h", burn("6h")),
                ],
            )
            .bad_above(14.4),
            lines(
                "Burn that makes a ticket",
                "short",
                "2h and 1d above 3, or 6h and 3d above 1.",
                of.slow,
                [
                    line("2h", burn("2h")),
                    line("6h", burn("6h")),
                    line("1d", burn("1d")),
                    line("3d", burn("3d")),
                ],
            )
            .bad_above(3.0),
        ],
    )
}

fn routes() -> Row {
    let answers = format!("{HTTP_SERVER_REQUEST_DURATION}_count");
    let within = format!("{HTTP_SERVER_REQUEST_DURATION}_bucket");
    row(
        "Where it is spent",
        [
            lines(
                "5xx by route",
                "reqps",
                "one route that stands out: the process behind it is the cause.",
                "GatewayErrorsBurnFast",
                [line(
                    "{{http_route}}",
                    format!(
                        "topk(8, {} or 0 * {})",
                        rate(&answers, "http_response_status_code=~'5..'", "http_route"),
                        rate(&answers, "", "http_route"),
                    ),
                )],
            ),
            lines(
                "Slower than 250 ms by route",
                "reqps",
                "one route that stands out; those that check passwords wait for the hash.",
                "GatewayLatencyBurnFast",
                [line(
                    "{{http_route}}",
                    format!(
                        "topk(8, {} - {})",
                        rate(&answers, "", "http_route"),
                        rate(&within, "le='0.25'", "http_route"),
                    ),
                )],
            ),
            lines(
                "Time to an answer by route, p99",
                "s",
                "one route that stands out.",
                "GatewayLatencyBurnFast",
                [line(
                    "{{http_route}}",
                    format!(
                        "topk(8, {})",
                        quantile("0.99", HTTP_SERVER_REQUEST_DURATION, "", "http_route"),
                    ),
                )],
            )
            .bad_above(0.25),
        ],
    )
}
