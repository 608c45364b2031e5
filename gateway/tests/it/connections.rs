//! Connections as such: what is refused before it is read, what is kept, and how they end.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stack::{Stack, eventually};

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
