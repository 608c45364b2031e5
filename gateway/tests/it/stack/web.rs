//! Speaks gRPC-Web by hand.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use super::{Stack, reason};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    Text,
}

/// An answer over gRPC-Web, or the part of one that has come.
#[derive(Debug, Default)]
pub(crate) struct WebAnswer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<Vec<u8>>,
    /// Empty while they have not come.
    pub(crate) trailers: HeaderMap,
}

/// A message with its head.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat()
}

impl Encoding {
    pub(crate) const BOTH: [Self; 2] = [Self::Binary, Self::Text];

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        }
    }

    pub(crate) fn written(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Binary => body.to_vec(),
            Self::Text => STANDARD.encode(body).into_bytes(),
        }
    }
}

impl Stack {
    /// Sends the one message of a call and reads its whole answer.
    pub(crate) async fn web(
        &self,
        encoding: Encoding,
        path: &str,
        token: Option<&str>,
        message: &[u8],
    ) -> WebAnswer {
        let body = encoding.written(&frame(message));
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        let request = self.web_request(false, encoding, path, &headers, body);
        WebAnswer::whole(encoding, request.send().await.unwrap()).await
    }

    /// A request with any body, over HTTP/1.1 or HTTP/2.
    pub(crate) fn web_request(
        &self,
        http2: bool,
        encoding: Encoding,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20));
        let client = if http2 {
            client.http2_prior_knowledge()
        } else {
            client.http1_only()
        };
        let mut request = client
            .build()
            .unwrap()
            .post(format!("http://{}{path}", self.address))
            .header("content-type", encoding.content_type());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body)
    }
}

impl WebAnswer {
    pub(crate) async fn whole(encoding: Encoding, response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let kind = headers.get("content-type").map(HeaderValue::as_bytes);
        assert_eq!(kind, Some(encoding.content_type().as_bytes()));
        let body = response.bytes().await.unwrap();
        let read = Self::read(encoding, &body);
        assert!(!read.trailers.is_empty(), "{read:?}");
        Self {
            status,
            headers,
            ..read
        }
    }

    /// The frames of a body that are there.
    pub(crate) fn read(encoding: Encoding, body: &[u8]) -> Self {
        let bytes = match encoding {
            Encoding::Binary => body.to_vec(),
            Encoding::Text => {
                let quads = body.chunks_exact(4);
                quads
                    .flat_map(|quad| STANDARD.decode(quad).unwrap())
                    .collect()
            }
        };
        let mut read = Self::default();
        let mut rest = bytes.as_slice();
        while let Some((&[flags, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some((content, after)) = after.split_at_checked(length) else {
                break;
            };
            rest = after;
            if flags == 0 {
                read.messages.push(content.to_vec());
                continue;
            }
            assert!(flags == 0x80 && rest.is_empty(), "trailers are the last");
            for line in std::str::from_utf8(content).unwrap().lines() {
                let (name, value) = line.split_once(':').unwrap();
                let name: HeaderName = name.parse().unwrap();
                assert_eq!(name.as_str(), name.as_str().to_lowercase());
                read.trailers.append(name, value.parse().unwrap());
            }
        }
        read
    }

    pub(crate) fn tonic(&self) -> Status {
        Status::from_header_map(&self.trailers).unwrap()
    }

    /// Panics unless the call failed with this code and reason, and no message.
    #[track_caller]
    pub(crate) fn refused(&self, code: tonic::Code, expected: &str) -> &Self {
        let status = self.tonic();
        assert_eq!(self.status, 200);
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
        assert!(self.messages.is_empty(), "{self:?}");
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
