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

/// Where the calls of a request are: their keys have no gaps, and are in its order.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// The key of the request.
    pub request: i64,
    /// The key of its first call.
    pub first: i64,
    /// How many there were.
    pub calls: i64,
}

impl Reach {
    /// From its first call on: the parameters of a statement.
    pub fn all(self) -> (i64, i64, i64) {
        self.from(0)
    }

    /// The same from a position on.
    pub fn from(self, position: u32) -> (i64, i64, i64) {
        let start = self.first.saturating_add(position.into());
        (start, self.first.saturating_add(self.calls), self.request)
    }
}

/// Where the calls of a request are, by its key.
pub fn reach(connection: &Connection, request: i64) -> Result<Reach, Trouble> {
    let mut statement = connection.prepare_cached(sql::REACH_OF_REQUEST)?;
    Ok(statement.query_row([request], |row| {
        Ok(Reach { request, first: row.get(0)?, calls: row.get(1)? })
    })?)
}

/// A request, and where its calls are.
pub fn request(
    connection: &Connection,
    id: &RequestId,
) -> Result<Option<(Reach, RequestRecord)>, Trouble> {
    let mut statement = connection.prepare_cached(sql::REQUEST)?;
    let mut rows = statement.query([id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let create_time = text(row, 2)?.parse().map_err(|error: jiff::Error| {
        LedgerError::Unreadable { id: id.to_string(), reason: error.to_string() }
    })?;
    let fingerprint = Fingerprint { digest: row.get(1)?, fields: row.get(4)? };
    let record = RequestRecord { fingerprint, create_time, calls: row.get(3)? };
    let reach = Reach { request: row.get(0)?, first: row.get(5)?, calls: row.get(3)? };
    Ok(Some((reach, record)))
}

/// A call.
pub fn call(connection: &Connection, id: CallId) -> Result<Option<Call>, Trouble> {
    let mut statement = connection.prepare_cached(sql::CALL)?;
    let mut rows = statement.query([id.as_bytes()])?;
    rows.next()?.map(row::call).transpose()
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
    let Some((reach, _)) = request(connection, id)? else {
        page.not_found.push(id.to_string());
        return Ok(page);
    };
    let mut statement = connection.prepare_cached(sql::CALLS_OF_REQUEST)?;
    let mut rows = statement.query(reach.from(after.entries))?;
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

/// Up to `limit` calls in open states, by id. What no vendor has is in an index by state; so
/// what is in other states costs nothing. The others are found by vendor.
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
    for state in states.iter().filter(|state| !state.is_final() && !state.is_with_vendor()) {
        let mut rows = statement.query((code(*state), start, most))?;
        while let Some(row) = rows.next()? {
            ids.push(CallId::from_bytes(row.get(0)?));
        }
    }
    let states: Vec<_> = states.iter().filter(|state| state.is_with_vendor()).copied().collect();
    if !states.is_empty() {
        ids.extend(with_vendors(connection, &states, after)?);
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

/// The ids of calls that vendors have, after an id.
fn with_vendors(
    connection: &Connection,
    states: &[CallState],
    after: Option<CallId>,
) -> Result<Vec<CallId>, Trouble> {
    let codes: Vec<_> = states.iter().map(|state| code(*state)).collect();
    let mut ids = Vec::new();
    let mut calls = connection.prepare_cached(sql::CALLS_WITH_VENDOR)?;
    for vendor in vendors(connection, sql::VENDOR_WITH_CALLS)? {
        let mut rows = calls.query([vendor])?;
        while let Some(row) = rows.next()? {
            let id = CallId::from_bytes(row.get(0)?);
            if codes.contains(&row.get(1)?) && after.is_none_or(|after| after < id) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
}

/// The vendors that a statement has, by name: from one to the next, whatever each has.
pub fn vendors(connection: &Connection, next: &str) -> Result<Vec<String>, Trouble> {
    let mut vendors: Vec<String> = Vec::new();
    let mut next = connection.prepare_cached(next)?;
    loop {
        let after = vendors.last().map_or("", String::as_str);
        let mut rows = next.query([after])?;
        let Some(row) = rows.next()? else { break };
        let vendor = text(row, 0)?.to_owned();
        drop(rows);
        vendors.push(vendor);
    }
    Ok(vendors)
}

fn before_entry(entries: u32) -> Position {
    Position { entries, within: None }
}

fn index(after: Position) -> usize {
    usize::try_from(after.entries).unwrap_or(usize::MAX)
}
