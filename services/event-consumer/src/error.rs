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
    #[error("there is no such parked key")]
    NotParked,
    #[error("version {version} waits for those since {last}")]
    EventsMissing {
        /// The last version that took effect.
        last: i64,
        /// That of the first event that waits.
        version: i64,
    },
    #[error("another event is the first by now")]
    StaleEtag,
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
            Error::NotParked => {
                Failure::new(Reason::ResourceNotFound, "there is no such parked key").into()
            }
            Error::EventsMissing { last, version } => Failure::new(
                Reason::EventsMissing,
                format!(
                    "version {version} waits for those since {last}: discarding gives them up as well, which accept_gap allows"
                ),
            )
            .metadata("last", last.to_string())
            .metadata("version", version.to_string())
            .into(),
            Error::StaleEtag => Failure::new(
                Reason::EtagMismatch,
                "another event of the key is the first since its etag was read",
            )
            .into(),
            Error::Database(error) => Failure::from(error).into(),
            Error::Refused(status) => status,
        }
    }
}
