//! Frames of HTTP/2 that are malformed, and floods of frames.

use tests::http2::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Target, until_closed};

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/problems/TOKEN_EXPIRED"),
    (":authority", "a"),
];
const POST: [(&str, &str); 5] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/v1/accounts:register"),
    (":authority", "a"),
    ("content-type", "application/json"),
];

/// Bytes that a client may get rid of before it is cut: those that are read, and what the kernel keeps for both sides.
const MOST: usize = 32 << 20;

/// A request with more fields, on the first stream.
fn get(more: &[(&str, &str)]) -> Vec<u8> {
    head(1, &[&GET[..], more].concat(), END_STREAM)
}

/// A request where one of the fields is another.
fn get_with(name: &str, value: &str) -> Vec<u8> {
    let fields = GET.map(|(given, usual)| (given, if given == name { value } else { usual }));
    head(1, &fields, END_STREAM)
}

/// A request without one of the fields.
fn get_without(name: &str) -> Vec<u8> {
    let fields: Vec<_> = GET
        .into_iter()
        .filter(|(given, _)| *given != name)
        .collect();
    head(1, &fields, END_STREAM)
}

/// The head of a request that has a body, and two bytes of it, which end the stream.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let head = head(1, &[&POST[..], more].concat(), 0);
    [head, frame(DATA, END_STREAM, 1, b"{}")].concat()
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let target = Target::start(&[]).await;
    let table = [0x80];
    let endless = [0xff; 9];
    let bomb = [
        block(&GET),
        // A field of 4,000 bytes that goes into the table, and then its index, again and again.
        [
            &[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..],
            &[b'a'; 4000],
            &[0xbe; 9000],
        ]
        .concat(),
    ];
    let cases = [
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 16_385])),
        ("a stream of the server", head(2, &GET, END_STREAM)),
        ("a request on the connection", head(0, &GET, END_STREAM)),
        ("data of no stream", frame(DATA, END_STREAM, 1, b"a")),
        (
            "a reset of no stream",
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        ),
        ("a name in upper case", get(&[("X-Upper", "y")])),
        ("an unknown pseudo field", get(&[(":unknown", "y")])),
        ("a line end in a value", get(&[("x", "a\r\nb: c")])),
        (
            "an index that is none",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &table),
        ),
        (
            "a number without an end",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &endless),
        ),
        (
            "a head that unfolds",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb.concat()),
        ),
        (
            "a window of the connection that overflows",
            window(0, 0x7fff_ffff),
        ),
        ("a window that does not grow", window(0, 0)),
        ("settings cut short", frame(SETTINGS, 0, 0, b"a")),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        (
            "a setting beyond bounds",
            frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
        ),
        ("a ping cut short", frame(PING, 0, 0, b"a")),
        (
            "a push",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0_u8, 0, 0, 2][..], &block(&GET)].concat(),
            ),
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &block(&GET)),
        ),
        (
            "another frame within a head",
            [
                frame(HEADERS, END_STREAM, 1, &block(&GET)),
                frame(PING, 0, 0, &[0; 8]),
            ]
            .concat(),
        ),
    ];
    let all = async {
        for (name, said) in cases {
            let heard = until_closed(target.address(), &connection(&[&said])).await;
            let answered = frames(&heard).iter().any(|(kind, _)| *kind == HEADERS);
            assert!(!answered, "{name}: {:?}", frames(&heard));
        }
    };
    target.stands(all).await;
}

#[tokio::test]
async fn what_breaks_a_request_ends_its_stream_and_leaves_the_others() {
    let target = Target::start(&[]).await;
    let long = "a".repeat(1000);
    let names: Vec<String> = (0..40).map(|number| format!("x{number}")).collect();
    let many: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), long.as_str()))
        .collect();
    let many = block(&[&GET[..], &many].concat());
    let (first, rest) = many.split_at(16_000);
    let (second, third) = rest.split_at(16_000);
    let cases = [
        ("a field of connections", get(&[("connection", "close")])),
        (
            "a coding of transfer",
            get(&[("transfer-encoding", "chunked")]),
        ),
        (
            "a pseudo field after others",
            get(&[("x", "y"), (":path", "/")]),
        ),
        ("a pseudo field twice", get(&[(":path", "/")])),
        ("a pseudo field of answers", get(&[(":status", "200")])),
        ("no method", get_without(":method")),
        ("no path", get_without(":path")),
        ("an empty path", get_with(":path", "")),
        ("a line end in the path", get_with(":path", "/a\r\nb")),
        ("another host in the path", get_with(":path", "http://b/")),
        ("no authority", get_without(":authority")),
        ("two hosts", get(&[("host", "b")])),
        ("less than its length", post(&[("content-length", "5")])),
        ("more than its length", post(&[("content-length", "1")])),
        (
            "two lengths",
            post(&[("content-length", "2"), ("content-length", "3")]),
        ),
        ("a negative length", post(&[("content-length", "-2")])),
        (
            "a stream that depends on itself",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]),
        ),
        (
            "a head that is too large",
            [
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, 0, 1, second),
                frame(CONTINUATION, END_HEADERS, 1, third),
            ]
            .concat(),
        ),
        (
            "a window of a stream that overflows",
            [head(1, &POST, 0), window(1, 0x7fff_ffff)].concat(),
        ),
    ];
    let all = async {
        for (name, said) in cases {
            let heard =
                until_third(&target, &connection(&[&said, &head(3, &GET, END_STREAM)])).await;
            let ends = |(kind, stream): &&(u8, u32)| *stream == 1 && *kind != WINDOW_UPDATE;
            let first: Vec<_> = heard.iter().filter(ends).collect();
            let refused = first
                .iter()
                .any(|(kind, _)| [RST_STREAM, HEADERS].contains(kind));
            assert!(refused, "{name}: {heard:?}");
            // A refusal in words has none of the body that a good answer has.
            assert!(!first.contains(&&(DATA, 1)), "{name}: {heard:?}");
        }
    };
    target.stands(all).await;
}

/// The frames that come until the third stream has its answer.
async fn until_third(target: &Target, said: &[u8]) -> Vec<(u8, u32)> {
    let mut connection = TcpStream::connect(target.address()).await.unwrap();
    connection.write_all(said).await.unwrap();
    let mut heard = Vec::new();
    let answered = async {
        while !frames(&heard).contains(&(DATA, 3)) {
            let read = connection.read_buf(&mut heard).await.unwrap();
            assert_ne!(read, 0, "{:?}", frames(&heard));
        }
    };
    let answered = timeout(PATIENCE, answered).await;
    assert!(answered.is_ok(), "{:?}", frames(&heard));
    frames(&heard)
}

/// Says it again and again, hearing what is answered or not, until the connection ends; the bytes that were taken.
async fn flood(target: &Target, first: &[u8], mut next: impl FnMut() -> Vec<u8>) -> usize {
    let connection = TcpStream::connect(target.address()).await.unwrap();
    let (mut reading, mut writing) = connection.into_split();
    let mut taken = 0;
    let saying = async {
        let mut said = connection_of(first);
        while writing.write_all(&said).await.is_ok() {
            taken += said.len();
            said = next();
        }
    };
    let hearing = async {
        let mut part = vec![0; 64 * 1024];
        while let Ok(1..) = reading.read(&mut part).await {}
    };
    let ended = async {
        tokio::select! {
            () = saying => {}
            () = hearing => {}
        }
    };
    let ended = timeout(PATIENCE, ended).await;
    assert!(ended.is_ok(), "it goes on, after {taken} bytes");
    taken
}

fn connection_of(first: &[u8]) -> Vec<u8> {
    connection(&[first])
}

/// Requests on one stream after the other.
fn streams(write: impl Fn(u32) -> Vec<u8>) -> impl FnMut() -> Vec<u8> {
    let mut next = 1;
    move || {
        let mut said = Vec::new();
        for _ in 0..100 {
            said.extend(write(next));
            next += 2;
        }
        said
    }
}

#[tokio::test]
async fn a_flood_of_frames_that_ask_for_nothing_is_cut() {
    let target = Target::start(&[]).await;
    let all = async {
        for (name, said) in [
            ("PING", frame(PING, 0, 0, &[0; 8])),
            ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
            ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
            ("WINDOW_UPDATE", window(0, 1)),
            ("RST_STREAM", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
            ("unknown", frame(77, 0, 0, &[0; 4])),
        ] {
            let many = said.repeat(1000);
            // A stream that there was.
            let taken = flood(&target, &head(1, &GET, END_STREAM), || many.clone()).await;
            // Much of it nobody has read but the kernel.
            assert!(taken < MOST, "{name}: {taken} bytes were taken");
        }
    };
    target.stands(all).await;
}

#[tokio::test]
async fn a_flood_of_requests_that_are_given_up_or_have_no_end_is_cut() {
    let target = Target::start(&[]).await;
    let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let field = block(&[("x", &"a".repeat(100))]);
    let all = async {
        // CVE-2023-44487
        let given_up = streams(|stream| [head(stream, &GET, END_STREAM), reset(stream)].concat());
        flood(&target, &[], given_up).await;
        let too_many = streams(|stream| head(stream, &POST, 0));
        flood(&target, &[], too_many).await;
        // CVE-2024-27316
        let begun = frame(HEADERS, END_STREAM, 1, &block(&GET));
        let continued = frame(CONTINUATION, 0, 1, &field).repeat(100);
        flood(&target, &begun, || continued.clone()).await;
        let continued = frame(CONTINUATION, 0, 1, &[]).repeat(100);
        flood(&target, &begun, || continued.clone()).await;
        // CVE-2019-9518
        let empty = frame(DATA, 0, 1, &[]).repeat(100);
        flood(&target, &head(1, &POST, 0), || empty.clone()).await;
    };
    target.stands(all).await;
}

#[tokio::test]
async fn who_asks_and_reads_nothing_is_read_no_further() {
    let target = Target::start(&[]).await;
    let all = async {
        let mut connection = TcpStream::connect(target.address()).await.unwrap();
        let mut requests = streams(|stream| head(stream, &GET, END_STREAM));
        connection.write_all(&connection_of(&[])).await.unwrap();
        let mut taken = 0;
        let saying = async {
            let mut said = requests();
            while connection.write_all(&said).await.is_ok() {
                taken += said.len();
                said = requests();
            }
        };
        // It stands still, or is cut: either way there is an end to what is taken.
        let _ = timeout(PATIENCE / 5, saying).await;
        taken
    };
    let taken = target.stands(all).await;
    assert!(taken < MOST, "{taken} bytes were taken");
}
