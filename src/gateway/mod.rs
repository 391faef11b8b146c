//! What the gateway does for its callers: places calls, tells what became of them,
//! lists its vendors. Knows the domain, the vendor trait, the ledger trait and the
//! HTTP edge; nothing of gRPC.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, watch as watch_channel},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use idempotency::InFlight;
use watch::Hub;

use crate::{
    call::RequestId,
    config::{Config, Rate, VendorConfig},
    http::{ClientError, Line, VendorClient},
    ledger::{Ledger, LedgerError},
    telemetry::metrics::Metrics,
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
mod configured;
mod create;
mod deliver;
mod dispatch;
mod exchange;
mod failover;
mod fault;
mod fresh;
mod gone;
mod idempotency;
mod insist;
mod lane;
mod letter;
mod meter;
mod narrow;
mod outcome;
mod pace;
mod prepare;
mod pushes;
mod recover;
mod reload;
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
mod traced;
mod turn;
mod watch;

pub use account::{Account, Health};
pub use breaker::BreakerState;
pub use cancel::Canceled;
pub use clock::Clock;
pub use configured::Configured;
pub use create::Created;
pub use deliver::Delivered;
pub use failover::{Row as FailoverRow, TABLE as FAILOVER};
pub use idempotency::{Announced, Looked};
pub use prepare::{CreateOrder, Draft, Prepared};
pub use pushes::PushCounts;
pub use recover::Recovery;
pub use reload::{Changes, Named};
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
    /// Replaced as a whole by a reload.
    configured: RwLock<Arc<Configured>>,
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    /// When it was made, by both clocks.
    begun: (Instant, Timestamp),
    /// Exchanges that no caller's leaving may stop.
    tasks: TaskTracker,
    /// It is about to stop, and takes new calls still.
    leaving: CancellationToken,
    /// Told to whoever waits for something that may never come.
    stopping: CancellationToken,
    hub: Arc<Hub>,
    /// Requests that are being placed.
    in_flight: InFlight,
    /// Calls that may wait for their turn, so that memory stays bounded.
    waiting: Arc<Semaphore>,
    /// What is counted at the edges.
    metrics: Arc<Metrics>,
    /// One reload at a time; who waits for one hears of each.
    reloading: tokio::sync::Mutex<()>,
    reloads: watch_channel::Sender<u64>,
    /// [`Gateway::attend`] was called.
    attended: AtomicBool,
    /// What calls are taken up with: never the same twice, whoever takes them up.
    tickets: AtomicU32,
    /// News that was kept, and dropped because its calls never became known.
    dropped_strays: AtomicU64,
}

/// How many calls may be on their way at the same time, waiting ones included.
const MAX_WAITING: usize = 100_000;

/// Why the gateway did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GatewayError {
    /// No route has this name.
    #[error("there is no route {name:?}{}", configured(known))]
    UnknownRoute {
        /// The name asked for.
        name: String,
        /// The configured ones, for who may know them.
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

fn configured(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; configured are {}", known.join(", ")) }
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
            .map(|vendor| Ok((vendor.name.clone(), Account::new(vendor, line(vendor)?))))
            .collect::<Result<_, E>>()?;
        let inner = Inner {
            configured: RwLock::new(Arc::new(Configured::new(config, accounts))),
            ledger,
            metrics: Arc::new(Metrics::new(clock.now())),
            begun: (Instant::now(), clock.now()),
            clock,
            tasks: TaskTracker::new(),
            leaving: CancellationToken::new(),
            stopping: CancellationToken::new(),
            hub: Arc::default(),
            in_flight: InFlight::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            reloading: tokio::sync::Mutex::default(),
            reloads: watch_channel::Sender::new(0),
            attended: AtomicBool::new(false),
            tickets: AtomicU32::new(0),
            dropped_strays: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What is configured at this moment. Whoever looks more than once, and means one
    /// configuration, looks at one of these.
    pub fn configured(&self) -> Arc<Configured> {
        Arc::clone(&self.inner.configured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The account of this name, if it is configured.
    fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.configured().account(name).cloned()
    }

    /// The account as it is configured by now, or was when it was configured last.
    fn current(&self, account: &Arc<Account>) -> Arc<Account> {
        let configured = self.configured();
        Arc::clone(configured.account_or_gone(account.name()).unwrap_or(account))
    }

    /// It was not configured otherwise since.
    fn is_current(&self, account: &Arc<Account>) -> bool {
        Arc::ptr_eq(&self.current(account), account)
    }

    /// Whether whoever has calls had better bring them here. Not so any more once the gateway is
    /// about to stop, though it takes calls for a while.
    ///
    /// # Errors
    /// With what is in the way.
    pub async fn ready(&self) -> Result<(), GatewayError> {
        if self.inner.tasks.is_closed() || self.inner.leaving.is_cancelled() {
            return Err(GatewayError::Stopping);
        }
        Ok(self.inner.ledger.ready().await?)
    }

    /// No new calls are taken, and no more waiting ones are sent.
    fn is_stopping(&self) -> bool {
        self.inner.tasks.is_closed()
    }

    /// Says that it is about to stop. Calls are still taken, for those who have not heard of it.
    pub fn leave(&self) {
        self.inner.leaving.cancel();
    }

    /// Ready once it is about to stop.
    pub async fn leaving(&self) {
        self.inner.leaving.cancelled().await;
    }

    /// Takes no new calls from now on. Exchanges under way go on to their end; calls that
    /// wait for their turn stay as recorded, for the next start.
    pub fn stop(&self) {
        self.inner.leaving.cancel();
        self.inner.tasks.close();
        self.inner.stopping.cancel();
    }

    /// Waits until every exchange under way is over and recorded. Call
    /// [`Gateway::stop`] first.
    pub async fn drained(&self) {
        self.inner.tasks.wait().await;
    }
}
