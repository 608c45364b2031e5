//! Load with as little cost of its own as can be: HTTP/1.1 keep-alive connections that send one prepared request over and over
//! and check each answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// One prepared request and what its answer must be.
pub struct Shot {
    /// The whole request, headers and body.
    pub request: Vec<u8>,
    /// What the body must contain.
    pub expect: Vec<u8>,
}

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub struct Shots {
    pub answered: u64,
    pub elapsed: Duration,
}

/// Sends `shots`, in turn, over as many connections for `duration`; an answer that is not 200 with the expected body ends the run.
pub async fn run(
    address: SocketAddr,
    shots: Vec<Shot>,
    duration: Duration,
) -> Result<Shots, String> {
    let answered = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    for (number, shot) in shots.into_iter().enumerate() {
        let answered = answered.clone();
        connections.spawn(async move {
            let mut connection = connect(address, number)
                .await
                .map_err(|error| error.to_string())?;
            let mut buffer = Vec::with_capacity(16 * 1024);
            while begun.elapsed() < duration {
                fire(&mut connection, &shot, &mut buffer).await?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, String>(())
        });
    }
    while let Some(ended) = connections.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(Shots {
        answered: answered.load(Ordering::Relaxed),
        elapsed: begun.elapsed(),
    })
}

async fn connect(address: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let number = u32::try_from(number).unwrap_or_default();
    socket.bind(SocketAddr::from((Ipv4Addr::from(0x7f20_0001 + number), 0)))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn fire(connection: &mut TcpStream, shot: &Shot, buffer: &mut Vec<u8>) -> Result<(), String> {
    connection
        .write_all(&shot.request)
        .await
        .map_err(|error| error.to_string())?;
    buffer.clear();
    loop {
        let read = connection
            .read_buf(buffer)
            .await
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Err(format!(
                "the connection ended after {}",
                String::from_utf8_lossy(buffer)
            ));
        }
        let Some(head) = find(buffer, b"\r\n\r\n") else {
            continue;
        };
        if buffer.len() < head + 4 + content_length(&buffer[..head]).unwrap_or(0) {
            continue;
        }
        if !buffer.starts_with(b"HTTP/1.1 200") || find(&buffer[head..], &shot.expect).is_none() {
            return Err(format!(
                "not the expected answer: {}",
                String::from_utf8_lossy(buffer)
            ));
        }
        return Ok(());
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    head.split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
}
