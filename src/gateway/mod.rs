//! What the gateway does for its callers: places calls, tells what became of them,
//! lists its vendors. Knows the domain, the vendor trait, the ledger trait and the
//! HTTP edge; nothing of gRPC.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use idempotency::InFlight;
use watch::Hub;

use crate::{
    call::RequestId,
    config::{Config, Rate, Route, VendorConfig},
    http::{ClientError, Line, VendorClient},
    ledger::{Ledger, LedgerError},
};

mod account;
mod admit;
mod agenda;
mod allowance;
mod ask;
mod asking;
mod batch;
mod breaker;
mod cancel;
mod claim;
mod clock;
mod create;
mod deliver;
mod dispatch;
mod exchange;
mod failover;
mod fault;
mod fresh;
mod idempotency;
mod insist;
mod lane;
mod letter;
mod narrow;
mod outcome;
mod pace;
mod prepare;
mod pushes;
mod recover;
mod resend;
mod results;
mod retain;
mod schedule;
mod scope;
mod settle;
mod shut;
mod spent;
mod spoken;
mod suppress;
mod token;
mod turn;
mod watch;

pub use account::{Account, Health};
pub use breaker::BreakerState;
pub use cancel::Canceled;
pub use clock::Clock;
pub use create::Created;
pub use deliver::Delivered;
pub use failover::{Row as FailoverRow, TABLE as FAILOVER};
pub use idempotency::{Announced, Looked};
pub use prepare::{CreateOrder, Draft, Prepared};
pub use pushes::PushCounts;
pub use recover::Recovery;
pub use results::{Results, ResultsQuery, Warning};
pub use scope::Scope;
pub use watch::{Next, Watch};

/// The gateway. Cloning it is cheap, and all clones are one.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    require_request_id: bool,
    routes: BTreeMap<String, Route>,
    accounts: BTreeMap<String, Arc<Account>>,
    ledger: Arc<dyn Ledger>,
    /// For how long what is over is kept.
    retain: Duration,
    clock: Clock,
    /// When it was made, by both clocks.
    begun: (Instant, Timestamp),
    /// Exchanges that no caller's leaving may stop.
    tasks: TaskTracker,
    /// Told to whoever waits for something that may never come.
    stopping: CancellationToken,
    hub: Arc<Hub>,
    /// Requests that are being placed.
    in_flight: InFlight,
    /// Calls that may wait for their turn, so that memory stays bounded.
    waiting: Arc<Semaphore>,
    /// News that was kept, and dropped because its calls never became known.
    dropped_strays: AtomicU64,
}

/// How many calls may be on their way at the same time, waiting ones included.
const MAX_WAITING: usize = 100_000;

/// Why the gateway did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    /// No route has this name.
    #[error("there is no route {name:?}; configured are {}", known.join(", "))]
    UnknownRoute {
        /// The name asked for.
        name: String,
        /// The configured ones.
        known: Vec<String>,
    },
    /// The id belongs to another request.
    #[error(
        "request_id {id} was used before for another payload{}; repeat the very same request, or take a new id",
        differs(field.as_deref())
    )]
    RequestIdReused {
        /// The id.
        id: RequestId,
        /// The first field that differs, where it is known: `calls[3].to`.
        field: Option<String>,
    },
    /// The ledger did not do its part; nothing was sent. With [`LedgerError::Uncertain`]
    /// nothing was sent either, but the calls are once the ledger shows that it has them, be
    /// it to the next start.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Too many calls wait already.
    #[error(
        "{MAX_WAITING} calls wait for their turn, which is all the gateway takes; nothing was sent"
    )]
    Overloaded,
    /// The calls would get their turn at a vendor too late for their caller; nothing was sent.
    #[error(
        "{vendor} takes {}, and has no turn for {calls} {} before the deadline; nothing was sent{}",
        rate,
        if *calls == 1 { "call" } else { "calls" },
        advice(wait.is_some())
    )]
    NoTurn {
        /// The configured vendor.
        vendor: String,
        /// What it takes.
        rate: Rate,
        /// How many calls would have gone to it.
        calls: usize,
        /// When the same would get its turn in time; none where waiting does not help.
        wait: Option<Duration>,
    },
    /// The gateway is about to stop.
    #[error("the gateway is stopping and takes no new calls")]
    Stopping,
    /// The ledger could not be asked whether a request is a repetition: nothing was sent of
    /// this one, and what an earlier one sent is not known.
    #[error(
        "the ledger is not available, so it is not known whether this request was seen before; repeat the very same request"
    )]
    Unasked(#[source] LedgerError),
    /// Nothing came of this try, but another one with the same id may place the calls still.
    #[error("another request with request_id {0} may still be placed; repeat it")]
    BeingPlaced(RequestId),
    /// Calls that were to be watched are not there.
    #[error("there is no call {}", .0.join(", "))]
    NoSuchCalls(Vec<String>),
    /// More calls are selected than one answer can tell of; nothing was done.
    #[error("more than {0} calls are selected; select fewer at a time")]
    TooManySelected(usize),
    /// A task of the gateway's own died.
    #[error("the request could not be finished; what is recorded of it can be asked for")]
    Broken,
}

fn differs(field: Option<&str>) -> String {
    field.map(|field| format!(": {field} differs")).unwrap_or_default()
}

fn advice(helps: bool) -> &'static str {
    match helps {
        true => "",
        false => "; give a longer deadline, send fewer at a time, or set queue = true on the route",
    }
}

impl Gateway {
    /// Builds the accounts of the configured vendors.
    ///
    /// # Errors
    /// When a vendor's HTTP client can't be built.
    pub fn new(
        config: &Config,
        ledger: Arc<dyn Ledger>,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        Self::with_lines(config, ledger, clock, |vendor| {
            Ok(Arc::new(VendorClient::new(&vendor.link)?))
        })
    }

    /// As [`Gateway::new`], with other ways to the vendors than the network.
    ///
    /// # Errors
    /// When there is no way to a vendor.
    pub fn with_lines<E>(
        config: &Config,
        ledger: Arc<dyn Ledger>,
        clock: Clock,
        line: impl Fn(&VendorConfig) -> Result<Arc<dyn Line>, E>,
    ) -> Result<Self, E> {
        let accounts = config
            .vendors
            .values()
            .map(|vendor| {
                let account = Account::new(vendor, line(vendor)?);
                Ok((vendor.name.clone(), Arc::new(account)))
            })
            .collect::<Result<_, E>>()?;
        let inner = Inner {
            require_request_id: config.server.require_request_id,
            routes: config.routes.clone(),
            accounts,
            ledger,
            retain: config.retain,
            begun: (Instant::now(), clock.now()),
            clock,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            hub: Arc::default(),
            in_flight: InFlight::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            dropped_strays: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The configured vendors, by name.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.inner.accounts.values().map(AsRef::as_ref)
    }

    /// The configured routes, by name.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.inner.routes.values()
    }

    /// Whether every request has to name itself, so that no repetition of it can be missed.
    pub fn requires_request_id(&self) -> bool {
        self.inner.require_request_id
    }

    /// Whether new calls would be taken.
    ///
    /// # Errors
    /// With what is in the way.
    pub async fn ready(&self) -> Result<(), GatewayError> {
        if self.inner.tasks.is_closed() {
            return Err(GatewayError::Stopping);
        }
        Ok(self.inner.ledger.ready().await?)
    }

    /// No new calls are taken, and no more waiting ones are sent.
    fn is_stopping(&self) -> bool {
        self.inner.tasks.is_closed()
    }

    /// Takes no new calls from now on. Exchanges under way go on to their end; calls that
    /// wait for their turn stay as recorded, for the next start.
    pub fn stop(&self) {
        self.inner.tasks.close();
        self.inner.stopping.cancel();
    }

    /// Waits until every exchange under way is over and recorded. Call
    /// [`Gateway::stop`] first.
    pub async fn drained(&self) {
        self.inner.tasks.wait().await;
    }
}
