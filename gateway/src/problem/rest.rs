//! Problems as `application/problem+json` (RFC 9457).

use bytes::Bytes;
use grimoire_proto::Reason;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use serde::Serialize;

use super::Problem;

/// The members of a problem document. `type` is a path at this gateway, which describes the reason.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    #[serde(rename = "traceId")]
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError<'a>>,
}

#[derive(Serialize)]
struct FieldError<'a> {
    field: &'a str,
    reason: &'a str,
    message: &'a str,
}

/// What `/problems/NAME` answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    reason: &'a str,
    title: &'a str,
    status: u16,
    grpc_code: i32,
}

/// Describes a reason; none where there is no such reason.
pub(crate) fn describe(name: &str) -> Option<Bytes> {
    let reason = Reason::from_name(name).filter(|reason| *reason != Reason::Unspecified)?;
    let description = Description {
        reason: reason.name(),
        title: reason.title(),
        status: reason.http_status(),
        grpc_code: reason.code() as i32,
    };
    serde_json::to_vec(&description).ok().map(Bytes::from)
}

impl Problem {
    /// Head and body of the answer over REST.
    pub(crate) fn to_rest(&self, trace_id: &str) -> pingora::Result<(ResponseHeader, Bytes)> {
        let document = Document {
            kind: format!("/problems/{}", self.reason),
            title: &self.title,
            status: self.http_status,
            detail: &self.detail,
            reason: &self.reason,
            trace_id,
            errors: self
                .violations
                .iter()
                .map(|violation| FieldError {
                    field: &violation.field,
                    reason: &violation.reason,
                    message: &violation.message,
                })
                .collect(),
        };
        let body = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
        let status =
            StatusCode::from_u16(self.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut head = ResponseHeader::build_no_case(status, Some(8 + self.headers.len()))?;
        head.insert_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        )?;
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
        head.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        if let Some(delay) = self.retry_after {
            head.insert_header(header::RETRY_AFTER, whole_seconds(delay))?;
        }
        for (name, value) in &self.headers {
            head.append_header(HeaderName::from_static(name), value.clone())?;
        }
        Ok((head, body))
    }
}

/// Rounded up, so that who waits so long is not refused again.
fn whole_seconds(delay: std::time::Duration) -> u64 {
    delay.as_millis().div_ceil(1000).max(1) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_problem_document_has_every_member() {
        let problem = Problem::field(Reason::InvalidField, "email", "is not an address")
            .retry_after(Duration::from_millis(1200));
        let (head, body) = problem.to_rest("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(head.status, 400);
        assert_eq!(head.headers["content-type"], "application/problem+json");
        assert_eq!(head.headers["retry-after"], "2");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "/problems/INVALID_FIELD",
                "title": Reason::InvalidField.title(),
                "status": 400,
                "detail": "email: is not an address",
                "reason": "INVALID_FIELD",
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                "errors": [{"field": "email", "reason": "INVALID_FIELD", "message": "is not an address"}],
            })
        );
    }

    #[test]
    fn a_reason_describes_itself_and_an_unknown_one_does_not() {
        assert!(describe("TOKEN_EXPIRED").is_some());
        assert!(describe("UNSPECIFIED").is_none());
        assert!(describe("NONSENSE").is_none());
    }
}
