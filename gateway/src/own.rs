//! The upstream inside of this process: reflection and health of the edge, on a loopback port that only the gateway knows.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chassis::process::Readiness;
use grimoire_proto::Reason;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::{AxumBody, AxumRouter, Routes};
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceExt as _;
use tower::util::MapResponseLayer;

use crate::places::Full;
use crate::problem::{Problem, RETRY};
use crate::serving::Current;

/// How long a stream of reflection or health may be. Their clients begin again.
pub(crate) const LONGEST: std::time::Duration = std::time::Duration::from_secs(600);
/// How often health follows readiness.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Why reflection and health cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    #[error("cannot listen on a loopback port for reflection and health: {0}")]
    Listen(#[from] std::io::Error),
}

/// The port of the own upstream, and its health.
pub(crate) struct Own {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    reporter: HealthReporter,
    pub(crate) health: Routes,
}

/// `health` and reflection of the contracts that are compiled in and of `more`; encoded, so that custom options stay.
pub(crate) fn with_reflection(
    health: Routes,
    more: &[u8],
) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(grimoire_proto::EDGE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(more)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(health
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

impl Own {
    pub(crate) async fn open() -> Result<Self, OwnError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (reporter, health) = tonic_health::server::health_reporter();
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            reporter,
            health: Routes::new(health),
        })
    }

    /// Serves what `current` has, until `stop`. A stream keeps what it began with.
    pub(crate) async fn serve(
        self,
        current: Arc<Current>,
        readiness: Readiness,
        stop: CancellationToken,
    ) {
        let latest = tower::service_fn({
            let current = current.clone();
            move |request: http::Request<AxumBody>| current.load().own.clone().oneshot(request)
        });
        let router: AxumRouter = AxumRouter::new().fallback_service(latest);
        let served = Server::builder()
            .layer(MapResponseLayer::new(explained))
            .add_routes(Routes::from(router))
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(self.listener),
                stop.clone().cancelled_owned(),
            );
        // Who reports has nothing to report to when the server has ended.
        let ended = stop.child_token();
        let served = async {
            let served = served.await;
            ended.cancel();
            served
        };
        let reported = report(self.reporter, &current, readiness, ended.clone());
        let (served, ()) = tokio::join!(served, reported);
        if let Err(error) = served {
            tracing::error!(%error, "reflection and health are not served any more");
        }
    }
}

/// A bare status is tonic's own, about a request that it cannot read. As it is, it would count as a fault of ours.
fn explained<B: From<tonic::body::Body>>(response: http::Response<B>) -> http::Response<B> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    let problem = match status.code() {
        _ if !status.details().is_empty() => return response,
        Code::Internal | Code::OutOfRange => Problem::new(
            Reason::MalformedRequest,
            "the request has no message that can be read",
        ),
        Code::Unimplemented => Problem::new(
            Reason::UnsupportedMediaType,
            "messages are not taken in this grpc-encoding",
        ),
        _ => return response,
    };
    problem.to_status("").into_http().map(B::from)
}

/// There is no place for one more call.
pub(crate) fn too_many(full: Full) -> Box<Problem> {
    let problem = match full {
        Full::OneClient => Problem::new(
            Reason::RateLimited,
            "too many calls of reflection and health from this address are open",
        ),
        Full::Altogether => Problem::new(
            Reason::Overloaded,
            "too many calls of reflection and health are open",
        ),
    };
    problem.retry_after(RETRY)
}

/// The gateway serves its routes as long as it is ready: whether a service behind it is, its calls tell. At the stop the streams of
/// those who watch are told so and ended, who would otherwise keep the gateway from ending.
async fn report(
    mut reporter: HealthReporter,
    current: &Current,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(LOOK);
    let mut told = BTreeSet::new();
    let mut before = None;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let ready = readiness.is_ready();
        let serving = current.load_full();
        let now = Some((ready, serving.plan.hash.clone()));
        if now == before {
            continue;
        }
        before = now;
        // The empty name is the gateway as a whole.
        let services = serving.plan.services().into_iter().chain([""]);
        let services: BTreeSet<String> = services.map(str::to_owned).collect();
        for name in told.difference(&services) {
            forget(&mut reporter, name).await;
        }
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in &services {
            reporter.set_service_status(name, status).await;
        }
        told = services;
    }
    for name in &told {
        forget(&mut reporter, name).await;
    }
}

/// Tells those who watch a service that it is served no more, and ends their streams.
async fn forget(reporter: &mut HealthReporter, name: &str) {
    reporter
        .set_service_status(name, ServingStatus::NotServing)
        .await;
    reporter.clear_service_status(name).await;
}
