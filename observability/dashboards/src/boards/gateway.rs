//! The edge: what clients get, what is refused, and how old its knowledge of tokens is.

use telemetry::names::*;

use super::rows;
use crate::panel::{Dashboard, Row, line, lines, row};
use crate::query::*;
use crate::rules::slo::{AVAILABILITY, LATENCY};

const JOB: &str = "job='gateway'";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "gateway",
        title: "Gateway",
        about: "The edge: what clients get, what is refused, and how old its knowledge of tokens is.",
        rows: vec![
            first_sight(),
            upstreams(),
            tokens(),
            connections(),
            encryption(),
            routes(),
            rows::process(JOB),
        ],
    }
}

fn first_sight() -> Row {
    row(
        "At first sight",
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
                        JOB,
                        "http_response_status_code",
                    ),
                )],
            ),
            lines(
                "Share of 5xx",
                "percentunit",
                "above 0.1 %: more than the objective allows.",
                "GatewayErrorsBurnFast",
                [line(
                    "5xx",
                    share(
                        &format!("{HTTP_SERVER_REQUEST_DURATION}_count"),
                        "http_response_status_code=~'5..'",
                        JOB,
                        "",
                    ),
                )],
            )
            .bad_above(0.001),
            lines(
                "Time to an answer",
                "s",
                "a p99 above 250 ms.",
                "GatewayLatencyBurnFast",
                rows::percentiles(HTTP_SERVER_REQUEST_DURATION, JOB),
            )
            .bad_above(0.25),
            lines(
                "Answers 429, by limit",
                "reqps",
                "`credentials`: somebody guesses passwords. `search`: somebody collects people. `address`: one client sends too much, or a proxy in front is not trusted and all clients share its budget.",
                "PasswordGuessing",
                [line("{{limit}}", rate(GATEWAY_RATE_LIMITED, JOB, "limit"))],
            ),
            lines(
                "Refusals by reason",
                "reqps",
                "TRUST_STALE, UNAVAILABLE, OVERLOADED, DEADLINE_EXCEEDED or INTERNAL: these are ours; the others are the clients'.",
                "UpstreamFailing",
                [line(
                    "{{reason}}",
                    format!("topk(8, {})", rate(GATEWAY_REFUSALS, JOB, "reason")),
                )],
            ),
            lines(
                "Age of what it trusts",
                "s",
                "above 5 s: it may not know of a revocation.",
                "TrustStale",
                [line(
                    "{{instance}}",
                    max(GATEWAY_TRUST_AGE, JOB, "instance"),
                )],
            )
            .bad_above(5.0),
            lines(
                "Requests under way",
                "short",
                "a number that grows and does not fall: a process behind it hangs.",
                "UpstreamFailing",
                [line(
                    "{{instance}}",
                    sum(HTTP_SERVER_ACTIVE_REQUESTS, JOB, "instance"),
                )],
            ),
            lines(
                "Burn of the budgets",
                "short",
                "above 14.4 in both windows: 2 % of a month's budget is gone in an hour.",
                "GatewayErrorsBurnFast",
                [
                    line(
                        "errors 5m",
                        format!("{} / {}", AVAILABILITY.ratio("5m"), AVAILABILITY.budget),
                    ),
                    line(
                        "errors 1h",
                        format!("{} / {}", AVAILABILITY.ratio("1h"), AVAILABILITY.budget),
                    ),
                    line(
                        "slow 5m",
                        format!("{} / {}", LATENCY.ratio("5m"), LATENCY.budget),
                    ),
                    line(
                        "slow 1h",
                        format!("{} / {}", LATENCY.ratio("1h"), LATENCY.budget),
                    ),
                ],
            )
            .bad_above(14.4),
        ],
    )
}

fn upstreams() -> Row {
    let mut row = rows::called(JOB);
    row.panels.push(lines(
        "Addresses that are passed over",
        "short",
        "any for longer than a minute: a replica that is announced and cannot be reached. `again`: how often in a second one was.",
        "UpstreamFailing",
        [
            line(
                "{{server_address}}",
                max(GATEWAY_EJECTED, JOB, "server_address"),
            ),
            line(
                "again {{server_address}}",
                rate(GATEWAY_EJECTIONS, JOB, "server_address"),
            ),
        ],
    ));
    row
}

fn tokens() -> Row {
    row(
        "Tokens and trust",
        [
            lines(
                "Access tokens that were looked at",
                "ops",
                "`refused` that grows: clients with old tokens, or somebody who tries. `verified` near `remembered`: the cache is too small.",
                "UpstreamFailing",
                [line("{{result}}", rate(GATEWAY_TOKENS, JOB, "result"))],
            ),
            lines(
                "Keys that tokens are verified with",
                "short",
                "fewer than 2: auth has no key in reserve.",
                "TrustStale",
                [line(
                    "{{instance}}",
                    max(GATEWAY_TRUST_KEYS, JOB, "instance"),
                )],
            )
            .bad_below(2.0),
            lines(
                "Revocations that are remembered",
                "short",
                "replicas that differ for longer than a second.",
                "TrustStale",
                [line(
                    "{{instance}}",
                    max(GATEWAY_REVOCATIONS, JOB, "instance"),
                )],
            ),
            lines(
                "Routing plans",
                "short",
                "two plans for longer than a deployment takes, or a changed folder of contracts to reach every gateway.",
                "PlanRefused",
                [line("{{hash}}", sum(GATEWAY_PLAN, JOB, "hash"))],
            ),
            lines(
                "Changes of the folder of contracts",
                "ops",
                "`refused`: what the folder has is not served.",
                "PlanRefused",
                [line(
                    "{{outcome}}",
                    rate(GATEWAY_PLAN_RELOADS, JOB, "outcome"),
                )],
            ),
            lines(
                "Gateways that refuse the folder of contracts",
                "short",
                "above 0: a plan before it is in force.",
                "PlanRefused",
                [line(
                    "{{instance}}",
                    max(GATEWAY_PLAN_REFUSED, JOB, "instance"),
                )],
            )
            .bad_above(0.0),
        ],
    )
}

fn connections() -> Row {
    row(
        "Clients",
        [
            lines(
                "Open connections",
                "short",
                "near `GRIMOIRE_MAX_CONNECTIONS`.",
                "ConnectionsRefused",
                [line(
                    "{{instance}}",
                    sum(GATEWAY_CONNECTIONS, JOB, "instance"),
                )],
            ),
            lines(
                "Connections that were refused",
                "ops",
                "`altogether`: there is no place for anybody. `address`: one client opens too many.",
                "ConnectionsRefused",
                [line(
                    "{{bound}}",
                    rate(GATEWAY_CONNECTIONS_REFUSED, JOB, "bound"),
                )],
            ),
            lines(
                "Slow clients, floods, and calls that hung",
                "ops",
                "`slow`: somebody holds connections open on purpose. `flood`: somebody sends frames that ask for nothing. `hung`: a service does not keep its deadlines.",
                "ConnectionsRefused",
                [
                    line("slow", rate(GATEWAY_SLOW_CLIENTS, JOB, "")),
                    line("flood", rate(GATEWAY_FLOODS, JOB, "")),
                    line("hung", rate(GATEWAY_HUNG_CALLS, JOB, "")),
                    line(
                        "sent again to {{server_address}}",
                        rate(GATEWAY_RETRIES, JOB, "server_address"),
                    ),
                ],
            ),
            lines(
                "Clients whose budgets are remembered",
                "short",
                "near `GRIMOIRE_LIMIT_KEYS`: above it, clients of one network share a budget.",
                "ConnectionsRefused",
                [line("{{limit}}", max(GATEWAY_LIMIT_KEYS, JOB, "limit"))],
            ),
            lines(
                "Limits that are not shared",
                "short",
                "`away` above 0: the store of shared limits does not answer, and each gateway counts for itself. `alone`: how often it had to, in a second.",
                "LimitsNotShared",
                [
                    line(
                        "away from {{instance}}",
                        max(GATEWAY_LIMIT_STORE_AWAY, JOB, "instance"),
                    ),
                    line("alone", rate(GATEWAY_LIMIT_FALLBACKS, JOB, "")),
                ],
            ),
        ],
    )
}

fn encryption() -> Row {
    row(
        "TLS, where the gateway ends it",
        [
            lines(
                "Handshakes that failed",
                "ops",
                "`refused`: clients do not want the certificate. `incompatible`: they are too old. `full`, `timeout`: somebody begins and does not go on.",
                "CertificateEnding",
                [line(
                    "{{reason}}",
                    rate(GATEWAY_HANDSHAKES_FAILED, JOB, "reason"),
                )],
            ),
            lines(
                "Time until the certificate expires",
                "s",
                "less than a fifth of its time: it was not renewed.",
                "CertificateEnding",
                [
                    line(
                        "{{instance}}",
                        format!("{} - time()", max(GATEWAY_CERTIFICATE_END, JOB, "instance")),
                    ),
                    line(
                        "{{instance}}, a fifth of its time",
                        format!(
                            "({} - {}) / 5",
                            max(GATEWAY_CERTIFICATE_END, JOB, "instance"),
                            max(GATEWAY_CERTIFICATE_BEGIN, JOB, "instance")
                        ),
                    ),
                ],
            ),
        ],
    )
}

fn routes() -> Row {
    row(
        "Routes",
        [
            lines(
                "Requests",
                "reqps",
                "a route that falls silent, or one that grows without a cause.",
                "GatewayErrorsBurnSlow",
                [line(
                    "{{http_request_method}} {{http_route}}",
                    format!(
                        "topk(8, {})",
                        calls(
                            HTTP_SERVER_REQUEST_DURATION,
                            JOB,
                            "http_request_method, http_route"
                        ),
                    ),
                )],
            ),
            lines(
                "Share of 5xx",
                "percentunit",
                "one route that stands out: the process behind it is the cause.",
                "GatewayErrorsBurnSlow",
                [line(
                    "{{http_route}}",
                    format!(
                        "topk(8, {})",
                        share(
                            &format!("{HTTP_SERVER_REQUEST_DURATION}_count"),
                            "http_response_status_code=~'5..'",
                            JOB,
                            "http_route",
                        ),
                    ),
                )],
            )
            .bad_above(0.01),
            lines(
                "Time to an answer, p95",
                "s",
                "one route that stands out; those that check passwords wait for the hash.",
                "GatewayLatencyBurnSlow",
                [line(
                    "{{http_route}}",
                    format!(
                        "topk(8, {})",
                        quantile("0.95", HTTP_SERVER_REQUEST_DURATION, JOB, "http_route"),
                    ),
                )],
            )
            .bad_above(0.25),
        ],
    )
}
