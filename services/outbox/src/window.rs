//! What became visible between two moments: the window from which the relay publishes.
//!
//! A moment is a snapshot of PostgreSQL's transactions. A row belongs to the window (lo, hi] if hi sees it and lo does not, and
//! each row becomes visible once, so consecutive windows hold every committed row exactly once, however late its transaction
//! commits. Inside a window the order is that of seq, which for one key is that of its versions.

use std::collections::BTreeMap;

use futures::stream::BoxStream;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

/// A row of the outbox, as [`next`] and [`stream`] give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    pub event_id: Uuid,
    pub topic: String,
    pub key: String,
    pub version: i64,
    pub event_type: String,
    pub headers: Option<Json<BTreeMap<String, String>>>,
    pub traceparent: Option<String>,
    pub payload: Vec<u8>,
    pub created_at: OffsetDateTime,
}

/// What became visible since a moment, and the moment that it goes up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The transactions that have ended, as the text of a `pg_snapshot`.
    pub hi: String,
    /// In order.
    pub entries: Vec<Entry>,
}

/// The window (lo, now] in order if it has at most `limit` rows; otherwise some `limit` rows of it.
///
/// One statement sees one moment, so what it sees at all is visible in its `hi`. Two parts, because a transaction that lo did not
/// see either lies beyond its xmax or was running: a range and a few points of the index, where the one condition
/// `xid >= pg_snapshot_xmin(lo)` walks over everything since the oldest idle transaction.
pub async fn next(
    connection: &mut PgConnection,
    lo: &str,
    limit: i64,
) -> Result<Window, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with bounds as materialized (select $1::text::pg_snapshot as lo)
           select moment.hi as "hi!", seq as "seq?", event_id as "event_id?", topic as "topic?", key as "key?",
                  version as "version?", event_type as "event_type?",
                  headers as "headers?: Json<BTreeMap<String, String>>", traceparent as "traceparent?",
                  payload as "payload?", created_at as "created_at?"
           from (select pg_current_snapshot()::text as hi) as moment
           left join (
               select * from outbox.entries where xid >= (select pg_snapshot_xmax(lo) from bounds)
               union all
               select * from outbox.entries where xid = any (array(select pg_snapshot_xip(lo) from bounds))
               limit $2
           ) as part on true
           order by seq"#,
        lo,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let hi = rows.first().ok_or(sqlx::Error::RowNotFound)?.hi.clone();
    // The one row of an empty window has no more than its moment.
    let entries = rows.into_iter().filter_map(|row| {
        Some(Entry {
            seq: row.seq?,
            event_id: row.event_id?,
            topic: row.topic?,
            key: row.key?,
            version: row.version?,
            event_type: row.event_type?,
            headers: row.headers,
            traceparent: row.traceparent,
            payload: row.payload?,
            created_at: row.created_at?,
        })
    });
    Ok(Window {
        hi,
        entries: entries.collect(),
    })
}

/// A number below which nothing of the window (lo, hi] lies: where [`stream`] may begin. Without it each large window would pass
/// over all that is published already and not yet truncated.
///
/// It is looked up, because it cannot be known beforehand: a snapshot does not tell which transactions beyond its xmax were
/// running already, so such a transaction may have drawn its numbers long before the snapshot was taken.
pub async fn beginning(
    connection: &mut PgConnection,
    lo: &str,
    hi: &str,
) -> Result<i64, sqlx::Error> {
    // `offset 0` keeps the planner from searching the minimum along the index on seq, through rows of everybody else.
    sqlx::query_scalar!(
        r#"with bounds as materialized (select $1::text::pg_snapshot as lo, $2::text::pg_snapshot as hi)
           select coalesce(min(seq) - 1, 0) as "seq!" from (
               select seq from outbox.entries
               where xid >= (select pg_snapshot_xmax(lo) from bounds)
                 and pg_visible_in_snapshot(xid, (select hi from bounds))
               union all
               select seq from outbox.entries
               where xid = any (array(select pg_snapshot_xip(lo) from bounds))
                 and pg_visible_in_snapshot(xid, (select hi from bounds))
               offset 0
           ) as part"#,
        lo,
        hi,
    )
    .fetch_one(connection)
    .await
}

/// The window (lo, hi] behind the number `after`, in order and of any size: rows come as fast as they are taken.
pub fn stream<'c>(
    connection: &'c mut PgConnection,
    lo: &str,
    hi: &str,
    after: i64,
) -> BoxStream<'c, Result<Entry, sqlx::Error>> {
    sqlx::query_as!(
        Entry,
        r#"with bounds as materialized (select $1::text::pg_snapshot as lo, $2::text::pg_snapshot as hi)
           select seq as "seq!", event_id as "event_id!", topic as "topic!", key as "key!", version as "version!",
                  event_type as "event_type!", headers as "headers?: Json<BTreeMap<String, String>>",
                  traceparent as "traceparent?", payload as "payload!", created_at as "created_at!"
           from outbox.entries
           where seq > $3
             and (xid >= (select pg_snapshot_xmax(lo) from bounds)
                  or xid = any (array(select pg_snapshot_xip(lo) from bounds)))
             and pg_visible_in_snapshot(xid, (select hi from bounds))
           order by seq"#,
        lo,
        hi,
        after,
    )
    .fetch(connection)
}
