//! Problems over gRPC-Web: HTTP 200 and a body of one frame, the trailers. The protocol lets trailers be in the head as well, but a page
//! of another origin sees there only what CORS exposes, and every client reads the frame.

use bytes::Bytes;
use http::{HeaderName, header};
use pingora::http::ResponseHeader;

use super::Problem;
use crate::grpc_web::Encoding;

impl Problem {
    /// Head and body of the answer over gRPC-Web.
    pub(crate) fn to_grpc_web(
        &self,
        trace_id: &str,
        encoding: Encoding,
    ) -> pingora::Result<(ResponseHeader, Bytes)> {
        let body = encoding.trailers(&self.to_trailers(trace_id));
        let mut head = ResponseHeader::build_no_case(200, Some(6 + self.headers.len()))?;
        head.insert_header(header::CONTENT_TYPE, encoding.content_type())?;
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
        for (name, value) in &self.headers {
            head.append_header(HeaderName::from_static(name), value.clone())?;
        }
        Ok((head, body))
    }
}

#[cfg(test)]
mod tests {
    use grimoire_proto::Reason;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_grpc_web_answer_is_one_frame_of_trailers() {
        let problem = Problem::new(Reason::TokenMissing, "no token")
            .header("www-authenticate", HeaderValue::from_static("Bearer"));
        let (head, body) = problem.to_grpc_web("trace", Encoding::Binary).unwrap();
        assert_eq!((head.status.as_u16(), body[0]), (200, 0x80));
        assert_eq!(head.headers["content-type"], "application/grpc-web+proto");
        assert_eq!(head.headers["www-authenticate"], "Bearer");
        let trailers = std::str::from_utf8(&body[5..]).unwrap();
        for line in [
            "grpc-status:16\r\n",
            "grpc-message:no%20token\r\n",
            "grpc-status-details-bin:",
        ] {
            assert!(trailers.contains(line), "{trailers}");
        }
    }
}
