//! Answers REST requests: reads the body, transcodes, calls, transcodes back.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use grimoire_proto::Reason;
use http::{HeaderMap, header};
use pingora::proxy::Session;

use crate::exchange::Exchange;
use crate::plan::{Binding, Body};
use crate::problem::Problem;
use crate::transcode::{self, Parts};
use crate::upstream::{Call, Upstream};

/// Makes the call that a request is bound to; answers the JSON of its HTTP body.
pub(crate) async fn call(
    session: &mut Session,
    exchange: &Exchange,
    binding: &Binding,
    upstream: &Upstream,
) -> Result<Bytes, Box<Problem>> {
    let deadline = exchange.begun + binding.deadline;
    let most = match binding.body {
        Body::None => 0,
        Body::Whole | Body::Field(_) => binding.route.max_body,
    };
    let body = read(session, most, deadline).await?;
    let request = session.req_header();
    let parts = Parts {
        path: request.uri.path(),
        query: request.uri.query(),
        body: &body,
    };
    if !body.is_empty() {
        check_media_type(&request.headers)?;
    }
    let message = transcode::encode(binding, &parts)?;
    let headers = exchange.metadata(&request.headers);
    let answer = upstream
        .call(Call {
            route: &binding.route,
            headers,
            message,
            deadline,
        })
        .await
        .map_err(|status| {
            if matches!(
                status.code(),
                tonic::Code::Unavailable | tonic::Code::DeadlineExceeded
            ) {
                tracing::warn!(
                    upstream = upstream.name,
                    rpc = binding.route.name,
                    error = status.message(),
                    "call failed"
                );
            }
            let mut problem = Problem::from_status(&status);
            transcode::as_clients_see_them(binding, &mut problem);
            problem
        })?;
    transcode::decode(binding, answer).map_err(|error| Problem::internal(&error))
}

/// Reads a body of at most `most` bytes, all of which must be there by the deadline. Where there may be none, the first byte is
/// refused, and no more of it is read.
async fn read(
    session: &mut Session,
    most: usize,
    deadline: Instant,
) -> Result<Bytes, Box<Problem>> {
    let announced = session
        .get_header(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|announced| announced > most) {
        return Err(too_large(most));
    }
    if session.is_body_empty() {
        return Ok(Bytes::new());
    }
    let all = async {
        if session
            .get_header(header::EXPECT)
            .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        {
            session
                .write_continue_response()
                .await
                .map_err(|error| broken(&error))?;
        }
        let mut whole = Whole::default();
        while let Some(part) = session
            .read_request_body()
            .await
            .map_err(|error| broken(&error))?
        {
            if whole.len() + part.len() > most {
                return Err(too_large(most));
            }
            whole.add(part);
        }
        Ok(whole.into_bytes())
    };
    let late =
        || Problem::new(Reason::MalformedRequest, "the body did not arrive in time").closing();
    tokio::time::timeout_at(deadline.into(), all)
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// A body of parts. Most come in one, which is not copied.
#[derive(Default)]
struct Whole {
    first: Bytes,
    /// Empty while there is one part; the first one among others after that.
    joined: BytesMut,
}

impl Whole {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn add(&mut self, part: Bytes) {
        if self.len() == 0 {
            self.first = part;
            return;
        }
        self.joined
            .extend_from_slice(&std::mem::take(&mut self.first));
        self.joined.extend_from_slice(&part);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() {
            self.first
        } else {
            self.joined.freeze()
        }
    }
}

fn too_large(most: usize) -> Box<Problem> {
    if most == 0 {
        return transcode::takes_no_body();
    }
    let detail = format!("the body is larger than {most} bytes");
    Problem::new(Reason::BodyTooLarge, detail).closing()
}

fn broken(error: &pingora::Error) -> Box<Problem> {
    Problem::new(
        Reason::MalformedRequest,
        format!("the body cannot be read: {}", error.etype().as_str()),
    )
    .closing()
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    // Asking for the type also keeps forms of other sites out, which can send only types of their own.
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        Reason::UnsupportedMediaType,
        "the body must be application/json",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_one_part_is_not_copied() {
        let part = Bytes::from_static(b"{}");
        let mut whole = Whole::default();
        whole.add(part.clone());
        assert_eq!(whole.into_bytes().as_ptr(), part.as_ptr());
        assert!(Whole::default().into_bytes().is_empty());
    }

    /// Copying the whole for each part would copy half a terabyte here.
    #[test]
    fn a_body_in_single_bytes_costs_what_its_bytes_cost() {
        let body = Bytes::from(vec![b'x'; 1 << 20]);
        let mut whole = Whole::default();
        for at in 0..body.len() {
            whole.add(body.slice(at..=at));
        }
        assert_eq!(whole.len(), body.len());
        assert_eq!(whole.into_bytes(), body);
    }
}
