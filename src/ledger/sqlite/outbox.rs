//! What is about to be sent to vendors, and what was sent without a readable answer.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;

use super::{row::Trouble, sql};
use crate::{
    call::{CallId, CallState},
    ledger::{LedgerError, OutboxEntry},
};

/// The bytes of an id.
const ID_BYTES: usize = 16;

/// Entries that calls left, and how many of them.
#[derive(Default)]
pub struct Released(BTreeMap<i64, i64>);

impl Released {
    /// One more call left its entry.
    pub fn add(&mut self, entry: i64) {
        *self.0.entry(entry).or_default() += 1;
    }

    /// Removes the entries that nobody needs any more.
    pub fn settle(self, connection: &Connection) -> Result<(), Trouble> {
        for (entry, calls) in self.0 {
            connection.prepare_cached(sql::RELEASE_OUTBOX)?.execute((entry, calls))?;
            connection.prepare_cached(sql::DELETE_OUTBOX)?.execute([entry])?;
        }
        Ok(())
    }
}

/// A call in this state may have to be sent once more.
pub fn is_needed(state: CallState) -> bool {
    matches!(state, CallState::Dispatching | CallState::Unconfirmed)
}

/// Keeps an entry for those of its calls that are `about_to` be sent, which are taken out of
/// there: an entry that waits for others would never be removed. Gives its key, and whose it
/// is.
pub fn keep(
    connection: &Connection,
    entry: &OutboxEntry,
    about_to: &mut HashSet<CallId>,
) -> Result<Option<(i64, Vec<CallId>)>, Trouble> {
    let members: Vec<_> = entry.calls.iter().filter(|id| about_to.remove(id)).copied().collect();
    if members.is_empty() {
        return Ok(None);
    }
    let calls: Vec<u8> = entry.calls.iter().flat_map(CallId::as_bytes).copied().collect();
    connection.prepare_cached(sql::INSERT_OUTBOX)?.execute((
        &entry.vendor,
        nanoseconds(entry.written),
        calls,
        i64::try_from(members.len()).unwrap_or(i64::MAX),
        &entry.letter,
    ))?;
    Ok(Some((connection.last_insert_rowid(), members)))
}

/// The entries of calls, each once.
pub fn entries(connection: &Connection, calls: &[CallId]) -> Result<Vec<OutboxEntry>, Trouble> {
    let (mut keys, mut seen): (Vec<i64>, HashSet<i64>) = Default::default();
    let mut statement = connection.prepare_cached(sql::OUTBOX_OF_CALL)?;
    for id in calls {
        let mut rows = statement.query([id.as_bytes()])?;
        let Some(row) = rows.next()? else { continue };
        match row.get(0)? {
            Some(key) if seen.insert(key) => keys.push(key),
            _ => {}
        }
    }
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        entries.extend(entry(connection, key)?);
    }
    Ok(entries)
}

fn entry(connection: &Connection, key: i64) -> Result<Option<OutboxEntry>, Trouble> {
    let mut statement = connection.prepare_cached(sql::OUTBOX)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let written: i64 = row.get(1)?;
    let written = Timestamp::from_nanosecond(written.into()).map_err(|error| {
        LedgerError::Unreadable { id: format!("outbox entry {key}"), reason: error.to_string() }
    })?;
    let calls: Vec<u8> = row.get(2)?;
    let (ids, _) = calls.as_chunks::<ID_BYTES>();
    Ok(Some(OutboxEntry {
        vendor: row.get(0)?,
        calls: ids.iter().map(|id| CallId::from_bytes(*id)).collect(),
        written,
        letter: row.get(3)?,
    }))
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}
