use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
use prometheus::IntCounter;
use tokio::runtime::Runtime;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{TelemetryConfig, TelemetryError, metrics, names};

/// How long the end of a process may wait for its last spans.
const FLUSH: Duration = Duration::from_secs(5);
/// How long one batch may take; a collector that is away must not fill the queue's thread for longer.
const EXPORT: Duration = Duration::from_secs(5);

/// Names `span` anew in its trace, also when it has begun; a field `otel.name` that is recorded then changes nothing.
pub fn name_span(span: &Span, name: &str) {
    let context = span.context();
    let span = context.span();
    if span.is_recording() {
        span.update_name(name.to_owned());
    }
}

/// Makes spans, and sends those that were sampled when there is a collector.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    /// The exporter's connection lives here: the gateway's main is synchronous and has no runtime to lend.
    runtime: Option<Runtime>,
}

impl Traces {
    pub(crate) fn start(
        service: &'static str,
        config: &TelemetryConfig,
    ) -> Result<Self, TelemetryError> {
        let provider = SdkTracerProvider::builder().with_resource(
            Resource::builder()
                .with_service_name(service)
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build(),
        );
        let Some(endpoint) = &config.otlp_endpoint else {
            // Spans that nobody sends still carry ids; a parent's decision to sample is passed on.
            let provider = provider
                .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
                .build();
            return Ok(Self {
                provider,
                runtime: None,
            });
        };

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()?;
        let exporter = {
            let _inside = runtime.enter();
            opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .with_timeout(EXPORT)
                .build()?
        };
        let provider = provider
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                config.trace_ratio,
            ))))
            .with_batch_exporter(Counted::new(exporter, endpoint))
            .build();
        Ok(Self {
            provider,
            runtime: Some(runtime),
        })
    }

    pub(crate) fn tracer(&self, service: &'static str) -> SdkTracer {
        self.provider.tracer(service)
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            tracing::debug!(%error, "the last spans were not sent");
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts spans by outcome and says once when the collector goes away and when it comes back: the SDK itself is silent.
struct Counted<E> {
    exporter: E,
    endpoint: String,
    sent: IntCounter,
    lost: IntCounter,
    away: AtomicBool,
}

impl<E> Counted<E> {
    fn new(exporter: E, endpoint: &str) -> Self {
        let spans = metrics::counter_vec(
            names::SPANS_EXPORTED,
            "Spans handed to the collector, or lost because it did not take them (error_type is set)",
            &["error_type"],
        );
        Self {
            exporter,
            endpoint: endpoint.to_owned(),
            sent: spans.with_label_values(&[""]),
            lost: spans.with_label_values(&["export_failed"]),
            away: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => {
                self.sent.inc_by(spans);
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!(endpoint = self.endpoint, "the collector takes traces again");
                }
            }
            Err(error) => {
                self.lost.inc_by(spans);
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(endpoint = self.endpoint, %error, "the collector does not take traces: they are lost until it does");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E> fmt::Debug for Counted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
