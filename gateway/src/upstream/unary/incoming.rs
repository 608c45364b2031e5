//! What the peer sends. Whatever it is, it does not panic, and takes no more memory than the bounds here and in `streams` say.

use std::mem;
use std::sync::atomic::Ordering;

use h2::Reason;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::oneshot;

use super::connection::Connection;
use super::failure::Failure;
use super::frame::{self, ACK, END_HEADERS, END_STREAM, Frame, Kind, Setting};
use super::hpack::Decoder;
use super::reply::{Fields, LARGEST_LIST};
use super::streams::{Settled, Streams};
use crate::upstream::connections::CONNECTION_WINDOW;

/// Bytes that are read at once; any frame is shorter.
const BUFFER: usize = 32 << 10;
/// Frames that a block of fields may come in.
const PARTS: usize = 64;
/// Calls at once on one connection, whatever the peer allows.
const MOST_CALLS: usize = 1000;

/// What is remembered from one frame to the next.
pub(super) struct Incoming<'a> {
    connection: &'a Connection,
    decoder: Decoder,
    /// Told when the peer has spoken HTTP/2.
    settled: Option<oneshot::Sender<()>>,
    /// Calls that the peer takes at once.
    calls: usize,
    /// A block that is not whole.
    block: Option<Block>,
    /// Bytes of messages that the peer was not given back.
    received: u32,
}

struct Block {
    stream: u32,
    end: bool,
    parts: usize,
    bytes: Vec<u8>,
}

/// Reads until the connection fails, which is when it ends, too.
pub(super) async fn read(
    connection: &Connection,
    mut socket: impl AsyncRead + Unpin,
    settled: oneshot::Sender<()>,
) -> Failure {
    let mut incoming = Incoming::new(connection, settled);
    let mut buffer = vec![0; BUFFER];
    let mut have = 0;
    loop {
        match socket.read(&mut buffer[have..]).await {
            Ok(0) => return Failure::Closed,
            Ok(read) => have += read,
            Err(error) => return error.into(),
        }
        connection.heard.store(true, Ordering::Relaxed);
        let taken = match incoming.take(&buffer[..have]) {
            Ok(taken) => taken,
            Err(failure) => return failure,
        };
        // A frame is shorter than the buffer, so there is always room for more.
        buffer.copy_within(taken..have, 0);
        have -= taken;
    }
}

impl<'a> Incoming<'a> {
    pub(super) fn new(connection: &'a Connection, settled: oneshot::Sender<()>) -> Self {
        Self {
            connection,
            decoder: Decoder::new(),
            settled: Some(settled),
            calls: 0,
            block: None,
            received: 0,
        }
    }

    /// Takes all whole frames that `bytes` begin with. How many bytes those are.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut rest = bytes;
        while let Some(frame) = Frame::first(rest).map_err(|_| Failure::FrameSize)? {
            self.frame(&frame)?;
            rest = &rest[frame.size()..];
        }
        Ok(bytes.len() - rest.len())
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        if self.settled.is_some() && (frame.kind != Kind::Settings || frame.has(ACK)) {
            return Err(Failure::Protocol("it does not begin with its settings"));
        }
        if self.block.is_some() != (frame.kind == Kind::Continuation) {
            return Err(Failure::Protocol("a block of fields is not whole"));
        }
        match frame.kind {
            Kind::Data => self.data(frame),
            Kind::Headers => self.headers(frame),
            Kind::Continuation => self.continuation(frame),
            Kind::Reset => {
                let reason = number(frame)?.into();
                self.settle(|streams| streams.reset(frame.stream, reason))
            }
            Kind::Settings => self.settings(frame),
            Kind::Ping => self.ping(frame),
            Kind::GoAway => self.go_away(frame),
            Kind::WindowUpdate => {
                let by = number(frame)? & frame::HIGHEST;
                self.connection
                    .with(|streams| streams.widen(frame.stream, by))
            }
            Kind::PushPromise => Err(Failure::Protocol("it pushes, which was not allowed")),
            Kind::Priority | Kind::Unknown => Ok(()),
        }
    }

    fn data(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let content = frame.content().ok_or(PADDING)?;
        let length = frame.payload.len() as u32;
        self.received += length;
        let mut given_back = 0;
        if self.received >= CONNECTION_WINDOW / 2 {
            given_back = mem::take(&mut self.received);
        }
        let end = frame.has(END_STREAM);
        self.settle(|streams| {
            if given_back > 0 {
                streams.say(|out| frame::put_window_update(out, 0, given_back))?;
            }
            streams.data(frame.stream, content, length, end)
        })
    }

    fn headers(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let content = frame.content().ok_or(PADDING)?;
        let end = frame.has(END_STREAM);
        if frame.has(END_HEADERS) {
            return self.fields(frame.stream, content, end);
        }
        self.block = Some(Block {
            stream: frame.stream,
            end,
            parts: 1,
            bytes: content.to_vec(),
        });
        Ok(())
    }

    fn continuation(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let Some(mut block) = self.block.take_if(|block| block.stream == frame.stream) else {
            return Err(Failure::Protocol("a block of fields is not whole"));
        };
        block.parts += 1;
        block.bytes.extend_from_slice(frame.payload);
        if block.parts > PARTS || block.bytes.len() > LARGEST_LIST {
            return Err(Failure::Flood);
        }
        if frame.has(END_HEADERS) {
            return self.fields(block.stream, &block.bytes, block.end);
        }
        self.block = Some(block);
        Ok(())
    }

    /// Every block is read, also one of a call that is over: those after it build on it.
    fn fields(&mut self, stream: u32, block: &[u8], end: bool) -> Result<(), Failure> {
        let mut fields = Fields::default();
        self.decoder
            .decode(block, |name, value| fields.add(name, value))
            .map_err(|_| Failure::Compression)?;
        self.settle(|streams| streams.fields(stream, &fields, end))
    }

    /// Lets `take` change the calls. One that is over by that is told so after the lock is free.
    fn settle(
        &self,
        take: impl FnOnce(&mut Streams) -> Result<Option<Settled>, Failure>,
    ) -> Result<(), Failure> {
        if let Some(settled) = self.connection.with(take)? {
            settled.tell();
        }
        Ok(())
    }

    fn settings(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        if frame.has(ACK) {
            return Ok(());
        }
        let (settings, []) = frame.payload.as_chunks::<6>() else {
            return Err(Failure::FrameSize);
        };
        let first = self.settled.take();
        let mut calls = first.is_some().then_some(MOST_CALLS);
        self.connection.with(|streams| {
            for [n0, n1, v0, v1, v2, v3] in settings {
                let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
                match Setting::of(u16::from_be_bytes([*n0, *n1])) {
                    Some(Setting::EnablePush) if value != 0 => {
                        return Err(Failure::Protocol("a server cannot be pushed to"));
                    }
                    Some(Setting::MaxConcurrentStreams) => {
                        calls = Some(MOST_CALLS.min(value as usize));
                    }
                    Some(Setting::InitialWindowSize) => streams.set_stream_window(value)?,
                    _ => {}
                }
            }
            streams.say(frame::put_settings_ack)
        })?;
        if let Some(calls) = calls {
            self.connection.resize(self.calls, calls);
            self.calls = calls;
        }
        if let Some(first) = first {
            // Nobody may wait any more.
            let _ = first.send(());
        }
        Ok(())
    }

    fn ping(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let opaque: [u8; 8] = frame.payload.try_into().map_err(|_| Failure::FrameSize)?;
        // An answer is as good as anything else that is heard.
        if frame.has(ACK) {
            return Ok(());
        }
        self.connection
            .with(|streams| streams.say(|out| frame::put_ping(out, ACK, opaque)))
    }

    fn go_away(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let Some(&[l0, l1, l2, l3, r0, r1, r2, r3]) = frame.payload.first_chunk() else {
            return Err(Failure::FrameSize);
        };
        let last = u32::from_be_bytes([l0, l1, l2, l3]) & frame::HIGHEST;
        let reason = Reason::from(u32::from_be_bytes([r0, r1, r2, r3]));
        self.connection.go_away(last, reason);
        Ok(())
    }
}

const PADDING: Failure = Failure::Protocol("a frame has more padding than payload");

fn number(frame: &Frame<'_>) -> Result<u32, Failure> {
    frame.number().ok_or(Failure::FrameSize)
}
