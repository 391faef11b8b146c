//! Why a ledger fails.

use crate::call::CallId;

/// Why the ledger did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The address in the configuration is not one of a ledger.
    #[error("{0:?} is not a ledger address; expected \"sqlite:PATH\" or \"sqlite::memory:\"")]
    Address(String),
    /// It can't be opened.
    #[error("can't open the ledger {path}: {reason}")]
    Open {
        /// Which file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Written by a later version of the gateway.
    #[error(
        "the ledger has schema {found}, this version knows up to {known}: use a newer dialplane"
    )]
    Newer {
        /// The schema of the file.
        found: u32,
        /// The newest one known.
        known: u32,
    },
    /// It can't be written or read: disk full, permissions, I/O. Nothing was changed, and
    /// nothing of it will show up later.
    #[error("the ledger failed: {0}")]
    Failed(String),
    /// The disk failed in the middle of a commit, and did not take another one either: the
    /// change may be on it, to be found by the next start. As long as this one lives it most
    /// likely shows nothing of it. The very same again does no harm.
    #[error("the ledger failed while it committed, so what it was to keep may be on disk: {0}")]
    Uncertain(String),
    /// A record can't be read.
    #[error("the ledger's record of {id} can't be read: {reason}")]
    Unreadable {
        /// Whose record.
        id: String,
        /// Why not.
        reason: String,
    },
    /// News of a call that is not there.
    #[error("the ledger has no call {0}")]
    NoSuchCall(CallId),
    /// Too much is waiting to be written. News is counted apart from new calls, so that
    /// a flood of those does not cost what a vendor answered.
    #[error("the ledger has {0} changes waiting, which is all it takes")]
    Overloaded(usize),
    /// Closed already.
    #[error("the ledger is closed")]
    Closed,
}
