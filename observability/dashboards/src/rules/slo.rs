//! The two promises to clients. Each is measured as the share of bad answers within windows, and alerts by how fast that share uses the
//! budget up: fast in a short and a long window calls somebody, slowly makes a ticket (Google's SRE Workbook, chapter 5).

use telemetry::names::HTTP_SERVER_REQUEST_DURATION;

use super::{Rule, RuleFile, Severity, alert};

/// A promise.
pub(crate) struct Objective {
    /// What is bad, as it stands in the names of series.
    pub(crate) bad: &'static str,
    /// Share of answers that may be bad.
    pub(crate) budget: &'static str,
    /// The alert of a fast burn.
    pub(crate) fast: &'static str,
    /// The alert of a slow one.
    pub(crate) slow: &'static str,
    /// What its alerts say.
    said: [&'static str; 2],
}

/// 99.9 % of answers are no 5xx.
pub(crate) const AVAILABILITY: Objective = Objective {
    bad: "gateway_errors",
    budget: "0.001",
    fast: "GatewayErrorsBurnFast",
    slow: "GatewayErrorsBurnSlow",
    said: [
        "5xx use up a month's budget within days",
        "5xx use up a month's budget before the month ends",
    ],
};

/// 99 % of answers come within 250 ms.
pub(crate) const LATENCY: Objective = Objective {
    bad: "gateway_slow",
    budget: "0.01",
    fast: "GatewayLatencyBurnFast",
    slow: "GatewayLatencyBurnSlow",
    said: [
        "Slow answers use up a month's budget within days",
        "Slow answers use up a month's budget before the month ends",
    ],
};

const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// Streams of health and reflection last as long as their client likes.
const NO_STREAMS: &str = "http_route!~'grpc[.].*'";

pub(super) fn file() -> RuleFile {
    let mut rules = Vec::new();
    for window in WINDOWS {
        rules.push(Rule::Record {
            name: AVAILABILITY.ratio(window),
            expr: format!(
                "(sum(rate({HTTP_SERVER_REQUEST_DURATION}_count{{job='gateway', http_response_status_code=~'5..'}}[{window}])) or vector(0))\n/ (sum(rate({HTTP_SERVER_REQUEST_DURATION}_count{{job='gateway'}}[{window}])) > 0)"
            ),
        });
        rules.push(Rule::Record {
            name: LATENCY.ratio(window),
            expr: format!(
                "1 - sum(rate({HTTP_SERVER_REQUEST_DURATION}_bucket{{job='gateway', {NO_STREAMS}, le='0.25'}}[{window}]))\n/ (sum(rate({HTTP_SERVER_REQUEST_DURATION}_count{{job='gateway', {NO_STREAMS}}}[{window}])) > 0)"
            ),
        });
    }
    for objective in [&AVAILABILITY, &LATENCY] {
        rules.push(alert(
            objective.fast,
            objective.burns(["14.4", "5m", "1h"], ["6", "30m", "6h"]),
            "2m",
            Severity::Page,
            objective.said[0],
        ));
        rules.push(alert(
            objective.slow,
            objective.burns(["3", "2h", "1d"], ["1", "6h", "3d"]),
            "15m",
            Severity::Ticket,
            objective.said[1],
        ));
    }
    RuleFile { name: "slo", rules }
}

impl Objective {
    /// The series of the share of bad answers within a window.
    pub(crate) fn ratio(&self, window: &str) -> String {
        format!("slo:{}:ratio_rate{window}", self.bad)
    }

    /// Either pair of windows shows a burn of that many times the budget.
    fn burns(&self, one: [&str; 3], other: [&str; 3]) -> String {
        let pair = |[factor, short, long]: [&str; 3]| {
            let (short, long) = (self.ratio(short), self.ratio(long));
            let budget = self.budget;
            format!("({short} > {factor} * {budget} and {long} > {factor} * {budget})")
        };
        format!("{}\nor\n{}", pair(one), pair(other))
    }
}
