//! Native gRPC and gRPC-Web: what REST offers, with statuses in place of problem documents; and the services themselves.

mod at_the_door;
mod behind_it;
mod in_a_browser;
mod journey;
mod options;
mod visitor;
mod wrong_input;

use std::net::SocketAddr;
use std::time::Duration;

use grimoire_proto::Reason;
use prost_reflect::MethodDescriptor;
use tests::rest::next_address;
use tests::stack::TestStack;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// A connection to a process of the stack, from an address of its own.
pub(crate) async fn channel(stack: &TestStack, process: &str) -> Channel {
    let address: SocketAddr = stack.stack.address(process).expect("it serves");
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address is a URI")
        .local_address(Some(next_address()))
        .timeout(Duration::from_secs(30))
        .connect()
        .await
        .expect("it takes connections")
}

/// A request with this access token, as clients of the gateway send it.
pub(crate) fn with_token<T>(token: &str, message: T) -> Request<T> {
    let bearer = format!("Bearer {token}");
    with(&[("authorization", bearer.as_str())], message)
}

/// A request with metadata.
pub(crate) fn with<T>(metadata: &[(&'static str, &str)], message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (key, value) in metadata {
        let value = value.parse().expect("ASCII");
        request.metadata_mut().insert(*key, value);
    }
    request
}

/// Panics unless the status has this reason and the code that goes with it. Answers what else it says.
#[track_caller]
pub(crate) fn refused(status: &Status, reason: &str) -> ErrorDetails {
    let details = status.get_error_details();
    let told = details.error_info().map(|info| &*info.reason);
    assert_eq!(told, Some(reason), "{status:?}");
    let known = Reason::from_name(reason).expect("a reason of the contracts");
    assert_eq!(status.code(), known.code(), "{status:?}");
    let domain = details.error_info().map(|info| &*info.domain);
    assert_eq!(domain, Some("grimoire"), "{status:?}");
    details
}

/// Panics unless the status has this reason and blames this field.
#[track_caller]
pub(crate) fn blamed(status: &Status, reason: &str, field: &str) {
    let details = refused(status, reason);
    let violations = details.bad_request().map(|bad| &bad.field_violations[..]);
    assert_eq!(
        violations
            .and_then(|violations| violations.first())
            .map(|first| &*first.field),
        Some(field),
        "{status:?}"
    );
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Every method of the contracts.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    grimoire_proto::descriptors()
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}
