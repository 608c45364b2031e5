//! Metrics of this process, registered once under their name. Asking for a name again gives the same metric, so whoever counts
//! something asks where it counts and keeps the handle.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, TextEncoder,
};

use crate::names;

/// Buckets for durations, in seconds: from what a cached read takes to the longest deadline.
pub const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Media type of [`encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Every metric of this process in Prometheus's text format; those of the process itself (CPU, memory, descriptors, threads)
/// are there on Linux.
pub fn encode() -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&prometheus::gather())
}

/// A count of something that happens.
pub fn counter(name: &'static str, help: &str) -> IntCounter {
    registered(name, || IntCounter::new(name, help))
}

/// A count for each combination of label values.
pub fn counter_vec(name: &'static str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(name, || IntCounterVec::new(Opts::new(name, help), labels))
}

/// A whole number that goes up and down.
pub fn gauge(name: &'static str, help: &str) -> IntGauge {
    registered(name, || IntGauge::new(name, help))
}

/// A whole number for each combination of label values.
pub fn gauge_vec(name: &'static str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(name, || IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A number that goes up and down, such as an age in seconds.
pub fn float_gauge(name: &'static str, help: &str) -> Gauge {
    registered(name, || Gauge::new(name, help))
}

/// A distribution; `buckets` are upper bounds, ascending ([`SECONDS`] for durations).
pub fn histogram(name: &'static str, help: &str, buckets: &[f64]) -> Histogram {
    registered(name, || {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
    })
}

/// A distribution for each combination of label values.
pub fn histogram_vec(
    name: &'static str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> HistogramVec {
    registered(name, || {
        HistogramVec::new(
            HistogramOpts::new(name, help).buckets(buckets.to_vec()),
            labels,
        )
    })
}

pub(crate) fn build_info(service: &str) {
    gauge_vec(
        names::BUILD_INFO,
        "What runs here; always 1",
        &["service", "version"],
    )
    .with_label_values(&[service, env!("CARGO_PKG_VERSION")])
    .set(1);
}

static REGISTERED: Mutex<BTreeMap<&'static str, Box<dyn Any + Send>>> = Mutex::new(BTreeMap::new());

/// Names, labels and buckets are constants of the program: a wrong one, or one name for two kinds, is found when the program
/// first starts, and nothing could be done about it at run time.
#[allow(clippy::panic)]
fn registered<M>(name: &'static str, make: impl FnOnce() -> prometheus::Result<M>) -> M
where
    M: Collector + Clone + 'static,
{
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metric) = registered.get(name) {
        match metric.downcast_ref::<M>() {
            Some(metric) => return metric.clone(),
            None => panic!("metric {name} is registered as another kind"),
        }
    }
    match make().and_then(|metric| prometheus::register(Box::new(metric.clone())).map(|()| metric))
    {
        Ok(metric) => {
            registered.insert(name, Box::new(metric.clone()));
            metric
        }
        Err(error) => panic!("metric {name}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_asked_for_twice_is_one_metric() {
        counter("test_asked_twice_total", "Of a test").inc();
        counter("test_asked_twice_total", "Of a test").inc();
        assert!(encode().unwrap().contains("\ntest_asked_twice_total 2\n"));
    }

    #[test]
    #[should_panic(expected = "test_two_kinds is registered as another kind")]
    fn one_name_for_two_kinds_is_found_at_once() {
        gauge("test_two_kinds", "Of a test");
        counter("test_two_kinds", "Of a test");
    }

    #[test]
    fn a_histogram_has_the_buckets_that_were_asked_for() {
        histogram("test_buckets_seconds", "Of a test", SECONDS).observe(0.003);
        let text = encode().unwrap();
        assert!(
            text.contains("test_buckets_seconds_bucket{le=\"0.0025\"} 0"),
            "{text}"
        );
        assert!(
            text.contains("test_buckets_seconds_bucket{le=\"0.005\"} 1"),
            "{text}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_itself_is_measured() {
        assert!(encode().unwrap().contains("process_resident_memory_bytes"));
    }
}
