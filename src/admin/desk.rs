//! What there is to ask.

use std::{
    convert::Infallible,
    fmt::Write,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::{
    Method, Request, StatusCode, Version,
    body::{Body as _, Incoming},
    header::{ACCEPT, CONTENT_TYPE},
};
use jiff::Timestamp;
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tonic::{Status, server::NamedService};
use tonic_health::pb::health_server::HealthServer;
use tower::Service;

use super::{
    Limits,
    answer::{self, Answer},
};
use crate::{
    api::{HealthApi, health},
    gateway::{BreakerState, Gateway, GatewayError},
    telemetry::metrics::{Format, Snapshot, measure_process, table},
};

/// How long whoever asks waits for the ledger to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where questions are answered: without a gateway first, until there is one.
#[derive(Debug, Default)]
pub struct Desk {
    gateway: OnceLock<Gateway>,
    health: OnceLock<HealthServer<HealthApi>>,
    /// Told when there is a gateway.
    opened: Notify,
}

impl Desk {
    /// The gateway that questions are of from now on. There is only one, ever.
    pub fn opened(&self, gateway: Gateway) {
        let _ = self.gateway.set(gateway);
        self.opened.notify_one();
    }

    /// The listener's certificate ends then.
    pub(super) fn certificate_expires(&self, at: Timestamp) {
        if let Some(gateway) = self.gateway.get() {
            gateway.metrics().certificate_expires("admin", at);
        }
    }

    /// Sees how the gateway is, once there is one, and for as long as this is let run.
    pub(super) async fn look_after_health(self: Arc<Self>) {
        let gateway = loop {
            match self.gateway.get() {
                Some(gateway) => break gateway.clone(),
                None => self.opened.notified().await,
            }
        };
        let (health, watchman) = health(gateway);
        let _ = self.health.set(health);
        watchman.run().await;
    }

    async fn answer_grpc(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().strip_prefix('/');
        let service = path.and_then(|path| path.split_once('/')).map(|(service, _)| service);
        if service != Some(<HealthServer<HealthApi> as NamedService>::NAME) {
            return Status::unimplemented("of gRPC there is health alone here").into_http();
        }
        match self.health.get() {
            Some(health) => match health.clone().call(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            },
            None => Status::unavailable("starting").into_http(),
        }
    }

    /// Answers a request, whatever it is.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        places: Arc<Semaphore>,
        limits: Limits,
    ) -> Result<Answer, Infallible> {
        if is_grpc(&request) {
            return Ok(self.answer_grpc(request).await);
        }
        let answer =
            timeout(limits.answer, self.answered(&request, &places)).await.unwrap_or_else(|_| {
                answer::lines(StatusCode::SERVICE_UNAVAILABLE, "too much to do\n".to_owned())
            });
        // Nobody asks with a body: it is not read.
        let has_body = !request.body().is_end_stream();
        Ok(if has_body { answer::last(answer) } else { answer })
    }

    async fn answered(&self, request: &Request<Incoming>, places: &Semaphore) -> Answer {
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/livez" | "/readyz") {
            return answer::not_found();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer::not_allowed();
        }
        let query = request.uri().query().unwrap_or_default();
        let verbose =
            query.split('&').any(|field| matches!(field, "verbose" | "verbose=1" | "verbose=true"));
        match path {
            "/metrics" => {
                // As many at the same time; more wait. Probes never do.
                let _place = places.acquire().await;
                let accept = request.headers().get_all(ACCEPT).iter();
                let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
                let format = Format::wanted(&accept.join(","));
                let text = format.render(&self.measure().await);
                answer::text(StatusCode::OK, format.content_type(), text)
            }
            "/livez" => answer::lines(StatusCode::OK, "ok\n".to_owned()),
            _ => self.is_ready(verbose).await,
        }
    }

    async fn measure(&self) -> Snapshot {
        match self.gateway.get() {
            Some(gateway) => gateway.measure().await,
            None => {
                let mut snapshot = Snapshot::default();
                snapshot.number(&table::READY, 0.0);
                measure_process(&mut snapshot);
                snapshot
            }
        }
    }

    async fn is_ready(&self, verbose: bool) -> Answer {
        let reason = match self.gateway.get() {
            None => Some("starting"),
            Some(gateway) => match timeout(PATIENCE, gateway.ready()).await {
                Ok(Ok(())) => None,
                Ok(Err(GatewayError::Stopping)) => Some("stopping"),
                Ok(Err(_)) => Some("the ledger can't be written"),
                Err(_) => Some("the ledger does not answer"),
            },
        };
        let (status, word) = match reason {
            None => (StatusCode::OK, "ok"),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
        };
        let mut text = format!("{word}\n");
        if verbose {
            let _ = writeln!(text, "version {}", env!("CARGO_PKG_VERSION"));
            let configured = self.gateway.get().map(Gateway::configured);
            for account in configured.iter().flat_map(|configured| configured.accounts()) {
                let state = match account.breaker() {
                    None => "no breaker",
                    Some(BreakerState::Closed) => "breaker closed",
                    Some(BreakerState::Open) => "breaker open: nothing is sent to it",
                    Some(BreakerState::HalfOpen) => {
                        "breaker half-open: one exchange is let through"
                    }
                };
                let _ = writeln!(text, "vendor {}: {state}", account.name());
            }
        }
        answer::lines(status, text)
    }
}

/// Which is spoken over HTTP/2 alone.
fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
