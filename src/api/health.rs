//! `grpc.health.v1`: whether the gateway takes calls, and whether its vendors and routes do.
//!
//! Known by name are `""` and the services of the API, `vendors/NAME` and `routes/NAME`. A vendor
//! does not serve while its breaker is open, a route while none of its vendors does, and nobody
//! does while the ledger takes nothing or the gateway is about to stop.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{MissedTickBehavior, timeout},
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, async_trait, server::NamedService};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

use super::{CallApi, SuppressionApi};
use crate::{
    gateway::Gateway,
    proto::{
        call_service_server::CallServiceServer,
        suppression_service_server::SuppressionServiceServer,
    },
};

/// How often it is looked how all are.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a ledger may take to say whether it takes anything.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most of a question, in bytes: a name.
pub(super) const MAX_QUESTION_BYTES: usize = 4 * 1024;
/// Those who may watch at the same time.
const MAX_WATCHERS: usize = 1_024;

/// Everybody who has a name here, and whether he serves.
type Serving = BTreeMap<String, bool>;

/// Tells those who ask.
#[derive(Debug, Clone)]
pub(crate) struct HealthApi {
    serving: watch::Receiver<Arc<Serving>>,
    places: Arc<Semaphore>,
}

/// Sees how all are, for as long as it is there.
#[derive(Debug)]
pub(crate) struct Watchman {
    gateway: Gateway,
    serving: watch::Sender<Arc<Serving>>,
    told: Option<bool>,
}

/// The service, and who has to be let run for it. All are known by name from the first moment
/// on, and serve once the ledger was asked.
pub(crate) fn health(gateway: Gateway) -> (HealthServer<HealthApi>, Watchman) {
    let serving = watch::Sender::new(Arc::new(look(&gateway, false)));
    let places = Arc::new(Semaphore::new(MAX_WATCHERS));
    let api = HealthApi { serving: serving.subscribe(), places };
    let server = HealthServer::new(api).max_decoding_message_size(MAX_QUESTION_BYTES);
    (server, Watchman { gateway, serving, told: None })
}

fn look(gateway: &Gateway, ready: bool) -> Serving {
    let configured = gateway.configured();
    let services = [
        "",
        <CallServiceServer<CallApi> as NamedService>::NAME,
        <SuppressionServiceServer<SuppressionApi> as NamedService>::NAME,
    ];
    let mut serving: Serving = services.map(|name| (name.to_owned(), ready)).into();
    for account in configured.accounts() {
        let name = format!("vendors/{}", account.name());
        serving.insert(name, ready && account.is_let_through());
    }
    for route in configured.routes() {
        let is_there = |vendor: &String| serving.get(&format!("vendors/{vendor}")) == Some(&true);
        let any = route.vendors.iter().any(is_there);
        serving.insert(format!("routes/{}", route.name), any);
    }
    serving
}

impl Watchman {
    /// Looks again and again, and at once when the configuration is another or the gateway is
    /// about to stop. Does not end.
    pub(crate) async fn run(mut self) {
        let gateway = self.gateway.clone();
        tokio::select! {
            biased;
            () = gateway.leaving() => {}
            () = self.look_forever() => {}
        }
        // Whoever watches hears of it before connections end, whatever the ledger does.
        self.tell(false);
        std::future::pending::<()>().await;
    }

    async fn look_forever(&mut self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Before the look, so that no reload is missed.
            let reloaded = self.gateway.reloaded();
            tokio::select! {
                biased;
                _ = ticks.tick() => {}
                () = reloaded => {}
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let reason = match timeout(PATIENCE, self.gateway.ready()).await {
            Ok(ready) => ready.err().map(|error| error.to_string()),
            Err(_) => Some("the ledger does not answer".to_owned()),
        };
        if let Some(error) = &reason
            && self.told != Some(false)
        {
            tracing::warn!(%error, "not ready for new calls");
        }
        self.told = Some(reason.is_none());
        self.tell(reason.is_none());
    }

    /// Whoever watches hears of changes, and of nothing else.
    fn tell(&self, ready: bool) {
        let now = look(&self.gateway, ready);
        self.serving.send_if_modified(|before| {
            let is_other = **before != now;
            if is_other {
                *before = Arc::new(now);
            }
            is_other
        });
    }
}

/// Who watches one name.
struct Watching {
    name: String,
    serving: watch::Receiver<Arc<Serving>>,
    told: Option<ServingStatus>,
    /// Given back when he leaves.
    _place: OwnedSemaphorePermit,
}

impl Watching {
    /// What he was not told yet. None once the server is gone.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let now = self.serving.borrow_and_update().get(&self.name).copied();
            let now = now.map_or(ServingStatus::ServiceUnknown, status);
            if self.told.replace(now) != Some(now) {
                return Some((Ok(response(now)), self));
            }
            self.serving.changed().await.ok()?;
        }
    }
}

#[async_trait]
impl Health for HealthApi {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let serving = self.serving.borrow().get(&request.into_inner().service).copied();
        let serving = serving.ok_or_else(|| Status::not_found("no service has this name"))?;
        Ok(Response::new(response(status(serving))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{MAX_WATCHERS} watch already; check instead"))
        })?;
        let watching = Watching {
            name: request.into_inner().service,
            serving: self.serving.clone(),
            told: None,
            _place: place,
        };
        Ok(Response::new(Box::pin(stream::unfold(watching, Watching::next))))
    }
}

fn status(serving: bool) -> ServingStatus {
    if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
