//! Refuses what is too large or can be read in two ways, before anybody reads it.

use grimoire_proto::Reason;
use http::{HeaderMap, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::problem::Problem;

pub(crate) fn check(session: &Session, max_head: usize) -> Result<(), Box<Problem>> {
    let request = session.req_header();
    if size(request) > max_head {
        return refuse(format!(
            "the head of the request is larger than {max_head} bytes"
        ));
    }
    let http1 = session.as_downstream().as_http1();
    if http1.is_some_and(|http1| has_bare_line_feed(&http1.get_headers_raw_bytes())) {
        return refuse("a line of the head does not end with CR and LF");
    }
    if !request.raw_path_is_utf8() || !request.raw_path().is_ascii() {
        return refuse("the path has characters that must be percent-encoded");
    }
    if request.version == Version::HTTP_11 && !request.headers.contains_key(header::HOST) {
        return refuse("the request has no Host");
    }
    if !request.headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    if has_content_length(&session.to_h1_raw()) {
        return refuse("the request has both Content-Length and Transfer-Encoding");
    }
    if !is_chunked_only(&request.headers) {
        return refuse("chunked is the only transfer coding that is understood");
    }
    Ok(())
}

fn refuse(detail: impl Into<std::borrow::Cow<'static, str>>) -> Result<(), Box<Problem>> {
    Err(Problem::new(Reason::MalformedRequest, detail).closing())
}

/// Bytes of path and headers, as HTTP/1 would write them.
fn size(request: &RequestHeader) -> usize {
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    request.raw_path().len() + headers.sum::<usize>()
}

/// Pingora takes a line feed alone for the end of a line, as RFC 9112, section 2.2, allows. Whoever stands before us may have taken it for
/// a part of the line, and so one request for another.
fn has_bare_line_feed(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n');
    // What follows the last one is empty.
    let mut lines = lines.rev().skip(1);
    lines.any(|line| line.last() != Some(&b'\r'))
}

/// Pingora looks at the last transfer coding only, and would pass on what another one before it has made of the body.
fn is_chunked_only(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next().map(HeaderValue::as_bytes);
    first.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// Whether a raw head has the field. Pingora follows Transfer-Encoding and takes Content-Length away; whoever stands before
/// us may have done the opposite, so such a request is refused.
fn has_content_length(head: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    let mut lines = head.split(|byte| *byte == b'\n').skip(1);
    lines.any(|line| {
        line.get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_length_is_seen_in_the_raw_head_in_any_case() {
        assert!(has_content_length(
            b"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-length: 3\r\n\r\n"
        ));
        assert!(!has_content_length(
            b"POST /content-length HTTP/1.1\r\nX-Content-Length: 3\r\n\r\n"
        ));
    }

    #[test]
    fn each_line_of_a_head_ends_with_both() {
        assert!(!has_bare_line_feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        for head in [
            &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\n",
            b"GET / HTTP/1.1\r\nHost: a\n\n",
        ] {
            assert!(has_bare_line_feed(head));
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let only = |codings: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(header::TRANSFER_ENCODING, HeaderValue::from_static(coding));
            }
            is_chunked_only(&headers)
        };
        assert!(only(&["chunked"]) && only(&["Chunked "]));
        assert!(!only(&["gzip, chunked"]) && !only(&["gzip", "chunked"]));
        assert!(!only(&["chunked, chunked"]));
    }
}
