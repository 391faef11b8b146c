//! The one thread that writes. It takes what has queued up meanwhile and commits it
//! in one transaction, so that everybody who waits shares one sync of the disk.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    cache::Cache,
    marks::{self, Marks, Told},
    meter::{Meter, Tally},
    open::known_schema,
    pending::Change,
    reader::Read,
    row::Trouble,
    session::Session,
};
use crate::ledger::LedgerError;

/// Changes in one transaction. What is larger goes alone.
const MAX_BATCH: usize = 10_000;

/// What the writer is asked for.
pub enum Message {
    /// A change to commit, with whatever else waits.
    Change(Box<dyn Change>),
    /// Something to do with the connection between two transactions.
    Between(Read),
    /// Whether a change would be taken now.
    Ready(oneshot::Sender<Result<(), LedgerError>>),
    /// Take nothing more, finish, and close the connection.
    Close,
}

/// What was committed since the ledger was opened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Transactions.
    pub commits: AtomicU64,
    /// Changes that shared them.
    pub changes: AtomicU64,
}

/// Starts the thread. `ended` is dropped when it has closed the connection.
pub fn spawn(mut writer: Writer, ended: watch::Sender<()>) -> io::Result<()> {
    thread::Builder::new().name("ledger-writer".to_owned()).spawn(move || {
        while let Some(first) = writer.queue.blocking_recv() {
            writer.turn(first);
        }
        writer.end();
        drop(writer);
        drop(ended);
    })?;
    Ok(())
}

/// The same within a task, without a thread: each commit is made at once, between two
/// awaits.
pub async fn run(mut writer: Writer, ended: watch::Sender<()>) {
    while let Some(first) = writer.queue.recv().await {
        writer.turn(first);
    }
    drop(writer);
    drop(ended);
}

/// Who writes.
pub struct Writer {
    connection: Arc<Mutex<Connection>>,
    queue: mpsc::UnboundedReceiver<Message>,
    counters: Arc<Counters>,
    told: Arc<Told>,
    cache: Cache,
    meter: Arc<Meter>,
    /// The last transaction failed because of the store.
    failing: bool,
}

/// What was taken from the queue at once.
#[derive(Default)]
struct Batch {
    changes: Vec<Box<dyn Change>>,
    weight: usize,
    between: Vec<Read>,
    ready: Vec<oneshot::Sender<Result<(), LedgerError>>>,
}

impl Writer {
    /// A writer, and where it takes what is to be done.
    pub fn new(
        connection: Arc<Mutex<Connection>>,
        counters: Arc<Counters>,
        told: Arc<Told>,
        meter: Arc<Meter>,
    ) -> (Self, mpsc::UnboundedSender<Message>) {
        let (sender, queue) = mpsc::unbounded_channel();
        let cache = Cache::counted(Tally::of(Arc::clone(&meter)));
        (Self { connection, queue, counters, told, cache, meter, failing: false }, sender)
    }

    /// Does what is first in the queue, and with it whatever else waits.
    fn turn(&mut self, first: Message) {
        let mut batch = Batch::default();
        self.take(first, &mut batch);
        while batch.weight < MAX_BATCH {
            let Ok(message) = self.queue.try_recv() else { break };
            self.take(message, &mut batch);
        }
        let connection = Arc::clone(&self.connection);
        let connection = &mut connection.lock().unwrap_or_else(PoisonError::into_inner);
        self.commit(connection, batch.changes);
        // After the changes: whoever asks sees what was queued before.
        for act in batch.between {
            act(connection);
        }
        if !batch.ready.is_empty() {
            let ready = self.probe(connection);
            for reply in batch.ready {
                let _ = reply.send(ready.clone());
            }
        }
    }

    /// Not needed for anything to be kept; leaves one file instead of three.
    fn end(&self) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint: Result<i64, _> =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0));
        if let Err(error) = checkpoint {
            tracing::warn!(%error, "the ledger's log stays beside it");
        }
    }

    fn take(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::Change(change) => {
                batch.weight = batch.weight.saturating_add(change.weight());
                batch.changes.push(change);
            }
            Message::Between(act) => batch.between.push(act),
            Message::Ready(reply) => batch.ready.push(reply),
            Message::Close => self.queue.close(),
        }
    }

    fn commit(&mut self, connection: &mut Connection, mut changes: Vec<Box<dyn Change>>) {
        if changes.is_empty() {
            return;
        }
        let begun = Instant::now();
        let made = make_all(connection, &mut changes, &mut self.cache);
        self.meter.committed(changes.len(), begun.elapsed(), made.is_ok());
        match made {
            Ok((outcomes, marks)) => {
                self.told.tell(marks);
                self.well(true);
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                let count = u64::try_from(changes.len()).unwrap_or(u64::MAX);
                self.counters.changes.fetch_add(count, Ordering::Relaxed);
                for (change, outcome) in changes.into_iter().zip(outcomes) {
                    change.answer(outcome);
                }
            }
            Err(broken) => {
                self.cache.clear();
                let error = match broken {
                    Broken::Before(trouble) => LedgerError::from(trouble),
                    Broken::Committing(error, marks) => self.overwrite(connection, &error, marks),
                };
                if !self.failing {
                    tracing::error!(%error, changes = changes.len(), "the ledger can't write");
                }
                self.well(false);
                for change in changes {
                    change.answer(Err(error.clone()));
                }
            }
        }
    }

    /// What to answer when a commit failed that was to leave these marks.
    ///
    /// A commit whose write or sync fails may be in the log, whole, and would be found by
    /// whoever opens the file after a kill: SQLite goes through the frames of the log for as
    /// long as each has a checksum that continues the one before, up to the last that ends a
    /// transaction (<https://sqlite.org/fileformat2.html#the_write_ahead_log>). But this
    /// connection goes on where the last good commit ended, so the next commit is written
    /// over the broken one. That is one frame here, of the first page, which ends its
    /// transaction: a change to rows has others, so whatever of it lies behind has checksums
    /// that continue something else. Once that is synced, nobody will ever find it.
    fn overwrite(
        &mut self,
        connection: &mut Connection,
        error: &rusqlite::Error,
        intended: Marks,
    ) -> LedgerError {
        let told = *self.told.newest().borrow();
        // It may be to be seen all the same; then it can't be taken back.
        let kept = match marks::read(connection) {
            Ok(marks) => {
                self.told.tell(marks);
                marks == intended && intended.newest > told
            }
            Err(_) => {
                self.told.doubt();
                true
            }
        };
        if kept {
            self.cache.tally.committed();
        }
        if !kept && take_lock(connection, true).is_ok() {
            LedgerError::Failed(error.to_string())
        } else {
            LedgerError::Uncertain(error.to_string())
        }
    }

    fn well(&mut self, well: bool) {
        if well && self.failing {
            tracing::info!("the ledger writes again");
        }
        self.failing = !well;
    }

    /// Nothing is written as long as all is well: the lock alone is asked for. After a
    /// failure only a commit tells whether the disk is back.
    fn probe(&mut self, connection: &mut Connection) -> Result<(), LedgerError> {
        match take_lock(connection, self.failing) {
            Ok(()) => {
                self.well(true);
                Ok(())
            }
            Err(error) => Err(LedgerError::Failed(error.to_string())),
        }
    }
}

fn take_lock(connection: &mut Connection, and_write: bool) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if and_write {
        // Written even though it is what it was.
        transaction.pragma_update(None, "user_version", known_schema())?;
    }
    transaction.commit()
}

/// Makes the changes in one transaction. One that can't be made leaves its neighbours alone:
/// mostly because it wrote nothing. If it did, all are made once more, each in a savepoint of
/// its own, which costs every one of them. Gives what came of each, and what the ledger as a
/// whole comes to.
pub fn make_all(
    connection: &mut Connection,
    changes: &mut [Box<dyn Change>],
    cache: &mut Cache,
) -> Result<(Vec<Result<(), LedgerError>>, Marks), Broken> {
    match attempt(connection, changes, cache, false)? {
        Some(made) => Ok(made),
        None => {
            cache.clear();
            let again = LedgerError::Failed("changes were neither made nor refused".to_owned());
            attempt(connection, changes, cache, true)?.ok_or_else(|| Trouble::from(again).into())
        }
    }
}

pub type Made = (Vec<Result<(), LedgerError>>, Marks);

/// Gives nothing, and leaves nothing, if a change was refused that can't be taken back alone.
fn attempt(
    connection: &mut Connection,
    changes: &mut [Box<dyn Change>],
    cache: &mut Cache,
    savepoints: bool,
) -> Result<Option<Made>, Broken> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(changes.len());
    let mut session = Session::begin(&transaction, cache)?;
    for change in changes.iter_mut() {
        let mark = session.mark(savepoints);
        if savepoints {
            transaction.execute_batch("SAVEPOINT change")?;
        }
        match change.make(&mut session) {
            Ok(()) => outcomes.push(Ok(())),
            Err(trouble) if trouble.is_of_the_store() => return Err(trouble.into()),
            Err(trouble) => {
                if savepoints {
                    transaction.execute_batch("ROLLBACK TO change")?;
                    session.back_to(mark);
                } else if !session.is_at(&mark) {
                    return Ok(None);
                }
                outcomes.push(Err(trouble.into()));
            }
        }
        if savepoints {
            transaction.execute_batch("RELEASE change")?;
        }
    }
    let unmoved = session.finish()?;
    let marks = marks::read(&transaction)?;
    transaction.commit().map_err(|error| Broken::Committing(error, marks))?;
    cache.committed(connection);
    for (change, outcome) in changes.iter_mut().zip(&outcomes) {
        if unmoved && outcome.is_ok() {
            change.remember(cache);
        }
    }
    Ok(Some((outcomes, marks)))
}

/// Why changes were not made.
pub enum Broken {
    /// Nothing of them was committed.
    Before(Trouble),
    /// The commit failed that was to leave these marks.
    Committing(rusqlite::Error, Marks),
}

impl<T: Into<Trouble>> From<T> for Broken {
    fn from(trouble: T) -> Self {
        Self::Before(trouble.into())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Change(_) => "Change",
            Self::Between(_) => "Between",
            Self::Ready(_) => "Ready",
            Self::Close => "Close",
        })
    }
}
