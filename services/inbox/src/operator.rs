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

/// How a retry deals with versions that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It stays a failure.
    Refuse,
    /// They are lost for good: the first record that waits follows the last one that took effect.
    Accept,
}

/// Up to `limit` parked keys in the order of subscriber, topic and key, behind `after`; `None` begins.
///
/// # Errors
/// When the database is away.
pub async fn parked(
    pool: &PgPool,
    after: Option<KeyOf<'_>>,
    limit: i64,
) -> sqlx::Result<Vec<ParkedKey>> {
    let after = after.map_or(("", "", ""), |after| {
        (after.subscriber, after.topic, after.key)
    });
    store::parked::list(pool, after, limit).await
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

/// Gives up the first record of a parked key, as if it had taken effect, and lets the key go on behind it. Answers with its
/// offset; `None`: the key is not parked.
///
/// # Errors
/// When the database is away.
pub async fn discard(connection: &mut PgConnection, key: KeyOf<'_>) -> sqlx::Result<Option<i64>> {
    let KeyOf {
        subscriber,
        topic,
        key,
    } = key;
    let Some(partition) =
        store::parked::partition(&mut *connection, subscriber, topic, key).await?
    else {
        return Ok(None);
    };
    store::offsets::lock(&mut *connection, subscriber, topic, partition).await?;
    let first = store::parked::first(&mut *connection, subscriber, topic, key, 1).await?;
    let Some(first) = first.first() else {
        return Ok(None);
    };
    if let (Some(generation), Some(version)) = first.received.place() {
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
    Ok(Some(first.received.record().offset))
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
