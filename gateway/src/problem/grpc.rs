//! Problems as trailers-only answers of gRPC: HTTP 200, the status and its details in the head.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::Problem;

/// `domain` of every ErrorInfo of Grimoire.
const DOMAIN: &str = "grimoire";

impl Problem {
    /// The gRPC status, with ErrorInfo and, where they say more, BadRequest and RetryInfo.
    pub(crate) fn to_status(&self, trace_id: &str) -> Status {
        let mut details = ErrorDetails::new();
        let mut metadata: HashMap<String, String> = self.metadata.iter().cloned().collect();
        metadata.insert("traceId".to_owned(), trace_id.to_owned());
        details.set_error_info(&*self.reason, DOMAIN, metadata);
        if !self.violations.is_empty() {
            let violations: Vec<FieldViolation> = self
                .violations
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.message.clone(),
                    reason: violation.reason.clone(),
                    localized_message: None,
                })
                .collect();
            details.set_bad_request(violations);
        }
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        Status::with_error_details(self.code, &*self.detail, details)
    }

    /// The gRPC status as trailers.
    pub(crate) fn to_trailers(&self, trace_id: &str) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        if self.to_status(trace_id).add_header(&mut trailers).is_err() {
            trailers.insert("grpc-status", HeaderValue::from(self.code as i32));
        }
        trailers
    }

    /// Head of the answer over gRPC; it has no body, so it must end the stream.
    pub(crate) fn to_grpc(&self, trace_id: &str) -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build_no_case(200, Some(6 + self.headers.len()))?;
        head.insert_header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        )?;
        for (name, value) in self.to_trailers(trace_id) {
            if let Some(name) = name {
                head.append_header(name, value)?;
            }
        }
        for (name, value) in &self.headers {
            head.append_header(HeaderName::from_static(name), value.clone())?;
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use grimoire_proto::Reason;

    use super::*;

    #[test]
    fn a_grpc_answer_carries_the_reason_the_fields_and_the_delay() {
        let problem = Problem::field(Reason::InvalidField, "email", "ist keine Adresse: ü")
            .retry_after(Duration::from_secs(3));
        let head = problem.to_grpc("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["grpc-status"], "3");
        assert!(
            head.headers["grpc-message"]
                .to_str()
                .unwrap()
                .contains("%C3%BC")
        );

        let status = Status::from_header_map(&head.headers).unwrap();
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("INVALID_FIELD", "grimoire")
        );
        assert_eq!(info.metadata["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "email"
        );
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_secs(3))
        );
    }
}
