//! How a call can fail, and what its caller is told.

use std::borrow::Cow;
use std::time::Duration;

use chassis::status::Failure;
use grimoire_proto::Reason;
use outbox::AppendError;
use tonic::{Code, Status};

/// How a call can fail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the request has invalid fields")]
    InvalidFields(Vec<Violation>),
    #[error("there is no such account")]
    UnknownAccount,
    #[error("the resource has changed since it was read")]
    StaleEtag,
    #[error("so many names resemble the query that the search takes too long")]
    SearchTooWide,
    #[error("auth cannot be asked: {0}")]
    Directory(Status),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Decided by chassis, such as another's account or a page token that is none.
    #[error(transparent)]
    Refused(#[from] Status),
}

/// What is wrong with a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Path of the field in the request.
    pub(crate) field: Cow<'static, str>,
    /// How the sentence goes on that begins with the field.
    pub(crate) wrong: Cow<'static, str>,
}

impl Violation {
    pub(crate) fn new(
        field: impl Into<Cow<'static, str>>,
        wrong: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            field: field.into(),
            wrong: wrong.into(),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidFields(violations) => violations
                .into_iter()
                .fold(
                    Failure::new(Reason::InvalidField, "the request has invalid fields"),
                    |failure, violation| {
                        failure.violation(
                            violation.field,
                            Reason::InvalidField.name(),
                            violation.wrong,
                        )
                    },
                )
                .into(),
            Error::UnknownAccount => {
                Failure::new(Reason::ResourceNotFound, "there is no such user").into()
            }
            Error::StaleEtag => Failure::new(
                Reason::EtagMismatch,
                "the resource has changed since its etag was read",
            )
            .into(),
            Error::SearchTooWide => Failure::new(
                Reason::Overloaded,
                "the search takes too long: say more of the name",
            )
            .retry_after(Duration::from_secs(1))
            .into(),
            // Says itself when to try again.
            Error::Directory(status)
                if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) =>
            {
                status
            }
            Error::Directory(status) => Failure::internal(&status).into(),
            Error::Append(AppendError::Database(error)) | Error::Database(error) => {
                Failure::from(error).into()
            }
            Error::Append(error) => Failure::internal(&error).into(),
            Error::Refused(status) => status,
        }
    }
}
