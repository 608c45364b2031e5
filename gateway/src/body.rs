//! Reads the body of a request whole, within a bound and by a deadline.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use grimoire_proto::Reason;
use http::header;
use pingora::proxy::Session;

use crate::problem::Problem;
use crate::transcode;

/// How long the message of a stream may take to arrive, where nothing else bounds it.
pub(crate) const USUAL: Duration = Duration::from_secs(10);

/// Reads a body of at most `most` bytes, all of which must be there by the deadline. Where there may be none, the first byte is
/// refused, and no more of it is read.
pub(crate) async fn read(
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
