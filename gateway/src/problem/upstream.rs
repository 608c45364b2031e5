//! What a service answered, as a problem.

use std::borrow::Cow;
use std::time::Duration;

use chassis::grpc::code_name;
use grimoire_proto::Reason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Problem, Violation};

/// How long a client waits when a service is away and says nothing itself.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

impl Problem {
    /// Turns the status that a call came to into a problem. A service that is away or late is logged.
    pub(crate) fn from_call(upstream: &str, rpc: &str, status: &Status) -> Box<Self> {
        if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) {
            tracing::warn!(upstream, rpc, error = status.message(), "call failed");
        }
        Self::from_status(status)
    }

    /// Turns the status of a service into a problem. A status without ErrorInfo did not come from a handler that follows the
    /// contracts: its code is told, and its message only where the fault is not the server's.
    pub(crate) fn from_status(status: &Status) -> Box<Self> {
        let details = status.get_error_details();
        let mut problem = match details.error_info() {
            Some(info) => Self::with_reason(&info.reason, status),
            None => Self::by_code(status),
        };
        problem.from_service = details.error_info().is_some();
        if let Some(bad_request) = details.bad_request() {
            problem.violations = bad_request
                .field_violations
                .iter()
                .map(|violation| Violation {
                    field: violation.field.clone(),
                    reason: match violation.reason.as_str() {
                        "" => problem.reason.to_string(),
                        reason => reason.to_owned(),
                    },
                    message: violation.description.clone(),
                })
                .collect();
        }
        if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
            problem.retry_after = Some(delay);
        }
        if problem.retry_after.is_none() && problem.code == Code::Unavailable {
            problem.retry_after = Some(RETRY);
        }
        problem
    }

    fn with_reason(reason: &str, status: &Status) -> Box<Self> {
        let detail = status.message().to_owned();
        match Reason::from_name(reason) {
            Some(reason) => Self::new(reason, detail),
            None => {
                let mut problem = Self::new(Reason::Unspecified, detail);
                problem.reason = Cow::Owned(reason.to_owned());
                problem.title = Cow::Borrowed(status.code().description());
                problem.code = status.code();
                problem.http_status = http_status(status.code());
                problem
            }
        }
    }

    fn by_code(status: &Status) -> Box<Self> {
        match status.code() {
            Code::Unavailable => Self::new(Reason::Unavailable, "the service is away"),
            Code::DeadlineExceeded => Self::new(
                Reason::DeadlineExceeded,
                "the service did not answer in time",
            ),
            Code::ResourceExhausted => Self::new(Reason::Overloaded, status.message().to_owned()),
            Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => Self::internal(status),
            code => Self::with_reason(code_name(code), status),
        }
    }
}

/// The HTTP status that stands for a gRPC code, after google.rpc.Code.
pub(crate) fn http_status(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_reason_of_the_contracts_decides_status_and_title() {
        let details = ErrorDetails::with_error_info("ETAG_MISMATCH", "grimoire", HashMap::new());
        let problem = Problem::from_status(&Status::with_error_details(
            Code::Aborted,
            "read it again",
            details,
        ));
        assert_eq!(
            (problem.http_status, &*problem.title),
            (409, Reason::EtagMismatch.title())
        );
        assert_eq!(problem.detail, "read it again");
    }

    #[test]
    fn a_reason_that_this_build_does_not_know_is_passed_on() {
        let details = ErrorDetails::with_error_info("OUT_OF_STOCK", "shop", HashMap::new());
        let problem = Problem::from_status(&Status::with_error_details(
            Code::FailedPrecondition,
            "none left",
            details,
        ));
        assert_eq!(
            (problem.http_status, &*problem.reason),
            (400, "OUT_OF_STOCK")
        );
    }

    #[test]
    fn the_message_of_a_fault_without_a_reason_is_not_told() {
        let problem = Problem::from_status(&Status::internal("password of the database is ..."));
        assert_eq!((problem.http_status, &*problem.reason), (500, "INTERNAL"));
        assert!(!problem.detail.contains("password"));
    }

    #[test]
    fn a_service_that_is_away_says_when_to_come_back() {
        let problem = Problem::from_status(&Status::unavailable("tcp connect error"));
        assert_eq!(
            (problem.http_status, problem.retry_after),
            (503, Some(RETRY))
        );
    }
}
