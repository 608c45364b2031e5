//! One unary call, with its deadline, and more tries where that is safe. `answers` begins a call in the same way.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chassis::grpc::code_name;
use http::{HeaderMap, HeaderValue};
use telemetry::prometheus::{Histogram, HistogramVec, IntCounter};
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Request, Status};

use super::bytes_codec::BytesCodec;
use super::{Tries, Upstream};
use crate::metrics;
use crate::plan::Route;

/// Largest message of an answer.
pub(super) const LARGEST: usize = 16 << 20;

/// What is called with what, until when.
pub(crate) struct Call<'a> {
    pub(crate) route: &'a Route,
    pub(crate) headers: HeaderMap,
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
        let channel = self.connected(turn)?;
        let outcome = call
            .in_time(unary(channel, call.request(), call.route))
            .await;
        self.note(&outcome);
        outcome
    }

    /// Remembers that the service takes calls, when it took this one.
    pub(super) fn note<T>(&self, outcome: &Result<T, Status>) {
        if outcome.as_ref().err().is_none_or(answered) {
            self.takes_calls();
        }
    }

    pub(super) fn connected(&self, turn: usize) -> Result<Channel, Status> {
        self.channel(turn)
            .ok_or_else(|| Status::unavailable(format!("{} has no address", self.name)))
    }
}

impl Call<'_> {
    pub(super) fn request(&self) -> Request<Bytes> {
        let mut headers = self.headers.clone();
        if self.deadline.is_some() {
            headers.insert("grpc-timeout", grpc_timeout(self.remaining()));
        }
        Request::from_parts(
            MetadataMap::from_headers(headers),
            http::Extensions::new(),
            self.message.clone(),
        )
    }

    /// What `attempt` comes to before the deadline.
    pub(super) async fn in_time<T>(
        &self,
        attempt: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        match tokio::time::timeout(self.remaining(), attempt).await {
            // tonic's own timer for the same deadline calls it cancelled.
            Ok(Err(_)) if self.remaining().is_zero() => Err(late()),
            Ok(outcome) => outcome.map_err(as_unavailable),
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

async fn unary(channel: Channel, request: Request<Bytes>, route: &Route) -> Result<Bytes, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(LARGEST);
    client
        .ready()
        .await
        .map_err(|error| Status::from_error(error.into()))?;
    client
        .unary(request, route.path.clone(), BytesCodec)
        .await
        .map(tonic::Response::into_inner)
}

/// A status that a service sent has no source. With one, the connection failed, whatever code tonic made of it.
pub(super) fn as_unavailable(status: Status) -> Status {
    let Some(cause) = status.source() else {
        return status;
    };
    let processed = !not_processed(cause);
    let mut unavailable = Status::unavailable(format!("the connection failed: {cause}"));
    unavailable.set_source(Arc::new(Broken { processed }));
    unavailable
}

/// A connection failed under a call.
#[derive(Debug, thiserror::Error)]
#[error("the connection failed")]
struct Broken {
    /// Whether the service may have seen the call.
    processed: bool,
}

impl Broken {
    fn of(status: &Status) -> Option<&Self> {
        status.source()?.downcast_ref()
    }
}

/// Whether the service said so itself. That there was no answer in time says nothing of it.
fn answered(status: &Status) -> bool {
    status.code() != Code::DeadlineExceeded && Broken::of(status).is_none()
}

/// Whether the service provably did not see the call: there was no connection, or it said so.
pub(crate) fn not_processed(cause: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(cause), |error| (*error).source());
    causes.any(|cause| {
        cause.is::<ConnectError>()
            // The request was still in hyper's queue when the connection ended.
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
            || cause.downcast_ref::<h2::Error>().is_some_and(|error| {
                error.is_remote()
                    && (error.reason() == Some(h2::Reason::REFUSED_STREAM)
                        // A graceful GOAWAY reaches only the streams after its last one.
                        || (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)))
            })
    })
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
    fn a_connection_that_failed_says_whether_the_service_may_have_seen_the_call_and_an_answer_is_none()
     {
        let processed = |status: Status| Broken::of(&as_unavailable(status)).map(|it| it.processed);
        let unreachable = Status::from_error(Box::new(ConnectError("refused".into())));
        assert_eq!(processed(unreachable), Some(false));
        let broken = || {
            let reason = h2::Error::from(h2::Reason::INTERNAL_ERROR);
            Status::from_error(Box::new(reason))
        };
        assert_eq!(processed(broken()), Some(true));
        assert_eq!(as_unavailable(broken()).code(), Code::Unavailable);
        assert_eq!(processed(Status::unavailable("the database is away")), None);
    }

    #[test]
    fn a_timeout_has_at_most_eight_digits() {
        assert_eq!(grpc_timeout(Duration::from_millis(1500)), "1500m");
        assert_eq!(grpc_timeout(Duration::ZERO), "1m");
        assert_eq!(grpc_timeout(Duration::MAX).len(), 9);
    }
}
