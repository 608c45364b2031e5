//! Recorded metrics, served as if they lived: with each scrape counters have counted as much again.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves a recording in Prometheus's text format, as long as the runtime runs; where.
pub async fn serve(recording: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut scrapes = 0.0;
        while let Ok((stream, _)) = listener.accept().await {
            scrapes += 1.0;
            // Who scrapes may have gone; the next one is served all the same.
            let _ = answer(stream, &counted(&recording, scrapes)).await;
        }
    });
    address
}

async fn answer(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    let (mut request, mut part) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut part).await?;
        if length == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..length]);
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The recording, with each counter that many times.
fn counted(recording: &str, times: f64) -> String {
    let mut text = String::new();
    for line in recording.lines() {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let counts = ["_total", "_count", "_sum", "_bucket"]
            .iter()
            .any(|ending| name.ends_with(ending));
        match line.rsplit_once(' ') {
            Some((series, value)) if counts && !line.starts_with('#') => {
                let value: f64 = value.parse().expect("a number");
                text.push_str(&format!("{series} {}\n", value * times));
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}
