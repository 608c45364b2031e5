//! The upstream inside of this process: reflection and health of the edge, on a loopback port that only the gateway knows.

use std::net::{Ipv4Addr, SocketAddr};

use chassis::process::Readiness;
use grimoire_proto::Reason;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::util::MapResponseLayer;

use crate::places::Full;
use crate::problem::{Problem, RETRY};

/// How long a stream of reflection or health may be. Their clients begin again.
pub(crate) const LONGEST: std::time::Duration = std::time::Duration::from_secs(600);
/// How often health follows readiness.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Why reflection and health cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    #[error("cannot listen on a loopback port for reflection and health: {0}")]
    Listen(#[from] std::io::Error),
    #[error("the descriptors of the edge are not valid: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

/// Serves the health of `services` and, where there are `descriptors` (encoded, so that custom options stay), reflection until `stop`.
/// Answers where, and the task that does.
pub(crate) async fn serve(
    descriptors: Option<&'static [u8]>,
    services: Vec<String>,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send + 'static), OwnError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health);
    if let Some(descriptors) = descriptors {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        routes = routes
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let task = async move {
        let served = Server::builder()
            .layer(MapResponseLayer::new(explained))
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(listener),
                stop.clone().cancelled_owned(),
            );
        // Who reports has nothing to report to when the server has ended.
        let ended = stop.child_token();
        let served = async {
            let served = served.await;
            ended.cancel();
            served
        };
        let reported = report(reporter, services, readiness, ended.clone());
        let (served, ()) = tokio::join!(served, reported);
        if let Err(error) = served {
            tracing::error!(%error, "reflection and health are not served any more");
        }
    };
    Ok((address, task))
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
    services: Vec<String>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let names = || services.iter().map(String::as_str).chain([""]);
    let mut ticks = tokio::time::interval(LOOK);
    let mut before = None;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let ready = readiness.is_ready();
        if before.replace(ready) == Some(ready) {
            continue;
        }
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in names() {
            reporter.set_service_status(name, status).await;
        }
    }
    for name in names() {
        reporter
            .set_service_status(name, ServingStatus::NotServing)
            .await;
        reporter.clear_service_status(name).await;
    }
}
