//! What the ledger counts: its commits, and how calls move from state to state. Counted where
//! calls are written, so that nothing that changes a call is missed, and only once it is on
//! disk.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{SqliteLedger, read, row::Trouble, sql, state::state};
use crate::{
    call::{Call, CallState, Cause},
    ledger::LedgerError,
    telemetry::metrics::{Counter, DISK_SECONDS, Histogram, PIECES, Snapshot, table},
};

const STATES: usize = CallState::ALL.len();
const CAUSES: usize = Cause::ALL.len();
/// What becomes of a doubt: it is known, it failed, or it is given up on.
const OUTCOMES: [&str; 3] = ["settled", "failed", "unknown"];

/// The numbers of one ledger.
#[derive(Debug)]
pub struct Meter {
    committed: Counter,
    failed: Counter,
    took: Histogram,
    changes: Histogram,
    series: RwLock<Vec<Arc<Series>>>,
    /// Calls that were open when the ledger was opened, by vendor and state, once they are
    /// counted.
    before: Mutex<Option<BTreeMap<String, [u64; STATES]>>>,
    /// Nobody wants to know any more.
    is_closing: AtomicBool,
}

/// The calls of one vendor and route.
#[derive(Debug)]
struct Series {
    vendor: String,
    route: String,
    entered: [Counter; STATES],
    left: [Counter; STATES],
    failures: [Counter; CAUSES],
    outcomes: [Counter; OUTCOMES.len()],
}

impl Series {
    fn new(vendor: &str, route: &str) -> Self {
        Self {
            vendor: vendor.to_owned(),
            route: route.to_owned(),
            entered: Default::default(),
            left: Default::default(),
            failures: Default::default(),
            outcomes: Default::default(),
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            committed: Counter::default(),
            failed: Counter::default(),
            took: Histogram::new(&DISK_SECONDS),
            changes: Histogram::new(&PIECES),
            series: RwLock::default(),
            before: Mutex::default(),
            is_closing: AtomicBool::new(false),
        }
    }
}

impl Meter {
    /// A transaction of so many changes is over, or failed.
    pub fn committed(&self, changes: usize, took: Duration, is_kept: bool) {
        self.took.took(took);
        if is_kept {
            self.committed.one();
            self.changes.pieces(changes);
        } else {
            self.failed.one();
        }
    }

    /// Counts the calls that are open, as this connection sees them: before anything is written.
    /// Costs as much as reading their rows.
    pub fn count_open(&self, connection: &Connection) -> Result<(), Trouble> {
        let mut open: BTreeMap<String, [u64; STATES]> = BTreeMap::new();
        let mut count = |vendor: String, code: i64| {
            let place = state(code).filter(|state| !state.is_final()).map(|state| state as usize);
            let counts = open.entry(vendor).or_insert([0; STATES]);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        };
        let mut begun = connection.prepare_cached(sql::VENDORS_OF_BEGUN)?;
        let mut rows = begun.query(())?;
        while let Some(row) = rows.next()? {
            count(row.get(0)?, row.get(1)?);
            if self.is_closing() {
                return Ok(());
            }
        }
        let mut with_vendor = connection.prepare_cached(sql::STATES_WITH_VENDOR)?;
        for vendor in read::vendors(connection, sql::VENDOR_WITH_CALLS)? {
            let mut rows = with_vendor.query([&vendor])?;
            while let Some(row) = rows.next()? {
                count(vendor.clone(), row.get(0)?);
                if self.is_closing() {
                    return Ok(());
                }
            }
        }
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
        Ok(())
    }

    /// Counts no more.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    fn series(&self) -> Vec<Arc<Series>> {
        self.series.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn measure(&self, known: &[(&str, &str)], snapshot: &mut Snapshot) {
        snapshot.counter(&table::LEDGER_COMMITS, ["ok".into()], &self.committed);
        snapshot.counter(&table::LEDGER_COMMITS, ["failed".into()], &self.failed);
        snapshot.histogram(&table::LEDGER_COMMIT_DURATION, [], &self.took);
        snapshot.histogram(&table::LEDGER_COMMIT_CHANGES, [], &self.changes);
        let mut series = self.series();
        for (vendor, route) in known {
            if !series.iter().any(|s| s.vendor == *vendor && s.route == *route) {
                series.push(Arc::new(Series::new(vendor, route)));
            }
        }
        for series in &series {
            series.measure(snapshot);
        }
        for (vendor, counts) in self.open(&series).unwrap_or_default() {
            for (state, count) in CallState::ALL.into_iter().zip(counts) {
                if !state.is_final() {
                    let labels = [vendor.clone().into(), lower(state.name()).into()];
                    let count = i64::try_from(count).unwrap_or_default();
                    snapshot.labelled(&table::CALLS_OPEN, labels, count as f64);
                }
            }
        }
    }

    /// The calls that are in each state now, by vendor; of final ones only those that came into it
    /// since the ledger was opened. None as long as those of the last run are not counted.
    fn open(&self, series: &[Arc<Series>]) -> Option<BTreeMap<String, [u64; STATES]>> {
        let mut open = self.before.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        for series in series {
            let counts = open.entry(series.vendor.clone()).or_insert([0; STATES]);
            for ((count, entered), left) in counts.iter_mut().zip(&series.entered).zip(&series.left)
            {
                // Who left was there before: read after the other, it may be one too many.
                *count = count.wrapping_add(entered.get()).wrapping_sub(left.get());
            }
        }
        Some(open)
    }

    /// Those of them that are open, where there are any.
    #[cfg(test)]
    pub fn open_now(&self) -> BTreeMap<(String, &'static str), u64> {
        let mut open = BTreeMap::new();
        for (vendor, counts) in self.open(&self.series()).unwrap_or_default() {
            for (state, count) in CallState::ALL.into_iter().zip(counts) {
                if !state.is_final() && count > 0 {
                    open.insert((vendor.clone(), state.name()), count);
                }
            }
        }
        open
    }
}

impl Series {
    fn measure(&self, snapshot: &mut Snapshot) {
        let labels =
            |last: String| [self.vendor.clone().into(), self.route.clone().into(), last.into()];
        for (state, counter) in CallState::ALL.into_iter().zip(&self.entered) {
            snapshot.counter(&table::CALL_TRANSITIONS, labels(lower(state.name())), counter);
        }
        for (cause, counter) in Cause::ALL.into_iter().zip(&self.failures) {
            snapshot.counter(&table::CALL_FAILURES, labels(cause.name().to_owned()), counter);
        }
        for (outcome, counter) in OUTCOMES.into_iter().zip(&self.outcomes) {
            snapshot.counter(&table::DOUBTS_SETTLED, labels(outcome.to_owned()), counter);
        }
    }
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// How the calls of a transaction move, to be counted once it is on disk. The writer's own.
#[derive(Debug, Default)]
pub struct Tally {
    meter: Arc<Meter>,
    /// The meter's, so that nobody is waited for.
    series: Vec<Arc<Series>>,
    /// Where the one before was found: most calls are like it.
    last: usize,
    moves: Vec<Move>,
}

#[derive(Debug)]
struct Move {
    from: Option<(usize, CallState)>,
    to: (usize, CallState),
    failure: Option<Cause>,
}

impl Tally {
    /// For a ledger's numbers.
    pub fn of(meter: Arc<Meter>) -> Self {
        Self { meter, ..Self::default() }
    }

    /// The ledger's numbers.
    #[cfg(test)]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// A transaction begins.
    pub fn begin(&mut self) {
        self.moves.clear();
    }

    /// Where the transaction is.
    pub fn mark(&self) -> usize {
        self.moves.len()
    }

    /// It goes back to there.
    pub fn back_to(&mut self, mark: usize) {
        self.moves.truncate(mark);
    }

    /// A call is recorded.
    pub fn recorded(&mut self, call: &Call) {
        let to = (self.place(&call.vendor, &call.route), call.state);
        self.moves.push(Move { from: None, to, failure: failure(call) });
    }

    /// A call was at this vendor in this state, and is written anew.
    pub fn moved(&mut self, vendor: &str, state: CallState, call: &Call) {
        if state == call.state && vendor == call.vendor {
            return;
        }
        let from = (self.place(vendor, &call.route), state);
        let to = (self.place(&call.vendor, &call.route), call.state);
        self.moves.push(Move { from: Some(from), to, failure: failure(call) });
    }

    /// All of it is on disk.
    pub fn committed(&mut self) {
        for Move { from, to: (place, state), failure } in self.moves.drain(..) {
            let Some(series) = self.series.get(place) else { continue };
            one_of(&series.entered, state as usize);
            if let Some(cause) = failure {
                one_of(&series.failures, cause as usize);
            }
            let Some((place, before)) = from else { continue };
            let Some(left) = self.series.get(place) else { continue };
            one_of(&left.left, before as usize);
            if before == CallState::Unconfirmed {
                one_of(&left.outcomes, outcome(state));
            }
        }
    }

    /// The place of a vendor's and a route's calls among the series: a comparison or two.
    fn place(&mut self, vendor: &str, route: &str) -> usize {
        let is_it = |series: &Arc<Series>| series.vendor == vendor && series.route == route;
        if self.series.get(self.last).is_some_and(is_it) {
            return self.last;
        }
        self.last = self.series.iter().position(is_it).unwrap_or_else(|| {
            let new = Arc::new(Series::new(vendor, route));
            self.series.push(Arc::clone(&new));
            self.meter.series.write().unwrap_or_else(PoisonError::into_inner).push(new);
            self.series.len() - 1
        });
        self.last
    }
}

fn one_of<const N: usize>(counters: &[Counter; N], place: usize) {
    if let Some(counter) = counters.get(place) {
        counter.one();
    }
}

fn failure(call: &Call) -> Option<Cause> {
    let error = call.error.as_ref().filter(|_| call.state == CallState::Failed);
    error.map(|error| error.cause)
}

/// As in [`OUTCOMES`].
fn outcome(state: CallState) -> usize {
    match state {
        CallState::Failed => 1,
        CallState::Unknown => 2,
        _ => 0,
    }
}

impl SqliteLedger {
    /// Adds the numbers of this ledger; of these vendors and routes also where nothing has
    /// happened yet.
    pub(super) fn add_to(&self, known: &[(&str, &str)], snapshot: &mut Snapshot) {
        self.meter.measure(known, snapshot);
        for (queue, places, room) in [
            ("new_calls", &self.new_calls, super::MAX_NEW_CALLS),
            ("news", &self.news, super::MAX_NEWS),
        ] {
            let waiting = room.saturating_sub(places.available_permits());
            snapshot.labelled(&table::LEDGER_QUEUE, [queue.into()], waiting as f64);
            snapshot.labelled(&table::LEDGER_QUEUE_LIMIT, [queue.into()], room as f64);
        }
        if let Some(path) = &self.path {
            measure_files(path, snapshot);
        }
    }
}

fn measure_files(path: &Path, snapshot: &mut Snapshot) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    for (file, path) in [("database", path), ("wal", Path::new(&log))] {
        // The log is not there before the first commit.
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        snapshot.labelled(&table::LEDGER_FILE_SIZE, [file.into()], size as f64);
    }
    #[cfg(unix)]
    if let Ok(disk) = rustix::fs::statvfs(path) {
        let free = disk.f_bavail as f64 * disk.f_frsize as f64;
        snapshot.number(&table::LEDGER_DISK_FREE, free);
    }
}

/// Counts what is open in the background, as this connection sees it at this moment: nothing may
/// be written before it returns. `ended` is dropped when the connection is closed.
pub fn count(connection: Connection, meter: Arc<Meter>, ended: watch::Sender<()>) {
    let pinned = connection.execute_batch("BEGIN").and_then(|()| {
        // Only a read makes it that moment's.
        connection.query_row(sql::IDENTITY, (), |row| row.get::<_, [u8; 8]>(0))
    });
    if let Err(error) = pinned {
        return uncounted(error.into());
    }
    let counting = thread::Builder::new().name("ledger-count".to_owned()).spawn(move || {
        if let Err(trouble) = meter.count_open(&connection) {
            uncounted(trouble);
        }
        drop(connection);
        drop(ended);
    });
    if let Err(error) = counting {
        tracing::warn!(%error, "the open calls of the last run are not in the metrics");
    }
}

/// What is told of a ledger whose open calls can't be counted.
pub fn uncounted(trouble: Trouble) {
    let error = LedgerError::from(trouble);
    tracing::warn!(%error, "the open calls of the last run are not in the metrics");
}
