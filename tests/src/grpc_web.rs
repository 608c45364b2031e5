//! A client of the gateway's gRPC-Web side, as a page in a browser would be one: frames by hand over HTTP/1.1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use crate::rest::Client;

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Binary,
    /// Base64.
    Text,
}

impl Encoding {
    pub const BOTH: [Self; 2] = [Self::Binary, Self::Text];

    fn content_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        }
    }

    fn write(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Binary => bytes,
            Self::Text => STANDARD.encode(bytes).into_bytes(),
        }
    }

    /// Panics where a text is not one of whole parts, each padded.
    fn read(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Binary => body.to_vec(),
            Self::Text => body
                .chunks(4)
                .flat_map(|part| STANDARD.decode(part).expect("base64"))
                .collect(),
        }
    }
}

impl Client {
    /// Makes a unary call; panics unless the answer is one of gRPC-Web.
    pub async fn grpc_web(
        &self,
        encoding: Encoding,
        path: &str,
        message: &impl Message,
    ) -> Result<Vec<u8>, Status> {
        self.grpc_web_body(encoding, path, encoding.write(frame(message)))
            .await
    }

    /// Sends any body as that of a unary call.
    pub async fn grpc_web_body(
        &self,
        encoding: Encoding,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Status> {
        let (messages, status) = self.grpc_web_messages(encoding, path, body).await;
        if status.code() != tonic::Code::Ok {
            assert!(messages.is_empty(), "{path}: a message beside {status:?}");
            return Err(status);
        }
        let [message]: [Vec<u8>; 1] = messages.try_into().expect("one message");
        Ok(message)
    }

    /// Makes a call that is answered by a stream.
    pub async fn grpc_web_stream(
        &self,
        encoding: Encoding,
        path: &str,
        message: &impl Message,
    ) -> Result<Vec<Vec<u8>>, Status> {
        let body = encoding.write(frame(message));
        let (messages, status) = self.grpc_web_messages(encoding, path, body).await;
        match status.code() {
            tonic::Code::Ok => Ok(messages),
            _ => Err(status),
        }
    }

    /// The messages of an answer, and how it ends.
    async fn grpc_web_messages(
        &self,
        encoding: Encoding,
        path: &str,
        body: Vec<u8>,
    ) -> (Vec<Vec<u8>>, Status) {
        let kind = encoding.content_type();
        let response = self.send_bytes(kind, path, body).await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "{path}");
        let told = response.headers().get("content-type").cloned();
        assert_eq!(told, Some(HeaderValue::from_static(kind)), "{path}");
        let body = response.bytes().await.expect("a whole answer");
        let (messages, trailers) = frames(&encoding.read(&body));
        let status = Status::from_header_map(&trailers).expect("grpc-status");
        (messages, status)
    }
}

/// A message as it is sent.
fn frame(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

/// The messages of a body and the trailers after them.
fn frames(body: &[u8]) -> (Vec<Vec<u8>>, HeaderMap) {
    let mut messages = Vec::new();
    let mut rest = body;
    loop {
        let (head, after) = rest.split_first_chunk::<5>().expect("trailers at the end");
        let [flags, a, b, c, d] = *head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let (content, after) = after.split_at(length);
        rest = after;
        if flags == 0 {
            messages.push(content.to_vec());
            continue;
        }
        assert!(flags == 0x80 && rest.is_empty(), "trailers are the last");
        let mut trailers = HeaderMap::new();
        for line in std::str::from_utf8(content).expect("ASCII").lines() {
            let (name, value) = line.split_once(':').expect("a colon");
            let name: HeaderName = name.parse().expect("a name");
            trailers.append(name, value.parse().expect("a value"));
        }
        return (messages, trailers);
    }
}
