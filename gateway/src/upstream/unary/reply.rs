//! What a service answers to one unary call: fields, a message, fields (the gRPC protocol over HTTP/2).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{Buf as _, Bytes};
use tonic::{Code, Status};

use super::Outcome;
use crate::upstream::call::LARGEST;

/// Bytes of the names and values of one head or trailer, counted as HTTP/2 does. Details of a status may name many fields.
pub(super) const LARGEST_LIST: usize = 256 << 10;
/// What an entry of such a list counts beside name and value.
const OVERHEAD: usize = 32;
/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Some peers pad, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What matters of one block of fields.
#[derive(Debug, Default)]
pub(super) struct Fields {
    size: usize,
    http_status: Option<u16>,
    is_grpc: bool,
    code: Option<Code>,
    message: Vec<u8>,
    details: Vec<u8>,
}

/// An answer that is on its way.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// None until its head has come.
    http_status: Option<u16>,
    /// The message with its prefix, as far as it has come.
    body: Vec<u8>,
}

impl Fields {
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.size = self
            .size
            .saturating_add(name.len() + value.len() + OVERHEAD);
        if self.size > LARGEST_LIST {
            return;
        }
        match name {
            b":status" => {
                self.http_status = str::from_utf8(value)
                    .ok()
                    .and_then(|status| status.parse().ok());
            }
            b"content-type" => self.is_grpc = value.starts_with(b"application/grpc"),
            b"grpc-status" => self.code = Some(Code::from_bytes(value)),
            b"grpc-message" => self.message = value.to_vec(),
            b"grpc-status-details-bin" => self.details = value.to_vec(),
            _ => {}
        }
    }

    /// The status of a call that failed, as its service tells it.
    fn status(&self, code: Code) -> Status {
        // Details that cannot be read are as if there were none: the code still says what to do.
        let details = BASE64.decode(&self.details).unwrap_or_default();
        Status::with_details(code, percent_decoded(&self.message), details.into())
    }
}

impl Reply {
    /// Takes a head, or trailers. The outcome, where it is known now; `end`: nothing follows.
    pub(super) fn fields(&mut self, fields: &Fields, end: bool) -> Option<Outcome> {
        if fields.size > LARGEST_LIST {
            let detail = format!("the head of the answer is larger than {LARGEST_LIST} bytes");
            return Some(Err(Status::internal(detail)));
        }
        if self.http_status.is_none() {
            match fields.http_status {
                // Something is said before the answer, such as 103.
                Some(100..=199) if !end => return None,
                Some(status) => self.http_status = Some(status),
                None => return Some(Err(Status::internal("the answer has no HTTP status"))),
            }
            if let Some(code) = fields.code.filter(|code| *code != Code::Ok) {
                return Some(Err(fields.status(code)));
            }
            // What another than a gRPC server says is of no use.
            if fields.code.is_none() && (end || !fields.is_grpc || fields.http_status != Some(200))
            {
                return Some(Err(self.without_status()));
            }
            return end.then(|| self.message());
        }
        if !end {
            return Some(Err(Status::internal("the answer has two heads")));
        }
        Some(match fields.code {
            Some(Code::Ok) => self.message(),
            Some(code) => Err(fields.status(code)),
            None => Err(self.without_status()),
        })
    }

    /// Takes a part of the message.
    pub(super) fn data(&mut self, data: &[u8], end: bool) -> Option<Outcome> {
        if self.http_status.is_none() {
            return Some(Err(Status::internal("the answer has no head")));
        }
        self.body.extend_from_slice(data);
        if let Some(wrong) = self.wrong() {
            return Some(Err(wrong));
        }
        end.then(|| Err(self.without_status()))
    }

    /// What is wrong with the message, so far.
    fn wrong(&self) -> Option<Status> {
        let (prefix, message) = self.body.split_first_chunk::<PREFIX>()?;
        let [compressed, l0, l1, l2, l3] = *prefix;
        if compressed != 0 {
            return Some(Status::internal(
                "the message is compressed, which was not asked for",
            ));
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > LARGEST {
            return Some(Status::out_of_range(format!(
                "the message has {length} bytes, and may have {LARGEST}"
            )));
        }
        let more = message.len() > length;
        more.then(|| Status::internal("a unary call is answered more than once"))
    }

    /// The whole message of a call that succeeded.
    fn message(&mut self) -> Outcome {
        let length = match self.body.first_chunk::<PREFIX>() {
            Some([_, length @ ..]) => u32::from_be_bytes(*length) as usize,
            None => return Err(Status::internal("the answer has no message")),
        };
        if self.body.len() - PREFIX != length {
            return Err(Status::internal("the message of the answer is not whole"));
        }
        let mut body = Bytes::from(std::mem::take(&mut self.body));
        body.advance(PREFIX);
        Ok(body)
    }

    /// The status of an answer that tells none, after the gRPC document "HTTP to gRPC Status Code Mapping".
    fn without_status(&self) -> Status {
        let status = self.http_status.unwrap_or_default();
        let code = match status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        };
        let detail = format!("the answer has no gRPC status, and the HTTP status {status}");
        Status::new(code, detail)
    }
}

/// What follows a percent sign and is no number stays as it is, as the gRPC protocol asks for.
fn percent_decoded(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (digit(0), digit(1)) {
            (Some(high), Some(low)) if *first == b'%' => {
                decoded.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(of: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in of {
            fields.add(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    const HEAD: &[(&str, &str)] = &[
        (":status", "200"),
        ("content-type", "application/grpc+proto"),
    ];
    const OK: &[(&str, &str)] = &[("grpc-status", "0")];

    /// A reply whose head has come.
    fn begun() -> Reply {
        let mut reply = Reply::default();
        assert!(reply.fields(&fields(HEAD), false).is_none());
        reply
    }

    #[track_caller]
    fn failure(outcome: Option<Outcome>) -> Code {
        outcome.unwrap().unwrap_err().code()
    }

    #[test]
    fn a_message_may_come_in_any_parts() {
        let body = b"\0\0\0\0\x03abc";
        for cut in 0..=body.len() {
            let mut reply = begun();
            assert!(reply.data(&body[..cut], false).is_none());
            assert!(reply.data(&body[cut..], false).is_none());
            let outcome = reply.fields(&fields(OK), true);
            assert_eq!(outcome.unwrap().unwrap(), "abc", "{cut}");
        }
    }

    #[test]
    fn what_is_not_one_whole_message_is_an_error() {
        for body in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x03ab"] {
            let mut reply = begun();
            assert!(reply.data(body, false).is_none());
            assert_eq!(failure(reply.fields(&fields(OK), true)), Code::Internal);
        }
        for (body, code) in [
            (&b"\0\0\0\0\x01ab"[..], Code::Internal),
            (&b"\x01\0\0\0\x01a"[..], Code::Internal),
            (&b"\0\xff\xff\xff\xff"[..], Code::OutOfRange),
        ] {
            assert_eq!(failure(begun().data(body, false)), code);
        }
    }

    #[test]
    fn a_status_has_its_message_and_details_decoded_with_padding_or_without() {
        for details in ["AQI", "AQI="] {
            let trailers = fields(&[
                ("grpc-status", "5"),
                ("grpc-message", "no %22such%22 %c3%a4 100% %zz"),
                ("grpc-status-details-bin", details),
            ]);
            let status = begun().fields(&trailers, true).unwrap().unwrap_err();
            assert_eq!(status.code(), Code::NotFound);
            assert_eq!(status.message(), "no \"such\" ä 100% %zz");
            assert_eq!(status.details(), [1, 2]);
        }
        let wrong = fields(&[("grpc-status", "5"), ("grpc-status-details-bin", "*")]);
        let status = begun().fields(&wrong, true).unwrap().unwrap_err();
        assert_eq!(
            (status.code(), status.details()),
            (Code::NotFound, &b""[..])
        );
    }

    #[test]
    fn a_status_may_come_with_the_head() {
        let head = fields(&[HEAD[0], HEAD[1], ("grpc-status", "16")]);
        let outcome = Reply::default().fields(&head, true);
        assert_eq!(failure(outcome), Code::Unauthenticated);
    }

    #[test]
    fn who_does_not_speak_grpc_is_told_by_the_status_of_http() {
        for (status, code) in [
            ("400", Code::Internal),
            ("404", Code::Unimplemented),
            ("503", Code::Unavailable),
            ("200", Code::Unknown),
            ("302", Code::Unknown),
        ] {
            let head = fields(&[(":status", status), ("content-type", "text/html")]);
            assert_eq!(failure(Reply::default().fields(&head, false)), code);
        }
    }

    #[test]
    fn what_comes_out_of_order_is_an_error() {
        assert_eq!(failure(Reply::default().data(b"", false)), Code::Internal);
        assert_eq!(
            failure(Reply::default().fields(&fields(OK), true)),
            Code::Internal
        );
        assert_eq!(
            failure(begun().fields(&fields(HEAD), false)),
            Code::Internal
        );
        assert_eq!(failure(begun().data(b"", true)), Code::Unknown);
        // A hint before the answer is none of it.
        let mut reply = Reply::default();
        assert!(
            reply
                .fields(&fields(&[(":status", "103")]), false)
                .is_none()
        );
        assert!(reply.fields(&fields(HEAD), false).is_none());
    }

    #[test]
    fn fields_that_are_too_many_are_not_kept() {
        let mut fields = Fields::default();
        let value = vec![b'x'; LARGEST_LIST / 4];
        for _ in 0..8 {
            fields.add(b"grpc-message", &value);
        }
        assert_eq!(fields.message.len(), value.len());
        assert_eq!(failure(begun().fields(&fields, true)), Code::Internal);
    }
}
