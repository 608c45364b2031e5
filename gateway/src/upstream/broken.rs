//! Calls that failed with their connection, and what may be sent a second time.

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

/// Whether a call that has failed like this may be sent again: it was provably not processed, or repeating it does no harm.
pub(super) fn may_repeat(status: &Status, repeatable: bool) -> bool {
    Broken::of(status).is_some_and(|broken| !broken.processed || repeatable)
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
fn not_processed(cause: &(dyn Error + 'static)) -> bool {
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
    fn what_was_provably_not_processed_may_be_sent_again_and_a_services_answer_may_not() {
        let unreachable =
            as_unavailable(Status::from_error(Box::new(ConnectError("refused".into()))));
        assert!(may_repeat(&unreachable, false));
        assert!(Broken::of(&unreachable).unwrap().lost);
        let broken = as_unavailable(Status::from_error(Box::new(h2::Error::from(
            h2::Reason::INTERNAL_ERROR,
        ))));
        assert_eq!(broken.code(), Code::Unavailable);
        assert!(!may_repeat(&broken, false));
        assert!(may_repeat(&broken, true));
        let answered = as_unavailable(Status::unavailable("the database is away"));
        assert!(!may_repeat(&answered, true));
    }
}
