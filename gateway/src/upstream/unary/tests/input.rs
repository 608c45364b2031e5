//! Whatever a peer sends, it neither makes us panic nor grow.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::oneshot;

use super::super::connection::Connection;
use super::super::failure::Failure;
use super::super::frame::{self, END_HEADERS, Frame, Kind, Setting};
use super::super::incoming::Incoming;
use super::super::{Outcome, Request};
use crate::upstream::connections::CONNECTION_WINDOW;

/// A connection without a task, with some calls that wait.
fn connection(calls: usize) -> (Connection, Vec<oneshot::Receiver<Outcome>>) {
    let connection = Connection::new();
    let request = Request {
        path: "/",
        metadata: &[],
        timeout: None,
        message: &vec![0_u8; 100_000].into(),
    };
    let waiting = (0..calls).map(|_| {
        let (waiter, answer) = oneshot::channel();
        let begun = connection.with(|streams| streams.begin(&[], &request, waiter));
        assert!(begun.is_ok());
        answer
    });
    let waiting = waiting.collect();
    (connection, waiting)
}

/// What reads on it, after the settings of the peer.
fn incoming(connection: &Connection) -> Incoming<'_> {
    let mut incoming = Incoming::new(connection, oneshot::channel().0);
    let mut settings = Vec::new();
    frame::put_settings(&mut settings, &[(Setting::MaxConcurrentStreams, 100)]);
    assert!(matches!(incoming.take(&settings), Ok(taken) if taken == settings.len()));
    incoming
}

/// What a writer would have written.
fn written(connection: &Connection) -> Vec<u8> {
    let mut taken = Vec::new();
    connection.with(|streams| streams.take(&mut taken));
    taken
}

#[test]
fn no_frames_make_it_panic_or_grow() {
    for seed in 0..5_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let (connection, _waiting) = connection(4);
        let mut incoming = incoming(&connection);
        for _ in 0..50 {
            let mut payload = vec![0; random.random_range(0..40)];
            random.fill(payload.as_mut_slice());
            let mut bytes = Vec::new();
            frame::put_head(
                &mut bytes,
                payload.len(),
                Kind::from(random.random_range(0..11_u8)),
                random.random_range(0..=u8::MAX),
                random.random_range(0..10),
            );
            bytes.extend_from_slice(&payload);
            if incoming.take(&bytes).is_err() {
                break;
            }
            let gathered = connection.with(|streams| streams.gathered());
            assert!(gathered < 2 << 20, "{seed}");
            if random.random_range(0..4) == 0 {
                let _ = written(&connection);
            }
        }
    }
}

#[test]
fn no_bytes_make_it_panic() {
    for seed in 0..5_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let (connection, _waiting) = connection(1);
        let mut incoming = incoming(&connection);
        let mut bytes = vec![0; random.random_range(0..200)];
        random.fill(bytes.as_mut_slice());
        // Lengths of what can be a frame.
        for byte in bytes.iter_mut().step_by(9) {
            *byte = 0;
        }
        let _ = incoming.take(&bytes);
    }
}

#[test]
fn questions_without_end_are_not_answered_without_end() {
    let (connection, _waiting) = connection(0);
    let mut incoming = incoming(&connection);
    let mut ping = Vec::new();
    frame::put_ping(&mut ping, 0, [0; 8]);
    let failure = (0..1_000_000).find_map(|_| incoming.take(&ping).err());
    assert!(matches!(failure, Some(Failure::Flood)));
    assert!(connection.with(|streams| streams.gathered()) < 2 << 20);
}

#[test]
fn fields_without_end_are_not_gathered_without_end() {
    for part in [0, 1, frame::LARGEST] {
        let (connection, _waiting) = connection(1);
        let mut incoming = incoming(&connection);
        let mut bytes = Vec::new();
        frame::put_head(&mut bytes, 0, Kind::Headers, 0, 1);
        assert!(incoming.take(&bytes).is_ok());
        bytes.clear();
        frame::put_head(&mut bytes, part, Kind::Continuation, 0, 1);
        bytes.resize(bytes.len() + part, 0x88);
        let failure = (0..1000).find_map(|_| incoming.take(&bytes).err());
        assert!(matches!(failure, Some(Failure::Flood)), "{part}");
    }
}

#[test]
fn a_block_of_fields_is_not_interrupted() {
    let (connection, _waiting) = connection(2);
    let mut incoming = incoming(&connection);
    let mut bytes = Vec::new();
    frame::put_head(&mut bytes, 0, Kind::Headers, 0, 1);
    frame::put_head(&mut bytes, 0, Kind::Continuation, END_HEADERS, 3);
    assert!(matches!(incoming.take(&bytes), Err(Failure::Protocol(_))));
}

#[test]
fn the_fields_of_a_call_that_is_over_are_read_for_those_after_it() {
    let (connection, waiting) = connection(2);
    let mut incoming = incoming(&connection);
    connection.with(|streams| streams.cancel(1));
    let mut bytes = Vec::new();
    // Puts `grpc-status: 5` into the table, at 62.
    let block = b"\x40\x0bgrpc-status\x015";
    frame::put_head(&mut bytes, block.len(), Kind::Headers, END_HEADERS, 1);
    bytes.extend_from_slice(block);
    frame::put_head(
        &mut bytes,
        2,
        Kind::Headers,
        END_HEADERS | frame::END_STREAM,
        3,
    );
    bytes.extend_from_slice(&[0x88, 0x80 | 62]);
    assert!(incoming.take(&bytes).is_ok());
    let [_, mut second] = waiting.try_into().unwrap();
    let status = second.try_recv().unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert!(connection.with(|streams| streams.is_empty()));
}

#[test]
fn what_comes_for_a_call_that_is_over_is_given_back_to_the_others() {
    let (connection, _waiting) = connection(1);
    let mut incoming = incoming(&connection);
    connection.with(|streams| streams.cancel(1));
    let _preface = written(&connection);
    let mut data = Vec::new();
    frame::put_head(&mut data, frame::LARGEST, Kind::Data, 0, 1);
    data.resize(data.len() + frame::LARGEST, 0);
    let mut given_back = 0;
    for _ in 0..2000 {
        assert!(incoming.take(&data).is_ok());
        let written = written(&connection);
        if let Some(frame) = Frame::first(&written).unwrap() {
            assert_eq!((frame.kind, frame.stream), (Kind::WindowUpdate, 0));
            given_back += frame.number().unwrap() as usize;
        }
    }
    let left = 2000 * frame::LARGEST - given_back;
    assert!(left < CONNECTION_WINDOW as usize, "{left}");
}
