//! Many connections that stay open and ask for nothing.

use std::io;
use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http2;

/// Files of this process that are none of them.
const OTHERS: u64 = 512;
const REQUEST: &[u8] = b"GET /problems/TOKEN_EXPIRED HTTP/1.1\r\nHost: crowd\r\n\r\n";

/// What each of them has done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Nothing.
    Silent,
    /// It has had an answer over HTTP/1.1.
    Answered,
    /// It has begun HTTP/2.
    Http2,
}

impl Idle {
    pub const ALL: [Self; 3] = [Self::Silent, Self::Answered, Self::Http2];
}

/// How many this process may have, at most `wanted`.
pub fn room(wanted: usize) -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit of open files");
    let raised = (wanted as u64 + OTHERS).min(hard).max(soft);
    setrlimit(Resource::RLIMIT_NOFILE, raised, hard).expect("a limit up to the hard one");
    let room = usize::try_from(raised.saturating_sub(OTHERS));
    room.map_or(wanted, |room| room.min(wanted))
}

/// Opens so many. They are closed when they are dropped.
///
/// # Errors
/// When one is not accepted, or not answered.
pub async fn open(address: SocketAddr, idle: Idle, count: usize) -> io::Result<Vec<TcpStream>> {
    let mut crowd = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = TcpStream::connect(address).await?;
        let (said, answer) = match idle {
            Idle::Silent => (Vec::new(), ""),
            Idle::Answered => (REQUEST.to_vec(), "TOKEN_EXPIRED"),
            // The settings of the other side, whose frame is empty or short, come at once.
            Idle::Http2 => (http2::connection(&[]), "\0"),
        };
        connection.write_all(&said).await?;
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains(answer) {
            if connection.read_buf(&mut heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        crowd.push(connection);
    }
    Ok(crowd)
}
