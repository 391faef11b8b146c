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

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::{
    address::Address, marks::Told, meter::Meter, row::Trouble, session::Session, writer::Counters,
};
use super::LedgerError;

pub use copy::{Inventory, copy, inventory, renew};
pub use disk::Disk;
pub use lock::Tenancy;

mod address;
mod cache;
mod change;
mod copy;
mod disk;
mod document;
mod due;
mod held;
mod history;
mod ledger;
mod lock;
mod marks;
mod meter;
mod open;
mod outbox;
mod pending;
mod read;
mod reader;
mod removal;
mod row;
mod session;
mod sql;
mod stamp;
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
    meter: Arc<Meter>,
    told: Arc<Told>,
    identity: [u8; 8],
}

/// What was committed since a ledger was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commits {
    /// Transactions.
    pub commits: u64,
    /// What callers asked for ([`super::Ledger::record`], [`super::Ledger::observe`] and others)
    /// that shared them.
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
        let meter = Arc::new(Meter::default());
        let (readers_end, readers_ended) = watch::channel(());
        // Before there is a writer: whatever changes from here on is counted as it does.
        match path.as_deref() {
            Some(path) => {
                meter::count(open::reader(path)?, Arc::clone(&meter), readers_end.clone());
            }
            None => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                meter.count_open(&connection).unwrap_or_else(meter::uncounted);
            }
        }
        let readers = if readers.is_empty() {
            None
        } else {
            let readers = reader::spawn(readers, &readers_end);
            Some(readers.map_err(|error| unopened(no_thread(&error)))?)
        };
        let (writer, queue) = writer::Writer::new(
            connection,
            Arc::clone(&counters),
            Arc::clone(&told),
            Arc::clone(&meter),
        );
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
            meter,
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
    async fn change<M: pending::Make>(
        &self,
        queue: &Arc<Semaphore>,
        room: usize,
        weight: usize,
        make: M,
    ) -> Result<M::Outcome, LedgerError> {
        // More than all there is would never fit; then it takes the whole queue.
        let weight = weight.clamp(1, room);
        let places = u32::try_from(weight).unwrap_or(u32::MAX);
        let place = Arc::clone(queue)
            .try_acquire_many_owned(places)
            .map_err(|_| LedgerError::Overloaded(room))?;
        let (reply, answer) = oneshot::channel();
        let change = pending::Pending { weight, make, made: None, reply, place };
        self.tell_writer(writer::Message::Change(Box::new(change)))?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    /// Queues a change that is none of new calls.
    async fn news<T: Send + 'static>(
        &self,
        weight: usize,
        make: impl FnMut(&mut Session<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.change(&self.news, MAX_NEWS, weight, pending::By(make)).await
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
