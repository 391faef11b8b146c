//! The way to a collector: one gRPC channel, or HTTP requests, both with TLS as vendors have it.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use hyper::Uri;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol as Theirs, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use super::{Protocol, Target, post::Post};
use crate::http::wire::{Connector, Missed, Origin, Stream, Trust};

/// Why there is no way to a collector.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE` does not hold certificates.
    #[error("the collector's certificate authority can't be used: {0}")]
    Trust(crate::http::Source),
    /// The address has no host that can be connected to.
    #[error("the collector's address can't be used")]
    Address,
    /// Whatever the exporter does not like.
    #[error("the exporter can't be made: {0}")]
    Exporter(#[from] ExporterBuildError),
}

impl Target {
    /// Sends spans there. To be called where a runtime is.
    ///
    /// # Errors
    /// When there is no way to it. That nobody is there now is no error.
    pub fn span_exporter(&self) -> Result<SpanExporter, LinkError> {
        let exporter = match self.protocol {
            Protocol::Grpc => SpanExporter::builder()
                .with_tonic()
                .with_timeout(self.timeout)
                .with_channel(self.channel()?)
                .build()?,
            Protocol::Http => SpanExporter::builder()
                .with_http()
                .with_protocol(Theirs::HttpBinary)
                .with_timeout(self.timeout)
                .with_endpoint(self.endpoint.as_str())
                .with_http_client(self.http_client()?)
                .build()?,
        };
        Ok(exporter)
    }

    /// For exporters over gRPC. Connects when there is something to send, and again after
    /// failures.
    ///
    /// # Errors
    /// When the address or the trusted certificates can't be used.
    pub fn channel(&self) -> Result<Channel, LinkError> {
        let Self { endpoint, timeout, .. } = self;
        let (origin, connector) = self.connector(b"h2")?;
        // To tonic it is plain: the connector has the TLS.
        let plain = format!("http://{}:{}", origin.host, origin.port);
        let mut channel = Endpoint::from_shared(plain).map_err(|_| LinkError::Address)?;
        if endpoint.scheme() == "https" {
            let seen = format!("https://{}:{}", origin.host, origin.port);
            channel = channel.origin(Uri::try_from(seen).map_err(|_| LinkError::Address)?);
        }
        let dial = Dial { connector: Arc::new(connector), origin };
        Ok(channel.timeout(*timeout).connect_with_connector_lazy(dial))
    }

    /// For exporters over HTTP.
    ///
    /// # Errors
    /// When the address or the trusted certificates can't be used.
    pub fn http_client(&self) -> Result<Post, LinkError> {
        let (origin, connector) = self.connector(b"http/1.1")?;
        Ok(Post::new(connector, origin, self.timeout))
    }

    fn connector(&self, speaks: &'static [u8]) -> Result<(Origin, Connector), LinkError> {
        let origin = Origin::of(&self.endpoint).ok_or(LinkError::Address)?;
        let trust = Trust::speaking(self.ca.as_deref(), speaks).map_err(LinkError::Trust)?;
        Ok((origin, Connector::new(trust, self.timeout)))
    }
}

/// Connects a channel, wherever it says that it wants to go.
#[derive(Clone)]
struct Dial {
    connector: Arc<Connector>,
    origin: Origin,
}

#[derive(Debug, thiserror::Error)]
#[error("{}", .0.1)]
struct NoConnection(Missed);

impl Service<Uri> for Dial {
    type Response = Stream;
    type Error = NoConnection;
    type Future = BoxFuture<'static, Result<Stream, NoConnection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { connector, origin } = self.clone();
        Box::pin(async move {
            let never = Instant::now() + super::TIMEOUT;
            connector.stream_by(&origin, never).await.map_err(NoConnection)
        })
    }
}
