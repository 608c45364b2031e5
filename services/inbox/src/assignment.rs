//! What Kafka has assigned to one subscriber of this process, and what has become of it. Kafka's client calls this from the
//! reader's thread alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Statistics, TopicPartitionList};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::partition::{End, Progress};

/// How long partitions that are taken away may finish their batches, all together: Kafka's client is not served meanwhile.
/// Then they are dropped: the database keeps them out.
const GRACE: Duration = Duration::from_secs(3);

/// A topic and one of its partitions.
pub(crate) type Place = (Arc<str>, i32);

/// A partition that is ours.
pub(crate) enum Phase {
    /// It is to be opened.
    Waiting { due: Instant, failures: u32 },
    /// It is being read.
    Reading {
        stop: CancellationToken,
        task: JoinHandle<End>,
        progress: Arc<Progress>,
    },
}

/// The partitions that are ours.
pub(crate) struct Assignment {
    name: &'static str,
    runtime: Handle,
    places: Mutex<HashMap<Place, Phase>>,
    /// Subscribers that have been given something, or nothing, at least once.
    assigned: Arc<watch::Sender<HashSet<&'static str>>>,
    trouble: Mutex<Option<KafkaError>>,
}

impl Assignment {
    pub(crate) fn new(
        name: &'static str,
        runtime: Handle,
        assigned: Arc<watch::Sender<HashSet<&'static str>>>,
    ) -> Self {
        Self {
            name,
            runtime,
            places: Mutex::default(),
            assigned,
            trouble: Mutex::default(),
        }
    }

    /// The partitions, to look at or change; never held across a call of Kafka's client.
    pub(crate) fn places(&self) -> MutexGuard<'_, HashMap<Place, Phase>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops reading `places` and forgets them.
    pub(crate) fn release(&self, places: &[Place]) {
        let released: Vec<(Place, Phase)> = {
            let mut ours = self.places();
            places
                .iter()
                .filter_map(|place| ours.remove_entry(place))
                .collect()
        };
        for (_, phase) in &released {
            if let Phase::Reading { stop, .. } = phase {
                stop.cancel();
            }
        }
        let until = tokio::time::Instant::now() + GRACE;
        for ((topic, partition), phase) in released {
            if let Phase::Reading { mut task, .. } = phase {
                self.runtime.block_on(async {
                    if timeout_at(until, &mut task).await.is_err() {
                        task.abort();
                        let _ = task.await;
                    }
                });
            }
            let (metrics, partition) = (metrics::get(), partition.to_string());
            let labels = [self.name, &*topic, &*partition];
            for gauge in [
                &metrics.lag_records,
                &metrics.lag_seconds,
                &metrics.partition_stopped,
            ] {
                // Fails only where nothing was ever shown.
                let _ = gauge.remove_label_values(&labels);
            }
        }
    }

    fn add(&self, places: Vec<Place>) {
        let due = Instant::now();
        self.places().extend(
            places
                .into_iter()
                .map(|place| (place, Phase::Waiting { due, failures: 0 })),
        );
        self.assigned
            .send_if_modified(|assigned| assigned.insert(self.name));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes `places` from Kafka's client, those of them that it was given.
    pub(crate) fn unassign(
        &self,
        consumer: &BaseConsumer<Self>,
        places: &[Place],
    ) -> KafkaResult<()> {
        let given = consumer.assignment()?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in places {
            if given.find_partition(topic, *partition).is_some() {
                list.add_partition(topic, *partition);
            }
        }
        consumer.incremental_unassign(&list)
    }
}

impl ConsumerContext for Assignment {
    /// The client is told at once that all is well, and given each partition only when it has been opened: what the database
    /// says about it takes its time, and a partition that does not fit is never given.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let places: Vec<Place> = list
            .elements()
            .iter()
            .map(|element| (Arc::from(element.topic()), element.partition()))
            .collect();
        metrics::get()
            .rebalances
            .with_label_values(&[self.name])
            .inc();
        let answered = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(subscriber = self.name, ?places, "partitions assigned");
            self.add(places);
            consumer.incremental_assign(&TopicPartitionList::new())
        } else {
            tracing::info!(subscriber = self.name, ?places, "partitions revoked");
            self.release(&places);
            self.unassign(consumer, &places)
        };
        if let Err(error) = answered {
            tracing::error!(subscriber = self.name, %error, "a change of the assignment failed");
        }
    }
}

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(
                    subscriber = self.name,
                    facility,
                    "Kafka's client: {message}"
                );
            }
            _ => tracing::debug!(
                subscriber = self.name,
                facility,
                "Kafka's client: {message}"
            ),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref() == Some(&error) {
            tracing::debug!(subscriber = self.name, %error, reason, "trouble with Kafka goes on");
        } else {
            tracing::warn!(subscriber = self.name, %error, reason, "trouble with Kafka");
            *trouble = Some(error);
        }
    }

    fn stats(&self, statistics: Statistics) {
        let metrics = metrics::get();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        for ((topic, partition), phase) in &*self.places() {
            let Phase::Reading { progress, .. } = phase else {
                continue;
            };
            let label = partition.to_string();
            let labels = [self.name, &**topic, &*label];
            let seen = statistics
                .topics
                .get(&**topic)
                .and_then(|topic| topic.partitions.get(partition));
            // Negative: the client has not heard of it yet.
            if let Some(seen) = seen.filter(|seen| seen.hi_offset >= 0) {
                let lag = seen.hi_offset - progress.position.load(Ordering::Relaxed);
                metrics
                    .lag_records
                    .with_label_values(&labels)
                    .set(lag.max(0));
            }
            let since = progress.in_hand_since.load(Ordering::Relaxed) / 1000;
            let age = if since == 0 { 0 } else { (now - since).max(0) };
            metrics.lag_seconds.with_label_values(&labels).set(age);
        }
    }
}
