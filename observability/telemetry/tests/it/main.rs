//! The whole of telemetry in one process: what is logged, what reaches a collector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use telemetry::{TelemetryConfig, propagation};
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

// One test: a process has one telemetry.
#[test]
fn spans_reach_the_collector_when_telemetry_ends_and_keep_the_decision_of_their_parent() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (address, mut received) = runtime.block_on(collector());

    let config = TelemetryConfig {
        log: "error".to_owned(),
        otlp_endpoint: Some(format!("http://{address}")),
        ..TelemetryConfig::default()
    };
    let telemetry = telemetry::init("auth", &config).unwrap();
    let link = work(PARENT, None);
    work(UNSAMPLED, None);
    work(PARENT, Some(&link));
    assert!(telemetry::init("auth", &config).is_err());
    drop(telemetry);

    let mut spans = Vec::new();
    while let Ok(batch) = received.try_recv() {
        assert_eq!(attribute(&batch, "service.name").as_deref(), Some("auth"));
        assert!(attribute(&batch, "service.version").is_some());
        spans.extend(batch.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    assert_eq!(spans.len(), 2, "{spans:?}");
    for span in &spans {
        assert_eq!(
            (hex(&span.trace_id), hex(&span.parent_span_id)),
            (PARENT[3..35].to_owned(), PARENT[36..52].to_owned())
        );
        assert_eq!(span.name, "PATCH /v1/users/{user}");
    }
    assert_eq!(linked(&spans[1]), [link[36..52].to_owned()]);

    let metrics = telemetry::metrics::encode().unwrap();
    assert!(
        metrics.contains("otel_sdk_exporter_span_exported_total{error_type=\"\"} 2"),
        "{metrics}"
    );
    assert!(
        metrics.contains("grimoire_build_info{service=\"auth\""),
        "{metrics}"
    );
}

/// One span of a request; its `traceparent`.
fn work(parent: &str, link: Option<&str>) -> String {
    let span = tracing::info_span!("work");
    propagation::set_parent(&span, parent);
    if let Some(link) = link {
        propagation::add_link(&span, link);
    }
    let here = span.in_scope(|| propagation::current_traceparent().unwrap());
    // As a request, whose route is known when it has begun.
    telemetry::name_span(&span, "PATCH /v1/users/{user}");
    here
}

struct Collector(mpsc::UnboundedSender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            self.0
                .send(spans)
                .map_err(|_| Status::unavailable("the test has ended"))?;
        }
        Ok(Response::new(Default::default()))
    }
}

async fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<ResourceSpans>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let server =
        tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, receiver)
}

fn attribute(batch: &ResourceSpans, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    let attributes = &batch.resource.as_ref()?.attributes;
    match attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .as_ref()?
        .value
        .as_ref()?
    {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn linked(span: &Span) -> Vec<String> {
    span.links.iter().map(|link| hex(&link.span_id)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
