//! The calls on one connection and what is to be written for them. Nothing here waits: callers and the connection take turns on a lock.

use std::collections::{HashMap, VecDeque};
use std::mem;

use bytes::Bytes;
use h2::Reason;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::frame::{self, HIGHEST, Kind, Setting};
use super::reply::{Fields, LARGEST_LIST, Reply};
use super::{Outcome, Request, hpack};
use crate::upstream::broken::Broken;
use crate::upstream::connections::{CONNECTION_WINDOW, STREAM_WINDOW};

/// What every connection begins with (RFC 9113, section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;
/// Of large messages no more than this is in one write, so that small ones are not behind them.
const GATHERED: usize = 64 << 10;
/// With so much that the peer has not taken, no call begins.
const FULL: usize = 1 << 20;
/// With so much the peer makes us answer what it does not read.
const FLOODED: usize = FULL + (256 << 10);
/// What is kept of a buffer after a large write.
const KEPT: usize = 64 << 10;

pub(super) struct Streams {
    /// Gathered for the next write.
    out: Vec<u8>,
    open: HashMap<u32, Stream>,
    next: u32,
    /// Of this call and those after it nothing was handed to the socket.
    unsent_from: u32,
    /// Calls that have more to send, in turn, each once.
    sending: VecDeque<u32>,
    /// What the peer allows all calls to send.
    window: i64,
    /// What it allows a new one.
    stream_window: u32,
    phase: Phase,
}

enum Phase {
    Open,
    /// No call begins, and the connection ends with the last one.
    Closing,
    /// With this as the last word.
    Ended(Reason),
}

struct Stream {
    waiter: oneshot::Sender<Outcome>,
    reply: Reply,
    /// What is left of the request.
    unsent: Bytes,
    window: i64,
    /// In `sending`.
    queued: bool,
    /// Bytes of the answer that the peer was not given back.
    received: u32,
}

/// A call that is over. Its caller is told when the lock is free again.
#[must_use]
pub(super) struct Settled(oneshot::Sender<Outcome>, Outcome);

impl Settled {
    pub(super) fn tell(self) {
        // Nobody may wait any more.
        let _ = self.0.send(self.1);
    }
}

/// What there is to write.
pub(super) enum Step {
    Write,
    Nothing,
    /// Nothing more will come. This is the last word.
    End(Reason),
}

impl Streams {
    /// Those of a new connection, with what a client says first.
    pub(super) fn new() -> Self {
        let mut out = frame::PREFACE.to_vec();
        let settings = [
            (Setting::EnablePush, 0),
            (Setting::InitialWindowSize, STREAM_WINDOW),
            (Setting::MaxHeaderListSize, LARGEST_LIST as u32),
        ];
        frame::put_settings(&mut out, &settings);
        frame::put_window_update(&mut out, 0, CONNECTION_WINDOW - FIRST_WINDOW);
        Self {
            out,
            open: HashMap::new(),
            next: 1,
            unsent_from: 1,
            sending: VecDeque::new(),
            window: FIRST_WINDOW.into(),
            stream_window: FIRST_WINDOW,
            phase: Phase::Open,
        }
    }

    /// Begins a call: its whole request is put out, as far as the windows allow. `head` has the fields that are the same for all.
    pub(super) fn begin(
        &mut self,
        head: &[u8],
        request: &Request<'_>,
        waiter: oneshot::Sender<Outcome>,
    ) -> Result<u32, Failure> {
        if !matches!(self.phase, Phase::Open) || self.next > HIGHEST {
            return Err(Failure::Closing);
        }
        if self.out.len() > FULL {
            return Err(Failure::Full);
        }
        let id = self.next;
        self.next += 2;
        frame::put_headers(&mut self.out, id, |out| {
            if id == 1 {
                out.push(hpack::EMPTY_TABLE);
            }
            out.extend_from_slice(&hpack::REQUEST);
            hpack::path(out, request.path.as_bytes());
            out.extend_from_slice(head);
            request.put_fields(out);
        });
        let mut stream = Stream {
            waiter,
            reply: Reply::default(),
            unsent: Bytes::new(),
            window: self.stream_window.into(),
            queued: false,
            received: 0,
        };
        let prefix = request.prefix();
        let length = prefix.len() + request.message.len();
        if length <= frame::LARGEST && length as i64 <= self.window.min(stream.window) {
            frame::put_head(&mut self.out, length, Kind::Data, frame::END_STREAM, id);
            self.out.extend_from_slice(&prefix);
            self.out.extend_from_slice(request.message);
            self.window -= length as i64;
            stream.window -= length as i64;
        } else {
            stream.unsent = [&prefix[..], request.message].concat().into();
            stream.queued = true;
            self.sending.push_back(id);
        }
        self.open.insert(id, stream);
        Ok(id)
    }

    /// Ends a call that nobody waits for any more.
    pub(super) fn cancel(&mut self, id: u32) {
        if self.remove(id).is_some() {
            frame::put_reset(&mut self.out, id, Reason::CANCEL);
        }
    }

    /// Moves what was gathered to `taken`, which is empty.
    pub(super) fn take(&mut self, taken: &mut Vec<u8>) -> Step {
        self.put_messages();
        if !self.out.is_empty() {
            taken.shrink_to(KEPT);
            mem::swap(&mut self.out, taken);
            self.unsent_from = self.next;
            return Step::Write;
        }
        match self.phase {
            Phase::Ended(reason) => Step::End(reason),
            Phase::Closing if self.open.is_empty() => Step::End(Reason::NO_ERROR),
            Phase::Open | Phase::Closing => Step::Nothing,
        }
    }

    /// One frame of each message that is not sent, in turn, while there is room.
    fn put_messages(&mut self) {
        let enough = self.out.len() + GATHERED;
        while self.window > 0 && self.out.len() < enough {
            let Some(id) = self.sending.pop_front() else {
                break;
            };
            let Some(stream) = self.open.get_mut(&id) else {
                continue;
            };
            stream.queued = false;
            let allowed = self.window.min(stream.window).min(frame::LARGEST as i64);
            let length = usize::try_from(allowed)
                .unwrap_or(0)
                .min(stream.unsent.len());
            // Without room it is back with its WINDOW_UPDATE.
            if length == 0 {
                continue;
            }
            let part = stream.unsent.split_to(length);
            let rest = !stream.unsent.is_empty();
            let flags = if rest { 0 } else { frame::END_STREAM };
            frame::put_head(&mut self.out, length, Kind::Data, flags, id);
            self.out.extend_from_slice(&part);
            self.window -= length as i64;
            stream.window -= length as i64;
            stream.queued = rest;
            if rest {
                self.sending.push_back(id);
            }
        }
    }

    /// The peer allows more to be sent: by one call, or for 0 by all.
    pub(super) fn widen(&mut self, id: u32, by: u32) -> Result<(), Failure> {
        if by == 0 {
            return Err(Failure::Protocol("a window grows by nothing"));
        }
        if id == 0 {
            self.window = widened(self.window, by.into())?;
        } else if let Some(stream) = self.open.get_mut(&id) {
            stream.window = widened(stream.window, by.into())?;
            stream.queue(id, &mut self.sending);
        } else {
            self.known(id)?;
        }
        Ok(())
    }

    /// What the peer allows each call to send has changed, also of those that are open.
    pub(super) fn set_stream_window(&mut self, window: u32) -> Result<(), Failure> {
        if window > HIGHEST {
            return Err(Failure::FlowControl);
        }
        let by = i64::from(window) - i64::from(self.stream_window);
        self.stream_window = window;
        for (id, stream) in &mut self.open {
            stream.window = widened(stream.window, by)?;
            stream.queue(*id, &mut self.sending);
        }
        Ok(())
    }

    /// A head, or trailers.
    pub(super) fn fields(
        &mut self,
        id: u32,
        fields: &Fields,
        end: bool,
    ) -> Result<Option<Settled>, Failure> {
        let Some(stream) = self.open.get_mut(&id) else {
            return self.known(id).map(|()| None);
        };
        let outcome = stream.reply.fields(fields, end);
        Ok(outcome.and_then(|outcome| self.settle(id, end, outcome)))
    }

    /// A part of a message. With its padding it had `length` bytes.
    pub(super) fn data(
        &mut self,
        id: u32,
        data: &[u8],
        length: u32,
        end: bool,
    ) -> Result<Option<Settled>, Failure> {
        let Some(stream) = self.open.get_mut(&id) else {
            return self.known(id).map(|()| None);
        };
        stream.received += length;
        if let Some(outcome) = stream.reply.data(data, end) {
            return Ok(self.settle(id, end, outcome));
        }
        if stream.received >= STREAM_WINDOW / 2 {
            let by = mem::take(&mut stream.received);
            self.say(|out| frame::put_window_update(out, id, by))?;
        }
        Ok(None)
    }

    /// The peer gives a call up.
    pub(super) fn reset(&mut self, id: u32, reason: Reason) -> Result<Option<Settled>, Failure> {
        let Some(stream) = self.remove(id) else {
            return self.known(id).map(|()| None);
        };
        let broken = Broken {
            processed: reason != Reason::REFUSED_STREAM,
            lost: false,
        };
        let outcome = Err(broken.status(&format_args!("the service reset the call: {reason}")));
        Ok(Some(Settled(stream.waiter, outcome)))
    }

    /// The peer takes no calls after `last`. The others go on.
    pub(super) fn go_away(&mut self, last: u32, reason: Reason) -> Vec<Settled> {
        self.close();
        let after: Vec<u32> = self.open.keys().copied().filter(|id| *id > last).collect();
        let not_processed = Failure::GoAway(reason);
        let settled = after.into_iter().filter_map(|id| {
            let stream = self.remove(id)?;
            Some(Settled(stream.waiter, Err(not_processed.status(false))))
        });
        settled.collect()
    }

    /// No call begins any more.
    pub(super) fn close(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::Closing;
        }
    }

    /// The connection has failed, and with it every call.
    pub(super) fn end(&mut self, failure: &Failure) -> Vec<Settled> {
        if matches!(self.phase, Phase::Ended(_)) {
            return Vec::new();
        }
        self.phase = Phase::Ended(failure.reason());
        self.out.clear();
        self.sending.clear();
        let settled = mem::take(&mut self.open).into_iter().map(|(id, stream)| {
            let processed = id < self.unsent_from;
            Settled(stream.waiter, Err(failure.status(processed)))
        });
        settled.collect()
    }

    /// Whether there is something to write, be it the last word.
    pub(super) fn is_due(&self) -> bool {
        let over = self.open.is_empty() && !matches!(self.phase, Phase::Open);
        over || !self.out.is_empty() || (self.window > 0 && !self.sending.is_empty())
    }

    /// Whether the peer has something to do.
    pub(super) fn expects(&self) -> bool {
        !self.open.is_empty() || !matches!(self.phase, Phase::Open)
    }

    /// Lets `put` say something about the connection.
    pub(super) fn say(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failure> {
        put(&mut self.out);
        if self.out.len() > FLOODED {
            return Err(Failure::Flood);
        }
        Ok(())
    }

    fn settle(&mut self, id: u32, ended: bool, outcome: Outcome) -> Option<Settled> {
        let stream = self.remove(id)?;
        if !ended || !stream.unsent.is_empty() {
            frame::put_reset(&mut self.out, id, Reason::CANCEL);
        }
        Some(Settled(stream.waiter, outcome))
    }

    fn remove(&mut self, id: u32) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        if stream.queued {
            self.sending.retain(|queued| *queued != id);
        }
        Some(stream)
    }

    /// What is said of a call that is over is late; of one that never began it is wrong.
    fn known(&self, id: u32) -> Result<(), Failure> {
        if id % 2 == 1 && id < self.next {
            return Ok(());
        }
        Err(Failure::Protocol("a stream was not opened"))
    }

    /// As if all numbers of calls but the last were used.
    #[cfg(test)]
    pub(super) fn use_numbers(&mut self) {
        self.next = HIGHEST;
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sending.is_empty()
    }

    #[cfg(test)]
    pub(super) fn gathered(&self) -> usize {
        self.out.len()
    }
}

impl Stream {
    fn queue(&mut self, id: u32, sending: &mut VecDeque<u32>) {
        if !self.queued && self.window > 0 && !self.unsent.is_empty() {
            self.queued = true;
            sending.push_back(id);
        }
    }
}

fn widened(window: i64, by: i64) -> Result<i64, Failure> {
    let wide = window + by;
    if wide > HIGHEST.into() {
        return Err(Failure::FlowControl);
    }
    Ok(wide)
}
