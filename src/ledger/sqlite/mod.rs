//! The embedded ledger: one SQLite file with a write-ahead log, one thread that
//! writes, a few that read.
//!
//! Every commit is synced to the disk before anybody is told of it
//! (`synchronous=FULL`), so neither `kill -9` nor a power loss takes back what was
//! acknowledged. The cost of a sync is shared by all changes that queued up during the
//! one before.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::{address::Address, marks::Told, row::Trouble, writer::Counters};
use super::{
    Changes, Claim, Due, Held, Kept, Ledger, LedgerError, NewRequest, News, OutboxEntry, Page,
    Recorded, Removed, RequestRecord, Stray, StrayName,
};
use crate::call::{
    Call, CallId, CallState, E164, Position, RequestId, Selection, Selector, Suppression,
};

pub use disk::Disk;
pub use lock::Tenancy;

mod address;
mod change;
mod disk;
mod due;
mod held;
mod history;
mod lock;
mod marks;
mod open;
mod outbox;
mod read;
mod reader;
mod removal;
mod row;
mod sql;
mod state;
mod strays;
mod suppressions;
#[cfg(test)]
mod tests;
mod writer;

/// Calls that may wait to be recorded.
const MAX_NEW_CALLS: usize = 50_000;

/// News that may wait to be written. Counted apart from new calls: however many of
/// those come, what a vendor answered still finds its place.
const MAX_NEWS: usize = 50_000;

/// Reads that may wait for a thread; whoever comes later waits for a place first.
const MAX_READS: usize = 256;

/// Threads that read.
const READERS: usize = 4;

/// The ledger in an SQLite file, or in memory.
pub struct SqliteLedger {
    path: Option<PathBuf>,
    writer: mpsc::UnboundedSender<writer::Message>,
    writer_ended: watch::Receiver<()>,
    /// None in memory, where there is one connection only: the writer's.
    readers: Option<mpsc::UnboundedSender<reader::Message>>,
    readers_ended: watch::Receiver<()>,
    new_calls: Arc<Semaphore>,
    news: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    counters: Arc<Counters>,
    told: Arc<Told>,
    identity: [u8; 8],
}

/// What was committed since a ledger was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commits {
    /// Transactions.
    pub commits: u64,
    /// What callers asked for ([`Ledger::record`], [`Ledger::observe`] and others) that
    /// shared them.
    pub changes: u64,
}

impl SqliteLedger {
    /// Opens the ledger at `sqlite:PATH`, and makes the file if there is none; its
    /// directory must be there. `sqlite::memory:` is a new one that ends with the
    /// value. Blocks on the disk: meant for the start of the process.
    ///
    /// # Errors
    /// When the address is none, the file can't be opened and written, is not a
    /// ledger, or is one of a later version.
    pub fn open(url: &str) -> Result<Self, LedgerError> {
        match Address::parse(url)? {
            Address::Memory => Self::start(None, open::memory()?, Vec::new()),
            Address::File(path) => {
                let writer = open::file(&path)?;
                let readers =
                    (0..READERS).map(|_| open::reader(&path)).collect::<Result<_, _>>()?;
                Self::start(Some(path), writer, readers)
            }
        }
    }

    fn start(
        path: Option<PathBuf>,
        connection: Connection,
        readers: Vec<Connection>,
    ) -> Result<Self, LedgerError> {
        let (end, ended) = watch::channel(());
        let connection = Arc::new(Mutex::new(connection));
        let (ledger, writer) = Self::build(path, connection, readers, ended)?;
        writer::spawn(writer, end).map_err(|error| ledger.unopened(no_thread(&error)))?;
        Ok(ledger)
    }

    fn build(
        path: Option<PathBuf>,
        connection: Arc<Mutex<Connection>>,
        readers: Vec<Connection>,
        writer_ended: watch::Receiver<()>,
    ) -> Result<(Self, writer::Writer), LedgerError> {
        let file = path.as_deref().unwrap_or(Path::new(":memory:"));
        let unopened =
            |reason: String| LedgerError::Open { path: file.display().to_string(), reason };
        let (marks, identity) = {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let marks = marks::read(&connection)
                .map_err(|trouble| unopened(LedgerError::from(trouble).to_string()))?;
            let identity = marks::identity(&connection);
            (marks, identity.map_err(|error| unopened(open::explain(&error)))?)
        };
        let told = Arc::new(Told::new(marks));
        let counters = Arc::new(Counters::default());
        let (readers_end, readers_ended) = watch::channel(());
        let readers = if readers.is_empty() {
            None
        } else {
            let readers = reader::spawn(readers, &readers_end);
            Some(readers.map_err(|error| unopened(no_thread(&error)))?)
        };
        let (writer, queue) =
            writer::Writer::new(connection, Arc::clone(&counters), Arc::clone(&told));
        let ledger = Self {
            path,
            writer: queue,
            writer_ended,
            readers,
            readers_ended,
            new_calls: Arc::new(Semaphore::new(MAX_NEW_CALLS)),
            news: Arc::new(Semaphore::new(MAX_NEWS)),
            reads: Arc::new(Semaphore::new(MAX_READS)),
            counters,
            told,
            identity,
        };
        Ok((ledger, writer))
    }

    fn unopened(&self, reason: String) -> LedgerError {
        let path = self.path.as_deref().unwrap_or(Path::new(":memory:"));
        LedgerError::Open { path: path.display().to_string(), reason }
    }

    /// What was committed so far.
    pub fn commits(&self) -> Commits {
        Commits {
            commits: self.counters.commits.load(Ordering::Relaxed),
            changes: self.counters.changes.load(Ordering::Relaxed),
        }
    }

    /// Queues a change and waits until it is on disk. Once queued it is made, whether
    /// or not somebody still waits.
    async fn change<T: Send + 'static>(
        &self,
        queue: &Arc<Semaphore>,
        room: usize,
        weight: usize,
        make: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, LedgerError> {
        // More than all there is would never fit; then it takes the whole queue.
        let weight = weight.clamp(1, room);
        let places = u32::try_from(weight).unwrap_or(u32::MAX);
        let place = Arc::clone(queue)
            .try_acquire_many_owned(places)
            .map_err(|_| LedgerError::Overloaded(room))?;
        let (reply, answer) = oneshot::channel();
        let change = writer::Pending { weight, make: Some(make), made: None, reply, place };
        self.tell_writer(writer::Message::Change(Box::new(change)))?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    /// Queues a change that is none of new calls.
    async fn news<T: Send + 'static>(
        &self,
        weight: usize,
        make: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.change(&self.news, MAX_NEWS, weight, make).await
    }

    /// Reads from one snapshot, which has everything acknowledged so far.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let place = Arc::clone(&self.reads).acquire_owned().await;
        let (reply, answer) = oneshot::channel();
        let job: reader::Read = Box::new(move |connection| {
            drop(place);
            // Whoever asked may have left while this waited.
            if !reply.is_closed() {
                let _ = reply.send(in_snapshot(connection, read));
            }
        });
        match &self.readers {
            Some(readers) => {
                readers.send(reader::Message::Read(job)).map_err(|_| LedgerError::Closed)?;
            }
            None => self.tell_writer(writer::Message::Between(job))?,
        }
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    fn tell_writer(&self, message: writer::Message) -> Result<(), LedgerError> {
        self.writer.send(message).map_err(|_| LedgerError::Closed)
    }
}

fn no_thread(error: &std::io::Error) -> String {
    format!("no thread for it: {error}")
}

fn in_snapshot<T>(
    connection: &mut Connection,
    read: impl FnOnce(&Connection) -> Result<T, Trouble>,
) -> Result<T, LedgerError> {
    // Its end rolls back, which is as good as anything after reading.
    let snapshot = connection.transaction().map_err(Trouble::from)?;
    Ok(read(&snapshot)?)
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn record(&self, request: NewRequest) -> Result<Recorded, LedgerError> {
        let weight = request.calls.len();
        self.change(&self.new_calls, MAX_NEW_CALLS, weight, move |connection| {
            change::record(connection, &request)
        })
        .await
    }

    async fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, LedgerError> {
        let id = id.clone();
        self.read(move |connection| Ok(read::request(connection, &id)?.map(|(_, record)| record)))
            .await
    }

    async fn observe(&self, news: Vec<News>) -> Result<Vec<Call>, LedgerError> {
        if news.is_empty() {
            return Ok(Vec::new());
        }
        self.news(news.len(), move |connection| change::observe(connection, news)).await
    }

    async fn claim(
        &self,
        calls: Vec<CallId>,
        at: Timestamp,
        outbox: Option<OutboxEntry>,
    ) -> Result<Claim, LedgerError> {
        if calls.is_empty() {
            return Ok(Claim::default());
        }
        self.news(calls.len(), move |connection| {
            change::claim(connection, calls, at, outbox.as_ref())
        })
        .await
    }

    async fn outbox(&self, calls: Vec<CallId>) -> Result<Vec<OutboxEntry>, LedgerError> {
        self.read(move |connection| outbox::entries(connection, &calls)).await
    }

    async fn remove_old(&self, before: Timestamp, limit: usize) -> Result<Removed, LedgerError> {
        // Counted as little: it is to wait for nobody's room, and nobody for its.
        self.news(1, move |connection| removal::remove_old(connection, before, limit)).await
    }

    async fn page(
        &self,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        let selector = selector.clone();
        self.read(move |connection| read::page(connection, &selector, after, limit)).await
    }

    async fn open_calls(
        &self,
        states: &[CallState],
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, LedgerError> {
        let states = states.to_vec();
        self.read(move |connection| read::open_calls(connection, &states, after, limit)).await
    }

    async fn find(
        &self,
        vendor: &str,
        ids: Vec<Vec<String>>,
    ) -> Result<Vec<Option<Call>>, LedgerError> {
        let vendor = vendor.to_owned();
        self.read(move |connection| {
            ids.iter().map(|ids| read::find(connection, &vendor, ids)).collect()
        })
        .await
    }

    async fn keep(&self, strays: Vec<Stray>) -> Result<Vec<Option<Call>>, LedgerError> {
        if strays.is_empty() {
            return Ok(Vec::new());
        }
        self.news(strays.len(), move |connection| strays::keep(connection, strays)).await
    }

    async fn kept(&self, vendor: &str, ids: Vec<String>) -> Result<Vec<Kept>, LedgerError> {
        if self.writer.is_closed() {
            return Err(LedgerError::Closed);
        }
        if self.told.nothing_kept() {
            return Ok(Vec::new());
        }
        let vendor = vendor.to_owned();
        self.read(move |connection| strays::kept(connection, &vendor, &ids)).await
    }

    async fn strays(&self, after: i64, limit: usize) -> Result<Vec<StrayName>, LedgerError> {
        if self.told.nothing_kept() {
            return Ok(Vec::new());
        }
        self.read(move |connection| strays::names(connection, after, limit)).await
    }

    async fn forget(&self, keys: Vec<i64>) -> Result<(), LedgerError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.news(keys.len(), move |connection| strays::forget(connection, &keys)).await
    }

    async fn drop_kept(&self, before: Timestamp) -> Result<u64, LedgerError> {
        self.news(1, move |connection| strays::drop_kept(connection, before)).await
    }

    async fn due(&self, vendor: &str, by: Timestamp, limit: usize) -> Result<Due, LedgerError> {
        let vendor = vendor.to_owned();
        self.read(move |connection| due::due(connection, &vendor, by, limit)).await
    }

    async fn take_up(
        &self,
        vendor: &str,
        by: Timestamp,
        limit: usize,
        ticket: u32,
    ) -> Result<Held, LedgerError> {
        let vendor = vendor.to_owned();
        self.news(limit, move |connection| held::take_up(connection, &vendor, by, limit, ticket))
            .await
    }

    async fn let_go(&self, until: Timestamp, limit: usize) -> Result<usize, LedgerError> {
        self.news(limit, move |connection| held::let_go(connection, until, limit)).await
    }

    async fn waited_for(&self) -> Result<Vec<String>, LedgerError> {
        self.read(held::waited_for).await
    }

    async fn suppress(&self, numbers: Vec<Suppression>) -> Result<Vec<Suppression>, LedgerError> {
        self.news(numbers.len(), move |c| suppressions::add(c, &numbers)).await
    }

    async fn unsuppress(&self, numbers: Vec<E164>) -> Result<Vec<E164>, LedgerError> {
        self.news(numbers.len(), move |c| suppressions::remove(c, numbers)).await
    }

    async fn suppressed(&self, numbers: Vec<E164>) -> Result<Vec<Suppression>, LedgerError> {
        if self.writer.is_closed() {
            return Err(LedgerError::Closed);
        }
        if numbers.is_empty() || self.told.nothing_suppressed() {
            return Ok(Vec::new());
        }
        self.read(move |connection| suppressions::of(connection, &numbers)).await
    }

    async fn suppressions(
        &self,
        after: Option<E164>,
        limit: usize,
    ) -> Result<(Vec<Suppression>, bool), LedgerError> {
        self.read(move |c| suppressions::page(c, after.as_ref(), limit)).await
    }

    async fn changes(
        &self,
        selection: &Selection,
        after: u64,
        limit: usize,
    ) -> Result<Changes, LedgerError> {
        let selection = selection.clone();
        self.read(move |connection| history::changes(connection, &selection, after, limit)).await
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.told.newest()
    }

    fn identity(&self) -> [u8; 8] {
        self.identity
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.tell_writer(writer::Message::Ready(reply))?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    async fn close(&self) {
        // The readers first: the last connection to go puts the log away, and only
        // the writer's may.
        if let Some(readers) = &self.readers {
            let _ = readers.send(reader::Message::Close);
        }
        ended(&self.readers_ended).await;
        let _ = self.tell_writer(writer::Message::Close);
        ended(&self.writer_ended).await;
    }
}

// Each thread holds a sender and sends nothing: when they are gone, so are the threads.
async fn ended(threads: &watch::Receiver<()>) {
    let mut threads = threads.clone();
    while threads.changed().await.is_ok() {}
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").field("path", &self.path).finish_non_exhaustive()
    }
}
