//! The changes of calls in their order, a page at a time. Numbers are gathered first, from
//! indexes alone where calls are named; documents are read for those of the page only.

use std::collections::{BTreeMap, BinaryHeap, HashSet};

use rusqlite::{Connection, Row};

use super::{
    marks, read,
    row::{self, Trouble, integer, unsigned},
    sql, state,
};
use crate::{
    call::{CallId, ClientReference, Selection, Selector},
    ledger::{Changes, LedgerError},
};

/// Changes that one read walks past.
pub const MAX_VISITED: usize = 10_000;

/// Calls of references that are looked up one by one. A reference may be that of every
/// call there is; beyond this the changes are walked through.
pub const MAX_CALLS: usize = 10_000;

/// Bytes of documents in a page, give or take one change.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A page of the changes of a selection.
pub fn changes(
    connection: &Connection,
    selection: &Selection,
    after: u64,
    limit: usize,
) -> Result<Changes, Trouble> {
    let stretch = Stretch {
        after,
        // A file put back from a copy may be behind what somebody has seen.
        newest: marks::read(connection)?.newest.max(after),
        limit: limit.max(1),
    };
    let found = match selection {
        Selection::All => stretch.walk(connection, MAX_VISITED, |_, _| Ok(true))?,
        Selection::Route(route) => stretch
            .walk(connection, MAX_VISITED, |_, row| Ok(row::text(row, 3)? == route.as_str()))?,
        Selection::Named(selector) => stretch.of_selector(connection, selector)?,
    };
    let mut changes = load(connection, found)?;
    if let (false, Selection::Named(selector)) = (changes.more, selection) {
        changes.open = open(connection, selector)?;
    }
    Ok(changes)
}

/// Which changes are looked for.
struct Stretch {
    after: u64,
    newest: u64,
    limit: usize,
}

/// Numbers of changes, in their order.
struct Found {
    numbers: Vec<u64>,
    through: u64,
    more: bool,
}

impl Stretch {
    fn of_selector(&self, connection: &Connection, selector: &Selector) -> Result<Found, Trouble> {
        if self.after == self.newest {
            return Ok(Found { numbers: Vec::new(), through: self.newest, more: false });
        }
        let mut calls = BTreeMap::new();
        match selector {
            Selector::Calls(ids) => {
                let mut statement = connection.prepare_cached(sql::KEY_OF_CALL)?;
                for id in ids {
                    let mut rows = statement.query([id.as_bytes()])?;
                    if let Some(row) = rows.next()? {
                        calls.insert(row.get(0)?, unsigned(row, 1)?);
                    }
                }
            }
            Selector::Request(id) => {
                if let Some((reach, _)) = read::request(connection, id)? {
                    let mut statement = connection.prepare_cached(sql::KEYS_OF_REQUEST)?;
                    let mut rows = statement.query(reach.all())?;
                    while let Some(row) = rows.next()? {
                        calls.insert(row.get(0)?, unsigned(row, 1)?);
                    }
                }
            }
            Selector::References(references) => {
                let mut statement = connection.prepare_cached(sql::KEYS_OF_REFERENCE)?;
                let mut last = connection.prepare_cached(sql::LAST_CHANGE)?;
                for reference in references {
                    let mut rows = statement.query([reference.as_str()])?;
                    while let Some(row) = rows.next()? {
                        let key: i64 = row.get(0)?;
                        calls.insert(key, last.query_row([key], |row| unsigned(row, 0))?);
                        if calls.len() > MAX_CALLS {
                            let names = references.iter().map(ClientReference::as_str).collect();
                            return self.of_references(connection, &names);
                        }
                    }
                }
            }
        }
        self.of_calls(connection, &calls)
    }

    /// Whichever costs less: a look at each change since, or at each call. They come with
    /// their newest changes.
    fn of_calls(
        &self,
        connection: &Connection,
        calls: &BTreeMap<i64, u64>,
    ) -> Result<Found, Trouble> {
        let since = usize::try_from(self.newest - self.after).unwrap_or(usize::MAX);
        if since <= calls.len() {
            return self.walk(connection, usize::MAX, |call, _| Ok(calls.contains_key(&call)));
        }
        // The smallest numbers, and one more that tells whether there are others. The
        // largest of them is on top.
        let mut least = BinaryHeap::new();
        let mut statement = connection.prepare_cached(sql::CHANGE_BEFORE)?;
        for last in calls.values() {
            // From the newest one back, as each names the one before.
            let mut number = *last;
            while number > self.after {
                least.push(number);
                if least.len() > self.limit.saturating_add(1) {
                    least.pop();
                }
                let mut rows = statement.query([integer(number)])?;
                let Some(row) = rows.next()? else { break };
                let before = if unsigned(row, 0)? == number { unsigned(row, 2)? } else { 0 };
                // It is, or this would never end.
                if before >= number {
                    break;
                }
                number = before;
            }
        }
        let mut numbers = least.into_sorted_vec();
        let more = numbers.len() > self.limit;
        numbers.truncate(self.limit);
        let last = numbers.last().copied().filter(|_| more);
        Ok(Found { through: last.unwrap_or(self.newest), numbers, more })
    }

    fn of_references(
        &self,
        connection: &Connection,
        names: &HashSet<&str>,
    ) -> Result<Found, Trouble> {
        let mut statement = connection.prepare_cached(sql::REFERENCE_OF_CALL)?;
        self.walk(connection, MAX_VISITED, |call, _| {
            let mut rows = statement.query([call])?;
            let Some(call) = rows.next()? else { return Ok(false) };
            let reference = call.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)?;
            Ok(reference.is_some_and(|reference| names.contains(reference)))
        })
    }

    /// One change after the other, at most so many. What is wanted is told by the key of the
    /// call and the row, which may have the changes of several.
    fn walk(
        &self,
        connection: &Connection,
        most: usize,
        mut wanted: impl FnMut(i64, &Row<'_>) -> Result<bool, Trouble>,
    ) -> Result<Found, Trouble> {
        let mut found = Found { numbers: Vec::new(), through: self.after, more: false };
        let mut statement = connection.prepare_cached(sql::CHANGES_AFTER)?;
        let mut rows = statement.query([integer(self.after)])?;
        let mut visited = 0;
        while let Some(row) = rows.next()? {
            let place =
                Place { last: unsigned(row, 0)?, count: unsigned(row, 1)?, call: row.get(2)? };
            for number in place.first().max(self.after.saturating_add(1))..=place.last {
                if visited == most || found.numbers.len() == self.limit {
                    found.more = true;
                    return Ok(found);
                }
                visited += 1;
                found.through = number;
                if wanted(place.call_of(number), row)? {
                    found.numbers.push(number);
                }
            }
        }
        found.through = self.newest;
        Ok(found)
    }
}

fn load(connection: &Connection, found: Found) -> Result<Changes, Trouble> {
    let Found { numbers, through, more } = found;
    let mut page = Changes { changes: Vec::with_capacity(numbers.len()), ..Changes::default() };
    (page.through, page.more) = (through, more);
    let mut places = connection.prepare_cached(sql::CHANGE)?;
    let mut recorded = connection.prepare_cached(sql::RECORDED_CALL)?;
    let mut bytes = 0;
    for number in numbers {
        if bytes >= MAX_BYTES {
            page.more = true;
            page.through = page.changes.last().map_or(page.through, |change| change.number);
            break;
        }
        let mut rows = places.query([integer(number)])?;
        let Some(change) = rows.next()? else { continue };
        let place =
            Place { last: unsigned(change, 0)?, count: unsigned(change, 1)?, call: change.get(2)? };
        if number < place.first() {
            continue;
        }
        let mut rows = recorded.query([place.call_of(number)])?;
        let Some(recorded) = rows.next()? else { continue };
        match row::change(number, change, recorded) {
            Ok((change, length)) => {
                bytes += length;
                page.changes.push(change);
            }
            // Nobody will ever read it, and whoever comes after it should not wait for that.
            Err(trouble) if !trouble.is_of_the_store() => {
                let error = LedgerError::from(trouble);
                tracing::error!(%error, number, "a change is passed over");
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(page)
}

/// A row of changes: the numbers up to `last`, of as many calls from `call` on.
struct Place {
    last: u64,
    count: u64,
    call: i64,
}

impl Place {
    fn first(&self) -> u64 {
        self.last.saturating_sub(self.count).saturating_add(1)
    }

    fn call_of(&self, number: u64) -> i64 {
        self.call.saturating_add(integer(number.saturating_sub(self.first())))
    }
}

/// The calls that are not over, of a selection that can end.
fn open(connection: &Connection, selector: &Selector) -> Result<Option<Vec<CallId>>, Trouble> {
    let mut open = Vec::new();
    match selector {
        Selector::Calls(ids) => {
            let mut statement = connection.prepare_cached(sql::KEY_OF_CALL)?;
            for id in ids {
                let mut rows = statement.query([id.as_bytes()])?;
                let Some(row) = rows.next()? else { continue };
                if row.get::<_, i64>(2)? < state::FIRST_FINAL {
                    open.push(*id);
                }
            }
        }
        Selector::Request(id) => {
            let Some((reach, _)) = read::request(connection, id)? else { return Ok(None) };
            let mut statement = connection.prepare_cached(sql::OPEN_OF_REQUEST)?;
            let mut rows = statement.query(reach.all())?;
            while let Some(row) = rows.next()? {
                open.push(CallId::from_bytes(row.get(0)?));
            }
            open.sort_unstable();
        }
        Selector::References(_) => return Ok(None),
    }
    Ok(Some(open))
}
