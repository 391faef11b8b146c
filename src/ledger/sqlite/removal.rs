//! What is over for long enough is removed, a step at a time.
//!
//! Each request has a time at which it is looked at (`look`): at first when it came, so
//! that the index on it has the oldest requests first and nothing younger is ever read.
//! One that can't be removed then is put off: to its last change where all is over, and by
//! a day where a call is still open. So a pass costs what it removes, and a look a day at
//! each old request that is open.
//!
//! A request has up to 5,000 calls, more than one transaction should remove: it leaves
//! first (`look` is NULL, its id is free), and no statement that gives calls sees it any
//! more. Its calls go with this and later steps, also those after a restart, and the row
//! with the last of them.

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Deserialize;

use super::{
    due::milliseconds,
    outbox::Released,
    row::{Trouble, text},
    sql,
};
use crate::ledger::Removed;

/// Calls that one transaction looks at or removes, give or take those of one request:
/// others wait for it to write.
const MAX_STEP: usize = 1_000;

/// A call is looked at so much faster than it is removed.
const LOOKS: usize = 4;

/// For how long a request that is still open is left alone.
const PUT_OFF: i64 = 24 * 60 * 60 * 1_000;

/// One step.
pub fn remove_old(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<Removed, Trouble> {
    let mut left = limit.clamp(1, MAX_STEP);
    let mut removed = Removed::default();
    loop {
        let key = match leaving(connection)? {
            Some(key) => key,
            None => {
                let Some((key, calls)) = oldest(connection, before)? else { return Ok(removed) };
                if left == 0 {
                    removed.more = true;
                    return Ok(removed);
                }
                // To look at its calls takes as long as to remove some.
                left = left.saturating_sub(1 + calls / LOOKS);
                if let Some(until) = in_the_way(connection, key, before)? {
                    connection.prepare_cached(sql::PUT_OFF_REQUEST)?.execute((key, until))?;
                    continue;
                }
                connection.prepare_cached(sql::LEAVE_REQUEST)?.execute([key])?;
                removed.requests += 1;
                key
            }
        };
        if left == 0 {
            removed.more = true;
            return Ok(removed);
        }
        let gone = remove_calls(connection, key, left)?;
        removed.calls = removed.calls.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX));
        if gone < left {
            connection.prepare_cached(sql::DELETE_REQUEST)?.execute([key])?;
        }
        left -= gone;
    }
}

/// A request whose removal was begun.
fn leaving(connection: &Connection) -> Result<Option<i64>, Trouble> {
    let mut statement = connection.prepare_cached(sql::LEAVING_REQUEST)?;
    let mut rows = statement.query(())?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
}

/// The request that is to be looked at first, if its time has come, and how many calls it
/// has.
fn oldest(connection: &Connection, before: Timestamp) -> Result<Option<(i64, usize)>, Trouble> {
    let mut statement = connection.prepare_cached(sql::OLDEST_REQUEST)?;
    // Rounded down, and what it is compared with up: never too early.
    let mut rows = statement.query([before.as_millisecond()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let calls: i64 = row.get(1)?;
    Ok(Some((row.get(0)?, usize::try_from(calls).unwrap_or(0))))
}

/// Until when a request is to be left alone, if it can't be removed.
fn in_the_way(
    connection: &Connection,
    key: i64,
    before: Timestamp,
) -> Result<Option<i64>, Trouble> {
    let mut open = connection.prepare_cached(sql::OPEN_OF_REQUEST)?;
    if open.query([key])?.next()?.is_some() {
        return Ok(Some(before.as_millisecond().saturating_add(PUT_OFF)));
    }
    let mut last = None;
    let mut statement = connection.prepare_cached(sql::DOCUMENTS_OF_REQUEST)?;
    let mut rows = statement.query([key])?;
    while let Some(row) = rows.next()? {
        // What can't be read is of no use to anybody, and must not stay for ever.
        let changed = text(row, 0).ok().and_then(|text| serde_json::from_str(text).ok());
        last = last.max(changed.map(|Changed { update_time }| update_time));
    }
    Ok(last.filter(|last| *last >= before).map(milliseconds))
}

/// What is read of a call's document.
#[derive(Deserialize)]
struct Changed {
    update_time: Timestamp,
}

/// Removes up to `limit` calls of a request that leaves. Gives how many there were.
fn remove_calls(connection: &Connection, request: i64, limit: usize) -> Result<usize, Trouble> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql::SOME_CALLS_OF_REQUEST)?;
    let calls: Vec<(i64, Option<i64>)> = statement
        .query_map((request, most), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut released = Released::default();
    for (call, entry) in &calls {
        connection.prepare_cached(sql::DELETE_CHANGES)?.execute([call])?;
        connection.prepare_cached(sql::DELETE_DIALS)?.execute([call])?;
        connection.prepare_cached(sql::DELETE_CALL)?.execute([call])?;
        // A call that is over is in none, unless somebody has been at the file.
        entry.inspect(|entry| released.add(*entry));
    }
    released.settle(connection)?;
    Ok(calls.len())
}
