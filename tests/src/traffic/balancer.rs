//! A load balancer as small as can be: it asks each gateway whether it is ready, gives requests to those that are, in turn, and sends a
//! request again where that is safe: when it cannot have been carried out, or may be carried out twice.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{ConnectError, Status};

use super::{Outcome, Place};
use crate::load::{connect, exchange, find};

pub(super) struct Balancer {
    gateways: Vec<Arc<Gateway>>,
    turn: AtomicUsize,
    /// They end with it.
    _probes: JoinSet<()>,
}

pub(super) struct Gateway {
    place: Place,
    ready: AtomicBool,
    /// Connections that wait for their next request.
    idle: Mutex<Vec<TcpStream>>,
    channel: Channel,
}

/// Why a request came to nothing.
pub(super) enum Failed {
    /// The gateway cannot have seen it.
    Unseen,
    /// The gateway may have seen it.
    Broken(String),
}

/// How often a gateway is asked whether it is ready. One that stops says so for longer than that before it does.
const PROBE: Duration = Duration::from_millis(100);
/// While none is ready.
const PAUSE: Duration = Duration::from_millis(10);
/// Connections come from so many addresses.
const ADDRESSES: u32 = 64;

impl Balancer {
    pub(super) fn new(gateways: &[Place]) -> Self {
        let gateways: Vec<_> = gateways
            .iter()
            .map(|place| Arc::new(Gateway::new(*place)))
            .collect();
        let mut probes = JoinSet::new();
        for gateway in &gateways {
            probes.spawn(Arc::clone(gateway).probe());
        }
        Self {
            gateways,
            turn: AtomicUsize::new(0),
            _probes: probes,
        }
    }

    /// The next gateway that is ready, when there is one.
    pub(super) async fn next(&self) -> &Gateway {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let count = self.gateways.len();
            let mut in_turn = (0..count).map(|step| &*self.gateways[(turn + step) % count]);
            if let Some(gateway) = in_turn.find(|it| it.ready.load(Ordering::Relaxed)) {
                return gateway;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Gateway {
    fn new(place: Place) -> Self {
        let channel = Endpoint::from_shared(format!("http://{}", place.address))
            .expect("an address is a URI")
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .connect_lazy();
        Self {
            place,
            ready: AtomicBool::new(true),
            idle: Mutex::default(),
            channel,
        }
    }

    /// What a try comes to; none where the request is to be sent again.
    pub(super) fn settle<T>(
        &self,
        tried: Result<T, Failed>,
        repeatable: bool,
    ) -> Option<Result<T, Outcome>> {
        match tried {
            Ok(answer) => Some(Ok(answer)),
            Err(Failed::Broken(how)) if !repeatable => Some(Err(Outcome::Lost(how))),
            Err(_) => {
                // Until the next probe.
                self.ready.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    /// For calls over gRPC.
    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Sends a request over HTTP/1.1, by a connection that is there already or a new one: status and body of the answer.
    pub(super) async fn exchange(&self, request: &[u8]) -> Result<(u16, Vec<u8>), Failed> {
        let mut connection = match self.waiting() {
            Some(connection) => connection,
            None => self.connect().await.map_err(|_| Failed::Unseen)?,
        };
        let mut answer = Vec::with_capacity(4096);
        let (status, body) = exchange(&mut connection, request, &mut answer)
            .await
            .map_err(Failed::Broken)?;
        let head = answer[..body].to_ascii_lowercase();
        if find(&head, b"connection: close").is_none() {
            self.idle().push(connection);
        }
        answer.drain(..body);
        Ok((status, answer))
    }

    /// A connection that was not ended meanwhile.
    fn waiting(&self) -> Option<TcpStream> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|connection| {
            let read = connection.try_read(&mut [0]);
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        })
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % ADDRESSES;
        connect(self.place.address, number).await
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.idle.lock().expect("no panic while locked")
    }

    /// Asks again and again whether it is ready.
    async fn probe(self: Arc<Self>) {
        loop {
            let ready = tokio::time::timeout(Duration::from_secs(1), is_ready(self.place.admin));
            let ready = ready.await.is_ok_and(|ready| ready);
            self.ready.store(ready, Ordering::Relaxed);
            if !ready {
                self.idle().clear();
            }
            tokio::time::sleep(PROBE).await;
        }
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    let ask = async {
        let mut connection = TcpStream::connect(admin).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask.await.unwrap_or(false)
}

/// What a call over gRPC came to: a status that was sent has no source.
pub(super) fn of_call<T>(
    outcome: Result<tonic::Response<T>, Status>,
) -> Result<Result<T, Status>, Failed> {
    let status = match outcome {
        Ok(answer) => return Ok(Ok(answer.into_inner())),
        Err(status) => status,
    };
    let Some(cause) = status.source() else {
        return Ok(Err(status));
    };
    let mut causes = std::iter::successors(Some(cause), |error| (*error).source());
    if causes.any(|cause| cause.is::<ConnectError>()) {
        return Err(Failed::Unseen);
    }
    Err(Failed::Broken(status.to_string()))
}
