//! The relay: publishes what was committed. Every replica runs one; the holder of the lease publishes, the others stand by.

mod failure;
mod holder;
mod lease;
mod measure;
mod publisher;
mod slots;
mod topics;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Topic;
use failure::{Failure, Report, answered};
use holder::Holder;
use lease::{Attempt, Control, Held};
use measure::Measures;

/// What a relay needs to know.
#[derive(Clone)]
pub struct RelayConfig {
    /// The database with the schema `outbox`. A direct connection: a pooler between transactions would lose LISTEN and settings.
    pub database_url: String,
    /// Kafka brokers: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Who publishes, for the header `ce_source`: `grimoire/auth`.
    pub source: &'static str,
    /// Topics to create where they are missing.
    pub topics: &'static [Topic],
    /// Partitions of each topic. A topic that has another number is not published to: keys would change their partition.
    pub partitions: i32,
    /// Copies of each partition of a new topic. From 3 on, two of them must acknowledge a record.
    pub replication: i32,
    /// How long a new topic keeps records.
    pub retention: Duration,
    /// Size in bytes from which a slot of the table is left to be emptied.
    pub slot_bytes: i64,
    /// Tests only: is asked at each step, and a `Break` ends the relay as `kill -9` would.
    pub failpoint: Option<Failpoint>,
}

impl RelayConfig {
    /// Of a slot: large enough that a TRUNCATE is rare, small enough to be of no account on a disk.
    pub const SLOT_BYTES: i64 = 64 << 20;
    /// Of a topic: two weeks.
    pub const RETENTION: Duration = Duration::from_secs(14 * 24 * 60 * 60);
}

/// What [`RelayConfig::failpoint`] is.
pub type Failpoint = Arc<dyn Fn(Step) -> BoxFuture<'static, ControlFlow<()>> + Send + Sync>;

/// Where a relay can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A window with rows was taken; none of them is published.
    WindowTaken,
    /// Half of its rows were handed to the producer.
    HalfPublished,
    /// Kafka acknowledged all of them; the database does not know.
    Published,
    /// The database knows.
    CursorWritten,
    /// A slot was emptied.
    SlotTruncated,
}

/// Tells the relay of this process that something was committed, so that it does not wait for its next look.
#[derive(Clone)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Call it after the commit of a transaction with events. Cheap and never blocking.
    pub fn committed(&self) {
        self.0.notify_one();
    }
}

/// Publishes the outbox of one database. See [`Relay::run`].
pub struct Relay {
    config: RelayConfig,
    wake: Arc<Notify>,
    measures: Measures,
    id: Uuid,
}

impl Relay {
    /// A relay and the handle that wakes it.
    pub fn new(config: RelayConfig) -> (Relay, Wake) {
        let wake = Arc::new(Notify::new());
        let relay = Relay {
            config,
            wake: Arc::clone(&wake),
            measures: Measures::new(),
            id: Uuid::now_v7(),
        };
        (relay, Wake(wake))
    }

    /// Publishes until `stop`. It never ends before: without PostgreSQL or Kafka it tries again, says so once, and counts.
    pub async fn run(self, stop: CancellationToken) {
        let too_long = async {
            stop.cancelled().await;
            sleep(STOP_WITHIN).await;
        };
        tokio::pin!(too_long);
        let mut report = Report::default();
        let mut pause = PAUSE_FIRST;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                ended = self.session(&stop, &mut report) => ended,
                () = &mut too_long => return,
            };
            self.measures.lease_held.set(0);
            let Err(failure) = ended;
            match failure {
                Failure::Stopped | Failure::Killed => return,
                failure => {
                    self.measures.failed(&failure);
                    report.failed(&failure);
                }
            }
            if began.elapsed() > WELL_AFTER {
                pause = PAUSE_FIRST;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => pause = (pause * 2).min(PAUSE_MOST),
            }
        }
    }

    /// From connecting to the first failure. Everything that it opened ends with it: after any failure the queue of the
    /// producer is worth nothing, because another relay may go on from the cursor.
    async fn session(
        &self,
        stop: &CancellationToken,
        report: &mut Report,
    ) -> Result<Infallible, Failure> {
        let options = self.connect_options()?;
        let mut control = answered(Control::connect(&options)).await?;
        let held = self.compete(&mut control, stop).await?;
        self.measures.lease_held.set(1);
        let epoch = held.epoch;
        let result = self.hold(&mut control, held, options, stop, report).await;
        if !matches!(result, Err(Failure::Killed)) {
            // So that the next one need not wait for the lease to run out. Its own failure has nothing to add.
            let _ = timeout(RELEASE_WITHIN, control.release(epoch)).await;
        }
        result
    }

    async fn hold(
        &self,
        control: &mut Control,
        held: Held,
        options: PgConnectOptions,
        stop: &CancellationToken,
        report: &mut Report,
    ) -> Result<Infallible, Failure> {
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(options.clone(), Arc::clone(&self.wake)));
        let (epoch, generation) = (held.epoch, held.generation);
        let mut holder = Holder::start(self, control, held, options, stop, report).await?;
        tracing::info!(epoch, generation, "this relay publishes");
        holder.run().await
    }

    /// Waits for the lease, and tells its holder meanwhile of what this process commits.
    async fn compete(
        &self,
        control: &mut Control,
        stop: &CancellationToken,
    ) -> Result<Held, Failure> {
        let mut measured = None::<Instant>;
        loop {
            if measured.is_none_or(|at| at.elapsed() >= MEASURE_EVERY) {
                self.measures.sample(control).await?;
                measured = Some(Instant::now());
            }
            match answered(control.acquire(self.id)).await? {
                Attempt::Won(held) => return Ok(held),
                Attempt::Taken => self.measures.not_halted(),
            }
            let next = Instant::now() + COMPETE_EVERY;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Err(Failure::Stopped),
                    () = self.wake.notified() => answered(control.notify()).await?,
                    () = sleep_until(next) => break,
                }
                // A NOTIFY takes a lock that all of the server's databases share: wake-ups of the next moment become one.
                sleep(NOTIFY_APART).await;
            }
        }
    }

    fn connect_options(&self) -> Result<PgConnectOptions, Failure> {
        Ok(PgConnectOptions::from_str(&self.config.database_url)?
            .application_name("outbox relay")
            // Hundreds of statements a second, none of which is news.
            .disable_statement_logging()
            .options([
                // A lost cursor means that records are published again, which subscribers expect.
                ("synchronous_commit", "off"),
                // The statements are few and their one right plan is known: along an index, planned once.
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_bitmapscan", "off"),
                ("jit", "off"),
                ("statement_timeout", "3s"),
                ("idle_in_transaction_session_timeout", "5s"),
            ]))
    }
}

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_secs(2);
/// A session that lasted this long had nothing to do with the failure before it.
const WELL_AFTER: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(3);
const RELEASE_WITHIN: Duration = Duration::from_secs(1);
const COMPETE_EVERY: Duration = Duration::from_millis(500);
const NOTIFY_APART: Duration = Duration::from_millis(5);
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// Turns the NOTIFY of other replicas into wake-ups. Where it ends, the relay still looks by itself.
async fn listen(options: PgConnectOptions, wake: Arc<Notify>) {
    let Err(error) = hear(options, &wake).await;
    tracing::warn!(%error, "commits of other replicas are no longer announced; the relay looks for them by itself");
}

async fn hear(options: PgConnectOptions, wake: &Notify) -> Result<Infallible, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options)
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(lease::CHANNEL).await?;
    loop {
        listener.recv().await?;
        wake.notify_one();
    }
}
