//! Frames of HTTP/2 (RFC 9113, sections 4 and 6).

use h2::Reason;

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before a payload.
pub(super) const HEAD: usize = 9;
/// The longest payload that either side sends: what everybody must take.
pub(super) const LARGEST: usize = 16_384;
/// The highest number of a stream, and the widest window.
pub(super) const HIGHEST: u32 = 0x7fff_ffff;

// Flags. One bit means one thing to one kind of frame.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data = 0,
    Headers = 1,
    Priority = 2,
    Reset = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
    /// To be ignored.
    Unknown = 0xff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    EnablePush = 2,
    MaxConcurrentStreams = 3,
    InitialWindowSize = 4,
    MaxHeaderListSize = 6,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

/// A frame is longer than we have allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl From<u8> for Kind {
    fn from(kind: u8) -> Self {
        match kind {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::Reset,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }
}

impl Setting {
    /// None where it is not one that concerns us.
    pub(super) fn of(number: u16) -> Option<Self> {
        match number {
            2 => Some(Self::EnablePush),
            3 => Some(Self::MaxConcurrentStreams),
            4 => Some(Self::InitialWindowSize),
            _ => None,
        }
    }
}

impl<'a> Frame<'a> {
    /// The frame that `bytes` begin with; none while it is not whole.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Option<Self>, TooLong> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if length > LARGEST {
            return Err(TooLong);
        }
        Ok(rest.get(..length).map(|payload| Self {
            kind: kind.into(),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & HIGHEST,
            payload,
        }))
    }

    /// Bytes of the whole frame.
    pub(super) fn size(&self) -> usize {
        HEAD + self.payload.len()
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of DATA or HEADERS without padding and priority; none where there is more padding than payload.
    pub(super) fn content(&self) -> Option<&'a [u8]> {
        let mut content = self.payload;
        if self.has(PADDED) {
            let (padding, rest) = content.split_first()?;
            content = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        if self.kind == Kind::Headers && self.has(PRIORITY) {
            content = content.get(5..)?;
        }
        Some(content)
    }

    /// The number that the whole payload is.
    pub(super) fn number(&self) -> Option<u32> {
        self.payload.try_into().ok().map(u32::from_be_bytes)
    }
}

pub(super) fn put_head(out: &mut Vec<u8>, length: usize, kind: Kind, flags: u8, stream: u32) {
    // No payload of ours is longer than LARGEST.
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    out.extend_from_slice(&[l0, l1, l2, kind as u8, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// The head of a request, which `encode` writes; in several frames where it is longer than one may be. What its message is follows.
pub(super) fn put_headers(out: &mut Vec<u8>, stream: u32, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put_head(out, 0, Kind::Headers, END_HEADERS, stream);
    let block = out.len();
    encode(out);
    let length = out.len() - block;
    if length <= LARGEST {
        let [_, lengths @ ..] = (length as u32).to_be_bytes();
        out[start..][..3].copy_from_slice(&lengths);
        return;
    }
    let block = out.split_off(block);
    out.truncate(start);
    let mut kind = Kind::Headers;
    let mut parts = block.chunks(LARGEST).peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        put_head(out, part.len(), kind, flags, stream);
        out.extend_from_slice(part);
        kind = Kind::Continuation;
    }
}

pub(super) fn put_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    put_head(out, 4, Kind::Reset, 0, stream);
    out.extend_from_slice(&u32::from(reason).to_be_bytes());
}

pub(super) fn put_settings(out: &mut Vec<u8>, settings: &[(Setting, u32)]) {
    put_head(out, settings.len() * 6, Kind::Settings, 0, 0);
    for (setting, value) in settings {
        out.extend_from_slice(&(*setting as u16).to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn put_settings_ack(out: &mut Vec<u8>) {
    put_head(out, 0, Kind::Settings, ACK, 0);
}

pub(super) fn put_ping(out: &mut Vec<u8>, flags: u8, opaque: [u8; 8]) {
    put_head(out, opaque.len(), Kind::Ping, flags, 0);
    out.extend_from_slice(&opaque);
}

/// The last word on a connection. A client's names no stream, as nobody opens one to it.
pub(super) fn put_go_away(out: &mut Vec<u8>, reason: Reason) {
    put_head(out, 8, Kind::GoAway, 0, 0);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u32::from(reason).to_be_bytes());
}

pub(super) fn put_window_update(out: &mut Vec<u8>, stream: u32, by: u32) {
    put_head(out, 4, Kind::WindowUpdate, 0, stream);
    out.extend_from_slice(&by.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Frame<'_> {
        Frame::first(bytes).unwrap().unwrap()
    }

    #[test]
    fn a_frame_is_read_when_it_is_whole() {
        let mut bytes = Vec::new();
        put_ping(&mut bytes, ACK, *b"12345678");
        bytes.push(0);
        for short in 0..HEAD + 8 {
            assert!(Frame::first(&bytes[..short]).unwrap().is_none());
        }
        let frame = whole(&bytes);
        assert_eq!(
            (frame.kind, frame.flags, frame.stream),
            (Kind::Ping, ACK, 0)
        );
        assert_eq!((frame.payload, frame.size()), (&b"12345678"[..], 17));
        assert_eq!(
            Frame::first(&[0, 0x40, 1, 0, 0, 0, 0, 0, 1]).unwrap_err(),
            TooLong
        );
    }

    #[test]
    fn padding_and_priority_are_not_content() {
        fn of(kind: Kind, flags: u8, payload: &[u8]) -> Option<&[u8]> {
            let stream = 1;
            let frame = Frame {
                kind,
                flags,
                stream,
                payload,
            };
            frame.content()
        }
        assert_eq!(of(Kind::Data, 0, b"abc"), Some(&b"abc"[..]));
        assert_eq!(of(Kind::Data, PADDED, b"\x02abc"), Some(&b"a"[..]));
        assert_eq!(of(Kind::Data, PADDED, b"\x00"), Some(&b""[..]));
        assert_eq!(of(Kind::Data, PADDED, b"\x04abc"), None);
        assert_eq!(of(Kind::Data, PADDED, b""), None);
        assert_eq!(
            of(Kind::Headers, PADDED | PRIORITY, b"\x01....Wab."),
            Some(&b"ab"[..])
        );
        assert_eq!(of(Kind::Headers, PRIORITY, b"...."), None);
    }

    #[test]
    fn a_long_head_goes_on_in_frames_of_its_own() {
        let mut bytes = Vec::new();
        put_headers(&mut bytes, 7, |out| {
            out.resize(out.len() + 2 * LARGEST + 1, 9)
        });
        let mut frames = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(frame) = Frame::first(rest).unwrap() {
            frames.push((frame.kind, frame.flags, frame.stream, frame.payload.len()));
            rest = &rest[frame.size()..];
        }
        assert_eq!(
            frames,
            [
                (Kind::Headers, 0, 7, LARGEST),
                (Kind::Continuation, 0, 7, LARGEST),
                (Kind::Continuation, END_HEADERS, 7, 1)
            ]
        );
    }
}
