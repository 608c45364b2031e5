//! Requests of HTTP/1 that are malformed, too large, or can be read in two ways.

use std::str::from_utf8;

use super::{Target, until_closed};

/// A request whose head has these lines after its first two.
fn get(lines: &str) -> String {
    format!("GET /problems/TOKEN_EXPIRED HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A request that has a body.
fn post(lines: &str, body: &str) -> String {
    format!(
        "POST /v1/accounts:register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{lines}\r\n{body}"
    )
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// Names of what is refused, and how it is written.
fn refused() -> Vec<(&'static str, String)> {
    let long = |length| "a".repeat(length);
    let many: String = (0..300).map(|number| format!("X{number}: y\r\n")).collect();
    vec![
        // Lines.
        ("a line feed alone", get("X: y\n")),
        ("line feeds alone", get("").replace("\r\n", "\n")),
        ("a carriage return alone", get("X: a\rb\r\n")),
        ("a folded line", get("X: a\r\n b\r\n")),
        (
            "a line that continues nothing",
            get("").replacen("Host", " X: y\r\nHost", 1),
        ),
        ("a space before the colon", get("X : y\r\n")),
        ("a field without a name", get(": y\r\n")),
        ("a NUL", get("X: a\0b\r\n")),
        // Sizes.
        (
            "a head that is too large",
            get(&format!("X: {}\r\n", long(40_000))),
        ),
        (
            "a path that is too long",
            get("").replace("TOKEN_EXPIRED", &long(40_000)),
        ),
        ("too many fields", get(&many)),
        // Whom it is for.
        ("no host", get("").replace("Host: a\r\n", "")),
        ("two hosts", get("Host: b\r\n")),
        (
            "a host with a user",
            get("").replace("Host: a", "Host: u@a"),
        ),
        (
            "another host in its target",
            get("").replacen("/problems", "http://b/problems", 1),
        ),
        (
            "a tunnel",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned(),
        ),
        // Versions.
        ("HTTP/0.9", "GET /problems/TOKEN_EXPIRED\r\n\r\n".to_owned()),
        ("HTTP/1.2", get("").replace("HTTP/1.1", "HTTP/1.2")),
        ("HTTP/2.0 in words", get("").replace("HTTP/1.1", "HTTP/2.0")),
        (
            "the begin of HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_owned(),
        ),
        ("no HTTP", format!("{}\r\n\r\n", long(100))),
        ("TLS", format!("\x16\x03\x01\x02\0\x01{}", long(100))),
        // Lengths.
        (
            "two lengths",
            post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        ),
        ("a negative length", post("Content-Length: -2\r\n", "{}")),
        ("a length with a sign", post("Content-Length: +2\r\n", "{}")),
        (
            "a hexadecimal length",
            post("Content-Length: 0x2\r\n", "{}"),
        ),
        ("an empty length", post("Content-Length: \r\n", "{}")),
        (
            "a length beyond numbers",
            post(&format!("Content-Length: {}\r\n", "9".repeat(30)), "{}"),
        ),
        (
            "a length beyond bounds",
            post("Content-Length: 18446744073709551615\r\n", "{}"),
        ),
        (
            "a length and chunks",
            post(
                "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
        ),
        // Codings and chunks.
        (
            "another coding",
            post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "an unknown coding",
            post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ),
        (
            "chunks of HTTP/1.0",
            chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"),
        ),
        ("a size that is no number", chunked("zz\r\n{}\r\n0\r\n\r\n")),
        ("a negative size", chunked("-2\r\n{}\r\n0\r\n\r\n")),
        ("a size with a prefix", chunked("0x2\r\n{}\r\n0\r\n\r\n")),
        ("a size beyond bounds", chunked("ffffffffffffffff\r\n{}")),
        ("a size beyond numbers", chunked("fffffffffffffffff\r\n{}")),
        ("a chunk without its end", chunked("2\r\n{}0\r\n\r\n")),
        ("chunks by line feeds", chunked("2\n{}\n0\n\n")),
        (
            "a long extension of a chunk",
            chunked(&format!("2;{}\r\n{{}}\r\n", long(100_000))),
        ),
        (
            "long trailers",
            chunked(&format!("2\r\n{{}}\r\n0\r\nX: {}\r\n\r\n", long(200_000))),
        ),
    ]
}

#[tokio::test]
async fn what_is_malformed_is_refused_once_and_the_connection_closed() {
    let target = Target::start(&[]).await;
    let all = async {
        for (name, said) in refused() {
            let heard = until_closed(target.address(), said.as_bytes()).await;
            let heard = from_utf8(&heard).unwrap_or_default();
            assert!(heard.starts_with("HTTP/1.1 4"), "{name}: {heard}");
            assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{name}: {heard}");
        }
    };
    target.stands(all).await;
}

#[tokio::test]
async fn a_head_without_an_end_is_not_waited_for() {
    let target = Target::start(&[]).await;
    let endless = get(&format!("X: {}\r\n", "a".repeat(1 << 20)));
    let fields = "X: y\r\n".repeat(100_000);
    let all = async {
        for said in [endless, get(&fields)] {
            let heard = until_closed(target.address(), said.as_bytes()).await;
            assert!(
                !heard.starts_with(b"HTTP/1.1 2"),
                "{}",
                heard.escape_ascii()
            );
        }
    };
    target.stands(all).await;
}

#[tokio::test]
async fn what_follows_a_refusal_is_never_a_request() {
    let target = Target::start(&[]).await;
    let second = get("");
    let all = async {
        for first in [
            post(
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
            ),
            post("Content-Length: 2\r\nContent-Length: 60\r\n", "{}"),
            chunked("2;\n{}\r\n0\r\n\r\n"),
            get("X: y\n"),
        ] {
            let said = format!("{first}{second}");
            let heard = until_closed(target.address(), said.as_bytes()).await;
            let heard = from_utf8(&heard).unwrap_or_default();
            assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{said}: {heard}");
            assert!(heard.starts_with("HTTP/1.1 4"), "{said}: {heard}");
        }
    };
    target.stands(all).await;
}
