//! `grpc.health.v1.Health`, kept in step with the readiness of the process.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

use crate::process::Readiness;

/// `grpc.health.v1.Health`, and what tells it.
pub(super) fn service() -> (HealthServer<impl Health>, HealthReporter) {
    let (reporter, service) = health_reporter();
    (service, reporter)
}

/// Tells each change of readiness, for the server as a whole (the empty name) and for each service. At the stop it ends the
/// streams of those who watch, who would otherwise keep the server from ending.
pub(super) async fn follow(
    mut reporter: HealthReporter,
    names: BTreeSet<&'static str>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let mut changes = readiness.subscribe();
    loop {
        let ready = changes.borrow_and_update().is_ready();
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in names.iter().copied().chain([""]) {
            reporter.set_service_status(name, status).await;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = stop.cancelled() => break,
        }
    }
    for name in names.iter().copied().chain([""]) {
        reporter.clear_service_status(name).await;
    }
}
