//! One call whose answer is read message by message: of a stream, or of a client that wants the trailers as well.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use super::broken::as_unavailable;
use super::bytes_codec::BytesCodec;
use super::call::{Call, LARGEST, late};
use super::{Tries, Upstream};
use crate::plan::{Route, Shape};

/// What a service answers, as it comes. Dropped before its end, it is cancelled.
pub(crate) struct Answers {
    /// What the service said before its first message.
    pub(crate) head: HeaderMap,
    messages: Streaming<Bytes>,
    deadline: Option<Instant>,
    took: Took,
}

/// A part of an answer.
pub(crate) enum Next {
    Message(Bytes),
    /// The trailers of a call that has succeeded.
    End(HeaderMap),
}

/// Measures a unary call to its end, and a stream that does not begin. How long another one takes says nothing of its service.
struct Took {
    upstream: Arc<Upstream>,
    begun: Instant,
    measured: bool,
    code: Code,
}

impl Drop for Took {
    fn drop(&mut self) {
        if self.measured {
            let took = self.begun.elapsed();
            self.upstream
                .metrics
                .observe(&self.upstream.name, self.code, took);
        }
    }
}

impl Upstream {
    /// Begins a call. It is sent again as any other, as long as nothing of its answer has come.
    pub(crate) async fn open(self: &Arc<Self>, call: Call<'_>) -> Result<Answers, Status> {
        let mut took = Took {
            upstream: self.clone(),
            begun: Instant::now(),
            measured: true,
            code: Code::Cancelled,
        };
        let mut tries = Tries::of(self);
        let opened = loop {
            match self.begin(&call, tries.next().await).await {
                Err(status) if self.tries_again(&call, &status, &mut tries) => {}
                opened => break opened,
            }
        };
        let opened = opened.inspect_err(|status| took.code = status.code())?;
        took.measured = call.route.shape == Shape::Unary;
        let (head, messages, _) = opened.into_parts();
        Ok(Answers {
            head: head.into_headers(),
            messages,
            deadline: call.deadline,
            took,
        })
    }

    async fn begin(
        &self,
        call: &Call<'_>,
        turn: usize,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        let place = self.place(turn)?;
        let opened = opened(place.streams(), request(call), call.route);
        let outcome = call.in_time(opened).await;
        self.note(place.address, outcome.as_ref().err());
        outcome
    }
}

fn request(call: &Call<'_>) -> Request<Bytes> {
    let metadata = call.metadata.iter().cloned();
    let timeout = call.timeout().map(|timeout| ("grpc-timeout", timeout));
    let headers = metadata
        .chain(timeout)
        .map(|(name, value)| (HeaderName::from_static(name), value));
    Request::from_parts(
        MetadataMap::from_headers(headers.collect()),
        http::Extensions::new(),
        call.message.clone(),
    )
}

async fn opened(
    channel: Channel,
    request: Request<Bytes>,
    route: &Route,
) -> Result<Response<Streaming<Bytes>>, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(LARGEST);
    let opened = async {
        client
            .ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        client
            .server_streaming(request, route.path.clone(), BytesCodec)
            .await
    };
    opened.await.map_err(as_unavailable)
}

impl Answers {
    /// What comes next. An error is the last.
    pub(crate) async fn next(&mut self) -> Result<Next, Status> {
        let next = next(&mut self.messages);
        let next = match self.deadline {
            None => next.await,
            Some(deadline) => {
                let next = tokio::time::timeout_at(deadline.into(), next).await;
                next.unwrap_or_else(|_| Err(late()))
            }
        };
        let next = next.map_err(as_unavailable);
        match &next {
            Ok(Next::Message(_)) => {}
            Ok(Next::End(_)) => self.took.code = Code::Ok,
            Err(status) => self.took.code = status.code(),
        }
        next
    }
}

async fn next(messages: &mut Streaming<Bytes>) -> Result<Next, Status> {
    if let Some(message) = messages.message().await? {
        return Ok(Next::Message(message));
    }
    let trailers = messages.trailers().await?;
    Ok(Next::End(
        trailers.map(MetadataMap::into_headers).unwrap_or_default(),
    ))
}
