//! Load with as little cost of its own as can be: HTTP/1.1 keep-alive connections that send prepared requests one after the other
//! and check each answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// What one connection sends, and what it makes of the answers.
pub trait Client: Send + 'static {
    /// The next request, headers and body; `None` when there is nothing left to send.
    fn next(&mut self) -> Option<&[u8]>;

    /// Looks at the body of an answer with status 200.
    ///
    /// # Errors
    /// Says what is wrong with it, which ends the run.
    fn answered(&mut self, body: &[u8]) -> Result<(), String>;
}

/// One request, sent over and over, and what the body of each answer must contain.
pub struct Shot {
    request: Vec<u8>,
    expect: Vec<u8>,
}

impl Shot {
    pub fn new(request: Vec<u8>, expect: &str) -> Self {
        Self {
            request,
            expect: expect.into(),
        }
    }
}

impl Client for Shot {
    fn next(&mut self) -> Option<&[u8]> {
        Some(&self.request)
    }

    fn answered(&mut self, body: &[u8]) -> Result<(), String> {
        match find(body, &self.expect) {
            Some(_) => Ok(()),
            None => Err(format!(
                "not the expected answer: {}",
                String::from_utf8_lossy(body)
            )),
        }
    }
}

/// How long a run goes on, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After this nothing more is sent.
    pub duration: Duration,
    /// Requests in a second, over all connections; `None`: each connection sends as soon as it has its answer.
    pub per_second: Option<u32>,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct Shots {
    /// How long each answer took, the shortest first.
    pub latencies: Vec<Duration>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Shots {
    /// Requests that were answered.
    pub fn answered(&self) -> usize {
        self.latencies.len()
    }

    /// Answers in a second.
    pub fn rate(&self) -> f64 {
        self.answered() as f64 / self.elapsed.as_secs_f64()
    }
}

/// One request of HTTP/1.1 as it goes over the wire. `headers` are whole lines without their ends.
pub fn request(method: &str, path: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: grimoire\r\nUser-Agent: load\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// Gives each client a connection from an address of its own (127.32.0.1 and those that follow) and lets them send. The clients come
/// back in their order.
///
/// # Errors
/// The first answer that is not 200 or that its client refuses, and the first connection that breaks, ends the run.
pub async fn run<C: Client>(
    address: SocketAddr,
    clients: Vec<C>,
    pace: Pace,
) -> Result<(Shots, Vec<C>), String> {
    let begun = Instant::now();
    // Connections take turns: the first requests are spread over one of these.
    let turn = pace
        .per_second
        .map(|rate| Duration::from_secs_f64(clients.len() as f64 / f64::from(rate)));
    let count = u32::try_from(clients.len()).map_err(|error| error.to_string())?;
    let mut connections = JoinSet::new();
    for (number, client) in (0..count).zip(clients) {
        let schedule = Schedule {
            next: begun + turn.unwrap_or_default() * number / count,
            turn,
            end: begun + pace.duration,
        };
        connections.spawn(async move {
            let (client, latencies) = talk(address, number, client, schedule).await?;
            Ok::<_, String>((number, client, latencies))
        });
    }
    let mut shots = Shots::default();
    let mut clients = Vec::new();
    while let Some(ended) = connections.join_next().await {
        let (number, client, latencies) = ended.map_err(|error| error.to_string())??;
        clients.push((number, client));
        shots.latencies.extend(latencies);
    }
    shots.elapsed = begun.elapsed();
    shots.latencies.sort_unstable();
    clients.sort_unstable_by_key(|(number, _)| *number);
    Ok((
        shots,
        clients.into_iter().map(|(_, client)| client).collect(),
    ))
}

/// When one connection sends.
struct Schedule {
    next: Instant,
    turn: Option<Duration>,
    end: Instant,
}

impl Schedule {
    /// Waits for the next turn; false when the run is over.
    async fn wait(&mut self) -> bool {
        if let Some(turn) = self.turn {
            if self.next < self.end {
                tokio::time::sleep_until(self.next.into()).await;
            }
            let due = self.next;
            self.next += turn;
            return due < self.end;
        }
        Instant::now() < self.end
    }
}

async fn talk<C: Client>(
    address: SocketAddr,
    number: u32,
    mut client: C,
    mut schedule: Schedule,
) -> Result<(C, Vec<Duration>), String> {
    let mut connection = connect(address, number)
        .await
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut latencies = Vec::new();
    while schedule.wait().await {
        let Some(request) = client.next() else { break };
        let sent = Instant::now();
        let (status, body) = exchange(&mut connection, request, &mut buffer).await?;
        if status != 200 {
            return Err(format!("not 200: {}", String::from_utf8_lossy(&buffer)));
        }
        latencies.push(sent.elapsed());
        client.answered(&buffer[body..])?;
    }
    Ok((client, latencies))
}

/// A connection from the address 127.32.0.1 and `number`.
pub(crate) async fn connect(address: SocketAddr, number: u32) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::from(0x7f20_0001 + number), 0)))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request, reads the whole answer into `buffer`, and says its status and where its body begins.
pub(crate) async fn exchange(
    connection: &mut TcpStream,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(u16, usize), String> {
    let broken = |error: std::io::Error| format!("the connection broke: {error}");
    connection.write_all(request).await.map_err(broken)?;
    buffer.clear();
    loop {
        if connection.read_buf(buffer).await.map_err(broken)? == 0 {
            return Err(format!(
                "the connection ended after `{}`",
                String::from_utf8_lossy(buffer)
            ));
        }
        let Some(head) = find(buffer, b"\r\n\r\n") else {
            continue;
        };
        let body = head + 4;
        let Some(length) = content_length(&buffer[..head]) else {
            return Err(format!(
                "an answer without its length: {}",
                String::from_utf8_lossy(buffer)
            ));
        };
        if buffer.len() < body + length {
            continue;
        }
        let Some(status) = status(buffer) else {
            return Err(format!(
                "no answer of HTTP/1.1: {}",
                String::from_utf8_lossy(buffer)
            ));
        };
        return Ok((status, body));
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let digits = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
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
