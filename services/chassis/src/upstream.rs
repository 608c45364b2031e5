//! Calls to another process of the topology.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use grimoire_proto::Reason;
use http::{Request, Response, Uri};
use telemetry::prometheus::HistogramVec;
use telemetry::{metrics, names, propagation};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, TimeoutExpired};
use tower::{Service, ServiceExt as _};
use tracing::Instrument as _;

use crate::status::Failure;
use crate::{deadline, ending};

/// How long a call may take when nobody waits for us with a deadline of their own.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// When a caller may try again after a process did not answer.
const SOON: Duration = Duration::from_secs(1);

/// A connection to another process: give it to a generated client. Cheap to clone; opened by the first call and again after it
/// broke. A call carries the trace and what is left of the deadline of the call that is being served (5 s outside of one),
/// and fails with DEADLINE_EXCEEDED when that has passed.
#[derive(Clone, Debug)]
pub struct Upstream {
    name: &'static str,
    channel: Channel,
    durations: HistogramVec,
}

/// Connects to the process `name` of the topology at `url`, at the first call. Needs a running tokio runtime.
pub fn connect(name: &'static str, url: &Uri) -> Upstream {
    let channel = Endpoint::from(url.clone())
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    let durations = metrics::histogram_vec(
        names::RPC_CLIENT_CALL_DURATION,
        "Seconds of calls to other processes",
        &["server_address", "rpc_response_status_code"],
        metrics::SECONDS,
    );
    durations.with_label_values(&[name, crate::grpc::code_name(Code::Ok)]);
    Upstream {
        name,
        channel,
        durations,
    }
}

/// Reads the address of another process: `http://HOST:PORT`.
pub fn address(text: &str) -> Result<Uri, String> {
    text.parse::<Uri>()
        .ok()
        .filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some() && uri.path() == "/")
        .ok_or_else(|| "an address such as http://127.0.0.1:50051; encryption between processes is left to the mesh".to_owned())
}

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

impl Upstream {
    /// Every failure is a status in the answer, as if the other process had sent it.
    async fn answer(self, mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let span = tracing::info_span!(
            "call",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            rpc.system.name = "grpc",
            rpc.method = method,
            rpc.response.status_code = tracing::field::Empty,
            server.address = self.name,
        );
        let begun = Instant::now();
        let remaining = deadline::of(request.headers())
            .or_else(deadline::remaining)
            .unwrap_or(DEFAULT_DEADLINE);
        deadline::set(request.headers_mut(), remaining);

        let (name, channel) = (self.name, self.channel.clone());
        let called = async move {
            propagation::inject_headers(request.headers_mut());
            match tokio::time::timeout(remaining, channel.oneshot(request)).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => Status::from(failed(name, &error)).into_http(),
                Err(_) => Status::from(late(name)).into_http(),
            }
        };
        let response = called.instrument(span.clone()).await;
        Ok(ending::watch(response, None, move |code| {
            crate::grpc::record(&span, code);
            self.durations
                .with_label_values(&[name, crate::grpc::code_name(code)])
                .observe(begun.elapsed().as_secs_f64());
        }))
    }
}

/// The channel keeps the deadline too, and may notice first.
fn failed(name: &str, error: &tonic::transport::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if one.is::<TimeoutExpired>() {
            return late(name);
        }
        cause = one.source();
    }
    tracing::warn!(
        upstream = name,
        error = error as &(dyn Error + 'static),
        "no answer"
    );
    Failure::new(Reason::Unavailable, format!("{name} is not available")).retry_after(SOON)
}

fn late(name: &str) -> Failure {
    Failure::new(
        Reason::DeadlineExceeded,
        format!("{name} did not answer in time"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_without_encryption() {
        assert!(address("http://127.0.0.1:50051").is_ok());
        for wrong in [
            "127.0.0.1:50051",
            "https://auth:50051",
            "http://auth:50051/x",
            "",
        ] {
            assert!(
                address(wrong)
                    .unwrap_err()
                    .contains("http://127.0.0.1:50051"),
                "{wrong}"
            );
        }
    }
}
