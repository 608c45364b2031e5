//! How an answer ends: by its trailers, by its deadline, or because nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::{Code, Status};

const STATUS: &str = "grpc-status";

/// Tells `ended` once how a call ends: by its head (trailers only), by its trailers, by an error on the way, or by a caller that
/// went away. At `deadline` the answer ends with what `late` gives.
pub(crate) fn watch(
    response: Response<Body>,
    late: Option<Late>,
    ended: impl FnOnce(Code) + Send + 'static,
) -> Response<Body> {
    if let Some(code) = code(response.headers()) {
        ended(code);
        return response;
    }
    response.map(|body| {
        Body::new(Watched {
            body,
            late,
            ended: Some(Box::new(ended)),
        })
    })
}

/// What ends an answer that is still under way.
pub(crate) struct Late {
    /// When.
    pub(crate) deadline: Pin<Box<Sleep>>,
    /// How the answer then ends.
    pub(crate) status: fn() -> Status,
}

struct Watched {
    body: Body,
    late: Option<Late>,
    ended: Option<Box<dyn FnOnce(Code) + Send>>,
}

impl Watched {
    fn end(&mut self, code: Code) {
        if let Some(ended) = self.ended.take() {
            ended(code);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended.is_none() {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.end(code(trailers).unwrap_or(Code::Unknown));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(status))) => {
                this.end(status.code());
                Poll::Ready(Some(Err(status)))
            }
            Poll::Ready(None) => {
                this.end(Code::Unknown);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(late) = &mut this.late else {
                    return Poll::Pending;
                };
                std::task::ready!(late.deadline.as_mut().poll(cx));
                let status = (late.status)();
                let mut trailers = HeaderMap::new();
                let frame = status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers));
                this.end(status.code());
                Poll::Ready(Some(frame))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(STATUS)
        .map(|value| Code::from_bytes(value.as_bytes()))
}
