//! Reads Kafka for one subscriber: a thread that serves Kafka's client, opens the partitions that it is given, and starts a
//! task for each.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::apply::Applier;
use crate::assignment::{Assignment, Phase, Place};
use crate::consumer::{ConsumerConfig, ConsumerError};
use crate::jobs::back_off;
use crate::metrics;
use crate::partition::{End, PartitionReader, Progress};
use crate::store;
use crate::store::offsets::Position;
use crate::topic_id;

/// How long a question to Kafka or the database may take while a partition is opened.
const QUESTION: Duration = Duration::from_secs(3);
/// How often a partition that does not fit its topic is looked at again: an operator may have reset it.
const MISPLACED: Duration = Duration::from_secs(5);

type Client = Arc<BaseConsumer<Assignment>>;

/// Reads for one subscriber.
pub(crate) struct Reader {
    config: ConsumerConfig,
    applier: Arc<Applier>,
    assigned: Arc<watch::Sender<HashSet<&'static str>>>,
}

/// Why a partition could not be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("no answer from the database")]
    Silence,
    /// Nothing but an operator helps.
    #[error("{0}")]
    Misplaced(String),
}

impl Reader {
    pub(crate) fn new(
        config: ConsumerConfig,
        applier: Applier,
        assigned: Arc<watch::Sender<HashSet<&'static str>>>,
    ) -> Self {
        Self {
            config,
            applier: Arc::new(applier),
            assigned,
        }
    }

    /// Reads until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), ConsumerError> {
        let (done, finished) = oneshot::channel();
        let runtime = Handle::current();
        thread::Builder::new()
            .name(format!("inbox-{}", self.name()))
            .spawn(move || {
                let _ = done.send(self.read(&runtime, &stop));
            })?;
        finished.await.unwrap_or(Err(ConsumerError::Panicked))
    }

    fn name(&self) -> &'static str {
        self.applier.subscriber.name()
    }

    fn read(&self, runtime: &Handle, stop: &CancellationToken) -> Result<(), ConsumerError> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let Some(fatal) = self.read_until_fatal(runtime, stop)? else {
                return Ok(());
            };
            tracing::error!(subscriber = self.name(), error = %fatal, "Kafka's client has given up and is made anew");
            let pause = back_off(
                Duration::from_millis(500),
                Duration::from_secs(30),
                failures,
            );
            failures = failures.saturating_add(1);
            runtime.block_on(async {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(pause) => {}
                }
            });
        }
        Ok(())
    }

    /// Reads until `stop`, or until Kafka's client is of no use any more: then the answer is why.
    fn read_until_fatal(
        &self,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<Option<KafkaError>, KafkaError> {
        let context = Assignment::new(self.name(), runtime.clone(), Arc::clone(&self.assigned));
        let client: Client = Arc::new(self.client_config().create_with_context(context)?);
        let topics = self.applier.subscriber.topics();
        client.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;

        let mut fatal = None;
        while !stop.is_cancelled() && fatal.is_none() {
            match client.poll(Duration::from_millis(20)) {
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => fatal = Some(error),
                // Told by the context already.
                Some(Err(_)) | None => {}
                // Each partition has a queue of its own, so this one must not have been read past.
                Some(Ok(message)) => {
                    let place: Place = (Arc::from(message.topic()), message.partition());
                    tracing::error!(
                        subscriber = self.name(),
                        ?place,
                        "a record came on the wrong way"
                    );
                    self.reopen(&client, &place);
                }
            }
            self.reopen_ended(&client, runtime);
            self.open_due(&client, runtime, stop);
        }
        // The tasks hold the client too, and the last to let go of it leaves the group.
        let places: Vec<Place> = client.context().places().keys().cloned().collect();
        client.context().release(&places);
        Ok(fatal)
    }

    fn client_config(&self) -> ClientConfig {
        let session = self.config.session_timeout.as_millis();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.config.bootstrap_servers)
            .set(
                "group.id",
                format!("{}.{}", self.config.group_prefix, self.name()),
            )
            .set(
                "client.id",
                format!("{}.{}", self.config.group_prefix, self.name()),
            )
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 4).min(3000).to_string())
            .set("allow.auto.create.topics", "false")
            .set(
                "topic.metadata.refresh.interval.ms",
                self.config.metadata_refresh.as_millis().to_string(),
            )
            .set("reconnect.backoff.max.ms", "1000")
            // The database knows the offset; what is committed here is for tools that show lag.
            .set("auto.offset.reset", "error")
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "5000")
            // For each partition, as each has a queue of its own.
            .set("queued.min.messages", "5000")
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.queue.backoff.ms", "2")
            .set("statistics.interval.ms", "5000");
        config
    }

    /// Opens the partitions that wait for it, up to the first for which Kafka or the database is away: this thread also has to serve
    /// Kafka's client, and each question may take its time.
    fn open_due(&self, client: &Client, runtime: &Handle, stop: &CancellationToken) {
        let now = Instant::now();
        let mut due: Vec<(Instant, Place, u32)> = client
            .context()
            .places()
            .iter()
            .filter_map(|(place, phase)| match phase {
                Phase::Waiting { due, failures } if *due <= now => {
                    Some((*due, place.clone(), *failures))
                }
                _ => None,
            })
            .collect();
        // The longest due first, or those that take long to fail would keep the others waiting for ever.
        due.sort_by_key(|(due, ..)| *due);
        for (_, place, failures) in due {
            if stop.is_cancelled() {
                return;
            }
            let mut away = false;
            let misplaced = match self.open(client, runtime, stop, &place) {
                Ok(phase) => {
                    client.context().places().insert(place.clone(), phase);
                    false
                }
                Err(error) => {
                    let misplaced = matches!(error, OpenError::Misplaced(_));
                    if failures == 0 {
                        tracing::error!(subscriber = self.name(), ?place, %error, "a partition cannot be read");
                    }
                    let pause = if misplaced {
                        MISPLACED
                    } else {
                        back_off(Duration::from_millis(200), Duration::from_secs(5), failures)
                    };
                    let waiting = Phase::Waiting {
                        due: Instant::now() + pause,
                        failures: failures.saturating_add(1),
                    };
                    client.context().places().insert(place.clone(), waiting);
                    away = !misplaced;
                    misplaced
                }
            };
            let (topic, partition) = place;
            metrics::get()
                .partition_stopped
                .with_label_values(&[self.name(), &*topic, &*partition.to_string()])
                .set(i64::from(misplaced));
            if away {
                return;
            }
        }
    }

    fn open(
        &self,
        client: &Client,
        runtime: &Handle,
        stop: &CancellationToken,
        place: &Place,
    ) -> Result<Phase, OpenError> {
        let (topic, partition) = place;
        let position = self.position(client, runtime, place)?;

        // Its own queue before the assignment, or its first records come on the common one.
        let mut queue = client
            .split_partition_queue(topic, *partition)
            .ok_or_else(|| KafkaError::Subscription("the partition has no queue".to_owned()))?;
        let filled = Arc::new(Notify::new());
        let fill = Arc::clone(&filled);
        queue.set_nonempty_callback(move || fill.notify_one());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, *partition, Offset::Offset(position))?;
        client.incremental_assign(&list)?;

        let progress = Arc::new(Progress {
            position: AtomicI64::new(position),
            in_hand_since: AtomicI64::new(0),
        });
        let reader = PartitionReader {
            consumer: Arc::clone(client),
            queue,
            filled,
            applier: Arc::clone(&self.applier),
            topic: Arc::clone(topic),
            partition: *partition,
            progress: Arc::clone(&progress),
            max_batch: self.config.max_batch.max(1),
            max_batch_bytes: self.config.max_batch_bytes.max(1),
            idle_wait: self.config.idle_wait,
        };
        let stop = stop.child_token();
        tracing::info!(
            subscriber = self.name(),
            ?place,
            position,
            "reading a partition"
        );
        Ok(Phase::Reading {
            task: runtime.spawn(reader.run(stop.clone())),
            stop,
            progress,
        })
    }

    /// Where to read a partition from: where the database says, if that is a place in the topic.
    fn position(&self, client: &Client, runtime: &Handle, place: &Place) -> Result<i64, OpenError> {
        let (topic, partition) = place;
        let topic_id = topic_id::describe(client.client(), topic, QUESTION)?;
        let (low, high) = client.fetch_watermarks(topic, *partition, QUESTION)?;
        let known = self.known_position(runtime, place, low, topic_id.as_deref())?;
        if let (Some(known), Some(found)) = (&known.topic_id, &topic_id)
            && known != found
        {
            let misplaced =
                format!("the topic is another one of the same name: {found}, not {known}");
            return Err(OpenError::Misplaced(misplaced));
        }
        // Whoever had the partition before may have moved on meanwhile.
        let (low, high) = match known.next_offset {
            next if next > high => client.fetch_watermarks(topic, *partition, QUESTION)?,
            _ => (low, high),
        };
        if (low..=high).contains(&known.next_offset) {
            Ok(known.next_offset)
        } else {
            let misplaced = format!("offset {} is not within {low} to {high}", known.next_offset);
            Err(OpenError::Misplaced(misplaced))
        }
    }

    fn known_position(
        &self,
        runtime: &Handle,
        (topic, partition): &Place,
        low: i64,
        topic_id: Option<&str>,
    ) -> Result<Position, OpenError> {
        let question = async {
            let mut connection = self.applier.pool.acquire().await?;
            store::offsets::open(
                &mut connection,
                self.name(),
                topic,
                *partition,
                low,
                topic_id,
            )
            .await
        };
        match runtime.block_on(async { timeout(QUESTION, question).await }) {
            Ok(position) => Ok(position?),
            Err(_) => Err(OpenError::Silence),
        }
    }

    /// Sees to partitions whose task has ended by itself.
    fn reopen_ended(&self, client: &Client, runtime: &Handle) {
        let ended: Vec<Place> = client
            .context()
            .places()
            .iter()
            .filter_map(|(place, phase)| match phase {
                Phase::Reading { task, .. } if task.is_finished() => Some(place.clone()),
                _ => None,
            })
            .collect();
        for place in ended {
            let Some(Phase::Reading { task, .. }) = client.context().places().remove(&place) else {
                continue;
            };
            match runtime.block_on(task) {
                Ok(End::Reopen(reason)) => {
                    tracing::warn!(
                        subscriber = self.name(),
                        ?place,
                        reason,
                        "a partition is opened anew"
                    );
                }
                Ok(End::Stopped) => {}
                Err(error) => {
                    tracing::error!(subscriber = self.name(), ?place, %error, "the reader of a partition has failed");
                }
            }
            self.reopen(client, &place);
        }
    }

    fn reopen(&self, client: &Client, place: &Place) {
        let context = client.context();
        context.release(std::slice::from_ref(place));
        if let Err(error) = context.unassign(client, std::slice::from_ref(place)) {
            tracing::error!(subscriber = self.name(), ?place, %error, "a partition cannot be let go");
        }
        let due = Instant::now() + Duration::from_millis(500);
        context
            .places()
            .insert(place.clone(), Phase::Waiting { due, failures: 0 });
    }
}
