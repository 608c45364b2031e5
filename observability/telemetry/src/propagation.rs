//! W3C Trace Context between processes: as a string (outbox rows, Kafka headers), in HTTP headers and in gRPC metadata.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::MetadataMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The current span as a `traceparent`; none outside of a span.
pub fn current_traceparent() -> Option<String> {
    with_current(|span| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            u8::from(span.is_sampled())
        )
    })
}

/// The id of the current trace: 32 hexadecimal digits; none outside of a span.
pub fn current_trace_id() -> Option<String> {
    with_current(|span| span.trace_id().to_string())
}

/// Makes `span` a child of what `traceparent` names. For a span that was not entered yet; a malformed value changes nothing.
pub fn set_parent(span: &Span, traceparent: &str) {
    set_remote_parent(span, &Text(traceparent));
}

/// As [`set_parent`], from `traceparent` and `tracestate` among HTTP headers.
pub fn set_parent_from_headers(span: &Span, headers: &HeaderMap) {
    set_remote_parent(span, &Headers(headers));
}

/// As [`set_parent`], from gRPC metadata.
pub fn set_parent_from_metadata(span: &Span, metadata: &MetadataMap) {
    set_parent_from_headers(span, metadata.as_ref());
}

/// Links `span` to what `traceparent` names: for work that has its own trace, or several causes. A malformed value changes
/// nothing.
pub fn add_link(span: &Span, traceparent: &str) {
    if let Some(context) = remote(&Text(traceparent)) {
        span.add_link(context);
    }
}

/// As [`add_link`], from `traceparent` and `tracestate` among HTTP headers.
pub fn add_link_from_headers(span: &Span, headers: &HeaderMap) {
    if let Some(context) = remote(&Headers(headers)) {
        span.add_link(context);
    }
}

/// Writes the current span into headers of a request that is about to leave.
pub fn inject_headers(headers: &mut HeaderMap) {
    inject_each(|name, value| {
        headers.insert(name, value);
    });
}

/// As [`inject_headers`], for what is no map: tells each name and value.
pub fn inject_each(tell: impl FnMut(&'static str, HeaderValue)) {
    Context::map_current(|context| {
        TraceContextPropagator::new().inject_context(context, &mut Each(tell))
    });
}

/// As [`inject_headers`], into gRPC metadata.
pub fn inject_metadata(metadata: &mut MetadataMap) {
    inject_headers(metadata.as_mut());
}

fn with_current<T>(read: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| read(span))
    })
}

fn set_remote_parent(span: &Span, carrier: &dyn Extractor) {
    if let Some(parent) = remote(carrier) {
        // Fails for a span that is disabled or has begun: then it keeps the parent that it has.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

fn remote(carrier: &dyn Extractor) -> Option<SpanContext> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

struct Text<'a>(&'a str);

impl Extractor for Text<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Each<F>(F);

impl<F: FnMut(&'static str, HeaderValue)> Injector for Each<F> {
    fn set(&mut self, key: &str, value: String) {
        let name = match key {
            TRACEPARENT => TRACEPARENT,
            // An empty one says nothing.
            TRACESTATE if !value.is_empty() => TRACESTATE,
            _ => return,
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            (self.0)(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced(act: impl FnOnce()) {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
    }

    #[test]
    fn a_child_of_a_remote_span_is_in_its_trace() {
        traced(|| {
            let span = tracing::info_span!("work");
            set_parent(&span, PARENT);
            let _entered = span.enter();
            let here = current_traceparent().unwrap();
            assert_eq!(current_trace_id().as_deref(), Some(&PARENT[3..35]));
            assert_eq!(here.len(), PARENT.len());
            assert!(here.ends_with("-01"));
            assert_ne!(here, PARENT);
        });
    }

    #[test]
    fn headers_carry_the_trace_to_the_next_process() {
        traced(|| {
            let mut headers = HeaderMap::new();
            tracing::info_span!("client").in_scope(|| inject_headers(&mut headers));
            assert!(!headers.contains_key("tracestate"));

            let span = tracing::info_span!("server");
            set_parent_from_headers(&span, &headers);
            let trace = span.in_scope(|| current_trace_id().unwrap());
            assert!(headers[TRACEPARENT].to_str().unwrap().contains(&trace));
        });
    }

    #[test]
    fn metadata_carries_the_trace_too() {
        traced(|| {
            let mut metadata = MetadataMap::new();
            let span = tracing::info_span!("client");
            let trace = span.in_scope(|| {
                inject_metadata(&mut metadata);
                current_trace_id().unwrap()
            });
            let span = tracing::info_span!("server");
            set_parent_from_metadata(&span, &metadata);
            assert_eq!(span.in_scope(current_trace_id), Some(trace));
        });
    }

    #[test]
    fn a_malformed_traceparent_begins_a_new_trace() {
        traced(|| {
            for wrong in [
                "",
                "00",
                "00-0-0-00",
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                "ff-x",
            ] {
                let span = tracing::info_span!("work");
                set_parent(&span, wrong);
                add_link(&span, wrong);
                assert!(span.in_scope(current_trace_id).is_some(), "{wrong}");
            }
        });
    }

    #[test]
    fn outside_of_a_span_there_is_no_trace() {
        assert_eq!(current_traceparent(), None);
        assert_eq!(current_trace_id(), None);
    }
}
