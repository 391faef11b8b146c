//! News of calls that nobody knows yet: a vendor may be faster with its push than with
//! its answer.

use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    read,
    row::{Trouble, integer, text, unsigned, without_content},
    sql,
};
use crate::{
    call::Call,
    ledger::{Kept, LedgerError, Stray, StrayName},
};

/// Pieces of news that are kept; the oldest makes room.
pub const MAX_KEPT: u64 = 10_000;

/// The longest piece that is kept, as JSON.
pub const MAX_SAID: usize = 64 * 1024;

/// Pieces and bytes given at once.
const MAX_GIVEN: u16 = 1_000;
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Keeps what is not known by now.
pub fn keep(connection: &Connection, strays: &[Stray]) -> Result<Vec<Option<Call>>, Trouble> {
    let mut calls = Vec::with_capacity(strays.len());
    let mut count: Count = connection
        .prepare_cached(sql::COUNT_OF_STRAYS)?
        .query_row((), |row| Ok(Count { kept: unsigned(row, 0)?, dropped: unsigned(row, 1)? }))?;
    let before = count;
    for stray in strays {
        let call = read::find(connection, &stray.vendor, &stray.ids)?;
        if call.is_none() {
            keep_one(connection, stray, &mut count)?;
        }
        calls.push(call);
    }
    if count != before {
        let counted = (integer(count.kept), integer(count.dropped));
        connection.prepare_cached(sql::SET_COUNT_OF_STRAYS)?.execute(counted)?;
    }
    Ok(calls)
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Count {
    kept: u64,
    dropped: u64,
}

fn keep_one(connection: &Connection, stray: &Stray, count: &mut Count) -> Result<(), Trouble> {
    let said = serde_json::to_string(&stray.said)
        .map_err(|error| LedgerError::Failed(format!("news can't be written: {error}")))?;
    // What has no id is never looked for.
    let Some(id) = stray.ids.first().filter(|_| said.len() <= MAX_SAID) else {
        count.dropped += 1;
        return Ok(());
    };
    while count.kept >= MAX_KEPT {
        if connection.prepare_cached(sql::DELETE_OLDEST_STRAY)?.execute(())? == 0 {
            // Somebody has been at the file.
            count.kept = 0;
            break;
        }
        count.kept -= 1;
        count.dropped += 1;
    }
    let at = nanoseconds(stray.at);
    connection.prepare_cached(sql::INSERT_STRAY)?.execute((&stray.vendor, id, at, said))?;
    count.kept += 1;
    Ok(())
}

/// What is kept of these ids, oldest first.
pub fn kept(connection: &Connection, vendor: &str, ids: &[String]) -> Result<Vec<Kept>, Trouble> {
    let mut keys: Vec<(i64, u64)> = Vec::new();
    let mut statement = connection.prepare_cached(sql::STRAYS_OF_CALL)?;
    for id in ids {
        let mut rows = statement.query((vendor, id, MAX_GIVEN))?;
        while let Some(row) = rows.next()? {
            keys.push((row.get(0)?, unsigned(row, 1)?));
        }
    }
    keys.sort_unstable();
    keys.dedup();
    let mut kept = Vec::new();
    let mut bytes = 0_u64;
    for (key, length) in keys.into_iter().take(MAX_GIVEN.into()) {
        bytes = bytes.saturating_add(length);
        if bytes > MAX_BYTES && !kept.is_empty() {
            break;
        }
        kept.push(one(connection, key)?);
    }
    Ok(kept)
}

fn one(connection: &Connection, key: i64) -> Result<Kept, Trouble> {
    let unreadable = |reason: String| {
        Trouble::Refused(LedgerError::Unreadable { id: format!("kept news {key}"), reason })
    };
    let mut statement = connection.prepare_cached(sql::STRAY)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Err(unreadable("it is gone".to_owned())) };
    let at: i64 = row.get(0)?;
    let at = Timestamp::from_nanosecond(at.into())
        .map_err(|error| unreadable(format!("its time {error}")))?;
    let said =
        serde_json::from_str(text(row, 1)?).map_err(|error| unreadable(without_content(&error)))?;
    Ok(Kept { key, said, at })
}

/// Of whose ids something is kept.
pub fn names(connection: &Connection, after: i64, limit: usize) -> Result<Vec<StrayName>, Trouble> {
    let mut statement = connection.prepare_cached(sql::STRAY_NAMES)?;
    let rows = statement.query_map((after, count(limit)), |row| {
        Ok(StrayName { key: row.get(0)?, vendor: row.get(1)?, vendor_call_id: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes what is dealt with.
pub fn forget(connection: &Connection, keys: &[i64]) -> Result<(), Trouble> {
    let mut statement = connection.prepare_cached(sql::DELETE_STRAY)?;
    let mut gone = 0_usize;
    for key in keys {
        gone += statement.execute([key])?;
    }
    if gone > 0 {
        connection.prepare_cached(sql::TAKE_STRAYS)?.execute([count(gone)])?;
    }
    Ok(())
}

/// Removes what is too old. Gives how much was dropped since the last time.
pub fn drop_kept(connection: &Connection, before: Timestamp) -> Result<u64, Trouble> {
    let mut old = connection.prepare_cached(sql::DELETE_OLD_STRAYS)?;
    let aged = count(old.execute([nanoseconds(before)])?);
    let mut counted = connection.prepare_cached(sql::COUNT_OF_STRAYS)?;
    let crowded: u64 = counted.query_row((), |row| unsigned(row, 1))?;
    if aged > 0 {
        connection.prepare_cached(sql::TAKE_STRAYS)?.execute([aged])?;
    }
    if crowded > 0 {
        connection.prepare_cached(sql::RESET_DROPPED)?.execute(())?;
    }
    Ok(crowded.saturating_add(aged.unsigned_abs()))
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

// Times beyond the year 2262 are none a clock shows.
fn nanoseconds(at: Timestamp) -> i64 {
    let exact = at.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}
