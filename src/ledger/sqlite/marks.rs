//! What others are told of the ledger as a whole, without a read of theirs: the newest
//! change, whether any news is kept, and whether any number must not be called.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    row::{Trouble, unsigned},
    sql,
};

/// What the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// The number of the newest change.
    pub newest: u64,
    /// How much news of unknown calls is kept.
    pub kept: u64,
    /// Some number is on the do-not-call list.
    pub suppresses: bool,
}

/// Reads them.
pub fn read(connection: &Connection) -> Result<Marks, Trouble> {
    let mut statement = connection.prepare_cached(sql::MARKS)?;
    Ok(statement.query_row((), |row| {
        Ok(Marks { newest: unsigned(row, 0)?, kept: unsigned(row, 1)?, suppresses: row.get(2)? })
    })?)
}

/// What tells this ledger from any other.
pub fn identity(connection: &Connection) -> Result<[u8; 8], rusqlite::Error> {
    connection.query_row(sql::IDENTITY, (), |row| row.get(0))
}

/// What is told. The writer sets it between a commit and the answers to those who made
/// its changes: whoever was answered is never told less.
#[derive(Debug)]
pub struct Told {
    newest: watch::Sender<u64>,
    kept: AtomicU64,
    suppresses: AtomicBool,
}

impl Told {
    /// What is so when the ledger is opened.
    pub fn new(marks: Marks) -> Self {
        Self {
            newest: watch::Sender::new(marks.newest),
            kept: AtomicU64::new(marks.kept),
            suppresses: AtomicBool::new(marks.suppresses),
        }
    }

    /// Tells what a commit left.
    pub fn tell(&self, marks: Marks) {
        self.kept.store(marks.kept, Ordering::SeqCst);
        self.suppresses.store(marks.suppresses, Ordering::SeqCst);
        self.newest.send_if_modified(|newest| {
            let rises = *newest < marks.newest;
            *newest = marks.newest.max(*newest);
            rises
        });
    }

    /// A commit failed and may have been kept all the same, and what the file says now
    /// can't be read: whoever looks for kept news, or into the do-not-call list, has to look.
    pub fn doubt(&self) {
        self.kept.store(u64::MAX, Ordering::SeqCst);
        self.suppresses.store(true, Ordering::SeqCst);
    }

    /// The newest change, as it rises.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// No news is kept.
    pub fn nothing_kept(&self) -> bool {
        self.kept.load(Ordering::SeqCst) == 0
    }

    /// No number is on the do-not-call list.
    pub fn nothing_suppressed(&self) -> bool {
        !self.suppresses.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_never_falls_and_doubt_means_looking() {
        let told = Told::new(Marks { newest: 5, ..Marks::default() });
        let mut newest = told.newest();
        assert!(told.nothing_kept() && told.nothing_suppressed());
        told.tell(Marks { newest: 4, kept: 1, suppresses: true });
        assert!(!newest.has_changed().unwrap());
        assert!(!told.nothing_kept() && !told.nothing_suppressed());
        told.tell(Marks { newest: 7, ..Marks::default() });
        assert_eq!(*newest.borrow_and_update(), 7);
        assert!(told.nothing_kept() && told.nothing_suppressed());
        told.doubt();
        assert!(!told.nothing_kept() && !told.nothing_suppressed());
    }
}
