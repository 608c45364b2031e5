//! What the gateway measures. Handles are looked up once and kept where they are used.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use grimoire_proto::Reason;
use http::Method;
use telemetry::metrics::{self, SECONDS};
use telemetry::names;
use telemetry::prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};
use telemetry::prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

use crate::listener::HandshakeFailure;
use crate::places::Full;
use crate::serving::Serving;

const REQUEST_LABELS: [&str; 3] = [
    "http_request_method",
    "http_route",
    "http_response_status_code",
];
const CALL_LABELS: [&str; 2] = ["server_address", "rpc_response_status_code"];
const UPSTREAM_LABELS: [&str; 1] = ["server_address"];

/// Requests of one route.
pub(crate) struct RouteMetrics {
    method: String,
    route: String,
    ok: Histogram,
}

impl RouteMetrics {
    pub(crate) fn new(method: &Method, route: &str) -> Self {
        Self {
            method: method.as_str().to_owned(),
            route: route.to_owned(),
            ok: REQUESTS.with_label_values(&[method.as_str(), route, "200"]),
        }
    }

    /// Records an answer of this route.
    pub(crate) fn record(&self, status: u16, took: Duration) {
        if status == 200 {
            self.ok.observe(took.as_secs_f64());
        } else {
            observe(&self.method, &self.route, status, took);
        }
    }
}

/// Records an answer to a request that no route was found for.
pub(crate) fn unrouted(method: &Method, status: u16, took: Duration) {
    // A client may invent methods; the label may not grow with them.
    let method = match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => method.as_str(),
        _ => "_OTHER",
    };
    observe(method, "", status, took);
}

/// A request that is on its way or a connection that is open; counted while it lives.
pub(crate) struct Counted(&'static IntGauge);

impl Counted {
    pub(crate) fn request() -> Self {
        Self::begin(&IN_FLIGHT)
    }

    pub(crate) fn connection() -> Self {
        Self::begin(&CONNECTIONS)
    }

    fn begin(gauge: &'static IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts a connection that there was no place for.
pub(crate) fn connection_refused(full: Full) {
    let bound = match full {
        Full::Altogether => "altogether",
        Full::OneClient => "address",
    };
    CONNECTIONS_REFUSED.with_label_values(&[bound]).inc();
}

/// Counts a request that the gateway refused itself. Its reasons are those of the contracts, so the label is bounded.
pub(crate) fn refused(reason: &str) {
    REFUSALS.with_label_values(&[reason]).inc();
}

pub(crate) fn rate_limited(limit: &str) -> IntCounter {
    metrics::counter_vec(
        names::GATEWAY_RATE_LIMITED,
        "Requests over a limit",
        &["limit"],
    )
    .with_label_values(&[limit])
}

pub(crate) fn limit_keys(limit: &str) -> IntGauge {
    metrics::gauge_vec(
        names::GATEWAY_LIMIT_KEYS,
        "Clients whose budgets are remembered",
        &["limit"],
    )
    .with_label_values(&[limit])
}

pub(crate) fn limit_store_away() -> IntGauge {
    metrics::gauge(
        names::GATEWAY_LIMIT_STORE_AWAY,
        "Whether the store that limits are shared through is away; 0 where there is none",
    )
}

pub(crate) fn limit_fallbacks() -> IntCounter {
    metrics::counter(
        names::GATEWAY_LIMIT_FALLBACKS,
        "Times that a budget of this gateway alone decided, because the store of shared ones was away",
    )
}

/// Looks at access tokens: remembered, verified anew, or refused.
pub(crate) fn tokens(result: &str) -> IntCounter {
    metrics::counter_vec(
        names::GATEWAY_TOKENS,
        "Access tokens that were looked at",
        &["result"],
    )
    .with_label_values(&[result])
}

pub(crate) fn trust_age() -> Gauge {
    metrics::float_gauge(
        names::GATEWAY_TRUST_AGE,
        "Seconds since the database read that keys and revocations come from",
    )
}

pub(crate) fn trust_keys() -> IntGauge {
    metrics::gauge(
        names::GATEWAY_TRUST_KEYS,
        "Keys that access tokens are verified with",
    )
}

pub(crate) fn revocations() -> IntGauge {
    metrics::gauge(
        names::GATEWAY_REVOCATIONS,
        "Revocations that are remembered",
    )
}

/// Calls of one upstream.
pub(crate) fn upstream_calls() -> HistogramVec {
    let help = "Seconds from the first byte of a call to the last of its answer";
    metrics::histogram_vec(names::RPC_CLIENT_CALL_DURATION, help, &CALL_LABELS, SECONDS)
}

pub(crate) fn retries(upstream: &str) -> IntCounter {
    upstream_retries().with_label_values(&[upstream])
}

fn upstream_retries() -> IntCounterVec {
    metrics::counter_vec(
        names::GATEWAY_RETRIES,
        "Tries of calls after their first",
        &UPSTREAM_LABELS,
    )
}

/// Addresses of one upstream that are passed over.
pub(crate) fn ejected(upstream: &str) -> IntGauge {
    upstream_ejected().with_label_values(&[upstream])
}

fn upstream_ejected() -> IntGaugeVec {
    metrics::gauge_vec(
        names::GATEWAY_EJECTED,
        "Addresses of a service that are passed over",
        &UPSTREAM_LABELS,
    )
}

pub(crate) fn ejections(upstream: &str) -> IntCounter {
    upstream_ejections().with_label_values(&[upstream])
}

fn upstream_ejections() -> IntCounterVec {
    metrics::counter_vec(
        names::GATEWAY_EJECTIONS,
        "Times that an address of a service was passed over",
        &UPSTREAM_LABELS,
    )
}

pub(crate) fn hung_calls() -> IntCounter {
    metrics::counter(
        names::GATEWAY_HUNG_CALLS,
        "gRPC calls that were ended because nothing else ended them",
    )
}

pub(crate) fn slow_clients() -> IntCounter {
    metrics::counter(
        names::GATEWAY_SLOW_CLIENTS,
        "Requests and connections that were ended because their client did not go on",
    )
}

pub(crate) fn floods() -> IntCounter {
    metrics::counter(
        names::GATEWAY_FLOODS,
        "Connections that were ended because of frames that were no part of a request",
    )
}

/// Counts a connection that was to be encrypted and was not.
pub(crate) fn handshake_failed(failure: HandshakeFailure) {
    HANDSHAKES_FAILED.with_label_values(&[failure.name()]).inc();
}

/// Says from when to when the certificate is valid, in seconds since 1970.
pub(crate) fn certificate_valid(begin: i64, end: i64) {
    let help = "When the certificate begins to be valid, in seconds since 1970";
    metrics::gauge(names::GATEWAY_CERTIFICATE_BEGIN, help).set(begin);
    let help = "When the certificate expires, in seconds since 1970";
    metrics::gauge(names::GATEWAY_CERTIFICATE_END, help).set(end);
}

/// Says which plan is in force.
pub(crate) fn plan(serving: &Serving) {
    let hash = serving.plan.hash.as_str();
    let plans = metrics::gauge_vec(
        names::GATEWAY_PLAN,
        "The routing plan in use; always 1",
        &["hash"],
    );
    plans.with_label_values(&[hash]).set(1);
    retain(&plans, &["hash"], |labels| labels == [hash]);
}

/// What became of a change of the folder of contracts.
pub(crate) enum Reload {
    Applied,
    Refused,
}

/// Counts it, and says whether what the folder has is in force.
pub(crate) fn reloaded(outcome: Reload) {
    let (outcome, refused) = match outcome {
        Reload::Applied => ("applied", 0),
        Reload::Refused => ("refused", 1),
    };
    RELOADS.with_label_values(&[outcome]).inc();
    PLAN_REFUSED.set(refused);
}

/// Forgets the series of routes and upstreams that are not served. Reloads, also those that were refused, would pile them up.
pub(crate) fn forget_but(serving: &Serving) {
    let routes = serving.plan.metric_names();
    // What no route was found for has an empty one.
    retain(&REQUESTS, &REQUEST_LABELS, |labels| {
        labels[1].is_empty() || routes.contains(labels[1])
    });
    let upstreams: HashSet<&str> = serving.targets.names().collect();
    let served = |labels: &[&str]| upstreams.contains(labels[0]);
    retain(&upstream_calls(), &CALL_LABELS, served);
    retain(&upstream_retries(), &UPSTREAM_LABELS, served);
    retain(&upstream_ejected(), &UPSTREAM_LABELS, served);
    retain(&upstream_ejections(), &UPSTREAM_LABELS, served);
}

fn retain<B: MetricVecBuilder>(
    metric: &MetricVec<B>,
    names: &[&str],
    keep: impl Fn(&[&str]) -> bool,
) {
    for family in metric.collect() {
        for series in family.get_metric() {
            let labels = series.get_label();
            let value = |name: &&str| {
                let label = labels.iter().find(|label| label.name() == *name);
                label.map_or("", |label| label.value())
            };
            let values: Vec<&str> = names.iter().map(value).collect();
            if !keep(&values) {
                // Nobody else removes any.
                let _ = metric.remove_label_values(&values);
            }
        }
    }
}

/// Makes the series of every reason that the gateway gives itself, so that each starts at 0.
pub(crate) fn prepare() {
    for reason in [
        Reason::RouteNotFound,
        Reason::MethodNotAllowed,
        Reason::MalformedRequest,
        Reason::MalformedJson,
        Reason::UnknownField,
        Reason::InvalidField,
        Reason::BodyTooLarge,
        Reason::UnsupportedMediaType,
        Reason::TokenMissing,
        Reason::TokenInvalid,
        Reason::TokenExpired,
        Reason::TokenRevoked,
        Reason::TokenOutdated,
        Reason::TrustStale,
        Reason::RecentLoginRequired,
        Reason::RoleRequired,
        Reason::ScopeRequired,
        Reason::RateLimited,
        Reason::Overloaded,
        Reason::Unavailable,
        Reason::DeadlineExceeded,
        Reason::Internal,
    ] {
        REFUSALS.with_label_values(&[reason.name()]);
    }
    for bound in ["altogether", "address"] {
        CONNECTIONS_REFUSED.with_label_values(&[bound]);
    }
    for outcome in ["applied", "refused"] {
        RELOADS.with_label_values(&[outcome]);
    }
    LazyLock::force(&PLAN_REFUSED);
    hung_calls();
    slow_clients();
    floods();
    limit_store_away();
    limit_fallbacks();
    for failure in HandshakeFailure::ALL {
        HANDSHAKES_FAILED.with_label_values(&[failure.name()]);
    }
    LazyLock::force(&IN_FLIGHT);
    LazyLock::force(&CONNECTIONS);
}

static REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram_vec(
        names::HTTP_SERVER_REQUEST_DURATION,
        "Seconds from a request to its answer",
        &REQUEST_LABELS,
        SECONDS,
    )
});
static RELOADS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter_vec(
        names::GATEWAY_PLAN_RELOADS,
        "Changes of the folder of contracts",
        &["outcome"],
    )
});
static PLAN_REFUSED: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(
        names::GATEWAY_PLAN_REFUSED,
        "Whether what the folder of contracts has is refused, and a plan before it in force",
    )
});
static REFUSALS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter_vec(
        names::GATEWAY_REFUSALS,
        "Requests that the gateway refused itself",
        &["reason"],
    )
});
static IN_FLIGHT: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(
        names::HTTP_SERVER_ACTIVE_REQUESTS,
        "Requests that are on their way",
    )
});
static CONNECTIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(
        names::GATEWAY_CONNECTIONS,
        "Connections of clients that are open",
    )
});
static CONNECTIONS_REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter_vec(
        names::GATEWAY_CONNECTIONS_REFUSED,
        "Connections that were closed at once because there were too many",
        &["bound"],
    )
});
static HANDSHAKES_FAILED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter_vec(
        names::GATEWAY_HANDSHAKES_FAILED,
        "Connections that were to be encrypted and were not",
        &["reason"],
    )
});

fn observe(method: &str, route: &str, status: u16, took: Duration) {
    let mut digits = [0; 5];
    REQUESTS
        .with_label_values(&[method, route, decimal(status, &mut digits)])
        .observe(took.as_secs_f64());
}

/// A number as text, without an allocation.
fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &str {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[first..]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_as_it_is_written() {
        for number in [0, 7, 200, 404, u16::MAX] {
            assert_eq!(decimal(number, &mut [0; 5]), number.to_string());
        }
    }
}
