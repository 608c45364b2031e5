//! What can be seen from outside when all has come to rest: the topics, and the effects in the databases.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use testkit::kafka::{Record, read_all_from};
use uuid::Uuid;

use crate::history::{Event, Observed, Person, Violation, check};
use crate::stack::TestStack;

const ACCOUNTS: &str = "grimoire.auth.account.v1";
const NOTICES: &str = "grimoire.auth.notice.v1";
const PROFILES: &str = "grimoire.user.profile.v1";
const TOPICS: [&str; 3] = [ACCOUNTS, NOTICES, PROFILES];

/// Who hears what.
const SUBSCRIPTIONS: [(&str, &[&str]); 3] = [
    ("audit", &[ACCOUNTS, PROFILES]),
    ("mail", &[ACCOUNTS, NOTICES]),
    ("user-data", &[ACCOUNTS, PROFILES]),
];
/// The subscriber of the planted programs, see [`crate::planted`].
const JOURNAL: (&str, &[&str]) = ("journal", &TOPICS);

/// Waits until nothing is on its way any more, and says what there is to see and what is wrong with it. It is the last word then,
/// however long one waits. After `patience` it is what there is, and that something is still on its way is one of the wrongs.
pub async fn settle(
    system: &TestStack,
    people: &[Person],
    patience: Duration,
) -> (Observed, Vec<Violation>) {
    let begun = Instant::now();
    loop {
        let observed = observe(system).await;
        if observed.on_its_way.is_empty() || begun.elapsed() > patience {
            let violations = check(people, &observed);
            return (observed, violations);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Publishes everything that the topics hold once more, each record to its partition: what a relay does that was paused with
/// these records in its queue and goes on after others have published them.
pub async fn publish_again(system: &TestStack) {
    let bootstrap = system.stack.instance().bootstrap().expect("Kafka");
    let topics = read_topics(&bootstrap).await;
    let publish = move || {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .set("enable.idempotence", "true")
            .create()
            .expect("a producer");
        for (topic, records) in &topics {
            for record in records {
                let headers =
                    record
                        .headers
                        .iter()
                        .fold(OwnedHeaders::new(), |headers, (key, value)| {
                            headers.insert(Header {
                                key,
                                value: Some(value),
                            })
                        });
                let again = BaseRecord::<[u8], [u8]>::to(topic)
                    .partition(record.partition)
                    .key(&record.key)
                    .payload(&record.payload)
                    .headers(headers);
                producer
                    .send(again)
                    .map_err(|(error, _)| error)
                    .expect("room in the queue");
            }
        }
        producer.flush(Duration::from_secs(20)).expect("Kafka");
    };
    tokio::task::spawn_blocking(publish)
        .await
        .expect("all is published");
}

/// Looks in the order in which events flow: where nothing was found on its way, what was seen further down is complete.
async fn observe(system: &TestStack) -> Observed {
    let instance = system.stack.instance();
    let database = async |name: &str| {
        let url = instance.database_url(name).expect("a database");
        PgConnection::connect(&url)
            .await
            .expect("the database is up")
    };
    let (mut auth, mut user, mut events) = (
        database("auth").await,
        database("user").await,
        database("events").await,
    );
    let mut on_its_way = Vec::new();
    for (name, connection) in [("auth", &mut auth), ("user", &mut user)] {
        if has_unpublished(connection).await {
            on_its_way.push(format!("an event in the outbox of {name}"));
        }
    }
    let topics = read_topics(&instance.bootstrap().expect("Kafka")).await;
    let has_journal = exists(
        &mut events,
        "select to_regclass('journal.entries') is not null",
    )
    .await;
    on_its_way.extend(unsettled(&mut events, &topics, has_journal).await);
    if exists(&mut events, "select exists (select from inbox.jobs)").await {
        on_its_way.push("a job".to_owned());
    }

    let mut committed = BTreeMap::new();
    for (connection, statement) in [
        (
            &mut auth,
            "select 'grimoire.auth.account.v1', id::text, event_version from accounts where event_version > 0
             union all
             select 'grimoire.auth.notice.v1', rtrim(translate(encode(address_hmac, 'base64'), '+/', '-_'), '='), event_version
             from address_state where event_version > 0",
        ),
        (
            &mut user,
            "select 'grimoire.user.profile.v1', id::text, event_version from profiles where event_version > 0",
        ),
    ] {
        for row in sqlx::query(statement)
            .fetch_all(connection)
            .await
            .expect("versions")
        {
            committed.insert((row.get(0), row.get(1)), row.get(2));
        }
    }
    let published: Vec<Event> = topics
        .iter()
        .flat_map(|(topic, records)| records.iter().map(move |record| event(topic, record)))
        .collect();
    let parked = "select (select count(*) from inbox.parked_keys) + (select count(*) from inbox.job_keys where due_at is null)";
    Observed {
        on_its_way,
        audit: applied(&mut events, "audit_records", &published).await,
        activities: applied(&mut user, "activities", &published).await,
        published,
        journal: if has_journal {
            Some(
                sqlx::query_scalar("select event_id from journal.entries order by place")
                    .fetch_all(&mut events)
                    .await
                    .expect("ids"),
            )
        } else {
            None
        },
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

async fn read_topics(bootstrap: &str) -> Vec<(&'static str, Vec<Record>)> {
    let mut topics = Vec::new();
    for topic in TOPICS {
        topics.push((topic, read_all_from(bootstrap, topic).await));
    }
    topics
}

/// Whether the outbox has an event that the relay's cursor has not passed.
async fn has_unpublished(connection: &mut PgConnection) -> bool {
    exists(
        connection,
        "select exists (select from outbox.entries, outbox.relay where not pg_visible_in_snapshot(entries.xid, relay.lo))",
    )
    .await
}

/// Partitions with records that a subscriber has not settled.
async fn unsettled(
    events: &mut PgConnection,
    topics: &[(&str, Vec<Record>)],
    has_journal: bool,
) -> Vec<String> {
    let next: BTreeMap<(String, String, i32), i64> =
        sqlx::query("select subscriber, topic, partition, next_offset from inbox.offsets")
            .fetch_all(events)
            .await
            .expect("offsets")
            .iter()
            .map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3)))
            .collect();
    let mut unsettled = Vec::new();
    for (topic, records) in topics {
        let ends: BTreeMap<i32, i64> = records
            .iter()
            .map(|record| (record.partition, record.offset + 1))
            .collect();
        let subscribers = SUBSCRIPTIONS
            .iter()
            .chain(has_journal.then_some(&JOURNAL))
            .filter(|(_, hears)| hears.contains(topic));
        for (subscriber, _) in subscribers {
            for (partition, end) in &ends {
                let place = ((*subscriber).to_owned(), (*topic).to_owned(), *partition);
                if next.get(&place).is_none_or(|next| next < end) {
                    unsettled.push(format!(
                        "a record in partition {partition} of {topic} for {subscriber}"
                    ));
                }
            }
        }
    }
    unsettled
}

async fn exists(connection: &mut PgConnection, question: &'static str) -> bool {
    sqlx::query_scalar(question)
        .fetch_one(connection)
        .await
        .expect("an answer")
}

/// Ids in a table that only grows, in the order of the transactions that wrote them. What one transaction wrote came about at once,
/// wherever its rows found room, so it is given in the order of versions.
async fn applied(connection: &mut PgConnection, table: &str, published: &[Event]) -> Vec<Uuid> {
    let versions: BTreeMap<Uuid, i64> = published
        .iter()
        .map(|event| (event.id, event.version))
        .collect();
    let statement = format!("select xmin::text::bigint, id from {table}");
    let mut rows: Vec<(i64, Uuid)> = sqlx::query_as(AssertSqlSafe(statement))
        .fetch_all(connection)
        .await
        .expect("ids");
    rows.sort_by_key(|(transaction, id)| (*transaction, versions.get(id).copied()));
    rows.into_iter().map(|(_, id)| id).collect()
}

fn event(topic: &str, record: &Record) -> Event {
    Event {
        topic: topic.to_owned(),
        key: String::from_utf8(record.key.clone()).expect("keys are text"),
        version: record.headers["ce_sequence"].parse().expect("a version"),
        id: record.headers["ce_id"].parse().expect("an id"),
        name: event_name(&record.headers["ce_type"]),
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
