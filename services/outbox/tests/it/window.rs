//! The window over interleavings of three real connections, beside two cursors that are often used instead and are wrong.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use outbox::window::{self, Entry, Window};
use outbox::{Topic, append};
use sqlx::{Connection, PgConnection, Row};
use testkit::Database;

use crate::schedule::{KEYS, Op, WRITERS, random};
use crate::world::{Happened, database};

const TOPIC: Topic = Topic {
    name: "window",
    max_payload: 1024,
};

/// Found by the generator below and cut down by hand: seq is drawn before the commit, so a larger one can be seen first.
const LATE_COMMIT: &[Op] = &[
    Op::Begin(0),
    Op::Begin(1),
    Op::Append(0, 0),
    Op::Append(1, 1),
    Op::Commit(1),
    Op::Look,
    Op::Commit(0),
    Op::Look,
];

/// As above: a transaction may have an older id and write later than one that has ended.
const EARLY_ID: &[Op] = &[
    Op::Begin(0),
    Op::TakeId(0),
    Op::Begin(1),
    Op::Append(1, 0),
    Op::Commit(1),
    Op::Append(0, 0),
    Op::Commit(0),
    Op::Look,
];

#[tokio::test]
async fn every_committed_row_is_in_one_window_and_the_versions_of_a_key_are_in_order() {
    let schedules = std::env::var("OUTBOX_SCHEDULES").map_or(300, |count| count.parse().unwrap());
    let mut bench = Bench::new().await;
    for seed in 0..schedules {
        let run = bench.run(&random(seed)).await;
        assert_eq!(
            run.wrong(&run.windows),
            None,
            "schedule {seed}: {:?}",
            random(seed)
        );
    }
}

#[tokio::test]
async fn the_generator_finds_what_is_wrong_with_the_usual_cursors() {
    let mut bench = Bench::new().await;
    let (mut by_seq, mut by_xid) = (0, 0);
    for seed in 0..100 {
        let run = bench.run(&random(seed)).await;
        by_seq += usize::from(run.wrong(&run.by_seq).is_some());
        by_xid += usize::from(run.wrong(&run.by_xid).is_some());
    }
    assert!(by_seq > 0 && by_xid > 0, "by seq {by_seq}, by xid {by_xid}");
}

#[tokio::test]
async fn a_cursor_over_seq_loses_a_row_that_is_committed_late() {
    let run = Bench::new().await.run(LATE_COMMIT).await;
    assert_eq!(run.wrong(&run.by_seq), Some("lost or twice".to_owned()));
    assert_eq!(run.wrong(&run.windows), None);
}

#[tokio::test]
async fn a_cursor_over_transaction_ids_turns_the_order_of_a_key_around() {
    let run = Bench::new().await.run(EARLY_ID).await;
    assert_eq!(
        run.wrong(&run.by_xid),
        Some("key 0 in the order [2, 1]".to_owned())
    );
    assert_eq!(run.wrong(&run.windows), None);
}

/// The moment before everything.
const BEGINNING: &str = "1:1:";

/// A key and its version.
type Change = (usize, i64);

#[derive(Default)]
struct Run {
    committed: Vec<Change>,
    windows: Vec<Change>,
    by_seq: Vec<Change>,
    by_xid: Vec<Change>,
}

impl Run {
    fn wrong(&self, published: &[Change]) -> Option<String> {
        let sorted = |changes: &[Change]| {
            let mut changes = changes.to_vec();
            changes.sort_unstable();
            changes
        };
        if sorted(published) != sorted(&self.committed) {
            return Some("lost or twice".to_owned());
        }
        let mut keys = BTreeMap::<usize, Vec<i64>>::new();
        for (key, version) in published {
            keys.entry(*key).or_default().push(*version);
        }
        keys.iter()
            .find(|(_, versions)| !versions.is_sorted())
            .map(|(key, versions)| format!("key {key} in the order {versions:?}"))
    }
}

/// Three writers and a reader on one database. Schedules follow each other; each has keys of its own.
struct Bench {
    writers: Vec<PgConnection>,
    reader: PgConnection,
    runs: usize,
    _database: Database,
}

impl Bench {
    async fn new() -> Bench {
        let database = database().await;
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            let mut writer = PgConnection::connect(&database.url).await.unwrap();
            // Nothing here survives anyway.
            sqlx::raw_sql("set synchronous_commit = off")
                .execute(&mut writer)
                .await
                .unwrap();
            writers.push(writer);
        }
        let mut reader = PgConnection::connect(&database.url).await.unwrap();
        // As the relay has it: the table grows with each schedule, and nobody has analysed it.
        sqlx::raw_sql("set enable_seqscan = off; set enable_bitmapscan = off")
            .execute(&mut reader)
            .await
            .unwrap();
        Bench {
            writers,
            reader,
            runs: 0,
            _database: database,
        }
    }

    async fn run(&mut self, schedule: &[Op]) -> Run {
        self.runs += 1;
        let names: Vec<String> = (0..KEYS)
            .map(|key| format!("{}-{key}", self.runs))
            .collect();
        sqlx::query("insert into aggregates select key, 0 from unnest($1::text[]) as key")
            .bind(&names)
            .execute(&mut self.reader)
            .await
            .unwrap();
        let mut run = Run::default();
        let mut pending: [Vec<Change>; WRITERS] = Default::default();
        let mut cursors = Cursors::at_the_end(&mut self.reader).await;
        for op in schedule {
            match *op {
                Op::Begin(who) => self.execute(who, "begin").await,
                Op::TakeId(who) => self.execute(who, "select pg_current_xact_id()").await,
                Op::Append(who, key) => {
                    let version = self.append(who, &names[key]).await;
                    pending[who].push((key, version));
                }
                Op::Commit(who) => {
                    self.execute(who, "commit").await;
                    run.committed.append(&mut pending[who]);
                }
                Op::Rollback(who) => {
                    self.execute(who, "rollback").await;
                    pending[who].clear();
                }
                Op::Look => cursors.look(&mut self.reader, &mut run).await,
            }
        }
        run
    }

    async fn execute(&mut self, who: usize, statement: &'static str) {
        sqlx::raw_sql(statement)
            .execute(&mut self.writers[who])
            .await
            .unwrap();
    }

    async fn append(&mut self, who: usize, key: &str) -> i64 {
        let writer = &mut self.writers[who];
        let version = sqlx::query_scalar(
            "update aggregates set version = version + 1 where key = $1 returning version",
        )
        .bind(key)
        .fetch_one(&mut *writer)
        .await
        .unwrap();
        append(writer, &TOPIC, key, version, &Happened::default())
            .await
            .unwrap();
        version
    }
}

/// Where the three readers are.
struct Cursors {
    lo: String,
    seq: i64,
    xid: (String, i64),
}

impl Cursors {
    async fn at_the_end(reader: &mut PgConnection) -> Cursors {
        let lo = window::next(reader, BEGINNING, 0).await.unwrap().hi;
        let row = sqlx::query(
            "select coalesce(max(seq), 0) as seq, pg_snapshot_xmax(pg_current_snapshot())::text as xid from outbox.entries",
        )
        .fetch_one(reader)
        .await
        .unwrap();
        Cursors {
            lo,
            seq: row.get("seq"),
            xid: (row.get("xid"), 0),
        }
    }

    async fn look(&mut self, reader: &mut PgConnection, run: &mut Run) {
        let Window { hi, entries: read } = window::next(reader, &self.lo, 1000).await.unwrap();
        let after = window::beginning(reader, &self.lo, &hi).await.unwrap();
        let streamed: Vec<Entry> = window::stream(reader, &self.lo, &hi, after)
            .try_collect()
            .await
            .unwrap();
        assert_eq!(read, streamed, "behind {after} of ({}, {hi}]", self.lo);
        run.windows
            .extend(read.iter().map(|entry| change(&entry.key, entry.version)));
        self.lo = hi;

        let rows =
            sqlx::query("select seq, key, version from outbox.entries where seq > $1 order by seq")
                .bind(self.seq)
                .fetch_all(&mut *reader)
                .await
                .unwrap();
        for row in rows {
            self.seq = row.get("seq");
            run.by_seq.push(change(row.get("key"), row.get("version")));
        }

        // The horizon of this database alone: other tests have transactions on the same server.
        let rows = sqlx::query(
            "select xid::text as xid, seq, key, version from outbox.entries
             where xid < coalesce(
                       (select min(backend_xid::text::bigint) from pg_stat_activity
                        where datname = current_database())::text::xid8,
                       pg_snapshot_xmax(pg_current_snapshot()))
               and (xid, seq) > ($1::text::xid8, $2)
             order by xid, seq",
        )
        .bind(&self.xid.0)
        .bind(self.xid.1)
        .fetch_all(&mut *reader)
        .await
        .unwrap();
        for row in rows {
            self.xid = (row.get("xid"), row.get("seq"));
            run.by_xid.push(change(row.get("key"), row.get("version")));
        }
    }
}

fn change(key: &str, version: i64) -> Change {
    let (_, key) = key.split_once('-').unwrap();
    (key.parse().unwrap(), version)
}
