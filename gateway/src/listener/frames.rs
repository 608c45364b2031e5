//! Bounds frames of HTTP/2 that are no part of a request. The `h2` crate bounds what requests are made of: their heads and bodies, what
//! is in wrong form, and streams that are given up as soon as they were begun (CVE-2023-44487). It answers or drops PING, SETTINGS,
//! PRIORITY and WINDOW_UPDATE as fast as they come (CVE-2019-9512, CVE-2019-9515), so that one connection can keep a processor busy.

use std::io;
use std::time::{Duration, Instant};

use pingora::protocols::Stream;

use super::bounded::{Bound, Bounded};
use super::first_bytes::PREFACE;
use crate::metrics;

/// Bytes of the head of a frame: three of length, one of type, one of flags, four of the stream (RFC 9113, section 4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Frames beside requests at once.
const BURST: u32 = 10_000;
/// And as many more each second: a client that reads a stream of a service sends some for each answer.
const PER_SECOND: u32 = 5_000;
/// And for each request: a client that reads its answer in parts sends some.
const PER_REQUEST: u32 = 4;

/// Where a client is in the frames it sends, and how many of them it may send.
#[derive(Debug)]
pub(super) struct FrameBound {
    /// Bytes of the preface, or of a frame, that are still to come before the next head.
    skipped: usize,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    known: usize,
    left: u32,
    /// When `left` was made more because of the time.
    filled: Instant,
}

impl FrameBound {
    /// A connection of HTTP/2, from its preface on, that breaks when too much comes on it that asks for nothing.
    pub(super) fn on(stream: Stream) -> Bounded<Self> {
        Bounded::new(stream, Self::new())
    }

    fn new() -> Self {
        Self {
            skipped: PREFACE.len(),
            head: [0; HEAD],
            known: 0,
            left: BURST,
            filled: Instant::now(),
        }
    }

    fn count(&mut self, kind: u8, now: Instant) -> io::Result<()> {
        match kind {
            DATA | CONTINUATION => return Ok(()),
            HEADERS => {
                self.left = (self.left + PER_REQUEST).min(BURST);
                return Ok(());
            }
            _ => {}
        }
        if self.left == 0 {
            self.left = gained(now.duration_since(self.filled));
            self.filled = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                metrics::floods().inc();
                let flood = "too many frames that are no part of a request";
                Err(io::Error::new(io::ErrorKind::InvalidData, flood))
            }
        }
    }
}

fn gained(since: Duration) -> u32 {
    let gained = since.as_millis() * u128::from(PER_SECOND) / 1000;
    u32::try_from(gained).unwrap_or(BURST).min(BURST)
}

impl Bound for FrameBound {
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let skipped = self.skipped.min(bytes.len());
            self.skipped -= skipped;
            bytes = &bytes[skipped..];
            let part = bytes.len().min(HEAD - self.known);
            self.head[self.known..self.known + part].copy_from_slice(&bytes[..part]);
            self.known += part;
            bytes = &bytes[part..];
            if self.known < HEAD {
                return Ok(());
            }
            let [high, middle, low, kind, ..] = self.head;
            self.skipped = u32::from_be_bytes([0, high, middle, low]) as usize;
            self.known = 0;
            self.count(kind, Instant::now())?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut sent = PREFACE.to_vec();
        for kind in [4, HEADERS, PING, DATA, 77] {
            // Heads of PING: a payload that were taken for frames would count.
            sent.extend(frame(kind, &frame(PING, b"").repeat(20)));
        }
        for size in [1, 2, 7, 24, 33, 1000, sent.len()] {
            let mut bound = FrameBound::new();
            bound.left = 100;
            for part in sent.chunks(size) {
                bound.read(part).unwrap();
            }
            assert_eq!(bound.left, 100 - 3 + PER_REQUEST, "{size}");
        }
    }

    #[test]
    fn a_flood_ends_and_who_asks_for_something_or_takes_the_time_may_go_on() {
        let mut bound = FrameBound::new();
        let begun = bound.filled;
        for _ in 0..BURST {
            bound.count(PING, begun).unwrap();
        }
        assert!(bound.count(PING, begun).is_err());
        bound.count(HEADERS, begun).unwrap();
        for _ in 0..PER_REQUEST {
            bound.count(PING, begun).unwrap();
        }
        assert!(bound.count(PING, begun).is_err());

        let later = begun + Duration::from_secs(1);
        for _ in 0..PER_SECOND {
            bound.count(PING, later).unwrap();
        }
        assert!(bound.count(PING, later).is_err());
        assert_eq!(gained(Duration::from_secs(3600)), BURST);
    }
}
