//! The shapes that queries have, in PromQL. A `filter` is what stands between braces; `by` lists the labels that are kept, none for one
//! line.

use telemetry::names::READY;

/// The span of a rate in a panel. Grafana makes it fit the zoom and never shorter than four scrapes.
pub const STEP: &str = "$__rate_interval";

/// Failures that are ours, as gRPC names them; the others are the caller's.
pub(crate) const OURS: &str =
    "rpc_response_status_code=~'UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS'";

/// What a counter counts in a second.
pub(crate) fn rate(counter: &str, filter: &str, by: &str) -> String {
    sum(
        &format!("rate({}[{STEP}])", selected(counter, filter)),
        "",
        by,
    )
}

/// How often a histogram is observed in a second.
pub(crate) fn calls(histogram: &str, filter: &str, by: &str) -> String {
    rate(&format!("{histogram}_count"), filter, by)
}

/// The value of a histogram below which that share of its observations lies.
pub(crate) fn quantile(share: &str, histogram: &str, filter: &str, by: &str) -> String {
    let by = if by.is_empty() {
        "le".to_owned()
    } else {
        format!("le, {by}")
    };
    let buckets = rate(&format!("{histogram}_bucket"), filter, &by);
    format!("histogram_quantile({share}, {buckets})")
}

/// The share of a counter's `all` that is `bad`: 0 where there is nothing bad, nothing where there is nothing at all.
pub(crate) fn share(counter: &str, bad: &str, all: &str, by: &str) -> String {
    let bad = rate(counter, &both(all, bad), by);
    let all = rate(counter, all, by);
    format!("({bad} or 0 * {all}) / ({all} > 0)")
}

/// The sum of a gauge, or of any expression.
pub(crate) fn sum(gauge: &str, filter: &str, by: &str) -> String {
    aggregated("sum", gauge, filter, by)
}

/// The largest of a gauge.
pub(crate) fn max(gauge: &str, filter: &str, by: &str) -> String {
    aggregated("max", gauge, filter, by)
}

/// The expression, and 0 where it has no series: for counters that begin with the first event.
pub(crate) fn or_zero(expr: String) -> String {
    format!("{expr} or vector(0)")
}

/// The expression, and 0 for each process: for counters that begin with the first event.
pub(crate) fn or_zero_by_job(expr: String, filter: &str) -> String {
    format!("{expr} or 0 * {}", max(READY, filter, "job"))
}

/// Both filters.
pub(crate) fn both(one: &str, other: &str) -> String {
    match (one, other) {
        ("", only) | (only, "") => only.to_owned(),
        (one, other) => format!("{one}, {other}"),
    }
}

fn aggregated(how: &str, what: &str, filter: &str, by: &str) -> String {
    let what = selected(what, filter);
    if by.is_empty() {
        format!("{how}({what})")
    } else {
        format!("{how} by ({by}) ({what})")
    }
}

fn selected(metric: &str, filter: &str) -> String {
    if filter.is_empty() {
        metric.to_owned()
    } else {
        format!("{metric}{{{filter}}}")
    }
}
