//! A ledger whose disk outlives it, for simulations of crashes.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{SqliteLedger, open, writer};
use crate::ledger::LedgerError;

/// What outlives a crash in a simulation: everything committed to a ledger in memory.
pub struct Disk(Arc<Mutex<Connection>>);

impl Disk {
    /// An empty one.
    ///
    /// # Errors
    /// When SQLite can't make one.
    pub fn new() -> Result<Self, LedgerError> {
        Ok(Self(Arc::new(Mutex::new(open::memory()?))))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl SqliteLedger {
    /// Opens the ledger on a disk of memory. Nothing happens in it but while the future is
    /// polled, and whatever waits is lost with it: so a simulation decides when time passes,
    /// and when the power goes.
    ///
    /// # Errors
    /// When what is there can't be read.
    pub fn on_disk(disk: &Disk) -> Result<(Self, impl Future<Output = ()> + use<>), LedgerError> {
        let ended = watch::channel(());
        let (ledger, writer) = Self::build(None, Arc::clone(&disk.0), Vec::new(), ended.1)?;
        Ok((ledger, writer::run(writer, ended.0)))
    }
}
