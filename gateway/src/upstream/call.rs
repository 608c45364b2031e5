//! One unary call, with its deadline, and more tries where that is safe. `answers` begins a call in the same way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chassis::grpc::code_name;
use http::HeaderValue;
use telemetry::prometheus::{Histogram, HistogramVec, IntCounter};
use tonic::{Code, Status};

use super::broken::Broken;
use super::{Tries, Upstream, unary};
use crate::metrics;
use crate::plan::Route;

/// Largest message of an answer.
pub(super) const LARGEST: usize = 16 << 20;

/// What a service is told beside the message, by names in lower case.
pub(crate) type Metadata = Vec<(&'static str, HeaderValue)>;

/// What is called with what, until when.
pub(crate) struct Call<'a> {
    pub(crate) route: &'a Route,
    pub(crate) metadata: Metadata,
    pub(crate) message: Bytes,
    /// None for a stream that ends when either side ends it.
    pub(crate) deadline: Option<Instant>,
}

pub(super) struct CallMetrics {
    ok: Histogram,
    calls: HistogramVec,
    retries: IntCounter,
}

impl CallMetrics {
    pub(super) fn new(upstream: &str) -> Self {
        let calls = metrics::upstream_calls();
        Self {
            ok: calls.with_label_values(&[upstream, "OK"]),
            retries: metrics::retries(upstream),
            calls,
        }
    }

    /// A call is sent once more.
    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    pub(super) fn observe(&self, upstream: &str, code: Code, took: Duration) {
        let took = took.as_secs_f64();
        match code {
            Code::Ok => self.ok.observe(took),
            code => self
                .calls
                .with_label_values(&[upstream, code_name(code)])
                .observe(took),
        }
    }
}

impl Upstream {
    /// Makes the call. Sent again, on another connection, when a try was provably not processed, or when the contract says that
    /// repeating does no harm and the connection failed; [`Tries`] says how often.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Bytes, Status> {
        let begun = Instant::now();
        let mut tries = Tries::of(self);
        let outcome = loop {
            match self.attempt(&call, tries.next().await).await {
                Err(status) if self.tries_again(&call, &status, &mut tries) => {}
                outcome => break outcome,
            }
        };
        let code = outcome.as_ref().err().map_or(Code::Ok, Status::code);
        self.metrics.observe(&self.name, code, begun.elapsed());
        outcome
    }

    /// Whether a call that has failed like this is sent again.
    pub(super) fn tries_again(&self, call: &Call<'_>, status: &Status, tries: &mut Tries) -> bool {
        let Some(broken) = Broken::of(status) else {
            return false;
        };
        let repeatable = call.route.repeatable;
        let again = tries.again(self, broken.processed, repeatable, call.remaining());
        if again {
            tracing::debug!(upstream = self.name, rpc = call.route.name, %status, "another try");
        }
        again
    }

    async fn attempt(&self, call: &Call<'_>, turn: usize) -> Result<Bytes, Status> {
        let place = self.place(turn)?;
        let request = unary::Request {
            path: call.route.path.as_str(),
            metadata: &call.metadata,
            timeout: call.timeout(),
            message: &call.message,
        };
        let outcome = call.in_time(place.unary.call(&request)).await;
        self.note(place.address, outcome.as_ref().err());
        outcome
    }
}

impl Call<'_> {
    /// What is left, as services are told.
    pub(super) fn timeout(&self) -> Option<HeaderValue> {
        self.deadline.map(|_| grpc_timeout(self.remaining()))
    }

    /// What `attempt` comes to before the deadline.
    pub(super) async fn in_time<T>(
        &self,
        attempt: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        match tokio::time::timeout(self.remaining(), attempt).await {
            // The service has its own timer for the same deadline, as tonic has, which calls it cancelled.
            Ok(Err(_)) if self.remaining().is_zero() => Err(late()),
            Ok(outcome) => outcome,
            Err(_) => Err(late()),
        }
    }

    fn remaining(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    }
}

pub(super) fn late() -> Status {
    Status::deadline_exceeded("the deadline passed")
}

/// At most eight digits, so milliseconds suffice for a day.
pub(crate) fn grpc_timeout(left: Duration) -> HeaderValue {
    let text = format!("{}m", left.as_millis().clamp(1, 99_999_999));
    HeaderValue::from_maybe_shared(Bytes::from(text))
        .unwrap_or_else(|_| HeaderValue::from_static("1m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        assert_eq!(grpc_timeout(Duration::from_millis(1500)), "1500m");
        assert_eq!(grpc_timeout(Duration::ZERO), "1m");
        assert_eq!(grpc_timeout(Duration::MAX).len(), 9);
    }
}
