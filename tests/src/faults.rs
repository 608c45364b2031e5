//! Faults under load: people register, complete and change their profiles at a bounded rate while processes are killed at seeded
//! instants; then everything that can be seen from outside is collected for [`crate::history::check`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use launcher::Signal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::history::{Calls, Event, Observed, Person, Violation, check};
use crate::rest::{Answer, Client};
use crate::smtp::Tokens;
use crate::stack::TestStack;

/// What is done, and when what is killed.
pub struct Plan {
    /// How many people register; each changes the profile three times.
    pub people: usize,
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
            per_second,
            kills,
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
    let mut kills = Vec::new();
    for number in 0..plan.people {
        ticks.tick().await;
        while let Some((_, processes)) = due.next_if(|(at, _)| *at <= begun.elapsed()) {
            kills.push(Kill {
                at: begun.elapsed(),
                processes: processes.clone(),
                in_flight: in_flight.load(Ordering::Relaxed),
            });
            for process in processes {
                // A process that is just being started again has no identity to kill; its turn has passed then.
                let _ = system.stack.kill(process, Signal::SIGKILL);
            }
        }
        let visitor = Visitor {
            client: Client::new(&system.gateway()),
            email: format!("fault-{number}-{}@example.com", Uuid::now_v7().simple()),
            in_flight: in_flight.clone(),
        };
        let tokens = system.smtp.tokens_of(&visitor.email);
        people.spawn(visitor.visit(tokens));
    }
    (people.join_all().await, kills)
}

/// Collects what can be seen until nothing is wrong with it, twice in a row; what is still wrong after `patience` otherwise.
pub async fn settle(
    system: &TestStack,
    people: &[Person],
    patience: Duration,
) -> (Observed, Vec<Violation>) {
    let begun = Instant::now();
    let mut right = 0;
    loop {
        let observed = observe(system).await;
        let violations = check(people, &observed);
        right = if violations.is_empty() { right + 1 } else { 0 };
        if right == 2 || begun.elapsed() > patience {
            return (observed, violations);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// One person's way. Each step is taken again until it is answered.
struct Visitor {
    client: Client,
    email: String,
    in_flight: Arc<AtomicUsize>,
}

const PASSWORD: &str = "a long enough secret 17";

impl Visitor {
    async fn visit(self, mut tokens: Tokens) -> Person {
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
        for number in 1..=3 {
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

async fn observe(system: &TestStack) -> Observed {
    let instance = system.stack.instance();
    let database = async |name: &str| {
        let url = instance.database_url(name).expect("a database");
        PgConnection::connect(&url)
            .await
            .expect("the database is up")
    };
    let (mut user, mut events) = (database("user").await, database("events").await);
    let bootstrap = instance.bootstrap().expect("Kafka");

    let mut published = Vec::new();
    for topic in [
        "grimoire.auth.account.v1",
        "grimoire.auth.notice.v1",
        "grimoire.user.profile.v1",
    ] {
        for record in testkit::kafka::read_all_from(&bootstrap, topic).await {
            published.push(Event {
                topic: topic.to_owned(),
                key: String::from_utf8(record.key).expect("keys are text"),
                version: record.headers["ce_sequence"].parse().expect("a version"),
                id: record.headers["ce_id"].parse().expect("an id"),
                name: event_name(&record.headers["ce_type"]),
            });
        }
    }
    let mut committed = BTreeMap::new();
    for (name, statement) in [
        (
            "auth",
            "select 'grimoire.auth.account.v1', id::text, event_version from accounts where event_version > 0",
        ),
        (
            "auth",
            "select 'grimoire.auth.notice.v1', rtrim(translate(encode(address_hmac, 'base64'), '+/', '-_'), '='), event_version from address_state where event_version > 0",
        ),
        (
            "user",
            "select 'grimoire.user.profile.v1', id::text, event_version from profiles where event_version > 0",
        ),
    ] {
        for row in sqlx::query(statement)
            .fetch_all(&mut database(name).await)
            .await
            .expect("versions")
        {
            committed.insert((row.get(0), row.get(1)), row.get(2));
        }
    }
    // Both tables only grow, so the order of transactions, and of places within one, is the order of application.
    let applied = "order by xmin::text::bigint, ctid";
    let ids = async |connection: &mut PgConnection, table: &str| -> Vec<Uuid> {
        let statement = sqlx::AssertSqlSafe(format!("select id from {table} {applied}"));
        sqlx::query_scalar(statement)
            .fetch_all(connection)
            .await
            .expect("ids")
    };
    let parked = "select (select count(*) from inbox.parked_keys) + (select count(*) from inbox.job_keys where due_at is null)";
    Observed {
        published,
        audit: ids(&mut events, "audit_records").await,
        activities: ids(&mut user, "activities").await,
        mails: system
            .smtp
            .mails()
            .iter()
            .filter_map(|mail| Some((mail.event()?, mail.recipient.clone())))
            .collect(),
        committed,
        parked: sqlx::query_scalar(parked)
            .fetch_one(&mut events)
            .await
            .expect("a count"),
    }
}

/// `grimoire.events.v1.LoggedIn` is LOGGED_IN.
fn event_name(full_name: &str) -> String {
    let mut name = String::new();
    for character in full_name.rsplit('.').next().unwrap_or_default().chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
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
