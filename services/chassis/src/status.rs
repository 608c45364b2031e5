//! The one way from a failure to a gRPC status: a reason of the contracts, with `google.rpc` details.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use grimoire_proto::Reason;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// `ErrorInfo.domain` of every failure.
pub const DOMAIN: &str = "grimoire";

/// When a caller may try again after a database or a service was away.
const SOON: Duration = Duration::from_secs(1);

/// Why a call fails, as its caller is told. Turn it into a [`Status`] with `into()`.
#[derive(Clone, Debug)]
pub struct Failure {
    reason: Reason,
    message: String,
    metadata: HashMap<String, String>,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure whose code follows from `reason`. `message` is for developers, in English, and holds no secret.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// One field of the request with a value that it cannot have. Field violations of one failure add up. `reason` is a name
    /// that clients can switch on, `message` is a sentence for people.
    pub fn violation(
        mut self,
        field: impl Into<String>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let violation = FieldViolation {
            reason: reason.into(),
            ..FieldViolation::new(field, message)
        };
        self.violations.push(violation);
        self
    }

    /// When the caller may try again.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// One more datum in `ErrorInfo.metadata`.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// A fault on our side: the cause goes to the log, and the caller learns the trace id by which to find it there.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = cause, "internal error");
        match telemetry::propagation::current_trace_id() {
            Some(trace) => Self::new(
                Reason::Internal,
                format!("internal error, trace id {trace}"),
            )
            .metadata("trace_id", trace),
            None => Self::new(Reason::Internal, "internal error"),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(failure.reason.name(), DOMAIN, failure.metadata);
        if !failure.violations.is_empty() {
            details.set_bad_request(failure.violations);
        }
        if failure.retry_after.is_some() {
            details.set_retry_info(failure.retry_after);
        }
        Status::with_error_details(failure.reason.code(), failure.message, details)
    }
}

/// A database that is away, busy or moving is UNAVAILABLE with a time to retry; everything else is our fault.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            tracing::warn!(
                error = &error as &(dyn Error + 'static),
                "the database is not available"
            );
            Self::new(Reason::Unavailable, "the database is not available").retry_after(SOON)
        } else {
            Self::internal(&error)
        }
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Io(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| is_transient_sqlstate(&code)),
        _ => false,
    }
}

/// PostgreSQL's appendix A: what may work when it is tried again.
fn is_transient_sqlstate(code: &str) -> bool {
    code.starts_with("08") // connection exceptions
        || code.starts_with("53") // out of resources
        || code.starts_with("57P") // shutting down or starting up
        || matches!(
            code,
            "25006" // read-only: a replica, after a fail-over
                | "25P03" // idle in transaction for too long
                | "40001" // serialisation failure
                | "40P01" // deadlock
                | "55P03" // lock timeout
                | "57014" // statement timeout
        )
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_failure_carries_its_reason_and_what_is_wrong_with_which_field() {
        let status = Status::from(
            Failure::new(Reason::InvalidField, "the request has invalid fields")
                .violation("display_name", "TOO_LONG", "at most 64 characters")
                .violation("locale", "INVALID_FIELD", "not a language tag")
                .metadata("limit", "64"),
        );
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (
                info.reason.as_str(),
                info.domain.as_str(),
                info.metadata["limit"].as_str()
            ),
            ("INVALID_FIELD", "grimoire", "64")
        );
        let fields = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(
            (fields[0].field.as_str(), fields[0].reason.as_str()),
            ("display_name", "TOO_LONG")
        );
        assert_eq!(fields[1].description, "not a language tag");
        assert!(status.get_details_retry_info().is_none());
    }

    #[test]
    fn a_database_that_is_away_is_worth_another_try() {
        for error in [
            sqlx::Error::PoolTimedOut,
            sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into()),
        ] {
            let status = Status::from(Failure::from(error));
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(
                status.get_details_retry_info().unwrap().retry_delay,
                Some(Duration::from_secs(1))
            );
        }
        for code in ["08006", "53300", "57P01", "57014", "55P03", "40001"] {
            assert!(is_transient_sqlstate(code), "{code}");
        }
        for code in ["23505", "42P01", "22001"] {
            assert!(!is_transient_sqlstate(code), "{code}");
        }
    }

    #[test]
    fn the_cause_of_an_internal_error_is_not_told() {
        let status = Status::from(Failure::from(sqlx::Error::RowNotFound));
        assert_eq!(
            (status.code(), status.message()),
            (Code::Internal, "internal error")
        );
    }
}
