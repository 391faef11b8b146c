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

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::{
    document::Touched,
    due::milliseconds,
    outbox::Released,
    read,
    row::{Trouble, optional_text, text},
    session::Session,
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
    session: &mut Session<'_>,
    before: Timestamp,
    limit: usize,
) -> Result<Removed, Trouble> {
    // What is removed may have been recorded just now.
    session.write_firsts()?;
    let connection = session.connection;
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
        session.forget_all();
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
    let calls = read::reach(connection, key)?.all();
    let mut open = connection.prepare_cached(sql::OPEN_OF_REQUEST)?;
    if open.query(calls)?.next()?.is_some() {
        return Ok(Some(before.as_millisecond().saturating_add(PUT_OFF)));
    }
    let mut last = None;
    let mut statement = connection.prepare_cached(sql::DOCUMENTS_OF_REQUEST)?;
    let mut rows = statement.query(calls)?;
    while let Some(row) = rows.next()? {
        // What can't be read is of no use to anybody, and must not stay for ever.
        let newest = optional_text(row, 1).ok().flatten().or_else(|| text(row, 0).ok());
        let touched = newest.and_then(|text| serde_json::from_str(text).ok());
        last = last.max(touched.and_then(Touched::time));
    }
    Ok(last.filter(|last| *last >= before).map(milliseconds))
}

/// Removes up to `limit` calls of a request that leaves. Gives how many there were.
fn remove_calls(connection: &Connection, request: i64, limit: usize) -> Result<usize, Trouble> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let (start, end, request) = read::reach(connection, request)?.all();
    let mut statement = connection.prepare_cached(sql::SOME_CALLS_OF_REQUEST)?;
    let calls: Vec<(i64, Option<i64>, i64)> = statement
        .query_map((start, end, request, most), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut released = Released::default();
    let mut firsts = BTreeSet::new();
    for (call, entry, last) in &calls {
        firsts.extend(remove_changes(connection, *last)?);
        connection.prepare_cached(sql::DELETE_DIALS)?.execute([call])?;
        connection.prepare_cached(sql::DELETE_CALL)?.execute([call])?;
        // A call that is over is in none, unless somebody has been at the file.
        entry.inspect(|entry| released.add(*entry));
    }
    for number in firsts {
        connection.prepare_cached(sql::DELETE_FIRST_CHANGES)?.execute([number])?;
    }
    released.settle(connection)?;
    Ok(calls.len())
}

/// Removes the changes of a call from its newest one back. Gives the row that has the first
/// one, with those of other calls.
fn remove_changes(connection: &Connection, last: i64) -> Result<Option<i64>, Trouble> {
    let mut before = connection.prepare_cached(sql::CHANGE_BEFORE)?;
    let mut delete = connection.prepare_cached(sql::DELETE_CHANGE)?;
    let mut number = last;
    while number > 0 {
        let found = before
            .query_row([number], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?)))
            .optional()?;
        // The number of another one, if somebody has been at the file.
        let Some((place, count, earlier)) = found else { break };
        if place - count >= number {
            break;
        }
        // Each is before the one after it, or this would never end.
        if earlier == 0 || earlier >= number {
            return Ok(Some(place));
        }
        delete.execute([number])?;
        number = earlier;
    }
    Ok(None)
}
