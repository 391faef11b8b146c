//! A running gateway: built from a configuration, stopped in order.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    admin::{self, Desk},
    api::{Bound, Callers, Edge, ServeError},
    callbacks,
    config::{Caller, Config, Limits, Listen, Server},
    gateway::{Changes, Clock, Gateway, GatewayError, Recovery},
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
    server_config: Server,
    callers: BTreeMap<String, Caller>,
    ledger_url: String,
    /// What the vendors' time-outs allow.
    longest: Duration,
    address: Listen,
    edge: Edge,
    recovery: Recovery,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    callbacks: Option<Callbacks>,
    /// The first that is there, and the last.
    admin: Option<Admin>,
}

/// The listener for what vendors post.
#[derive(Debug)]
struct Callbacks {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// The listener for metrics and probes.
#[derive(Debug)]
struct Admin {
    address: SocketAddr,
    desk: Arc<Desk>,
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
    /// The address for metrics and probes can't be had.
    #[error(transparent)]
    Admin(#[from] admin::ServeError),
    /// A vendor's HTTP client can't be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What the last run left behind can't be dealt with.
    #[error("the calls of the last run can't be recovered: {0}")]
    Recover(#[from] GatewayError),
}

/// Why a configuration was not put in place.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A vendor's HTTP client can't be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A defect.
    #[error("the configuration could not be put in place; see the log")]
    Broken,
}

/// Builds the gateway and lets it serve.
///
/// # Errors
/// When any part of it can't be had. Nothing was sent to a vendor then.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    // Whoever waits for the start can ask how it stands from the beginning.
    let admin = match config.server.admin {
        Some(address) => {
            Some(Admin::start(admin::Bound::configured(address, &config.server).await?))
        }
        None => None,
    };
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
    if let Some(admin) = &admin {
        admin.desk.opened(gateway.clone());
    }
    let (address, edge) = (bound.address().clone(), bound.edge().clone());
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(bound.serve(gateway.clone(), async {
        // A dropped sender asks for the end as well.
        let _ = stopped.await;
    }));
    let callbacks = for_callbacks.map(|bound| Callbacks::start(bound, gateway.clone()));
    Ok(Running {
        gateway,
        ledger,
        tenancy,
        server_config: config.server.clone(),
        callers: config.callers.clone(),
        ledger_url: config.ledger.clone(),
        longest: longest_exchange(config),
        address,
        edge,
        recovery,
        stop,
        server,
        callbacks,
        admin,
    })
}

/// Whether it says who can reach the API, and how it is made sure of.
fn is_of_the_listener(key: &str) -> bool {
    key.starts_with("server.listen") || key.starts_with("server.tls")
}

fn longest_exchange(config: &Config) -> Duration {
    let longest = config.vendors.values().map(|vendor| vendor.link.timeout).max();
    // A token may have to be fetched before, and all once more after a refusal.
    longest.unwrap_or_default() * 4
}

impl Admin {
    fn start(bound: admin::Bound) -> Self {
        let (address, desk) = (bound.address(), Arc::new(Desk::default()));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(bound.serve(Arc::clone(&desk), async {
            // A dropped sender asks for the end as well.
            let _ = stopped.await;
        }));
        Self { address, desk, stop, server }
    }
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

    /// Where metrics and probes are, the port included, if anywhere.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// The gateway itself.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
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

    /// Puts another configuration in the place of the one in force, as far as that goes without
    /// a restart; [`Changes::pending`] names the rest.
    ///
    /// # Errors
    /// When a vendor's HTTP client can't be built. Nothing is changed then.
    pub async fn reload(&mut self, config: &Config) -> Result<Changes, ReloadError> {
        let (gateway, next) = (self.gateway.clone(), config.clone());
        let runtime = Handle::current();
        // Certificates are read and clients built: nobody else is to wait for that.
        let changes = spawn_blocking(move || runtime.block_on(gateway.reload(&next)));
        let mut changes = changes.await.map_err(|_| ReloadError::Broken)??;
        changes.pending = self.server_config.needs_restart(&config.server);
        if self.ledger_url != config.ledger {
            changes.pending.push("ledger.url");
        }
        let (server, next) = (&mut self.server_config, &config.server);
        for (key, is_other) in [
            ("server.drain", server.drain != next.drain),
            ("server.drain_notice", server.drain_notice != next.drain_notice),
        ] {
            changes.settings.extend(is_other.then_some(key));
        }
        (server.drain, server.drain_notice) = (next.drain, next.drain_notice);
        // What is read at once stays as it was; no request is taken that has no room there.
        let reading_bytes = server.limits.reading_bytes;
        let request_bytes = next.limits.request_bytes.min(reading_bytes);
        let limits = Limits { reading_bytes, request_bytes, ..next.limits.clone() };
        if server.limits != limits {
            changes.settings.push("server.limits");
            self.edge.limits.set(limits.clone());
            server.limits = limits;
        }
        // The configuration may know nobody only where it listens from the next start on.
        let is_elsewhere = changes.pending.iter().any(|key| is_of_the_listener(key));
        if self.callers != config.callers && config.callers.is_empty() && is_elsewhere {
            changes.pending.push("callers");
        } else if self.callers != config.callers {
            changes.settings.push("callers");
            self.edge.callers.set(Callers::new(&config.callers));
            self.callers = config.callers.clone();
        }
        // What is under way may be of the one before.
        self.longest = self.longest.max(longest_exchange(config));
        Ok(changes)
    }

    /// Says that it is about to stop, takes calls for as long as it takes to hear of that, then
    /// no more, finishes what is under way, closes the ledger.
    pub async fn stop(self) {
        self.gateway.leave();
        let notice = self.server_config.drain_notice;
        // Without one nothing comes in between.
        if !notice.is_zero() {
            sleep(notice).await;
        }
        let drain = self.server_config.drain.unwrap_or(self.longest + RECORDING);
        self.gateway.stop();
        let _ = self.stop.send(());
        let callbacks = self.callbacks.map(|callbacks| {
            let _ = callbacks.stop.send(());
            callbacks.server
        });
        if timeout(drain, self.gateway.drained()).await.is_err() {
            tracing::warn!("exchanges under way were given up; their calls will be unconfirmed");
        }
        tokio::join!(end(self.server), async {
            if let Some(server) = callbacks {
                end(server).await;
            }
        });
        self.ledger.close().await;
        self.tenancy.end();
        if let Some(admin) = self.admin {
            let _ = admin.stop.send(());
            end(admin.server).await;
        }
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
