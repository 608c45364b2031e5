//! Clients that mean harm, or write what no client would: each is ended within a bound, and whoever else is there gets answers all the while.

mod http1;
mod http2;
mod idle;
mod slow;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::program::Replica;
use tests::rest::Client;
use tests::stack::shared;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// For what ends at once, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(10);
/// What an ordinary client may wait for an answer.
const ANSWERED: Duration = Duration::from_secs(5);

/// A gateway to be harmed, beside the shared system, and somebody who uses it.
struct Target {
    gateway: Replica,
    ordinary: Client,
}

impl Target {
    /// With limits out of the way, so that nothing but what is tried here refuses it.
    async fn start(settings: &[(&str, &str)]) -> Self {
        let system = shared().await;
        let person = system.sign_up().await;
        let mut environment = system.environment("gateway");
        let out_of_the_way = [
            ("GRIMOIRE_LIMIT_ADDRESS", "100000/s"),
            ("GRIMOIRE_LIMIT_ACCOUNT", "100000/s"),
            ("GRIMOIRE_MAX_CONNECTIONS_PER_ADDRESS", "10000"),
        ];
        for (variable, value) in out_of_the_way.iter().chain(settings) {
            environment.insert((*variable).to_owned(), (*value).to_owned());
        }
        let gateway = Replica::start("gateway", environment).await;
        let token = person.tokens["accessToken"].as_str().unwrap();
        let ordinary = Client::new(&gateway.url()).with_token(token);
        Self { gateway, ordinary }
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// Lets somebody do harm, while the ordinary client asks again and again, and once more at the end.
    async fn stands<T>(&self, harm: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            done = harm => done,
            never = self.ask_on() => match never {},
        };
        self.ask().await;
        done
    }

    async fn ask_on(&self) -> Infallible {
        let mut turns = interval(Duration::from_millis(50));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.ask().await;
        }
    }

    async fn ask(&self) {
        let begun = Instant::now();
        let answer = self.ordinary.get("/v1/users/me").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let waited = begun.elapsed();
        assert!(waited < ANSWERED, "an answer came after {waited:?}");
    }
}

/// Says something, and hears the other side out until it closes the connection.
async fn until_closed(address: SocketAddr, said: &[u8]) -> Vec<u8> {
    let talk = async {
        let connection = TcpStream::connect(address).await.unwrap();
        let (mut reading, mut writing) = connection.into_split();
        let mut heard = Vec::new();
        // Who is not heard out gets an error for the rest. The writing half stays open.
        let (_, _) = tokio::join!(writing.write_all(said), reading.read_to_end(&mut heard));
        heard
    };
    let heard = timeout(PATIENCE, talk).await;
    heard.unwrap_or_else(|_| panic!("it stays open: {}", said.escape_ascii()))
}
