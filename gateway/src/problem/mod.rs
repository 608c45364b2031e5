//! Everything that a client is told when a request fails, in one type and one place; `rest`, `grpc` and `grpc_web`
//! are its encodings.

mod grpc;
mod grpc_web;
mod rest;
mod upstream;

use std::borrow::Cow;
use std::time::Duration;

use grimoire_proto::Reason;
use http::HeaderValue;

pub(crate) use rest::describe;
pub(crate) use upstream::{RETRY, http_status};

/// A failed request, as its client is told of it. It travels in a box: it is large, and requests succeed.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// Name of the reason: one of `Reason`, or what a service beyond the contracts of this build has said.
    pub(crate) reason: Cow<'static, str>,
    pub(crate) title: Cow<'static, str>,
    pub(crate) code: tonic::Code,
    pub(crate) http_status: u16,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) metadata: Vec<(String, String)>,
    /// Headers that belong to this problem: `Allow`, `WWW-Authenticate`, rate limits.
    pub(crate) headers: Vec<(&'static str, HeaderValue)>,
    /// Whether a service said so, rather than the gateway.
    pub(crate) from_service: bool,
    /// Whether the rest of the request is not worth reading.
    pub(crate) close: bool,
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Path of the field, with dots.
    pub(crate) field: String,
    /// What is wrong, for programs.
    pub(crate) reason: String,
    /// What is wrong, for people.
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self {
            reason: Cow::Borrowed(reason.name()),
            title: Cow::Borrowed(reason.title()),
            code: reason.code(),
            http_status: reason.http_status(),
            detail: detail.into(),
            violations: Vec::new(),
            retry_after: None,
            metadata: Vec::new(),
            headers: Vec::new(),
            from_service: false,
            close: false,
        })
    }

    /// A refused field.
    pub(crate) fn field(
        reason: Reason,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Box<Self> {
        let violation = Violation {
            field: field.into(),
            reason: reason.name().to_owned(),
            message: message.into(),
        };
        Self::fields(reason, vec![violation])
    }

    /// Refused fields, at least one; the detail names them.
    pub(crate) fn fields(reason: Reason, violations: Vec<Violation>) -> Box<Self> {
        let detail = violations
            .iter()
            .map(|violation| format!("{}: {}", violation.field, violation.message));
        let detail = detail.collect::<Vec<_>>().join("; ");
        let mut problem = Self::new(reason, detail);
        problem.violations = violations;
        problem
    }

    /// A fault of this process: its cause is logged, with the trace, and not told.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Box<Self> {
        tracing::error!(%cause, "internal error");
        Self::new(
            Reason::Internal,
            "internal error; the server's log has the trace id",
        )
    }

    pub(crate) fn retry_after(mut self: Box<Self>, delay: Duration) -> Box<Self> {
        self.retry_after = Some(delay);
        self
    }

    pub(crate) fn metadata(mut self: Box<Self>, key: &str, value: impl Into<String>) -> Box<Self> {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn header(mut self: Box<Self>, name: &'static str, value: HeaderValue) -> Box<Self> {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn closing(mut self: Box<Self>) -> Box<Self> {
        self.close = true;
        self
    }
}
