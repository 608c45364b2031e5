//! What the holder of the lease does: window after window from the table to Kafka.

mod duties;

use std::convert::Infallible;
use std::time::Duration;

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::failure::{Failure, Report, answered};
use super::lease::{Control, Cursor, Held};
use super::publisher::{Offer, Publisher, STALLED_AFTER};
use super::slots::Slots;
use super::{Relay, Step};
use crate::window::{self, Entry, Window};

pub(super) struct Holder<'a> {
    relay: &'a Relay,
    control: &'a mut Control,
    publisher: Publisher,
    options: PgConnectOptions,
    stop: &'a CancellationToken,
    report: &'a mut Report,
    epoch: i64,
    /// Everything that it sees is in Kafka. Ahead of what the database knows by up to [`WRITE_EVERY`].
    lo: String,
    /// What the last holder left half done.
    inherited: Option<Cursor>,
    known_topics: Vec<String>,
    slots: Slots,
    /// Whether it was said that this session goes well.
    well: bool,
    /// Since when the database knows less than it should.
    unwritten: Option<Instant>,
    /// When the lease was renewed, with or without the cursor.
    renewed: Instant,
    tended: Instant,
    measured: Instant,
}

impl<'a> Holder<'a> {
    pub(super) async fn start(
        relay: &'a Relay,
        control: &'a mut Control,
        held: Held,
        options: PgConnectOptions,
        stop: &'a CancellationToken,
        report: &'a mut Report,
    ) -> Result<Holder<'a>, Failure> {
        let config = &relay.config;
        let mut holder = Holder {
            relay,
            control,
            publisher: Publisher::new(&config.bootstrap_servers, config.source, held.generation)?,
            options,
            stop,
            report,
            epoch: held.epoch,
            lo: held.cursor.lo.clone(),
            inherited: held.cursor.hi.is_some().then_some(held.cursor),
            known_topics: Vec::new(),
            slots: Slots::new(config.slot_bytes),
            well: false,
            unwritten: None,
            renewed: Instant::now(),
            tended: Instant::now(),
            measured: Instant::now(),
        };
        let topics = config
            .topics
            .iter()
            .map(|topic| topic.name.to_owned())
            .collect();
        holder.know(topics).await?;
        Ok(holder)
    }

    pub(super) async fn run(&mut self) -> Result<Infallible, Failure> {
        if let Some(Cursor {
            hi: Some(hi),
            done_seq,
            ..
        }) = self.inherited.take()
        {
            self.drain(&hi, done_seq).await?;
            self.passed(hi);
        }
        let mut wait = LOOK_FIRST;
        loop {
            if self.stop.is_cancelled() {
                return Err(self.stopped().await);
            }
            let connection = &mut self.control.connection;
            let Window { hi, entries } =
                answered(window::next(connection, &self.lo, SMALL + 1)).await?;
            let large = entries.len() as i64 > SMALL;
            if entries.is_empty() {
                // Nothing to write: the stored moment and this one have the same rows.
                self.lo = hi;
                self.goes_well();
            } else {
                self.publish(&hi, entries).await?;
                self.passed(hi);
                wait = LOOK_FIRST;
            }
            self.look_after().await?;
            // Others may have committed as much meanwhile. What is less has woken this task, or waits for the next look.
            if large {
                continue;
            }
            let due = self
                .unwritten
                .map_or(self.renewed + RENEW_EVERY, |since| since + WRITE_EVERY);
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.relay.wake.notified() => wait = LOOK_FIRST,
                () = sleep_until((Instant::now() + wait).min(due)) => wait = (wait * 2).min(LOOK_LAST),
            }
        }
    }

    /// Publishes the window from `lo` to `hi`: `entries`, if they are no more than [`SMALL`].
    async fn publish(&mut self, hi: &str, entries: Vec<Entry>) -> Result<(), Failure> {
        let first = entries.first().map(|entry| entry.created_at);
        self.at(Step::WindowTaken).await?;
        if entries.len() as i64 > SMALL {
            // A fraction of it, and not the first one.
            drop(entries);
            let after = self.beginning(hi).await?;
            self.drain(hi, after).await?;
        } else {
            self.publisher.begin();
            for (index, entry) in entries.iter().enumerate() {
                if index == entries.len() / 2 {
                    self.at(Step::HalfPublished).await?;
                }
                self.send(entry).await?;
            }
            self.settle(None).await?;
            self.acknowledged(first);
        }
        self.at(Step::Published).await
    }

    /// Where the stream of a large window begins. It is only there to save time: when it takes too long itself, as after a
    /// transaction of millions of rows, the stream begins at the first row of all.
    async fn beginning(&mut self, hi: &str) -> Result<i64, Failure> {
        self.keep_lease().await?;
        match answered(window::beginning(
            &mut self.control.connection,
            &self.lo,
            hi,
        ))
        .await
        {
            Err(Failure::Database(error)) if is_statement_timeout(&error) => Ok(0),
            result => result,
        }
    }

    /// Publishes the rows of the window from `lo` to `hi` that lie behind `after`, however many they are. They come over a
    /// connection of their own, because the lease is renewed meanwhile.
    async fn drain(&mut self, hi: &str, after: i64) -> Result<(), Failure> {
        let options = self
            .options
            .clone()
            .options([("statement_timeout", "0"), ("enable_sort", "off")]);
        let mut reader = self.keeping_lease(answered(options.connect())).await??;
        let mut cursor = Cursor {
            lo: self.lo.clone(),
            hi: Some(hi.to_owned()),
            done_seq: after,
        };
        self.publisher.begin();
        let mut first = None;
        let mut rows = window::stream(&mut reader, &self.lo, hi, after);
        while let Some(entry) = self.next(&mut rows).await? {
            first.get_or_insert(entry.created_at);
            self.send(&entry).await?;
            if self.publisher.at_chunk() {
                self.at(Step::HalfPublished).await?;
                self.progress(&mut cursor).await?;
            }
        }
        drop(rows);
        // Every row is here: how the connection ends is of no account.
        let _ = answered(reader.close()).await;
        self.settle(Some(&mut cursor)).await?;
        self.acknowledged(first);
        Ok(())
    }

    /// The next row of a large window. The server may pass over many others before it.
    async fn next(
        &mut self,
        rows: &mut BoxStream<'_, Result<Entry, sqlx::Error>>,
    ) -> Result<Option<Entry>, Failure> {
        let row = timeout(STALLED_AFTER, rows.try_next());
        match self.keeping_lease(row).await? {
            Ok(row) => Ok(row?),
            Err(_) => Err(Failure::Unresponsive),
        }
    }

    /// Hands a row to the producer, when it has room.
    async fn send(&mut self, entry: &Entry) -> Result<(), Failure> {
        if !self.known_topics.contains(&entry.topic) {
            // Written by a newer release than this one. It is as good as a listed one; refusing it would stop all others.
            self.know(vec![entry.topic.clone()]).await?;
        }
        while self.publisher.offer(entry)? == Offer::Full {
            self.wait_for_kafka(Waiting::Room).await?;
        }
        Ok(())
    }

    /// Waits until Kafka has all of the window.
    async fn settle(&mut self, mut cursor: Option<&mut Cursor>) -> Result<(), Failure> {
        while self.publisher.progress() < self.publisher.sent() {
            self.wait_for_kafka(Waiting::Settled).await?;
            if let Some(cursor) = &mut cursor {
                self.progress(cursor).await?;
            }
        }
        Ok(())
    }

    /// Waits for acknowledgements for as long as they come, and keeps the lease meanwhile. Told to stop, it waits a little for
    /// what is under way, so that nobody need publish it again.
    async fn wait_for_kafka(&mut self, what: Waiting) -> Result<(), Failure> {
        let mut seen = self.publisher.progress();
        let mut patience = Instant::now() + STALLED_AFTER;
        let mut stopping = false;
        loop {
            let publisher = &self.publisher;
            let waited = async {
                match what {
                    Waiting::Room => publisher.room().await,
                    Waiting::Settled => publisher.settled().await,
                }
            };
            tokio::select! {
                result = waited => return Ok(result?),
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    patience = patience.min(Instant::now() + STOP_PATIENCE);
                }
                () = sleep_until((self.renewed + RENEW_EVERY).min(patience)) => {}
            }
            if !stopping && self.publisher.progress() > seen {
                seen = self.publisher.progress();
                patience = Instant::now() + STALLED_AFTER;
            } else if Instant::now() >= patience {
                return Err(if stopping {
                    Failure::Stopped
                } else {
                    Failure::Stalled
                });
            }
            self.keep_lease().await?;
        }
    }
}

/// Rows that are read at once. More of them come as a stream.
const SMALL: i64 = 1_000;
const LOOK_FIRST: Duration = Duration::from_millis(25);
const LOOK_LAST: Duration = Duration::from_millis(250);
const WRITE_EVERY: Duration = Duration::from_millis(100);
const RENEW_EVERY: Duration = Duration::from_secs(1);
const STOP_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Waiting {
    Room,
    Settled,
}

fn is_statement_timeout(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "57014")
}
