//! Calls that failed with their connection, and whether their service may have seen them.

use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;

use tonic::{ConnectError, Status};

/// A connection failed under a call. It is the source of the status of that call; a status that a service sent has none.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection failed")]
pub(super) struct Broken {
    /// Whether the service may have seen the call.
    pub(super) processed: bool,
    /// Whether nothing comes from that address any more, so that another one is better.
    pub(super) lost: bool,
}

impl Broken {
    pub(super) fn of(status: &Status) -> Option<Self> {
        status.source()?.downcast_ref::<Self>().copied()
    }

    pub(super) fn status(self, cause: &dyn Display) -> Status {
        let mut status = Status::unavailable(format!("the connection failed: {cause}"));
        status.set_source(Arc::new(self));
        status
    }
}

/// What a status of tonic says. One that a service sent has no source. With one, the connection failed, whatever code tonic made of it.
pub(super) fn as_unavailable(status: Status) -> Status {
    let Some(cause) = status.source() else {
        return status;
    };
    let broken = Broken {
        processed: !not_processed(cause),
        lost: causes(cause).any(|cause| cause.is::<ConnectError>()),
    };
    broken.status(&cause)
}

/// Whether the service provably did not see the call: there was no connection, or it said so.
pub(crate) fn not_processed(cause: &(dyn Error + 'static)) -> bool {
    causes(cause).any(|cause| {
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

fn causes<'a>(cause: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(cause), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_connection_that_failed_says_whether_the_service_may_have_seen_the_call_and_an_answer_is_none()
     {
        let broken = |status| Broken::of(&as_unavailable(status));
        let unreachable = Status::from_error(Box::new(ConnectError("refused".into())));
        let unreachable = broken(unreachable).unwrap();
        assert!(!unreachable.processed && unreachable.lost);
        let reset = || {
            let reason = h2::Error::from(h2::Reason::INTERNAL_ERROR);
            Status::from_error(Box::new(reason))
        };
        assert_eq!(as_unavailable(reset()).code(), Code::Unavailable);
        let reset = broken(reset()).unwrap();
        assert!(reset.processed && !reset.lost);
        assert!(broken(Status::unavailable("the database is away")).is_none());
    }
}
