//! gRPC-Web: gRPC for those who cannot see the trailers of HTTP, such as pages in a browser. The body has frames of one byte of flags,
//! four of length, and a message; the last frame of an answer has the trailers. In text mode all of it is base64.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use grimoire_proto::Reason;
use http::{HeaderMap, HeaderValue, header};
use pingora::proxy::Session;

use crate::body;
use crate::deadline::time_left;
use crate::exchange::Exchange;
use crate::own;
use crate::plan::{OWN, Route};
use crate::problem::Problem;
use crate::streamed::{Form, Streamed};
use crate::upstream::Upstream;

/// Bytes before a message: flags and length.
const HEAD: usize = 5;
/// The flag of a compressed message.
const COMPRESSED: u8 = 1;
/// The flag of trailers.
const TRAILERS: u8 = 0x80;

/// How the frames are written, by a client and then to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    /// For pages that can read no bytes.
    Text,
}

/// Reads the one message of a request. What is left is to call, and to write the answer as it comes.
pub(crate) async fn prepare(
    session: &mut Session,
    exchange: &Exchange,
    route: &Arc<Route>,
    upstream: &Arc<Upstream>,
    encoding: Encoding,
) -> Result<Streamed, Box<Problem>> {
    let headers = &session.req_header().headers;
    check_format(headers)?;
    let left = match time_left(headers, exchange) {
        left if route.upstream != OWN => left,
        left => Some(left.unwrap_or(own::LONGEST).min(own::LONGEST)),
    };
    let deadline = left.map(|left| Instant::now() + left);
    let arrived = exchange.begun + route.deadline.unwrap_or(body::USUAL);
    let body = body::read(session, encoding.most(route.max_body), arrived).await?;
    let message = encoding.message(body, route.max_body)?;
    Ok(Streamed {
        route: route.clone(),
        upstream: upstream.clone(),
        form: Form::GrpcWeb(encoding),
        message,
        deadline,
    })
}

/// Messages are protobuf; whoever sends others means them to be read otherwise.
fn check_format(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    match essence.split_once('+') {
        None | Some((_, "proto")) => Ok(()),
        Some(_) => Err(Problem::new(
            Reason::UnsupportedMediaType,
            "messages must be of the format proto",
        )),
    }
}

impl Encoding {
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        })
    }

    /// Bytes of a body with a message of `message` bytes. Text has a third more, and padding wherever its sender has paused.
    fn most(self, message: usize) -> usize {
        let frame = message.saturating_add(HEAD);
        match self {
            Self::Binary => frame,
            Self::Text => frame.saturating_mul(2),
        }
    }

    /// The one message of a request, of at most `most` bytes.
    fn message(self, body: Bytes, most: usize) -> Result<Bytes, Box<Problem>> {
        let body = match self {
            Self::Binary => body,
            Self::Text => decode(&body).ok_or_else(|| malformed("the body is not base64"))?,
        };
        let Some(&[flags, a, b, c, d]) = body.first_chunk::<HEAD>() else {
            return Err(malformed("the body has no message"));
        };
        if flags & COMPRESSED != 0 {
            let mut problem = Problem::new(
                Reason::UnsupportedMediaType,
                "messages are not taken compressed",
            );
            // The code that gRPC has for it.
            problem.code = tonic::Code::Unimplemented;
            return Err(problem);
        }
        if flags != 0 {
            return Err(malformed("a request has a message and nothing else"));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > most {
            let detail = format!("the message is larger than {most} bytes");
            return Err(Problem::new(Reason::BodyTooLarge, detail));
        }
        if length != body.len() - HEAD {
            return Err(malformed("the body is not one whole message"));
        }
        Ok(body.slice(HEAD..))
    }

    /// One message of an answer.
    pub(crate) fn frame(self, message: &[u8]) -> Bytes {
        self.written(0, message)
    }

    /// The last frame of an answer: trailers, as HTTP/1 would write them.
    pub(crate) fn trailers(self, trailers: &HeaderMap) -> Bytes {
        let mut block = Vec::with_capacity(128);
        for (name, value) in trailers {
            block.extend_from_slice(name.as_str().as_bytes());
            block.push(b':');
            block.extend_from_slice(value.as_bytes());
            block.extend_from_slice(b"\r\n");
        }
        self.written(TRAILERS, &block)
    }

    fn written(self, flags: u8, content: &[u8]) -> Bytes {
        let mut frame = BytesMut::with_capacity(HEAD + content.len());
        frame.put_u8(flags);
        // An answer is bounded far below what four bytes can count.
        frame.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
        frame.put_slice(content);
        match self {
            Self::Binary => frame.freeze(),
            Self::Text => Bytes::from(STANDARD.encode(&frame)),
        }
    }
}

fn malformed(detail: &'static str) -> Box<Problem> {
    Problem::new(Reason::MalformedRequest, detail)
}

/// Decodes base64. Padding may come in the middle: what a client sends in parts it encodes in parts.
fn decode(text: &[u8]) -> Option<Bytes> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    while !rest.is_empty() {
        let end = match rest.iter().position(|byte| *byte == b'=') {
            Some(padding) => (padding / 4 + 1) * 4,
            None => rest.len(),
        };
        let (part, after) = rest.split_at_checked(end)?;
        STANDARD.decode_vec(part, &mut decoded).ok()?;
        rest = after;
    }
    Some(Bytes::from(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(encoding: Encoding, body: &[u8]) -> (String, tonic::Code) {
        let problem = encoding
            .message(Bytes::copy_from_slice(body), 8)
            .unwrap_err();
        (problem.reason.clone().into_owned(), problem.code)
    }

    #[test]
    fn a_message_is_what_follows_its_length() {
        let message = |body: &'static [u8]| {
            let message = Encoding::Binary.message(Bytes::from_static(body), 8);
            message.unwrap()
        };
        assert_eq!(message(b"\0\0\0\0\x03abc"), "abc");
        assert_eq!(message(b"\0\0\0\0\0"), "");
    }

    #[test]
    fn what_is_not_one_whole_message_is_malformed() {
        for body in [
            &b""[..],
            b"\0\0\0",
            b"\0\0\0\0\x03ab",
            b"\0\0\0\0\x03abcd",
            b"\0\0\0\0\x01a\0\0\0\0\x01b",
            b"\x80\0\0\0\0",
            b"\x02\0\0\0\0",
        ] {
            let (reason, _) = refused(Encoding::Binary, body);
            assert_eq!(reason, "MALFORMED_REQUEST", "{body:?}");
        }
    }

    #[test]
    fn a_message_that_is_compressed_or_too_large_is_told_apart() {
        assert_eq!(
            refused(Encoding::Binary, b"\x01\0\0\0\x01a"),
            (
                "UNSUPPORTED_MEDIA_TYPE".to_owned(),
                tonic::Code::Unimplemented
            )
        );
        let (reason, _) = refused(Encoding::Binary, b"\0\xff\xff\xff\xffa");
        assert_eq!(reason, "BODY_TOO_LARGE");
    }

    #[test]
    fn text_may_be_padded_wherever_its_sender_has_paused() {
        let frame = b"\0\0\0\0\x03abc";
        for pause in 1..frame.len() {
            let (first, second) = frame.split_at(pause);
            let text = format!("{}{}", STANDARD.encode(first), STANDARD.encode(second));
            let message = Encoding::Text.message(Bytes::from(text), 8).unwrap();
            assert_eq!(message, "abc", "{pause}");
        }
    }

    #[test]
    fn what_is_not_base64_is_malformed() {
        for text in [&b"AAAA*"[..], b"AAA", b"=", b"A===", b"AAAAA=", b"AA=A"] {
            let (reason, _) = refused(Encoding::Text, text);
            assert_eq!(reason, "MALFORMED_REQUEST", "{text:?}");
        }
    }

    #[test]
    fn frames_are_written_as_they_are_read() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("5"));
        assert_eq!(
            Encoding::Binary.trailers(&trailers),
            &b"\x80\0\0\0\x0fgrpc-status:5\r\n"[..]
        );
        let frame = Encoding::Text.frame(b"abc");
        assert_eq!(Encoding::Text.message(frame, 8).unwrap(), "abc");
    }

    #[test]
    fn other_formats_than_proto_are_refused() {
        let check = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            check_format(&headers)
        };
        assert!(check("application/grpc-web").is_ok());
        assert!(check("application/grpc-web-text+proto; charset=x+y").is_ok());
        assert!(check("application/grpc-web+json").is_err());
    }
}
