//! The upstream inside of this process: reflection and health of the edge, on a loopback port that only the gateway knows.

use std::net::{Ipv4Addr, SocketAddr};

use chassis::process::Readiness;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

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

/// Serves `descriptors` (encoded, so that custom options stay) and the health of `services` until `stop`; answers where.
pub(crate) async fn serve(
    descriptors: &'static [u8],
    services: Vec<String>,
    readiness: Readiness,
    stop: CancellationToken,
) -> Result<SocketAddr, OwnError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection().build_v1()?;
    let v1alpha = reflection().build_v1alpha()?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(report(reporter, services, readiness, stop.clone()));
    tokio::spawn(async move {
        let router = Server::builder()
            .add_service(v1)
            .add_service(v1alpha)
            .add_service(health);
        let served = router
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "reflection and health are not served any more");
        }
    });
    Ok(address)
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
