//! What a client speaks. Its content type says so, and each request is answered in what it came in.

use http::{HeaderMap, HeaderValue, header};

use crate::grpc_web::Encoding;

/// How a request came, and so how it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP with JSON, and whatever is neither of the others.
    #[default]
    Rest,
    /// Native gRPC.
    Grpc,
    /// gRPC as a browser can speak it.
    GrpcWeb(Encoding),
}

impl Protocol {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let Some(rest) = kind.strip_prefix(b"application/grpc") else {
            return Self::Rest;
        };
        let (protocol, rest) = match rest.strip_prefix(b"-web") {
            None => (Self::Grpc, rest),
            Some(rest) => match rest.strip_prefix(b"-text") {
                None => (Self::GrpcWeb(Encoding::Binary), rest),
                Some(rest) => (Self::GrpcWeb(Encoding::Text), rest),
            },
        };
        // What follows is the format of messages, or a parameter.
        match rest.first() {
            None | Some(b'+' | b';' | b' ') => protocol,
            Some(_) => Self::Rest,
        }
    }

    /// Its name in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Grpc => "grpc",
            Self::GrpcWeb(_) => "grpc-web",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_says_what_is_spoken() {
        let of = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            Protocol::of(&headers)
        };
        for kind in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; x=y",
        ] {
            assert_eq!(of(kind), Protocol::Grpc, "{kind}");
        }
        for kind in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web;charset=utf-8",
        ] {
            assert_eq!(of(kind), Protocol::GrpcWeb(Encoding::Binary), "{kind}");
        }
        for kind in [
            "application/grpc-web-text",
            "application/grpc-web-text+proto",
        ] {
            assert_eq!(of(kind), Protocol::GrpcWeb(Encoding::Text), "{kind}");
        }
        for kind in [
            "application/json",
            "application/grpcx",
            "application/grpc-webx",
            "",
        ] {
            assert_eq!(of(kind), Protocol::Rest, "{kind}");
        }
        assert_eq!(Protocol::of(&HeaderMap::new()), Protocol::Rest);
    }
}
