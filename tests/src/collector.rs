//! A small OpenTelemetry collector that keeps the spans it is given.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use launcher::traces;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::served::serve;

/// A running collector. It ends with the process.
pub struct Collector {
    address: SocketAddr,
    spans: Spans,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// Trace id and span id, in hexadecimal digits.
pub type Place = (String, String);

/// One span, as far as tests look at it.
#[derive(Debug, Clone)]
pub struct Span {
    /// The process that it comes from.
    pub service: String,
    pub name: String,
    pub place: Place,
    /// The span that it is a part of; it may be of another process.
    pub parent: Option<Place>,
    /// Spans of other traces that led to it.
    pub links: Vec<Place>,
}

impl Span {
    /// Id of its trace.
    pub fn trace(&self) -> &str {
        &self.place.0
    }

    /// What it comes from: its parent and its links.
    pub fn causes(&self) -> impl Iterator<Item = &Place> {
        self.parent.iter().chain(&self.links)
    }
}

impl From<&traces::Span> for Span {
    fn from(span: &traces::Span) -> Self {
        Self {
            service: span.service.clone(),
            name: span.name.clone(),
            place: (span.trace.clone(), span.id.clone()),
            parent: span
                .parent
                .clone()
                .map(|parent| (span.trace.clone(), parent)),
            links: span.links.clone(),
        }
    }
}

impl Collector {
    /// Listens on a free port of 127.0.0.1 as long as this process runs.
    pub fn start() -> Self {
        let spans = Spans::default();
        let service = TraceServiceServer::new(Receiver(spans.clone()));
        let address = serve(Server::builder().add_service(service));
        Self { address, spans }
    }

    /// Where to send traces.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no panic while locked").clone()
    }
}

struct Receiver(Spans);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_process in request.into_inner().resource_spans {
            let new = read(of_process);
            self.0.lock().expect("no panic while locked").extend(new);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn read(of_process: ResourceSpans) -> impl Iterator<Item = Span> {
    let service = service_name(&of_process).unwrap_or_default();
    let spans = of_process.scope_spans.into_iter().flat_map(|of| of.spans);
    spans.map(move |span| {
        let trace = hex(&span.trace_id);
        Span {
            service: service.clone(),
            name: span.name,
            parent: (!span.parent_span_id.is_empty())
                .then(|| (trace.clone(), hex(&span.parent_span_id))),
            links: span
                .links
                .iter()
                .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                .collect(),
            place: (trace, hex(&span.span_id)),
        }
    })
}

fn service_name(of_process: &ResourceSpans) -> Option<String> {
    let attributes = &of_process.resource.as_ref()?.attributes;
    let name = attributes
        .iter()
        .find(|attribute| attribute.key == "service.name")?;
    match name.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) => Some(name.clone()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
