//! How a call can fail, and what its caller is told.

use chassis::status::Failure;
use grimoire_proto::Reason;
use tonic::Status;

/// How a call can fail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{field} {wrong}")]
    InvalidField {
        /// Path of the field in the request.
        field: &'static str,
        /// How the sentence goes on that begins with the field.
        wrong: &'static str,
    },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Decided by chassis, such as a page token that is none.
    #[error(transparent)]
    Refused(#[from] Status),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidField { field, wrong } => {
                Failure::new(Reason::InvalidField, "the request has an invalid field")
                    .violation(field, Reason::InvalidField.name(), wrong)
                    .into()
            }
            Error::Database(error) => Failure::from(error).into(),
            Error::Refused(status) => status,
        }
    }
}
