//! What an operator can do. Everything happens under the lock of the partition, so a running consumer sees it at its next
//! batch and needs no stop; and in the transaction of the caller, who adds who did it and commits.

use sqlx::{PgConnection, PgPool};

use crate::store;
pub use crate::store::parked::ParkedKey;

/// A key of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOf<'a> {
    /// Name of the subscriber.
    pub subscriber: &'a str,
    /// Topic of the key.
    pub topic: &'a str,
    /// The key, as [`Event::key`](crate::Event::key) has it.
    pub key: &'a str,
}

/// How to deal with versions that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It stays a failure: a retry finds it again, and nothing is discarded.
    Refuse,
    /// They are lost for good: the first record that waits follows the last one that took effect.
    Accept,
}

/// Which parked keys to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Those of this subscriber; `None`: of all.
    pub subscriber: Option<&'a str>,
    /// Those that are dead, or those that are tried again; `None`: both.
    pub dead: Option<bool>,
}

/// Up to `limit` parked keys that `filter` lets pass, in the order of subscriber, topic and key, behind `after`; `None` begins.
///
/// # Errors
/// When the database is away.
pub async fn parked(
    pool: &PgPool,
    filter: Filter<'_>,
    after: Option<KeyOf<'_>>,
    limit: i64,
) -> sqlx::Result<Vec<ParkedKey>> {
    let after = after.map_or(("", "", ""), |after| {
        (after.subscriber, after.topic, after.key)
    });
    store::parked::list(pool, filter.subscriber, filter.dead, after, limit).await
}

/// Lets a parked key be tried again at once, with all its tries before it. `false`: it is not parked.
///
/// # Errors
/// When the database is away.
pub async fn retry(connection: &mut PgConnection, key: KeyOf<'_>, gap: Gap) -> sqlx::Result<bool> {
    let KeyOf {
        subscriber,
        topic,
        key,
    } = key;
    let Some(partition) =
        store::parked::partition(&mut *connection, subscriber, topic, key).await?
    else {
        return Ok(false);
    };
    store::offsets::lock(&mut *connection, subscriber, topic, partition).await?;
    if gap == Gap::Accept {
        let first = store::parked::first(&mut *connection, subscriber, topic, key, 1).await?;
        if let Some((Some(generation), Some(version))) =
            first.first().map(|queued| queued.received.place())
        {
            let last = version.saturating_sub(1);
            store::versions::accept(&mut *connection, subscriber, topic, key, generation, last)
                .await?;
        }
    }
    store::parked::release(connection, subscriber, topic, key).await?;
    Ok(true)
}

/// What became of a record that was to be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// The record at this offset counts as having taken effect.
    Discarded(i64),
    /// Its key is not parked.
    NotParked,
    /// Another record than the expected one is the first of the key by now.
    Overtaken,
    /// Versions before the record are missing as well, and with it they would be given up unseen.
    BehindGap {
        /// The last version that took effect.
        last: i64,
        /// That of the record.
        version: i64,
    },
}

/// Gives up the first record of a parked key, as if it had taken effect, and lets the key go on behind it; what is missing before
/// it as well, if `gap` accepts that. With `expected`, the row of that record, no other one is given up.
///
/// # Errors
/// When the database is away.
pub async fn discard(
    connection: &mut PgConnection,
    key: KeyOf<'_>,
    gap: Gap,
    expected: Option<i64>,
) -> sqlx::Result<Discard> {
    let KeyOf {
        subscriber,
        topic,
        key,
    } = key;
    let Some(partition) =
        store::parked::partition(&mut *connection, subscriber, topic, key).await?
    else {
        return Ok(Discard::NotParked);
    };
    store::offsets::lock(&mut *connection, subscriber, topic, partition).await?;
    let first = store::parked::first(&mut *connection, subscriber, topic, key, 1).await?;
    let Some(first) = first.first() else {
        return Ok(Discard::NotParked);
    };
    if expected.is_some_and(|expected| expected != first.id) {
        return Ok(Discard::Overtaken);
    }
    if let (Some(generation), Some(version)) = first.received.place() {
        let known = [key];
        let known =
            store::versions::known(&mut *connection, subscriber, topic, &known, &[generation])
                .await?;
        let last = known.first().and_then(|known| known.last);
        if let Some(last) = last.filter(|last| version > last.saturating_add(1))
            && gap == Gap::Refuse
        {
            return Ok(Discard::BehindGap { last, version });
        }
        store::versions::accept(
            &mut *connection,
            subscriber,
            topic,
            key,
            generation,
            version,
        )
        .await?;
    }
    store::parked::remove(&mut *connection, &[first.id]).await?;
    store::parked::release(connection, subscriber, topic, key).await?;
    Ok(Discard::Discarded(first.received.record().offset))
}

/// Moves a subscriber in a partition to offset `to`, or with `None` to the oldest record that there is, and lets it take the
/// topic as it now is. What is skipped has no effect; what comes again is a repeat. Answers with the offset of the record that
/// would have been next; `None`: it has no place there.
///
/// # Errors
/// When the database is away.
pub async fn reset(
    connection: &mut PgConnection,
    subscriber: &str,
    topic: &str,
    partition: i32,
    to: Option<i64>,
) -> sqlx::Result<Option<i64>> {
    let next = store::offsets::lock(&mut *connection, subscriber, topic, partition).await?;
    if next.is_none() {
        return Ok(None);
    }
    match to {
        Some(to) => store::offsets::set(connection, subscriber, topic, partition, to).await?,
        None => store::offsets::forget(connection, subscriber, topic, partition).await?,
    }
    Ok(next)
}
