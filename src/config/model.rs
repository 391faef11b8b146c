//! The configuration, checked.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use super::{CallbackLimits, Caller, Digests, Limits, Secret, Tls, duration::show_duration};
use crate::{
    call::{CallerId, Script, Window},
    vendors::Vendor,
};

/// Everything the gateway is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[ledger] url`: `sqlite:PATH` or `sqlite::memory:`.
    pub ledger: String,
    /// `[ledger] retain`: for how long requests and their calls are kept after all is over.
    pub retain: Duration,
    /// `[vendors.*]`, by name.
    pub vendors: BTreeMap<String, VendorConfig>,
    /// `[routes.*]`, by name. Every vendor they name exists.
    pub routes: BTreeMap<String, Route>,
    /// `[callers.*]`, by name. Every route they name exists. With none of them, whoever
    /// reaches the gateway may use it.
    pub callers: BTreeMap<String, Caller>,
}

/// Where the gateway listens, and what it asks of callers.
#[derive(Debug, Clone)]
pub struct Server {
    /// gRPC.
    pub listen: Listen,
    /// The permissions of its file, if it is a Unix socket.
    pub socket_mode: u32,
    /// TLS for gRPC.
    pub tls: Option<Tls>,
    /// What gRPC takes.
    pub limits: Limits,
    /// Where vendors post results.
    pub callbacks: Option<SocketAddr>,
    /// TLS for them.
    pub callbacks_tls: Option<Tls>,
    /// What is taken of them.
    pub callback_limits: CallbackLimits,
    /// Metrics and probes.
    pub admin: Option<SocketAddr>,
    /// TLS for these.
    pub admin_tls: Option<Tls>,
    /// Whether a request without a request_id is refused.
    pub require_request_id: bool,
    /// How long what is under way may take when the gateway stops; none means as long as the
    /// vendors' time-outs allow.
    pub drain: Option<Duration>,
    /// How long calls are still taken once it is told that the gateway is about to stop.
    pub drain_notice: Duration,
}

impl Server {
    /// The keys of what takes a restart to be another.
    pub fn needs_restart(&self, next: &Self) -> Vec<&'static str> {
        // Each is named, so that none is forgotten here.
        let Self {
            listen,
            socket_mode,
            tls,
            limits,
            callbacks,
            callbacks_tls,
            callback_limits,
            admin,
            admin_tls,
            require_request_id: _,
            drain: _,
            drain_notice: _,
        } = self;
        let changed = [
            ("server.listen", *listen != next.listen),
            ("server.socket_mode", *socket_mode != next.socket_mode),
            ("server.tls", *tls != next.tls),
            ("server.limits.reading_bytes", limits.reading_bytes != next.limits.reading_bytes),
            ("server.callbacks", *callbacks != next.callbacks),
            ("server.callbacks_tls", *callbacks_tls != next.callbacks_tls),
            ("server.callback_limits", *callback_limits != next.callback_limits),
            ("server.admin", *admin != next.admin),
            ("server.admin_tls", *admin_tls != next.admin_tls),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `127.0.0.1:50051`.
    Tcp(SocketAddr),
    /// `unix:/run/dialplane.sock`.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A vendor account.
#[derive(Debug, Clone)]
pub struct VendorConfig {
    /// Its name: 1 to 63 letters, digits, "-" and "_".
    pub name: String,
    /// Speaks its language.
    pub adapter: Arc<dyn Vendor>,
    /// Every credential of its section: none of them is ever repeated.
    pub secrets: Vec<Secret>,
    /// Tell it from what it was before.
    pub digests: Digests,
    /// How it is reached.
    pub link: Link,
    /// Its limits.
    pub rate: Rate,
    /// Exchanges under way at the same time.
    pub max_in_flight: u32,
    /// How old an answer may be before the vendor is asked again.
    pub poll_interval: Duration,
    /// When an unconfirmed call is given up on.
    pub give_up_after: Duration,
    /// When nothing is sent to it for a while; none means never.
    pub breaker: Option<Breaker>,
    /// How long a call waits at most for others that go with it in one exchange; zero means
    /// that no request's calls go together with another's.
    pub max_delay: Duration,
}

impl VendorConfig {
    /// One of which nothing is known but its name and who speaks for it.
    pub fn unknown(name: &str, adapter: Arc<dyn Vendor>) -> Self {
        let limits = adapter.default_limits();
        Self {
            name: name.to_owned(),
            secrets: Vec::new(),
            digests: Digests::of_nothing(),
            link: Link {
                timeout: Duration::ZERO,
                connect_timeout: Duration::ZERO,
                ca: None,
                propagate_trace: false,
            },
            rate: Rate { calls: None, requests: None, per: Duration::from_secs(60) },
            max_in_flight: limits.max_in_flight,
            poll_interval: limits.poll_interval,
            give_up_after: limits.give_up_after,
            breaker: None,
            max_delay: Duration::ZERO,
            adapter,
        }
    }
}

/// When a vendor that fails is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// After so many failures in a row, with nothing good in between; at least 1.
    pub failures: u32,
    /// For so long at first.
    pub pause: Duration,
}

impl Breaker {
    /// The longest pause between two tries, unless it is longer from the beginning.
    const LONGEST: Duration = Duration::from_secs(300);

    /// For so long at last.
    pub fn longest(&self) -> Duration {
        Self::LONGEST.max(self.pause)
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(30) }
    }
}

/// How a vendor is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// For a whole exchange, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// For the connection alone: name, TCP and TLS.
    pub connect_timeout: Duration,
    /// PEM certificates of authorities trusted besides the system's.
    pub ca: Option<Vec<u8>>,
    /// Requests say in their headers which trace they belong to.
    pub propagate_trace: bool,
}

/// What a vendor takes in a window of time. None means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls in each window.
    pub calls: Option<u32>,
    /// Requests in each window.
    pub requests: Option<u32>,
    /// The window.
    pub per: Duration,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [(self.calls, "calls"), (self.requests, "requests")];
        let limits =
            limits.iter().filter_map(|(limit, what)| Some(format!("{} {what}", (*limit)?)));
        match limits.collect::<Vec<_>>().as_slice() {
            [] => f.write_str("calls at any rate"),
            limits => write!(f, "{} in {}", limits.join(" and "), show_duration(self.per)),
        }
    }
}

/// A way to a vendor, by a name that callers use.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name: 1 to 63 letters, digits, "-" and "_".
    pub name: String,
    /// In order of preference; at least one, each once.
    pub vendors: Vec<String>,
    /// Shown when a call names none.
    pub caller_id: Option<CallerId>,
    /// Played when a call names nothing.
    pub script: Option<Script>,
    /// When people may be called; none means at any time.
    pub window: Option<Window>,
    /// What becomes of a call that comes at another time.
    pub outside_window: OutsideWindow,
    /// Who holds a call until its start time.
    pub schedule: Schedule,
    /// Calls for which the vendor has no room now wait in the ledger, and nobody for them.
    pub queue: bool,
}

/// What becomes of a call that a route's window does not allow yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutsideWindow {
    /// It waits until the window opens.
    #[default]
    Wait,
    /// It fails.
    Refuse,
}

/// Who holds a call until its start time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Schedule {
    /// The gateway, which hands it over on time.
    #[default]
    Gateway,
    /// The vendor, if it schedules by itself: it gets the call at once, with its time.
    Vendor,
}
