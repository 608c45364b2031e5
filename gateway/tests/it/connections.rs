//! Connections as such: what is refused before it is read, what is kept, and how they end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::time::{interval, timeout};

use crate::stack::{Stack, eventually};

const GET: &str = "GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Whether the gateway closes the connection, saying nothing more.
async fn is_closed(connection: &mut TcpStream) -> bool {
    let closed = timeout(PATIENCE, connection.read(&mut [0; 16])).await;
    closed.is_ok_and(|read| read.unwrap_or_default() == 0)
}

/// Sends bytes and reads until the gateway closes or `until` has been seen.
async fn exchange(connection: &mut TcpStream, sent: &str, until: &str) -> String {
    connection.write_all(sent.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let mut part = [0; 4096];
    loop {
        match connection.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(length) => received.extend_from_slice(&part[..length]),
        }
        if String::from_utf8_lossy(&received).contains(until) {
            break;
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_keeps_the_connection() {
    let stack = Stack::start().await;
    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    let get = "GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let first = exchange(&mut connection, get, "TOKEN_MISSING").await;
    assert!(first.starts_with("HTTP/1.1 401"), "{first}");
    let post = "POST /v1/users/me HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    let second = exchange(&mut connection, post, "METHOD_NOT_ALLOWED").await;
    assert!(second.contains("HTTP/1.1 405"), "{second}");
    let token = stack.issuer.token();
    let get = format!(
        "GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let third = exchange(&mut connection, &get, "Ada").await;
    assert!(third.contains("HTTP/1.1 200"), "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_is_not_kept() {
    let stack = Stack::with(&["--max-head", "4096"]).await;
    for begin in [
        "GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nX-Long: ",
        // It begins as HTTP/2 does.
        "PRI / HTTP/1.1\r\nX-Long: ",
    ] {
        let mut connection = TcpStream::connect(stack.address).await.unwrap();
        connection.write_all(begin.as_bytes()).await.unwrap();
        // Less than Pingora itself would take.
        let more = connection.write_all(&[b'a'; 100 * 1024]);
        let _ = timeout(PATIENCE, more).await.unwrap();
        let mut answer = Vec::new();
        let closed = connection.read_to_end(&mut answer);
        let _ = timeout(PATIENCE, closed).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_a_little_too_long_is_told_so_and_a_body_may_be_longer() {
    let stack = Stack::with(&["--max-head", "4096"]).await;
    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    let long = "a".repeat(5000);
    let request = format!("GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n");
    let answer = exchange(&mut connection, &request, "MALFORMED_REQUEST").await;
    assert!(answer.contains("larger than 4096 bytes"), "{answer}");

    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    // What is wrong with it is at its end.
    let body = format!("{{\"bio\": \"{}\", \"nope\": 1}}", "a".repeat(30_000));
    let token = stack.issuer.token();
    let request = format!(
        "PATCH /v1/users/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(&mut connection, &request, "nope").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_two_lengths_is_refused_and_the_connection_closed() {
    let stack = Stack::start().await;
    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    let smuggled = "POST /v1/accounts:register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/users/me HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = exchange(&mut connection, smuggled, "never").await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("MALFORMED_REQUEST"),
        "{answer}"
    );
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_the_bound_is_refused() {
    let stack = Stack::start().await;
    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    let large = format!(
        "GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n",
        "a".repeat(40_000)
    );
    let answer = exchange(&mut connection, &large, "never").await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("MALFORMED_REQUEST"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let stack = Stack::start().await;
    let mut silent = TcpStream::connect(stack.address).await.unwrap();
    let mut idle = TcpStream::connect(stack.address).await.unwrap();
    let get = "GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
    exchange(&mut idle, get, "TOKEN_MISSING").await;
    stack.stop();
    for connection in [&mut silent, &mut idle] {
        assert_eq!(
            connection.read(&mut [0; 16]).await.unwrap_or_default(),
            0,
            "the connection is closed"
        );
    }
    let address = stack.address;
    eventually("the port to be closed", || async move {
        TcpStream::connect(address).await.err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_fallen_silent_is_closed() {
    let stack = Stack::with(&["--idle-timeout", "1"]).await;
    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    for _ in 0..2 {
        exchange(&mut connection, GET, "TOKEN_MISSING").await;
    }
    assert!(is_closed(&mut connection).await);
}

/// Sends a head byte by byte until the connection breaks.
async fn drip(connection: &mut WriteHalf<'_>) -> std::io::Result<()> {
    connection.write_all(b"GET / HTTP/1.1\r\nX: ").await?;
    let mut drops = interval(Duration::from_millis(100));
    loop {
        drops.tick().await;
        connection.write_all(b"x").await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_cut() {
    let stack = Stack::with(&["--idle-timeout", "1", "--deadline", "300"]).await;
    for before in ["", GET] {
        let mut connection = TcpStream::connect(stack.address).await.unwrap();
        if !before.is_empty() {
            exchange(&mut connection, before, "TOKEN_MISSING").await;
        }
        let (mut reading, mut writing) = connection.split();
        let closed = async {
            let mut received = [0; 16];
            tokio::select! {
                read = reading.read(&mut received) => read.unwrap_or_default() == 0,
                broken = drip(&mut writing) => broken.is_err(),
            }
        };
        assert_eq!(timeout(PATIENCE, closed).await, Ok(true), "{before}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_have_every_connection() {
    let stack = Stack::with(&["--max-connections-per-address", "2"]).await;
    let address = stack.address;
    let connect = || async move {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let answer = exchange(&mut connection, GET, "TOKEN_MISSING").await;
        answer.contains("401").then_some(connection)
    };
    let first = connect().await.unwrap();
    let _second = connect().await.unwrap();
    assert!(connect().await.is_none());
    drop(first);
    eventually("a place", connect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_shorter_than_the_preface_of_http2_is_answered() {
    let stack = Stack::start().await;
    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    let check = exchange(&mut connection, "GET / HTTP/1.0\r\n\r\n", "never");
    let answer = timeout(PATIENCE, check).await.unwrap();
    assert!(answer.contains("ROUTE_NOT_FOUND"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_where_there_may_be_none_is_refused_by_its_first_byte() {
    let stack = Stack::start().await;
    let mut connection = TcpStream::connect(stack.address).await.unwrap();
    let token = stack.issuer.token();
    let begun = format!(
        "GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    );
    let answer = exchange(&mut connection, &begun, "takes no body").await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("takes no body"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_in_two_ways_is_refused() {
    let stack = Stack::start().await;
    for (request, detail) in [
        ("GET / HTTP/1.1\r\nX: y\r\n\r\n", "no Host"),
        ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "CR and LF"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "transfer coding",
        ),
    ] {
        let mut connection = TcpStream::connect(stack.address).await.unwrap();
        let answer = exchange(&mut connection, request, "never").await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains(detail),
            "{answer}"
        );
    }
}
