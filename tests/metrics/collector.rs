//! A collector for tests: takes metrics over gRPC or HTTP, or does not.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use prost::Message;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tonic::{Request, Response, Status, service::Routes, transport::server::TcpIncoming};

/// What came, and with which `authorization`.
pub type Came = (ExportMetricsServiceRequest, String);

struct Taker(UnboundedSender<Came>);

#[tonic::async_trait]
impl MetricsService for Taker {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let proof = request.metadata().get("authorization").map(|v| v.to_str().unwrap().to_owned());
        let _ = self.0.send((request.into_inner(), proof.unwrap_or_default()));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Where it is, and what comes.
pub async fn grpc() -> (SocketAddr, UnboundedReceiver<Came>) {
    let (sender, came) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Routes::new(MetricsServiceServer::new(Taker(sender)));
    let server = tonic::transport::Server::builder().add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, came)
}

/// The same over HTTP; answers with this status.
pub async fn http(status: u16) -> (SocketAddr, UnboundedReceiver<Came>) {
    let (sender, came) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let take = async move |State(sender): State<Arc<UnboundedSender<Came>>>,
                           headers: HeaderMap,
                           body: Bytes| {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let proof = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
        let request = ExportMetricsServiceRequest::decode(body).unwrap();
        let _ = sender.send((request, proof.unwrap_or_default()));
        axum::http::StatusCode::from_u16(status).unwrap()
    };
    let app = Router::new().route("/v1/metrics", post(take)).with_state(Arc::new(sender));
    tokio::spawn(axum::serve(listener, app).into_future());
    (address, came)
}

/// Takes connections, and says nothing.
pub async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    address
}
