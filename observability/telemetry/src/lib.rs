//! What a process of Grimoire tells about itself: logs as JSON lines on standard output, traces over OTLP, metrics for
//! Prometheus, and the trace context that ties processes together.

mod logs;
pub mod metrics;
pub mod names;
mod panics;
pub mod propagation;
mod statements;
mod traces;

pub use prometheus;
pub use traces::name_span;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// What an operator decides about logs and traces.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryConfig {
    /// What is logged: a level, or a list such as `info,sqlx::query=debug,h2=off`
    #[arg(long = "log", env = "GRIMOIRE_LOG", default_value = "info", value_name = "FILTER",
          value_parser = log_filter_text)]
    pub log: String,

    /// Where traces are sent: the address of an OTLP collector (gRPC), such as http://127.0.0.1:4317. Unset: nowhere
    #[arg(long = "otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", value_parser = otlp_endpoint)]
    pub otlp_endpoint: Option<String>,

    /// Share of the traces begun here that is sent, 0 to 1. A trace begun elsewhere keeps the decision made there
    #[arg(long = "trace-ratio", env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1", value_name = "RATIO",
          value_parser = ratio)]
    pub trace_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            otlp_endpoint: None,
            trace_ratio: 1.0,
        }
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `TelemetryConfig::log` is not a filter.
    #[error("GRIMOIRE_LOG is not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// No runtime for the exporter of traces.
    #[error("cannot start the thread that sends traces: {0}")]
    Runtime(#[from] std::io::Error),
    /// The exporter refuses its configuration.
    #[error("cannot send traces to OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// This process has a subscriber already.
    #[error("telemetry was started before: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Telemetry of a running process. Dropping it sends what is still queued, within 5 s.
#[must_use = "telemetry ends when this is dropped"]
pub struct Telemetry {
    _traces: traces::Traces,
}

/// Starts logs, traces and metrics of this process, which calls itself `service` in all three. Once per process. Traces have
/// ids also when they are sent nowhere, so that logs and callers can name them.
pub fn init(service: &'static str, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let traces = traces::Traces::start(service, config)?;
    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer(service))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(worth_a_trace).with_max_level_hint(LevelFilter::INFO));
    let statements = statements::Statements::new()
        .with_filter(filter_fn(statements::is_statement).with_max_level_hint(LevelFilter::INFO));
    let lines =
        logs::JsonLines::new(service, std::io::stdout).with_filter(log_filter(&config.log)?);

    tracing_subscriber::registry()
        .with(spans)
        .with(statements)
        .with(lines)
        .try_init()?;
    panics::log();
    metrics::build_info(service);
    Ok(Telemetry { _traces: traces })
}

/// Spans do not depend on the log filter: with `GRIMOIRE_LOG=error` a request still has its trace.
fn worth_a_trace(metadata: &tracing::Metadata<'_>) -> bool {
    let least = if metadata.is_span() {
        tracing::Level::INFO
    } else {
        tracing::Level::WARN
    };
    *metadata.level() <= least
}

/// Statements are measured at level info; without the first directive each would also be a line of the log.
fn log_filter(directives: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(format!("{}=warn,{directives}", statements::TARGET))
}

fn log_filter_text(text: &str) -> Result<String, String> {
    log_filter(text).map(|_| text.to_owned()).map_err(|error| {
        format!("{error}; a level (error, warn, info, debug, trace) or a list such as info,h2=off")
    })
}

fn otlp_endpoint(text: &str) -> Result<String, String> {
    let good = text
        .parse::<http::Uri>()
        .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    if good {
        Ok(text.to_owned())
    } else {
        Err("an address such as http://127.0.0.1:4317; https is left to the mesh or to a collector beside the process".to_owned())
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("a number from 0 to 1, such as 0.05".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_lies_between_0_and_1() {
        assert_eq!(ratio("0.05"), Ok(0.05));
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            assert!(ratio(wrong).unwrap_err().contains("from 0 to 1"), "{wrong}");
        }
    }

    #[test]
    fn an_otlp_endpoint_is_a_plain_http_address() {
        assert!(otlp_endpoint("http://collector:4317").is_ok());
        for wrong in ["collector:4317", "https://collector:4317", "4317", ""] {
            assert!(otlp_endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_log_filter_that_means_nothing_is_refused_with_an_example() {
        assert!(log_filter_text("info,h2=off").is_ok());
        assert!(
            log_filter_text("loud=very")
                .unwrap_err()
                .contains("info,h2=off")
        );
    }
}
