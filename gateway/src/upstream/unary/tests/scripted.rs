//! Peers that say what a server of the crate h2 does not.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;

use super::super::connection::Handle;
use super::super::frame::{self, ACK, END_HEADERS, END_STREAM, Frame, Kind, Setting};
use super::super::hpack;
use super::super::{Outcome, Request};
use super::{Client, broken, call, soon};

/// Short, so that a connection is given up soon.
const TICK: Duration = Duration::from_millis(10);

/// The other end of a connection.
struct Script {
    socket: DuplexStream,
    read: Vec<u8>,
}

impl Script {
    /// A connection that is ready, with these settings of the peer.
    async fn begin(room: usize, settings: &[(Setting, u32)]) -> (Self, Handle) {
        let (ours, theirs) = tokio::io::duplex(room);
        let (reader, writer) = tokio::io::split(ours);
        let (handle, begun) = Handle::start(reader, writer, TICK);
        let mut script = Self {
            socket: theirs,
            read: Vec::new(),
        };
        let mut preface = vec![0; frame::PREFACE.len()];
        script.socket.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, frame::PREFACE);
        script.say(|out| frame::put_settings(out, settings)).await;
        begun.await.unwrap();
        (script, handle)
    }

    async fn say(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        put(&mut out);
        self.socket.write_all(&out).await.unwrap();
    }

    /// The next frame of this kind: its flags, stream and payload. Others are passed over. None at the end.
    async fn next(&mut self, kind: Kind) -> Option<(u8, u32, Vec<u8>)> {
        loop {
            while let Some(frame) = Frame::first(&self.read).unwrap() {
                let found = (frame.flags, frame.stream, frame.payload.to_vec());
                let (size, is) = (frame.size(), frame.kind == kind);
                self.read.drain(..size);
                if is {
                    return Some(found);
                }
            }
            if soon(self.socket.read_buf(&mut self.read)).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// Answers a call with an empty message.
    async fn answer(&mut self, stream: u32) {
        self.say(|out| {
            frame::put_headers(out, stream, |out| {
                // `:status: 200`.
                out.push(0x88);
                hpack::literal(out, b"content-type", b"application/grpc");
            });
            frame::put_head(out, 5, Kind::Data, 0, stream);
            out.extend_from_slice(&[0; 5]);
            let trailers = [&b"\0\x0bgrpc-status\x010"[..]].concat();
            let flags = END_HEADERS | END_STREAM;
            frame::put_head(out, trailers.len(), Kind::Headers, flags, stream);
            out.extend_from_slice(&trailers);
        })
        .await;
    }
}

async fn request(handle: &Handle, message: impl Into<Bytes>) -> Outcome {
    let request = Request {
        path: "/",
        metadata: &[],
        timeout: None,
        message: &message.into(),
    };
    soon(handle.call(&[], &request)).await
}

#[tokio::test]
async fn calls_above_the_last_of_a_goaway_were_not_processed_and_those_below_go_on() {
    let (mut script, handle) = Script::begin(1 << 16, &[]).await;
    let calls = futures::future::join_all((0..3).map(|_| request(&handle, "")));
    let peer = async {
        while script.next(Kind::Data).await.unwrap().1 != 5 {}
        script
            .say(|out| {
                frame::put_head(out, 8, Kind::GoAway, 0, 0);
                out.extend_from_slice(&[0, 0, 0, 3, 0, 0, 0, 0]);
            })
            .await;
        script.answer(3).await;
        script.answer(1).await;
        // Then our side ends it.
        assert!(script.next(Kind::GoAway).await.is_some());
        assert!(script.next(Kind::Data).await.is_none());
    };
    let (outcomes, ()) = tokio::join!(calls, peer);
    let [first, second, third] = outcomes.try_into().unwrap();
    assert_eq!(
        (first.unwrap(), second.unwrap()),
        (Bytes::new(), Bytes::new())
    );
    assert_eq!(broken(third), (false, false));
    assert!(!handle.is_open());
    assert_eq!(broken(request(&handle, "").await), (false, false));
}

#[tokio::test]
async fn a_connection_that_has_used_all_numbers_of_calls_ends() {
    let (mut script, handle) = Script::begin(1 << 16, &[]).await;
    handle.with(|streams| streams.use_numbers());
    let peer = async {
        assert_eq!(script.next(Kind::Data).await.unwrap().1, frame::HIGHEST);
        script.answer(frame::HIGHEST).await;
    };
    let (last, ()) = tokio::join!(request(&handle, ""), peer);
    assert_eq!(last.unwrap(), "");
    assert_eq!(broken(request(&handle, "").await), (false, false));
    assert!(!handle.is_open());
    assert!(script.next(Kind::GoAway).await.is_some());
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_asked_and_then_given_up() {
    let (mut script, handle) = Script::begin(1 << 16, &[]).await;
    let (outcome, asked) = tokio::join!(request(&handle, ""), script.next(Kind::Ping));
    assert_eq!(
        asked.map(|(flags, stream, _)| (flags, stream)),
        Some((0, 0))
    );
    assert_eq!(broken(outcome), (true, true));
}

#[tokio::test]
async fn a_peer_that_answers_pings_may_take_its_time() {
    let (mut script, handle) = Script::begin(1 << 16, &[]).await;
    let peer = async {
        for _ in 0..3 {
            let (_, _, opaque) = script.next(Kind::Ping).await.unwrap();
            let opaque = opaque.try_into().unwrap();
            script.say(|out| frame::put_ping(out, ACK, opaque)).await;
        }
        script.answer(1).await;
    };
    let (outcome, ()) = tokio::join!(request(&handle, ""), peer);
    assert_eq!(outcome.unwrap(), "");
}

#[tokio::test]
async fn pings_and_settings_are_acknowledged() {
    let (mut script, _handle) = Script::begin(1 << 16, &[]).await;
    script
        .say(|out| frame::put_ping(out, 0, *b"abcdefgh"))
        .await;
    let (flags, _, opaque) = script.next(Kind::Ping).await.unwrap();
    assert_eq!((flags, opaque.as_slice()), (ACK, &b"abcdefgh"[..]));
    script.say(|out| frame::put_settings(out, &[])).await;
    let (flags, _, _) = script.next(Kind::Settings).await.unwrap();
    assert_eq!(flags, ACK);
}

#[tokio::test]
async fn windows_are_kept_to_also_when_they_shrink() {
    let small = [(Setting::InitialWindowSize, 10)];
    let (mut script, handle) = Script::begin(1 << 16, &small).await;
    let peer = async {
        assert_eq!(script.next(Kind::Data).await.unwrap().2.len(), 10);
        // 10 are sent of 4: the window is 6 below nothing.
        script
            .say(|out| frame::put_settings(out, &[(Setting::InitialWindowSize, 4)]))
            .await;
        script.say(|out| frame::put_window_update(out, 1, 9)).await;
        let (flags, stream, payload) = script.next(Kind::Data).await.unwrap();
        assert_eq!((flags, stream, payload.len()), (0, 1, 3));
        script
            .say(|out| frame::put_window_update(out, 1, 1000))
            .await;
        let (flags, stream, payload) = script.next(Kind::Data).await.unwrap();
        assert_eq!((flags, stream, payload.len()), (END_STREAM, 1, 92));
        script.answer(1).await;
    };
    let (outcome, ()) = tokio::join!(request(&handle, vec![7_u8; 100]), peer);
    assert_eq!(outcome.unwrap(), "");
}

#[tokio::test]
async fn what_was_sent_is_given_back_also_where_a_window_is_as_wide_as_it_may_be() {
    let widest = [(Setting::InitialWindowSize, frame::HIGHEST)];
    let (mut script, handle) = Script::begin(1 << 16, &widest).await;
    let peer = async {
        let sent = script.next(Kind::Data).await.unwrap().2.len();
        let sent = u32::try_from(sent).unwrap();
        script
            .say(|out| frame::put_window_update(out, 1, sent))
            .await;
        script.answer(1).await;
    };
    let (outcome, ()) = tokio::join!(request(&handle, "abc"), peer);
    assert_eq!(outcome.unwrap(), "");
}

#[tokio::test]
async fn to_a_peer_that_reads_nothing_calls_end_and_memory_does_not_grow() {
    let (script, handle) = Script::begin(1 << 10, &[]).await;
    let name = http::HeaderValue::from_bytes(&[b'x'; 20_000]).unwrap();
    let metadata = [("x-large", name)];
    let message = Bytes::new();
    let calls = (0..200).map(|_| {
        let request = Request {
            path: "/",
            metadata: &metadata,
            timeout: None,
            message: &message,
        };
        let handle = &handle;
        async move { soon(handle.call(&[], &request)).await }
    });
    let outcomes = futures::future::join_all(calls).await;
    let full = |outcome: &Outcome| {
        let message = outcome.as_ref().unwrap_err().message();
        message.ends_with("does not read what it is sent")
    };
    assert!(outcomes.iter().any(full));
    for outcome in outcomes {
        // Those that were put out wait until the peer has been silent for too long.
        let may_have_been_processed = !full(&outcome);
        let (processed, _) = broken(outcome);
        assert!(!processed || may_have_been_processed);
    }
    drop(script);
}

#[tokio::test]
async fn who_breaks_the_rules_of_frames_is_told_so() {
    type Writes = fn(&mut Vec<u8>);
    let wrongs: [(Writes, Reason); 5] = [
        // What was not opened, pushes, and is too long; windows that grow by nothing, and too much.
        (
            |out| frame::put_head(out, 0, Kind::Data, 0, 9),
            Reason::PROTOCOL_ERROR,
        ),
        (
            |out| frame::put_head(out, 0, Kind::PushPromise, 0, 1),
            Reason::PROTOCOL_ERROR,
        ),
        (
            |out| frame::put_head(out, frame::LARGEST + 1, Kind::Data, 0, 1),
            Reason::FRAME_SIZE_ERROR,
        ),
        (
            |out| frame::put_window_update(out, 0, 0),
            Reason::PROTOCOL_ERROR,
        ),
        (
            |out| frame::put_window_update(out, 0, frame::HIGHEST),
            Reason::FLOW_CONTROL_ERROR,
        ),
    ];
    for (put, reason) in wrongs {
        let (mut script, handle) = Script::begin(1 << 16, &[]).await;
        let peer = async {
            script.next(Kind::Data).await.unwrap();
            script.say(put).await;
            script.next(Kind::GoAway).await.unwrap().2
        };
        let (outcome, told) = tokio::join!(request(&handle, ""), peer);
        assert_eq!(broken(outcome), (true, true));
        assert_eq!(told[4..], u32::from(reason).to_be_bytes());
    }
}

#[tokio::test]
async fn who_does_not_speak_http_2_is_not_called() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap(), "peer");
    let peer = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = [0; frame::PREFACE.len()];
        socket.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, *frame::PREFACE);
        let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
        socket.write_all(answer).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(call(&client, "/", ""), peer);
    assert_eq!(broken(outcome), (false, true));
}

#[tokio::test]
async fn what_is_given_up_ends_its_connection_after_its_last_call() {
    let (mut script, handle) = Script::begin(1 << 16, &[]).await;
    let calls = async {
        let outcome = request(&handle, "").await;
        drop(handle);
        outcome
    };
    let peer = async {
        script.next(Kind::Data).await.unwrap();
        script.answer(1).await;
        script.next(Kind::GoAway).await.unwrap().2
    };
    let (outcome, told) = tokio::join!(calls, peer);
    assert_eq!(outcome.unwrap(), "");
    assert_eq!(told, [0; 8]);
}
