//! What is read, each from one snapshot.

use rusqlite::Connection;

use super::{
    row::{self, Trouble, text},
    sql,
    state::code,
};
use crate::{
    call::{Call, CallId, CallState, ClientReference, Fingerprint, Position, RequestId, Selector},
    ledger::{LedgerError, Page, RequestRecord},
};

/// Sorts before every id.
const BEFORE_ALL: &[u8] = &[];

/// A request and its key.
pub fn request(
    connection: &Connection,
    id: &RequestId,
) -> Result<Option<(i64, RequestRecord)>, Trouble> {
    let mut statement = connection.prepare_cached(sql::REQUEST)?;
    let mut rows = statement.query([id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let create_time = text(row, 2)?.parse().map_err(|error: jiff::Error| {
        LedgerError::Unreadable { id: id.to_string(), reason: error.to_string() }
    })?;
    let fingerprint = Fingerprint { digest: row.get(1)?, fields: row.get(4)? };
    let record = RequestRecord { fingerprint, create_time, calls: row.get(3)? };
    Ok(Some((row.get(0)?, record)))
}

/// A call.
pub fn call(connection: &Connection, id: CallId) -> Result<Option<Call>, Trouble> {
    let mut statement = connection.prepare_cached(sql::CALL)?;
    let mut rows = statement.query([id.as_bytes()])?;
    rows.next()?.map(row::call).transpose()
}

/// A call, its key, and the outbox entry it is in.
pub fn keyed_call(
    connection: &Connection,
    id: CallId,
) -> Result<Option<(i64, Option<i64>, Call)>, Trouble> {
    let mut statement = connection.prepare_cached(sql::CALL)?;
    let mut rows = statement.query([id.as_bytes()])?;
    rows.next()?.map(|row| Ok((row::key(row)?, row::outbox(row)?, row::call(row)?))).transpose()
}

/// The call that has any of a vendor's ids, the one recorded last if there are several.
pub fn find(
    connection: &Connection,
    vendor: &str,
    ids: &[String],
) -> Result<Option<Call>, Trouble> {
    let newest = match newest(connection, sql::KEY_OF_VENDOR_CALL, vendor, ids)? {
        // Late news, or none of ours.
        None => newest(connection, sql::KEY_OF_EARLIER_DIAL, vendor, ids)?,
        found => found,
    };
    let Some(key) = newest else { return Ok(None) };
    let mut statement = connection.prepare_cached(sql::CALL_OF_KEY)?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(row::call).transpose()
}

/// The newest of the keys that a statement has for a vendor's ids.
fn newest(
    connection: &Connection,
    statement: &str,
    vendor: &str,
    ids: &[String],
) -> Result<Option<i64>, Trouble> {
    let mut newest: Option<i64> = None;
    let mut statement = connection.prepare_cached(statement)?;
    for id in ids {
        let mut rows = statement.query((vendor, id))?;
        let key = rows.next()?.map(|row| row.get(0)).transpose()?;
        newest = newest.max(key);
    }
    Ok(newest)
}

/// A page of a selection. It ends before a call, or with the selection: ids and
/// references without one are told of as soon as they are reached, so no page is
/// empty but that of a selection without calls.
pub fn page(
    connection: &Connection,
    selector: &Selector,
    after: Position,
    limit: usize,
) -> Result<Page, Trouble> {
    let limit = limit.max(1);
    match selector {
        Selector::Calls(ids) => page_of_calls(connection, ids, after, limit),
        Selector::Request(id) => page_of_request(connection, id, after, limit),
        Selector::References(references) => {
            page_of_references(connection, references, after, limit)
        }
    }
}

fn page_of_calls(
    connection: &Connection,
    ids: &[CallId],
    after: Position,
    limit: usize,
) -> Result<Page, Trouble> {
    let mut page = Page::default();
    let mut statement = connection.prepare_cached(sql::CALL)?;
    for (entry, id) in (0..).zip(ids).skip(index(after)) {
        let mut rows = statement.query([id.as_bytes()])?;
        let Some(row) = rows.next()? else {
            page.not_found.push(id.to_string());
            continue;
        };
        if page.calls.len() == limit {
            page.next = Some(before_entry(entry));
            break;
        }
        page.calls.push((row::call(row)?, before_entry(entry + 1)));
    }
    Ok(page)
}

fn page_of_request(
    connection: &Connection,
    id: &RequestId,
    after: Position,
    limit: usize,
) -> Result<Page, Trouble> {
    let mut page = Page::default();
    let Some((key, _)) = request(connection, id)? else {
        page.not_found.push(id.to_string());
        return Ok(page);
    };
    let mut statement = connection.prepare_cached(sql::CALLS_OF_REQUEST)?;
    let mut rows = statement.query((key, after.entries))?;
    while let Some(row) = rows.next()? {
        if page.calls.len() == limit {
            page.next = page.calls.last().map(|(_, position)| *position);
            break;
        }
        let call = row::call(row)?;
        let position = before_entry(call.position.saturating_add(1));
        page.calls.push((call, position));
    }
    Ok(page)
}

fn page_of_references(
    connection: &Connection,
    references: &[ClientReference],
    after: Position,
    limit: usize,
) -> Result<Page, Trouble> {
    let mut page = Page::default();
    let mut statement = connection.prepare_cached(sql::CALLS_OF_REFERENCE)?;
    let mut within = after.within;
    for (entry, reference) in (0..).zip(references).skip(index(after)) {
        // The last call given of this reference, on this page or an earlier one.
        let mut last = within.take();
        let start = last.as_ref().map_or(BEFORE_ALL, |id| id.as_bytes());
        let mut rows = statement.query((reference.as_str(), start))?;
        let mut given = false;
        while let Some(row) = rows.next()? {
            if page.calls.len() == limit {
                page.next = Some(Position { entries: entry, within: last });
                return Ok(page);
            }
            let call = row::call(row)?;
            last = Some(call.id);
            given = true;
            page.calls.push((call, Position { entries: entry, within: last }));
        }
        match page.calls.last_mut() {
            Some((_, position)) if given => *position = before_entry(entry + 1),
            _ if last.is_none() => page.not_found.push(reference.as_str().to_owned()),
            _ => {}
        }
    }
    Ok(page)
}

/// Up to `limit` calls in open states, by id. Each state has its own stretch of the
/// index, so what is in other states costs nothing.
pub fn open_calls(
    connection: &Connection,
    states: &[CallState],
    after: Option<CallId>,
    limit: usize,
) -> Result<Vec<Call>, Trouble> {
    let start = after.as_ref().map_or(BEFORE_ALL, |id| id.as_bytes());
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut ids = Vec::new();
    let mut statement = connection.prepare_cached(sql::OPEN_CALLS)?;
    for state in states.iter().filter(|state| !state.is_final()) {
        let mut rows = statement.query((code(*state), start, most))?;
        while let Some(row) = rows.next()? {
            ids.push(CallId::from_bytes(row.get(0)?));
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(limit);
    let mut calls = Vec::with_capacity(ids.len());
    for id in ids {
        match call(connection, id) {
            Ok(call) => calls.extend(call),
            // One that nobody can read must not keep the others from being taken up.
            Err(trouble) if !trouble.is_of_the_store() => {
                let error = LedgerError::from(trouble);
                tracing::error!(%error, call = %id, "an open call is passed over");
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(calls)
}

fn before_entry(entries: u32) -> Position {
    Position { entries, within: None }
}

fn index(after: Position) -> usize {
    usize::try_from(after.entries).unwrap_or(usize::MAX)
}
