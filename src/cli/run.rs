//! A running gateway: built from a configuration, stopped in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    api::{Bound, Edge, ServeError},
    callbacks,
    config::{Config, Listen},
    gateway::{Clock, Gateway, GatewayError, Recovery},
    http::ClientError,
    ledger::{
        Ledger, LedgerError,
        sqlite::{SqliteLedger, Tenancy},
    },
};

/// What an exchange under way may need beyond its vendor's time-out when the gateway
/// stops: for recording what came of it.
const RECORDING: Duration = Duration::from_secs(10);

/// How long connections may stay once nothing is under way any more: for answers on
/// their way. Streams without an end, such as a health watch, are cut then.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    gateway: Gateway,
    ledger: Arc<dyn Ledger>,
    /// Kept until the very end: while this process may still send something, no other
    /// may take up what is left.
    tenancy: Tenancy,
    drain: Duration,
    address: Listen,
    edge: Edge,
    recovery: Recovery,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    callbacks: Option<Callbacks>,
}

/// The listener for what vendors post.
#[derive(Debug)]
struct Callbacks {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger can't be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The address can't be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The address for callbacks can't be had.
    #[error(transparent)]
    Callbacks(#[from] callbacks::ServeError),
    /// A vendor's HTTP client can't be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What the last run left behind can't be dealt with.
    #[error("the calls of the last run can't be recovered: {0}")]
    Recover(#[from] GatewayError),
}

/// Builds the gateway and lets it serve.
///
/// # Errors
/// When any part of it can't be had. Nothing was sent to a vendor then.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    let bound = Bound::configured(config).await?;
    let for_callbacks = match config.server.callbacks {
        Some(address) => Some(callbacks::Bound::configured(address, &config.server).await?),
        None => None,
    };
    let tenancy = Tenancy::take(&config.ledger)?;
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&config.ledger)?);
    let gateway = Gateway::new(config, Arc::clone(&ledger), Clock::system())?;
    let recovery = gateway.recover().await?;
    gateway.attend();
    let (address, edge) = (bound.address().clone(), bound.edge().clone());
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(bound.serve(gateway.clone(), async {
        // A dropped sender asks for the end as well.
        let _ = stopped.await;
    }));
    let callbacks = for_callbacks.map(|bound| Callbacks::start(bound, gateway.clone()));
    let longest = config.vendors.values().map(|vendor| vendor.link.timeout).max();
    // A token may have to be fetched before, and all once more after a refusal.
    let drain = longest.unwrap_or_default() * 4 + RECORDING;
    Ok(Running {
        gateway,
        ledger,
        tenancy,
        drain,
        address,
        edge,
        recovery,
        stop,
        server,
        callbacks,
    })
}

impl Callbacks {
    fn start(bound: callbacks::Bound, gateway: Gateway) -> Self {
        let address = bound.address();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(bound.serve(gateway, async {
            // A dropped sender asks for the end as well.
            let _ = stopped.await;
        }));
        Self { address, stop, server }
    }
}

impl Running {
    /// Where vendors post what became of calls, the port included, if anywhere.
    pub fn callbacks(&self) -> Option<SocketAddr> {
        self.callbacks.as_ref().map(|callbacks| callbacks.address)
    }

    /// Where it listens, the port included.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Its limits and its callers, which may be replaced.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// What it found of the last run.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Waits until the server ends by itself, which it only does when it breaks.
    pub async fn broken(&mut self) -> Option<ServeError> {
        match (&mut self.server).await {
            Ok(Err(error)) => Some(error),
            Ok(Ok(())) | Err(_) => None,
        }
    }

    /// Takes no more calls, finishes what is under way, closes the ledger.
    pub async fn stop(self) {
        self.gateway.stop();
        let _ = self.stop.send(());
        let callbacks = self.callbacks.map(|callbacks| {
            let _ = callbacks.stop.send(());
            callbacks.server
        });
        if timeout(self.drain, self.gateway.drained()).await.is_err() {
            tracing::warn!("exchanges under way were given up; their calls will be unconfirmed");
        }
        tokio::join!(end(self.server), async {
            if let Some(server) = callbacks {
                end(server).await;
            }
        });
        self.ledger.close().await;
        self.tenancy.end();
    }
}

/// Waits for a server that was asked to end, and cuts it if it does not.
async fn end<T>(mut server: JoinHandle<T>) {
    if !server.is_finished() && timeout(LAST_ANSWERS, &mut server).await.is_err() {
        tracing::debug!("a client kept its connection; it is cut");
        server.abort();
        let _ = server.await;
    }
}
