use bytes::Bytes;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use crate::event::{Received, Record};

/// A key that is due for another try.
pub(crate) struct Due {
    pub(crate) subscriber: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: String,
}

/// A record of a parked key.
pub(crate) struct Queued {
    pub(crate) id: i64,
    pub(crate) dead_lettered: bool,
    pub(crate) received: Received,
}

/// Parks a key that is not parked. `delay`: seconds until it is tried again.
pub(crate) async fn park(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    key: (&str, i32, &str),
    cause: &str,
    reason: &str,
    delay: f64,
) -> sqlx::Result<()> {
    let (topic, partition, key) = key;
    sqlx::query!(
        r#"insert into inbox.parked_keys (subscriber, topic, partition, key, cause, reason, due_at)
           values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))"#,
        subscriber,
        topic,
        partition,
        key,
        cause,
        reason,
        delay,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Lets `records`, all of one topic, queue behind their parked keys.
pub(crate) async fn queue(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    records: &[&Received],
) -> sqlx::Result<()> {
    let keys: Vec<&str> = records.iter().map(|received| received.key()).collect();
    let partitions: Vec<i32> = records
        .iter()
        .map(|received| received.record().partition)
        .collect();
    let offsets: Vec<i64> = records
        .iter()
        .map(|received| received.record().offset)
        .collect();
    let record_keys: Vec<&[u8]> = records
        .iter()
        .map(|received| received.record().key.as_ref())
        .collect();
    let headers: Vec<Value> = records
        .iter()
        .map(|received| headers_to_json(received.record()))
        .collect();
    let payloads: Vec<&[u8]> = records
        .iter()
        .map(|received| received.record().payload.as_ref())
        .collect();
    let generations: Vec<Option<i64>> = records.iter().map(|received| received.place().0).collect();
    let versions: Vec<Option<i64>> = records.iter().map(|received| received.place().1).collect();
    sqlx::query!(
        r#"insert into inbox.parked_records
               (subscriber, topic, key, partition, "offset", record_key, headers, payload, generation, version)
           select $1, $2, r.key, r.partition, r."offset", r.record_key, r.headers, r.payload, r.generation, r.version
           from unnest($3::text[], $4::integer[], $5::bigint[], $6::bytea[], $7::jsonb[], $8::bytea[], $9::bigint[],
                       $10::bigint[]) with ordinality
               as r (key, partition, "offset", record_key, headers, payload, generation, version, place)
           order by r.place"#,
        subscriber,
        topic,
        &keys[..] as _,
        &partitions[..],
        &offsets[..],
        &record_keys[..] as _,
        &headers[..] as _,
        &payloads[..] as _,
        &generations[..] as _,
        &versions[..] as _,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Keys of `subscribers` that are due, the longest due first; not those of partitions that an operator has just reset, which
/// have no lock to hold.
pub(crate) async fn due(
    executor: impl PgExecutor<'_>,
    subscribers: &[&str],
    limit: i64,
) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"select subscriber, topic, partition, key from inbox.parked_keys
           where due_at <= now() and subscriber = any($1) and exists (
               select from inbox.offsets
               where offsets.subscriber = parked_keys.subscriber and offsets.topic = parked_keys.topic
                 and offsets.partition = parked_keys.partition)
           order by due_at limit $2"#,
        subscribers as _,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// How often a key has been tried, if it is still due.
pub(crate) async fn attempts_if_due(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    key: &str,
) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        r#"select attempts from inbox.parked_keys
           where subscriber = $1 and topic = $2 and key = $3 and due_at <= now()"#,
        subscriber,
        topic,
        key,
    )
    .fetch_optional(executor)
    .await
}

/// The first records of a key, in the order in which they are to be applied: by version, so that one that came late
/// closes the gap that it left; those that do not tell their version first.
pub(crate) async fn first(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    key: &str,
    limit: i64,
) -> sqlx::Result<Vec<Queued>> {
    let rows = sqlx::query!(
        r#"select id, partition, "offset", record_key, headers, payload, dead_lettered from inbox.parked_records
           where subscriber = $1 and topic = $2 and key = $3
           order by generation nulls first, version nulls first, id limit $4"#,
        subscriber,
        topic,
        key,
        limit,
    )
    .fetch_all(executor)
    .await?;
    let queued = rows.into_iter().map(|row| Queued {
        id: row.id,
        dead_lettered: row.dead_lettered,
        received: Received::new(Record {
            topic: topic.into(),
            partition: row.partition,
            offset: row.offset,
            key: Bytes::from(row.record_key),
            headers: headers_from_json(row.headers),
            payload: Bytes::from(row.payload),
        }),
    });
    Ok(queued.collect())
}

/// Forgets records.
pub(crate) async fn remove(executor: impl PgExecutor<'_>, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"delete from inbox.parked_records where id = any($1)"#,
        ids
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Notes that a record has gone to the dead letters.
pub(crate) async fn mark_dead_lettered(executor: impl PgExecutor<'_>, id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update inbox.parked_records set dead_lettered = true where id = $1"#,
        id
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Frees a key that has no records any more, or lets it be tried again at once from the first tier.
pub(crate) async fn release(
    connection: &mut PgConnection,
    subscriber: &str,
    topic: &str,
    key: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"delete from inbox.parked_keys where subscriber = $1 and topic = $2 and key = $3 and not exists (
               select from inbox.parked_records where subscriber = $1 and topic = $2 and key = $3)"#,
        subscriber,
        topic,
        key,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"update inbox.parked_keys set attempts = 0, due_at = now()
           where subscriber = $1 and topic = $2 and key = $3"#,
        subscriber,
        topic,
        key,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts a parked key off. `delay`: seconds until it is tried again; `None`: it is dead.
pub(crate) async fn put_off(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    key: (&str, &str),
    failure: (&str, &str),
    attempts: i32,
    delay: Option<f64>,
) -> sqlx::Result<()> {
    let ((topic, key), (cause, reason)) = (key, failure);
    sqlx::query!(
        r#"update inbox.parked_keys
           set cause = $4, reason = $5, attempts = $6, due_at = now() + make_interval(secs => $7)
           where subscriber = $1 and topic = $2 and key = $3"#,
        subscriber,
        topic,
        key,
        cause,
        reason,
        attempts,
        delay,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Lets a key that is due wait for `delay` seconds, as it is. Needs no lock of the partition: nothing else of it changes.
pub(crate) async fn defer(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    key: &str,
    delay: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update inbox.parked_keys set due_at = now() + make_interval(secs => $4)
           where subscriber = $1 and topic = $2 and key = $3 and due_at <= now()"#,
        subscriber,
        topic,
        key,
        delay,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The partition of a parked key.
pub(crate) async fn partition(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    key: &str,
) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        r#"select partition from inbox.parked_keys where subscriber = $1 and topic = $2 and key = $3"#,
        subscriber,
        topic,
        key,
    )
    .fetch_optional(executor)
    .await
}

/// How many keys of each subscriber are parked and still tried, and how many are dead.
pub(crate) async fn counts(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, i64, i64)>> {
    let rows = sqlx::query!(
        r#"select subscriber, count(due_at) as "parked!", count(*) - count(due_at) as "dead!"
           from inbox.parked_keys group by subscriber"#,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.subscriber, row.parked, row.dead))
        .collect())
}

/// A parked key, for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// Whose effect is missing.
    pub subscriber: String,
    /// Topic of the key.
    pub topic: String,
    /// The key, as [`Event::key`](crate::Event::key) has it.
    pub key: String,
    /// Partition of the key.
    pub partition: i32,
    /// `refused`, `gap` or `undecodable`.
    pub cause: String,
    /// What was wrong at the last try.
    pub reason: String,
    /// Retries so far.
    pub attempts: i32,
    /// Whether it is not tried any more by itself.
    pub dead: bool,
    /// When it is tried again; `None`: it is dead.
    pub due_at: Option<OffsetDateTime>,
    /// When it was parked.
    pub parked_at: OffsetDateTime,
    /// How many of its records wait.
    pub records: i64,
    /// Which of them is the first: a number that no other record has.
    pub first_record: Option<i64>,
}

/// Parked keys in the order of subscriber, topic and key, behind `after`: of `subscriber` alone, and those alone that are dead or
/// are not.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    subscriber: Option<&str>,
    dead: Option<bool>,
    after: (&str, &str, &str),
    limit: i64,
) -> sqlx::Result<Vec<ParkedKey>> {
    sqlx::query_as!(
        ParkedKey,
        r#"select subscriber, topic, key, partition, cause, reason, attempts, due_at is null as "dead!", due_at, parked_at,
                  (select count(*) from inbox.parked_records as r
                   where r.subscriber = k.subscriber and r.topic = k.topic and r.key = k.key) as "records!",
                  (select id from inbox.parked_records as r
                   where r.subscriber = k.subscriber and r.topic = k.topic and r.key = k.key
                   order by generation nulls first, version nulls first, id limit 1) as first_record
           from inbox.parked_keys as k
           where ($1::text is null or subscriber = $1) and ($2::boolean is null or (due_at is null) = $2)
             and (subscriber, topic, key) > ($3, $4, $5)
           order by subscriber, topic, key limit $6"#,
        subscriber,
        dead,
        after.0,
        after.1,
        after.2,
        limit,
    )
    .fetch_all(executor)
    .await
}

fn headers_to_json(record: &Record) -> Value {
    record
        .headers
        .iter()
        .map(|(name, value)| Value::from(vec![name.as_str(), value.as_str()]))
        .collect()
}

fn headers_from_json(headers: Value) -> Vec<(String, String)> {
    // Written by headers_to_json; a row that an operator has mangled becomes a record without headers, so undecodable.
    serde_json::from_value(headers).unwrap_or_default()
}
