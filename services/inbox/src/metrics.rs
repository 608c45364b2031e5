//! Metrics of this crate, registered at their first use.

use std::sync::LazyLock;

use telemetry::metrics::{SECONDS, counter_vec, gauge_vec, histogram_vec};
use telemetry::names;
use telemetry::prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

pub(crate) struct Metrics {
    pub(crate) events: IntCounterVec,
    pub(crate) parked: IntCounterVec,
    pub(crate) commit_to_effect: HistogramVec,
    pub(crate) fenced: IntCounterVec,
    pub(crate) rebalances: IntCounterVec,
    pub(crate) failed_batches: IntCounterVec,
    pub(crate) lag_records: IntGaugeVec,
    pub(crate) lag_seconds: IntGaugeVec,
    pub(crate) partition_stopped: IntGaugeVec,
    pub(crate) parked_keys: IntGaugeVec,
    pub(crate) dead_keys: IntGaugeVec,
    pub(crate) jobs: IntGaugeVec,
    pub(crate) jobs_age: IntGaugeVec,
    pub(crate) jobs_dead_keys: IntGaugeVec,
    pub(crate) jobs_finished: IntCounterVec,
}

pub(crate) fn get() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);
    &METRICS
}

impl Metrics {
    fn register() -> Self {
        let place = &["subscriber", "topic", "partition"];
        Self {
            events: counter_vec(
                names::INBOX_EVENTS,
                "Records settled, by outcome: applied, repeat, behind (a parked key), parked.",
                &["subscriber", "outcome"],
            ),
            parked: counter_vec(
                names::INBOX_PARKED,
                "Keys parked, by cause: refused, gap, undecodable.",
                &["subscriber", "cause"],
            ),
            commit_to_effect: histogram_vec(
                names::INBOX_COMMIT_TO_EFFECT_SECONDS,
                "Seconds from the change to the commit of its effect.",
                &["subscriber"],
                SECONDS,
            ),
            fenced: counter_vec(
                names::INBOX_FENCED,
                "Batches dropped because the partition had moved on without this process.",
                &["subscriber"],
            ),
            rebalances: counter_vec(
                names::INBOX_REBALANCES,
                "Assignments and revocations of partitions.",
                &["subscriber"],
            ),
            failed_batches: counter_vec(
                names::INBOX_FAILED_BATCHES,
                "Batches that failed for want of the database and were tried again.",
                &["subscriber"],
            ),
            lag_records: gauge_vec(
                names::INBOX_LAG_RECORDS,
                "Records of a partition that have not been settled yet.",
                place,
            ),
            lag_seconds: gauge_vec(
                names::INBOX_LAG_SECONDS,
                "Age in seconds of the batch that is being settled; 0 if there is none.",
                place,
            ),
            partition_stopped: gauge_vec(
                names::INBOX_PARTITION_STOPPED,
                "1 while a partition stands still because its offset does not fit the topic.",
                place,
            ),
            parked_keys: gauge_vec(
                names::INBOX_PARKED_KEYS,
                "Keys that stand still and are tried again.",
                &["subscriber"],
            ),
            dead_keys: gauge_vec(
                names::INBOX_DEAD_KEYS,
                "Keys that stand still until an operator decides.",
                &["subscriber"],
            ),
            jobs: gauge_vec(
                names::INBOX_JOBS,
                "Jobs that are not done yet.",
                &["target"],
            ),
            jobs_age: gauge_vec(
                names::INBOX_JOBS_AGE_SECONDS,
                "Age in seconds of the oldest job that is not done yet.",
                &["target"],
            ),
            jobs_dead_keys: gauge_vec(
                names::INBOX_JOBS_DEAD_KEYS,
                "Keys whose first job was given up.",
                &["target"],
            ),
            jobs_finished: counter_vec(
                names::INBOX_JOBS_FINISHED,
                "Tries of jobs, by outcome: done, skipped, retry, failed.",
                &["target", "outcome"],
            ),
        }
    }
}
