//! Runs subscribers: a reader for each, the retries of parked keys, and the workers of jobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::apply::Applier;
use crate::jobs::{Desk, JobConfig, Worker};
use crate::metrics;
use crate::reader::Reader;
use crate::retry::Retrier;
use crate::store;
use crate::subscriber::{DeadLetters, Subscriber};

/// How events are consumed.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Kafka: `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The consumer group of a subscriber is `<group_prefix>.<subscriber>`.
    pub group_prefix: String,
    /// The subscribers' own database, migrated. The consumer opens connections of its own to it, with short timeouts, and with plans
    /// that are made once for each statement, not for its values.
    pub pool: PgPool,
    /// At most so many.
    pub connections: u32,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// Delays before each retry of a parked key; after the last one it is dead.
    pub retry_tiers: Vec<Duration>,
    /// How often to look for keys that are due.
    pub retry_poll: Duration,
    /// Records of a partition in one transaction.
    pub max_batch: usize,
    /// Bytes of keys and values in one transaction; a single record may be larger.
    pub max_batch_bytes: usize,
    /// How long records that a subscriber does not heed wait, so that many of them share a transaction.
    pub idle_wait: Duration,
    /// How long Kafka waits for a consumer that is silent before it gives its partitions to others.
    pub session_timeout: Duration,
    /// How often to look for topics and partitions that are new.
    pub metadata_refresh: Duration,
    /// How long jobs stay claimed by a replica that gives no sign of life.
    pub job_lease: Duration,
    /// How often to look for jobs that nobody announced.
    pub job_poll: Duration,
    /// Shortest and longest wait after a target was away.
    pub job_back_off: (Duration, Duration),
    /// Mistakes to make.
    pub faults: Faults,
}

impl ConsumerConfig {
    /// The usual configuration.
    #[must_use]
    pub fn new(
        bootstrap_servers: impl Into<String>,
        group_prefix: impl Into<String>,
        pool: PgPool,
    ) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group_prefix: group_prefix.into(),
            pool,
            connections: 8,
            statement_timeout: Duration::from_secs(5),
            retry_tiers: [1, 10, 60, 600, 3600].map(Duration::from_secs).to_vec(),
            retry_poll: Duration::from_millis(250),
            max_batch: 500,
            max_batch_bytes: 1 << 20,
            idle_wait: Duration::from_millis(100),
            session_timeout: Duration::from_secs(10),
            metadata_refresh: Duration::from_secs(5),
            job_lease: Duration::from_secs(10),
            job_poll: Duration::from_millis(250),
            job_back_off: (Duration::from_millis(100), Duration::from_secs(30)),
            faults: Faults::default(),
        }
    }
}

/// Mistakes that a consumer can be told to make, so that a test can show that it would find them. All off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Do not look at versions: repeats take effect again.
    pub skip_version_check: bool,
    /// Commit the offset before the effect: a crash between them loses the effect.
    pub commit_before_effect: bool,
}

/// Why a consumer ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Kafka's client refuses its configuration.
    #[error("Kafka's client cannot be made: {0}")]
    Kafka(#[from] KafkaError),
    /// No thread could be started.
    #[error("no thread for a reader: {0}")]
    Thread(#[from] std::io::Error),
    /// A task has panicked.
    #[error("a task of the consumer has panicked")]
    Panicked,
}

/// Subscribers and workers that run in this process.
pub struct Consumer {
    config: ConsumerConfig,
    subscribers: Vec<Arc<dyn Subscriber>>,
    dead_letters: Arc<dyn DeadLetters>,
    workers: Vec<Arc<dyn Worker>>,
    assigned: Arc<watch::Sender<HashSet<&'static str>>>,
}

impl Consumer {
    /// A consumer for `subscribers`, whose names differ, and for jobs that `workers` do, one for each target.
    #[must_use]
    pub fn new(
        config: ConsumerConfig,
        subscribers: Vec<Arc<dyn Subscriber>>,
        workers: Vec<Arc<dyn Worker>>,
        dead_letters: Arc<dyn DeadLetters>,
    ) -> Self {
        Self {
            config,
            subscribers,
            dead_letters,
            workers,
            assigned: Arc::new(watch::Sender::new(HashSet::new())),
        }
    }

    /// Turns ready when each subscriber has been given its share of the partitions for the first time.
    #[must_use]
    pub fn assigned(&self) -> Assigned {
        Assigned {
            assigned: self.assigned.subscribe(),
            subscribers: self.subscribers.len(),
        }
    }

    /// Consumes until `stop`, then leaves the groups so that others take over at once. Kafka or the database being away ends
    /// nothing: it waits. Dropping the future stops it as well, without waiting for the end.
    ///
    /// # Errors
    /// [`ConsumerError`]; nothing runs any more then.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ConsumerError> {
        let stop = stop.child_token();
        let _stop_when_dropped = stop.clone().drop_guard();
        let pool = own_pool(&self.config);
        let targets = self.workers.iter().map(|worker| worker.target());
        let wakes = Arc::new(Wakes::new(targets));
        let mut tasks: JoinSet<Result<(), ConsumerError>> = JoinSet::new();

        for subscriber in &self.subscribers {
            let applier = Applier {
                pool: pool.clone(),
                subscriber: Arc::clone(subscriber),
                first_tier: self.config.retry_tiers.first().copied().unwrap_or_default(),
                faults: self.config.faults,
                wakes: Arc::clone(&wakes),
            };
            let reader = Reader::new(self.config.clone(), applier, Arc::clone(&self.assigned));
            tasks.spawn(reader.run(stop.clone()));
        }
        let retrier = Retrier {
            pool: pool.clone(),
            subscribers: self
                .subscribers
                .iter()
                .map(|one| (one.name(), Arc::clone(one)))
                .collect(),
            dead_letters: self.dead_letters,
            tiers: self.config.retry_tiers.clone(),
            poll: self.config.retry_poll,
            wakes: Arc::clone(&wakes),
        };
        tasks.spawn(endless(retrier.run(stop.clone())));
        for worker in &self.workers {
            let Some(wake) = wakes.listen(worker.target()) else {
                continue;
            };
            let config = JobConfig {
                poll: self.config.job_poll,
                lease: self.config.job_lease,
                back_off: self.config.job_back_off,
                tiers: self.config.retry_tiers.clone(),
            };
            let desk = Desk {
                pool: pool.clone(),
                worker: Arc::clone(worker),
                config,
                wake,
            };
            tasks.spawn(endless(desk.run(stop.clone())));
        }
        let names = self
            .subscribers
            .iter()
            .map(|subscriber| subscriber.name())
            .collect();
        let targets = self.workers.iter().map(|worker| worker.target()).collect();
        tasks.spawn(endless(measure(pool.clone(), names, targets, stop.clone())));

        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|_| ConsumerError::Panicked)??;
        }
        pool.close().await;
        Ok(())
    }
}

/// Whether each subscriber has had its first assignment.
#[derive(Debug, Clone)]
pub struct Assigned {
    assigned: watch::Receiver<HashSet<&'static str>>,
    subscribers: usize,
}

impl Assigned {
    /// Whether it is so by now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.assigned.borrow().len() >= self.subscribers
    }

    /// Waits until it is so, or until the consumer is gone.
    pub async fn ready(&mut self) {
        let subscribers = self.subscribers;
        let _ = self
            .assigned
            .wait_for(|assigned| assigned.len() >= subscribers)
            .await;
    }
}

/// Tells the workers of this process that there is something to do for them.
pub(crate) struct Wakes(HashMap<&'static str, watch::Sender<()>>);

impl Wakes {
    fn new(targets: impl Iterator<Item = &'static str>) -> Self {
        Self(
            targets
                .map(|target| (target, watch::Sender::new(())))
                .collect(),
        )
    }

    fn listen(&self, target: &str) -> Option<watch::Receiver<()>> {
        self.0.get(target).map(watch::Sender::subscribe)
    }

    pub(crate) fn wake(&self, targets: &HashSet<&'static str>) {
        for wake in targets.iter().filter_map(|target| self.0.get(target)) {
            wake.send_replace(());
        }
    }
}

async fn endless(task: impl Future<Output = ()>) -> Result<(), ConsumerError> {
    task.await;
    Ok(())
}

/// Connections whose session gives up soon: a process that is stopped within a transaction must not hold a partition. Commits
/// do not wait for the disk: what a crash of the server takes away it takes away together with the offset, so it is read
/// again.
fn own_pool(config: &ConsumerConfig) -> PgPool {
    let statement_timeout = format!("{}ms", config.statement_timeout.as_millis());
    let options = (*config.pool.connect_options()).clone().options([
        ("idle_in_transaction_session_timeout", "5s"),
        ("statement_timeout", statement_timeout.as_str()),
        ("lock_timeout", "3s"),
        ("synchronous_commit", "off"),
        // Each statement has one right plan, along an index, and is not worth another one for every batch, nor a compilation.
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
    ]);
    PgPoolOptions::new()
        .max_connections(config.connections)
        .acquire_timeout(Duration::from_secs(5))
        // A dead connection is found out by the batch, which is tried again anyway.
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Keeps the gauges of parked keys and jobs.
async fn measure(
    pool: PgPool,
    names: Vec<&'static str>,
    targets: Vec<&'static str>,
    stop: CancellationToken,
) {
    const PERIOD: Duration = Duration::from_secs(5);
    loop {
        if let Err(error) = measure_once(&pool, &names, &targets).await {
            tracing::debug!(%error, "gauges cannot be read");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PERIOD) => {}
        }
    }
}

async fn measure_once(
    pool: &PgPool,
    names: &[&'static str],
    targets: &[&'static str],
) -> sqlx::Result<()> {
    let metrics = metrics::get();
    let parked = store::parked::counts(pool).await?;
    for name in names {
        let (waiting, dead) = parked
            .iter()
            .find(|(found, ..)| found == name)
            .map_or((0, 0), |(_, waiting, dead)| (*waiting, *dead));
        metrics.parked_keys.with_label_values(&[name]).set(waiting);
        metrics.dead_keys.with_label_values(&[name]).set(dead);
    }
    let backlog = store::jobs::backlog(pool).await?;
    let dead = store::jobs::dead_counts(pool).await?;
    for target in targets {
        let waiting = backlog.iter().find(|backlog| backlog.target == *target);
        metrics
            .jobs
            .with_label_values(&[target])
            .set(waiting.map_or(0, |backlog| backlog.jobs));
        metrics
            .jobs_age
            .with_label_values(&[target])
            .set(waiting.map_or(0, |backlog| backlog.age as i64));
        let dead = dead
            .iter()
            .find(|(found, _)| found == target)
            .map_or(0, |(_, dead)| *dead);
        metrics
            .jobs_dead_keys
            .with_label_values(&[target])
            .set(dead);
    }
    Ok(())
}
