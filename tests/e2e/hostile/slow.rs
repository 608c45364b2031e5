//! Clients that send one byte now and then.

use std::convert::Infallible;
use std::time::Duration;

use tests::http2::{DATA, HEADERS, connection, frame, frames, head};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{interval, timeout};

use super::Target;

/// More than such a gateway gives anybody to send a request.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: [(&str, &str); 2] = [
    ("GRIMOIRE_IDLE_TIMEOUT", "1"),
    ("GRIMOIRE_DEADLINE", "2000"),
];

/// Says the first at once and then the other, again and again, until what is heard is enough, or the connection ends.
async fn drip(
    target: &Target,
    first: &[u8],
    drop: &[u8],
    enough: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let connection = TcpStream::connect(target.address()).await.unwrap();
    let (mut reading, mut writing) = connection.into_split();
    writing.write_all(first).await.unwrap();
    let mut heard = Vec::new();
    let hearing =
        async { while !enough(&heard) && matches!(reading.read_buf(&mut heard).await, Ok(1..)) {} };
    let ended = async {
        tokio::select! {
            () = hearing => {}
            never = say_on(&mut writing, drop) => match never {},
        }
    };
    let ended = timeout(PATIENCE, ended).await;
    assert!(ended.is_ok(), "it goes on");
    heard
}

async fn say_on(writing: &mut OwnedWriteHalf, drop: &[u8]) -> Infallible {
    let mut turns = interval(Duration::from_millis(100));
    while writing.write_all(drop).await.is_ok() {
        turns.tick().await;
    }
    // What was answered before may still be on its way.
    std::future::pending().await
}

#[tokio::test]
async fn a_head_that_drips_is_cut() {
    let target = Target::start(&SHORT).await;
    let heads = async {
        let begun = b"GET /v1/users/me HTTP/1.1\r\nHost: a\r\nX: ";
        let one = drip(&target, begun, b"y", |_| false);
        let lines = drip(&target, b"GET / HTTP/1.1\r\n", b"X: y\r\n", |_| false);
        tokio::join!(one, lines)
    };
    let (one, lines) = target.stands(heads).await;
    assert!(one.is_empty() && lines.is_empty());
}

#[tokio::test]
async fn a_body_that_drips_is_refused_when_its_time_is_over() {
    let target = Target::start(&SHORT).await;
    let (begun, rest) = (
        "POST /v1/accounts:register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n",
        "\r\n",
    );
    let whole = format!("{begun}Content-Length: 1000\r\n{rest}");
    let chunks = format!("{begun}Transfer-Encoding: chunked\r\n{rest}");
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/accounts:register"),
        (":authority", "a"),
        ("content-type", "application/json"),
    ];
    let stream = connection(&[&head(1, &fields, 0)]);
    let piece = frame(DATA, 0, 1, b" ");
    let bodies = async {
        let whole = drip(&target, whole.as_bytes(), b" ", |_| false);
        let chunks = drip(&target, chunks.as_bytes(), b"1\r\n \r\n", |_| false);
        let refused = |heard: &[u8]| frames(heard).contains(&(HEADERS, 1));
        let stream = drip(&target, &stream, &piece, refused);
        tokio::join!(whole, chunks, stream)
    };
    let (whole, chunks, stream) = target.stands(bodies).await;
    for heard in [whole, chunks] {
        assert!(
            heard.starts_with(b"HTTP/1.1 400"),
            "{}",
            heard.escape_ascii()
        );
    }
    assert!(
        frames(&stream).contains(&(HEADERS, 1)),
        "{:?}",
        frames(&stream)
    );
}
