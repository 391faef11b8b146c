//! A collector: takes spans over gRPC and over HTTP, and has them looked at.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{body::Bytes, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// One that listens. What it was sent stays when it is cloned.
#[derive(Clone)]
pub struct Collector {
    pub address: SocketAddr,
    taken: Arc<Taken>,
}

#[derive(Default)]
struct Taken {
    requests: Mutex<Vec<ExportTraceServiceRequest>>,
    /// The `api-key` of each.
    keys: Mutex<Vec<String>>,
    count: watch::Sender<usize>,
}

impl Taken {
    fn take(&self, request: ExportTraceServiceRequest, key: Option<&str>) {
        self.requests.lock().unwrap().push(request);
        self.keys.lock().unwrap().push(key.unwrap_or_default().to_owned());
        self.count.send_modify(|count| *count += 1);
    }
}

struct Grpc(Arc<Taken>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let key = request.metadata().get("api-key").map(|key| key.to_str().unwrap().to_owned());
        self.0.take(request.into_inner(), key.as_deref());
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

impl Collector {
    pub async fn grpc() -> Self {
        let (listener, collector) = Self::new().await;
        let service = TraceServiceServer::new(Grpc(Arc::clone(&collector.taken)));
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        collector
    }

    pub async fn http() -> Self {
        let (listener, collector) = Self::new().await;
        let taken = Arc::clone(&collector.taken);
        let export = move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            let key = headers.get("api-key").map(|key| key.to_str().unwrap());
            taken.take(ExportTraceServiceRequest::decode(body).unwrap(), key);
            ExportTraceServiceResponse { partial_success: None }.encode_to_vec()
        };
        let router = axum::Router::new().route("/v1/traces", post(export));
        tokio::spawn(async move { axum::serve(listener, router).await });
        collector
    }

    async fn new() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, Self { address, taken: Arc::default() })
    }

    /// The variables that have spans sent here at once.
    pub fn variables(&self, protocol: &str) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address)),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "10".to_owned()),
        ]
    }

    /// What it was sent, as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let requests = self.taken.requests.lock().unwrap();
        requests.iter().flat_map(Message::encode_to_vec).collect()
    }

    /// The `api-key` of each export.
    pub fn keys(&self) -> Vec<String> {
        self.taken.keys.lock().unwrap().clone()
    }

    /// What all say of who sent them.
    pub fn resource(&self) -> HashMap<String, String> {
        let requests = self.taken.requests.lock().unwrap();
        let resource = requests[0].resource_spans[0].resource.clone().unwrap();
        resource.attributes.iter().map(pair).collect()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.taken.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.iter().cloned()).collect()
    }

    /// All spans, once they are enough.
    pub async fn until(&self, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut count = self.taken.count.subscribe();
        let wait = async {
            loop {
                count.borrow_and_update();
                let spans = self.spans();
                if enough(&spans) {
                    return spans;
                }
                count.changed().await.unwrap();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), wait)
            .await
            .unwrap_or_else(|_| panic!("not enough: {:?}", names(&self.spans())))
    }
}

/// Their names, with what they belong to.
pub fn names(spans: &[Span]) -> Vec<String> {
    spans.iter().map(|s| format!("{} {} {:?}", s.name, id(&s.trace_id), attributes(s))).collect()
}

/// As `traceparent` has it.
pub fn id(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pair(attribute: &KeyValue) -> (String, String) {
    let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    (attribute.key.clone(), value)
}

/// What a span notes.
pub fn attributes(span: &Span) -> HashMap<String, String> {
    span.attributes.iter().map(pair).collect()
}

/// The spans of a kind.
pub fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == kind).collect()
}
