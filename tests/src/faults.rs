//! Faults under load: people register, complete and change their profiles at a bounded rate while processes are killed at seeded
//! instants. [`crate::observe::settle`] then says what has become of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use launcher::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::history::{Calls, Person};
use crate::rest::{Answer, Client};
use crate::smtp::Tokens;
use crate::stack::TestStack;

/// What is done, and when what is killed.
pub struct Plan {
    /// How many people register.
    pub people: usize,
    /// How often each changes the profile.
    pub updates: usize,
    /// How many begin in a second.
    pub per_second: u32,
    /// When which processes are killed, together.
    pub kills: Vec<(Duration, Vec<&'static str>)>,
}

/// One kill that was carried out.
#[derive(Debug)]
pub struct Kill {
    /// Since the first request.
    pub at: Duration,
    pub processes: Vec<&'static str>,
    /// Requests without an answer at that instant.
    pub in_flight: usize,
}

impl Plan {
    /// Kills each of the four `each` times, and consumer and Kafka once together, at instants drawn from `seed`. The kills of one
    /// process keep their distance, so that it is up again before the next one.
    pub fn seeded(people: usize, per_second: u32, each: u32, seed: u64) -> Self {
        let length = Duration::from_secs_f64(people as f64 / f64::from(per_second));
        let mut random = SplitMix(seed);
        let mut kills = Vec::new();
        for process in ["event-consumer", "user", "auth", "kafka"] {
            for turn in 0..each {
                let part = length / each;
                // In the middle half of its part of the run.
                let at = part * turn + part.mul_f64(0.25 + 0.5 * random.unit());
                kills.push((at, vec![process]));
            }
        }
        kills.push((
            length.mul_f64(0.3 + 0.4 * random.unit()),
            vec!["event-consumer", "kafka"],
        ));
        kills.sort();
        Self {
            people,
            updates: 3,
            per_second,
            kills,
        }
    }

    /// One person who changes the profile once, and nothing is killed.
    pub fn of_one() -> Self {
        Self {
            people: 1,
            updates: 1,
            per_second: 1,
            kills: Vec::new(),
        }
    }
}

/// Carries the plan out. What the clients saw comes back when each has reached the end of its way.
pub async fn run(system: &TestStack, plan: &Plan) -> (Vec<Person>, Vec<Kill>) {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut people = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / plan.per_second);
    let mut due = plan.kills.iter().peekable();
    let mut wanted: Vec<&'static str> = Vec::new();
    let mut kills = Vec::new();
    for number in 0..plan.people {
        ticks.tick().await;
        while let Some((_, processes)) = due.next_if(|(at, _)| *at <= begun.elapsed()) {
            wanted.extend(processes);
        }
        let kill = Kill {
            at: begun.elapsed(),
            in_flight: in_flight.load(Ordering::Relaxed),
            // One that is just being started again cannot be killed yet; its turn comes with the next person.
            processes: wanted
                .extract_if(.., |process| {
                    system.stack.kill(process, Signal::SIGKILL).is_ok()
                })
                .collect(),
        };
        if !kill.processes.is_empty() {
            kills.push(kill);
        }
        let visitor = Visitor {
            client: Client::new(&system.gateway()),
            email: format!("fault-{number}-{}@example.com", Uuid::now_v7().simple()),
            in_flight: in_flight.clone(),
        };
        let tokens = system.smtp.tokens_of(&visitor.email);
        people.spawn(visitor.visit(plan.updates, tokens));
    }
    (people.join_all().await, kills)
}

/// One person's way. Each step is taken again until it is answered.
struct Visitor {
    client: Client,
    email: String,
    in_flight: Arc<AtomicUsize>,
}

const PASSWORD: &str = "a long enough secret 17";

impl Visitor {
    async fn visit(self, updates: usize, mut tokens: Tokens) -> Person {
        let mut person = Person {
            email: self.email.clone(),
            ..Person::default()
        };
        self.until_answered(
            &mut person.register,
            Method::POST,
            "/v1/accounts:register",
            json!({"email": self.email}),
        )
        .await
        .ok();
        // A registration whose answer was lost may have led to a mail too; the token of the last one works.
        let made = loop {
            let body = json!({"token": tokens.next().await, "password": PASSWORD});
            let made = self
                .until_answered(
                    &mut person.complete,
                    Method::POST,
                    "/v1/accounts:completeRegistration",
                    body,
                )
                .await;
            if made.body["reason"] != "MAIL_TOKEN_INVALID" {
                break made;
            }
        };
        let mut signed_in = if made.status == StatusCode::OK {
            made.ok()
        } else {
            // An earlier attempt was carried out and its answer lost.
            made.problem(400, "MAIL_TOKEN_USED");
            self.login(&mut person.login).await
        };
        person.account = Some(
            signed_in["account"]["id"]
                .as_str()
                .expect("an id")
                .parse()
                .expect("a UUID"),
        );
        for number in 1..=updates {
            let name = json!({"displayName": format!("{} {number}", self.email)});
            loop {
                let client = self.client.with_token(
                    signed_in["tokens"]["accessToken"]
                        .as_str()
                        .expect("a token"),
                );
                let answer = self
                    .until_answered_by(
                        &client,
                        &mut Calls::default(),
                        Method::PATCH,
                        "/v1/users/me",
                        name.clone(),
                    )
                    .await;
                if answer.status != StatusCode::UNAUTHORIZED {
                    answer.ok();
                    break;
                }
                signed_in = self.login(&mut person.login).await;
            }
            person.updates += 1;
        }
        person
    }

    async fn login(&self, calls: &mut Calls) -> Value {
        let body = json!({"email": self.email, "password": PASSWORD});
        self.until_answered(calls, Method::POST, "/v1/sessions:login", body)
            .await
            .ok()
    }

    async fn until_answered(
        &self,
        calls: &mut Calls,
        method: Method,
        path: &str,
        body: Value,
    ) -> Answer {
        self.until_answered_by(&self.client, calls, method, path, body)
            .await
    }

    /// Sends it until there is an answer that is neither a fault of the server nor a request to come back later.
    async fn until_answered_by(
        &self,
        client: &Client,
        calls: &mut Calls,
        method: Method,
        path: &str,
        body: Value,
    ) -> Answer {
        for _ in 0..120 {
            calls.attempts += 1;
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let answer = client
                .send(method.clone(), path, Some(body.to_string()))
                .await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            match answer {
                Ok(answer) if answer.status.is_success() => {
                    calls.acknowledged += 1;
                    return answer;
                }
                Ok(answer)
                    if !answer.status.is_server_error()
                        && answer.status != StatusCode::TOO_MANY_REQUESTS =>
                {
                    return answer;
                }
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
        panic!("{method} {path} had no answer in 120 attempts");
    }
}

/// Sebastiano Vigna's splitmix64: a few lines, and the same numbers for a seed everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
