//! A ledger's copies: made while a gateway uses it, looked into, and taken for a ledger of their own.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{address::Address, open, row::unsigned, sql};
use crate::ledger::LedgerError;

/// What a ledger file has, and whether it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The steps of its schema.
    pub schema: u32,
    /// Its size without the log beside it, in bytes.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
    /// Calls.
    pub calls: u64,
    /// Calls that are not over.
    pub open: u64,
    /// Calls of these that wait to be handed over.
    pub waiting: u64,
    /// What is damaged, ten findings at most.
    pub damage: Vec<String>,
}

/// Copies the ledger at an address into a new file: what one moment shows, the log included. A gateway
/// may use it meanwhile. Gives the size of the copy in bytes.
///
/// # Errors
/// When there is no such ledger, the file is there already, or can't be written; it is not there then.
pub fn copy(url: &str, to: &Path) -> Result<u64, LedgerError> {
    let from = existing(url)?;
    let failed =
        |reason: String| LedgerError::Failed(format!("no copy at {}: {reason}", to.display()));
    // A path, never one of SQLite's special names.
    let to = &std::path::absolute(to).map_err(|error| failed(error.to_string()))?;
    let Some(name) = to.to_str() else { return Err(failed("its name is no text".to_owned())) };
    let ledger = open::looker(&from)?;
    // A link that leads nowhere is there as well.
    if to.symlink_metadata().is_ok() {
        return Err(failed("there is a file already".to_owned()));
    }
    // Before the numbers are in it: nobody but its owner reads it.
    open::create(to).map_err(failed)?;
    let written = ledger
        .execute(sql::COPY, [name])
        .map_err(|error| open::explain(&error))
        .and_then(|_| on_disk(to).map_err(|error| error.to_string()));
    written.map_err(|reason| {
        let _ = fs::remove_file(to);
        failed(reason)
    })
}

/// What SQLite wrote need not be on the disk yet; neither need its name.
fn on_disk(path: &Path) -> std::io::Result<u64> {
    let file = fs::File::open(path)?;
    file.sync_all()?;
    if let Some(parent) = path.canonicalize()?.parent() {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(file.metadata()?.len())
}

/// Reads all of a ledger file. A gateway may use it meanwhile.
///
/// # Errors
/// When there is no such ledger, or it can't be read at all.
pub fn inventory(url: &str) -> Result<Inventory, LedgerError> {
    let path = existing(url)?;
    let ledger = open::looker(&path)?;
    let read = || -> Result<Inventory, rusqlite::Error> {
        let count = |query: &str| ledger.query_row(query, (), |row| unsigned(row, 0));
        let mut findings = ledger.prepare("PRAGMA integrity_check(10)")?;
        let findings = findings.query_map((), |row| row.get::<_, String>(0))?;
        let mut damage = findings.collect::<Result<Vec<_>, _>>()?;
        damage.retain(|finding| finding != "ok");
        Ok(Inventory {
            schema: ledger.pragma_query_value(None, "user_version", |row| row.get(0))?,
            bytes: fs::metadata(&path).map_or(0, |metadata| metadata.len()),
            requests: count(sql::COUNT_REQUESTS)?,
            calls: count(sql::COUNT_CALLS)?,
            open: count(sql::COUNT_OPEN)?,
            waiting: count(sql::COUNT_WAITING)?,
            damage,
        })
    };
    read().map_err(|error| unopened(&path, open::explain(&error)))
}

/// Makes a copy a ledger of its own: cursors of the one it was copied from mean nothing in it. No
/// gateway may use it meanwhile ([`super::Tenancy`]).
///
/// # Errors
/// When there is no such ledger, or it can't be written.
pub fn renew(url: &str) -> Result<(), LedgerError> {
    let path = existing(url)?;
    let ledger: Connection = open::file(&path)?;
    let renewed = ledger.execute(sql::RENEW_IDENTITY, ());
    renewed.map(drop).map_err(|error| LedgerError::Failed(open::explain(&error)))
}

/// The file of an address; one that is not there is not made.
fn existing(url: &str) -> Result<std::path::PathBuf, LedgerError> {
    match Address::parse(url)? {
        Address::File(path) if path.exists() => Ok(path),
        Address::File(path) => Err(unopened(&path, "there is no such file".to_owned())),
        Address::Memory => {
            Err(unopened(Path::new(":memory:"), "a ledger in memory is nowhere else".to_owned()))
        }
    }
}

fn unopened(path: &Path, reason: String) -> LedgerError {
    LedgerError::Open { path: path.display().to_string(), reason }
}
