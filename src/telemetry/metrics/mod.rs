//! Metrics: numbers for dashboards and alerts, told as text to who asks the admin listener, and
//! pushed over OTLP where that is configured.
//!
//! Each metric is described once ([`TABLE`]). What is counted is kept where it happens, in
//! atomics that whoever counts holds already ([`Counter`], [`Histogram`]): nothing is looked up
//! when something happens, and nothing is shared by two gateways in one process. Only who reads
//! them names them ([`Snapshot`]).

mod export;
mod instrument;
mod process;
mod push;
mod rpc;
mod snapshot;
pub mod table;
mod text;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;

pub use instrument::{
    Counter, DISK_SECONDS, Distribution, EXCHANGE_SECONDS, Histogram, PIECES, Scale,
};
pub use push::{Measure, Push};
use rpc::Rpcs;

use super::{SpanCounts, lines_lost, span_counts};
pub use rpc::{METHODS, Method};
pub use snapshot::{Family, Label, Sample, Snapshot, Value};
pub use table::{Kind, Metric, TABLE};
pub use text::Format;

/// HTTP statuses that the listener for callbacks answers with, and a place for all others.
const STATUSES: [&str; 10] =
    ["200", "400", "401", "404", "405", "408", "413", "500", "503", "other"];

/// What is counted at the edges of one gateway. Vendors and the ledger count for themselves.
#[derive(Debug)]
pub struct Metrics {
    /// Since when is counted.
    begun: Timestamp,
    rpcs: Rpcs,
    callback_answers: [Counter; STATUSES.len()],
    /// Streams of changes that began anew.
    pub watches_begun: Counter,
    /// Streams that went on where another one ended.
    pub watches_resumed: Counter,
    /// Changes sent to who watches.
    pub changes_sent: Counter,
    /// Exports over OTLP that arrived.
    pub exports: Counter,
    /// Exports that did not.
    pub exports_failed: Counter,
    loads: [Counter; 2],
    is_good: AtomicBool,
    /// Milliseconds since the epoch.
    loaded: AtomicI64,
    /// When each certificate ends.
    certificates: Mutex<BTreeMap<String, Timestamp>>,
}

impl Metrics {
    /// None of anything, from now on. The configuration was read at this time.
    pub fn new(now: Timestamp) -> Self {
        let metrics = Self {
            begun: now,
            rpcs: Rpcs::default(),
            callback_answers: Default::default(),
            watches_begun: Counter::default(),
            watches_resumed: Counter::default(),
            changes_sent: Counter::default(),
            exports: Counter::default(),
            exports_failed: Counter::default(),
            loads: Default::default(),
            is_good: AtomicBool::new(true),
            loaded: AtomicI64::new(0),
            certificates: Mutex::default(),
        };
        metrics.configuration_loaded(true, now);
        metrics
    }

    /// Since when is counted.
    pub fn begun(&self) -> Timestamp {
        self.begun
    }

    /// An RPC is over: with which status, after how long.
    pub fn rpc_ended(&self, method: Method, code: tonic::Code, duration: Duration) {
        self.rpcs.ended(method, code, duration);
    }

    /// The listener for callbacks answered with this HTTP status.
    pub fn callback_answered(&self, status: u16) {
        let is_it = |known: &str| known.parse() == Ok(status);
        let place = STATUSES.iter().position(|known| is_it(known)).unwrap_or(STATUSES.len() - 1);
        if let Some(counter) = self.callback_answers.get(place) {
            counter.one();
        }
    }

    /// The configuration was read: whether it holds from now on, and when that was.
    pub fn configuration_loaded(&self, good: bool, at: Timestamp) {
        let [well, badly] = &self.loads;
        if good {
            well.one();
            self.loaded.store(at.as_millisecond(), Relaxed);
        } else {
            badly.one();
        }
        self.is_good.store(good, Relaxed);
    }

    /// A certificate of the gateway's own (by what it is for: `listen`, say) ends then.
    pub fn certificate_expires(&self, certificate: &str, at: Timestamp) {
        let mut all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(certificate.to_owned(), at);
    }

    /// Adds all of this.
    pub fn measure(&self, snapshot: &mut Snapshot) {
        self.rpcs.measure(snapshot);
        for (status, counter) in STATUSES.iter().zip(&self.callback_answers) {
            snapshot.counter(&table::CALLBACK_RESPONSES, [(*status).into()], counter);
        }
        for (start, counter) in [("anew", &self.watches_begun), ("resumed", &self.watches_resumed)]
        {
            snapshot.counter(&table::WATCH_STREAMS, [start.into()], counter);
        }
        snapshot.counter(&table::WATCH_CHANGES, [], &self.changes_sent);
        for (result, counter) in [("ok", &self.exports), ("failed", &self.exports_failed)] {
            snapshot.counter(&table::METRICS_EXPORTS, [result.into()], counter);
        }
        for (result, counter) in ["ok", "failed"].into_iter().zip(&self.loads) {
            snapshot.counter(&table::CONFIGURATION_LOADS, [result.into()], counter);
        }
        snapshot.number(&table::CONFIGURATION_GOOD, f64::from(self.is_good.load(Relaxed)));
        snapshot.number(&table::CONFIGURATION_TIME, self.loaded.load(Relaxed) as f64 / 1e3);
        let all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        for (certificate, ends) in all.iter() {
            let label = Label::from(certificate.clone());
            snapshot.labelled(&table::CERTIFICATE_EXPIRY, [label], seconds(*ends));
        }
    }
}

/// Adds what there is of any process, with a gateway in it or without.
pub fn measure_process(snapshot: &mut Snapshot) {
    snapshot.labelled(&table::BUILD_INFO, [env!("CARGO_PKG_VERSION").into()], 1.0);
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let runtime = runtime.metrics();
        snapshot.number(&table::RUNTIME_TASKS, runtime.num_alive_tasks() as f64);
        snapshot.number(&table::RUNTIME_QUEUE, runtime.global_queue_depth() as f64);
    }
    let SpanCounts { exported, dropped, failed } = span_counts().unwrap_or_default();
    for (result, count) in [("exported", exported), ("dropped", dropped), ("failed", failed)] {
        snapshot.labelled(&table::SPANS, [result.into()], count as f64);
    }
    snapshot.number(&table::LOG_LINES_LOST, lines_lost() as f64);
    process::measure(snapshot);
}

/// Since the epoch.
pub fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1e3
}
