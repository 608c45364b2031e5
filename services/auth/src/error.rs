//! How a call can fail, and what its caller is told.

use std::borrow::Cow;
use std::error::Error as _;
use std::time::Duration;

use chassis::status::Failure;
use grimoire_proto::Reason;
use outbox::AppendError;
use tonic::{Code, Status};

use crate::password::PasswordError;
use crate::roles::ADMIN;
use crate::signing_keys::SigningKeyError;

/// How a call can fail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the request has an invalid field: {0:?}")]
    InvalidField(Violation),
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    #[error("the refresh token is invalid")]
    InvalidRefreshToken,
    #[error("other refreshes of the session came first, again and again")]
    Overtaken,
    #[error("neither an access token nor a refresh token was sent")]
    TokenMissing,
    #[error("the session has ended")]
    SessionEnded,
    #[error("the next signing key is not ready")]
    SigningKeyNotReady,
    #[error("the token of the mail is invalid")]
    MailTokenInvalid,
    #[error("the token of the mail has expired")]
    MailTokenExpired,
    #[error("the token of the mail was used")]
    MailTokenUsed,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// What the caller would do to the own account.
    #[error("an administrator would {0} the own account")]
    OwnAccount(&'static str),
    #[error("the caller is no administrator any more")]
    RoleRequired,
    #[error("the account has changed since it was read")]
    StaleEtag,
    #[error("the notification has nothing left to tell")]
    NotificationObsolete,
    #[error("user cannot be asked: {0}")]
    User(Status),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the new password is too weak: {0}")]
    WeakNewPassword(String),
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The system has no random numbers.
    #[error("random numbers are not to be had")]
    Random(#[from] aws_lc_rs::error::Unspecified),
    /// Decided by chassis, such as another's account or a page token that is none.
    #[error(transparent)]
    Refused(#[from] Status),
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Error {
    /// What is wrong with a password in the field `new_password`.
    pub(crate) fn new_password(error: PasswordError) -> Self {
        match error {
            PasswordError::Weak(advice) => Self::WeakNewPassword(advice),
            other => other.into(),
        }
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::InvalidField(violation)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let failure = match error {
            Error::InvalidField(Violation { field, wrong }) => Failure::new(
                Reason::InvalidField,
                format!("{field} {wrong}"),
            )
            .violation(field, Reason::InvalidField.name(), wrong),
            Error::InvalidCredentials => Failure::new(
                Reason::InvalidCredentials,
                "the e-mail address or the password is wrong",
            ),
            Error::InvalidRefreshToken => Failure::new(
                Reason::InvalidRefreshToken,
                "the refresh token is invalid: sign in again",
            ),
            Error::Overtaken => Failure::new(
                Reason::Unavailable,
                "the session is being refreshed by others at once",
            )
            .retry_after(Duration::from_secs(1)),
            Error::TokenMissing => Failure::new(
                Reason::TokenMissing,
                "send an access token or a refresh token",
            ),
            Error::SigningKeyNotReady => Failure::new(
                Reason::SigningKeyNotReady,
                "a gateway does not know the next key yet, or it was published too lately",
            )
            .retry_after(Duration::from_secs(10)),
            Error::SessionEnded => {
                Failure::new(Reason::TokenRevoked, "the session has ended: sign in again")
            }
            Error::MailTokenInvalid => Failure::new(
                Reason::MailTokenInvalid,
                "the token is invalid, or a newer mail has replaced it",
            ),
            Error::MailTokenExpired => Failure::new(
                Reason::MailTokenExpired,
                "the token has expired: ask for a new mail",
            ),
            Error::MailTokenUsed => {
                Failure::new(Reason::MailTokenUsed, "the token was used before: sign in")
            }
            Error::NotFound(what) => {
                Failure::new(Reason::ResourceNotFound, format!("there is no such {what}"))
            }
            Error::OwnAccount(what) => Failure::new(
                Reason::OwnAccount,
                format!("you cannot {what} your own account: another administrator can"),
            ),
            Error::RoleRequired => {
                Failure::new(Reason::RoleRequired, format!("needs a role: {ADMIN}"))
                    .metadata("roles", ADMIN)
            }
            Error::StaleEtag => Failure::new(
                Reason::EtagMismatch,
                "the account has changed since it was read: read it again",
            ),
            Error::NotificationObsolete => Failure::new(
                Reason::NotificationObsolete,
                "there is nothing left to tell",
            ),
            // Says itself when to try again.
            Error::User(status)
                if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
                    && !status.details().is_empty() =>
            {
                return status;
            }
            // The connection broke while it answered.
            Error::User(status) if status.source().is_some() => {
                tracing::warn!(%status, "user does not answer any more");
                Failure::new(Reason::Unavailable, "user is not available")
                    .retry_after(Duration::from_secs(1))
            }
            Error::User(status) => Failure::internal(&status),
            Error::Password(PasswordError::Weak(advice)) => Failure::new(
                Reason::WeakPassword,
                "the password is too weak",
            )
            .violation("password", Reason::WeakPassword.name(), advice),
            Error::WeakNewPassword(advice) => Failure::new(
                Reason::WeakPassword,
                "the new password is too weak",
            )
            .violation("new_password", Reason::WeakPassword.name(), advice),
            Error::Password(PasswordError::Busy(_)) => {
                Failure::new(Reason::Overloaded, "too many passwords are being checked")
                    .retry_after(Duration::from_secs(1))
            }
            Error::SigningKey(SigningKeyError::Database(error))
            | Error::Append(AppendError::Database(error))
            | Error::Database(error) => Failure::from(error),
            Error::Password(error) => Failure::internal(&error),
            Error::SigningKey(error) => Failure::internal(&error),
            Error::Append(error) => Failure::internal(&error),
            error @ Error::Random(_) => Failure::internal(&error),
            Error::Refused(status) => return status,
        };
        failure.into()
    }
}
