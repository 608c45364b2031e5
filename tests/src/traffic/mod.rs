//! Mixed traffic at a steady rate over several gateways, as applications behind a load balancer make it, and what became of each request.
//!
//! A request is begun when its time has come, whether or not earlier ones were answered: what is slow meets as many others as in life.

mod balancer;
mod kind;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use crate::load::request;
use crate::stack;
use balancer::Balancer;
pub use kind::{Kind, Mix};

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Request {
    pub kind: Kind,
    /// Since the traffic began.
    pub sent: Duration,
    pub took: Duration,
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Answered,
    /// By another answer, which this is.
    Refused(String),
    /// Its connection failed, and whether it was carried out is not known.
    Lost(String),
    /// It was not answered within its deadline.
    Hung,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => formatter.write_str("answered"),
            Self::Refused(how) => write!(formatter, "answered {how}"),
            Self::Lost(how) => formatter.write_str(how),
            Self::Hung => formatter.write_str("no answer"),
        }
    }
}

/// Who asks.
pub struct People {
    people: Vec<Person>,
    /// Access token of an administrator.
    admin: String,
}

struct Person {
    account: String,
    login: Vec<u8>,
    /// Every access token so far. Each stays good for longer than a run takes.
    tokens: std::sync::Mutex<Vec<String>>,
    /// Only one request at a time exchanges it, as a client would.
    refresh_token: tokio::sync::Mutex<String>,
}

impl People {
    /// Registers so many.
    pub async fn sign_up(system: &stack::TestStack, count: usize) -> Self {
        let mut people = Vec::with_capacity(count);
        for _ in 0..count {
            people.push(Person::new(&system.sign_up().await));
        }
        Self {
            people,
            admin: text(&system.admin().await.tokens["accessToken"]),
        }
    }
}

impl Person {
    fn new(person: &stack::Person) -> Self {
        let login = json!({"email": person.email, "password": person.password});
        Self {
            account: person.account.clone(),
            login: request("POST", "/v1/sessions:login", &[], &login.to_string()),
            tokens: vec![text(&person.tokens["accessToken"])].into(),
            refresh_token: text(&person.tokens["refreshToken"]).into(),
        }
    }

    /// One of the access tokens, each in its turn.
    fn token(&self, turn: usize) -> String {
        let tokens = self.tokens.lock().expect("no panic while locked");
        tokens[turn % tokens.len()].clone()
    }
}

/// A gateway: where it serves, and where it says whether it is ready.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// Traffic that is under way.
pub struct Traffic {
    begun: Instant,
    ended: Arc<AtomicBool>,
    requests: JoinHandle<Vec<Request>>,
}

/// A call has 10 s at the gateway. It is not waited for much longer.
const HANGS: Duration = Duration::from_secs(12);
/// More than these are not under way at once: then the rate falls.
const MOST: usize = 4_000;

impl Traffic {
    /// Begins it.
    pub fn begin(gateways: &[Place], people: People, mix: Mix, per_second: u32) -> Self {
        let begun = Instant::now();
        let ended = Arc::new(AtomicBool::new(false));
        let balancer = Arc::new(Balancer::new(gateways));
        let requests = flow(
            begun,
            Arc::clone(&ended),
            balancer,
            Arc::new(people),
            mix,
            per_second,
        );
        Self {
            begun,
            ended,
            requests: tokio::spawn(requests),
        }
    }

    /// Since its beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Ends it, and says what became of each request when the last one is answered or given up.
    pub async fn end(self) -> Vec<Request> {
        self.ended.store(true, Ordering::Relaxed);
        self.requests.await.expect("nothing panicked")
    }
}

async fn flow(
    begun: Instant,
    ended: Arc<AtomicBool>,
    balancer: Arc<Balancer>,
    people: Arc<People>,
    mix: Mix,
    per_second: u32,
) -> Vec<Request> {
    let mut under_way = JoinSet::new();
    let mut done = Vec::new();
    for number in 0_usize.. {
        let due = Duration::from_secs_f64(number as f64 / f64::from(per_second));
        tokio::time::sleep_until((begun + due).into()).await;
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let (balancer, people) = (Arc::clone(&balancer), Arc::clone(&people));
        under_way.spawn(async move {
            let (kind, sent) = (mix.kind(number), begun.elapsed());
            let answer = kind.send(&balancer, &people, number);
            let outcome = tokio::time::timeout(HANGS, answer).await;
            Request {
                kind,
                sent,
                took: begun.elapsed() - sent,
                outcome: outcome.unwrap_or(Outcome::Hung),
            }
        });
        while let Some(request) = under_way.try_join_next() {
            done.push(request.expect("nothing panicked"));
        }
        if under_way.len() >= MOST {
            let request = under_way.join_next().await.expect("some are under way");
            done.push(request.expect("nothing panicked"));
        }
    }
    done.extend(under_way.join_all().await);
    done.sort_by_key(|request: &Request| request.sent);
    done
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}
