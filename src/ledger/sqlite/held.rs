//! Calls that wait. The column has milliseconds since the epoch, rounded up, so that no
//! call is taken up before its time; or that somebody has taken the call up; or nothing,
//! for a call that does not wait.

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::{
    due::{milliseconds, rounded as rounded_time},
    read,
    row::{self, Trouble},
    session::Session,
    sql,
};
use crate::{
    call::{Call, CallState, Observation},
    ledger::{Held, LedgerError},
};

/// In the column: somebody has the call, and waits for its turn. Lower ones are tickets.
const IN_HANDS: i64 = -1;

/// News as it is given back once it was kept.
pub fn rounded(observation: Observation) -> Observation {
    match observation {
        Observation::Held { until, holds } => Observation::Held { until: kept(until), holds },
        other => other,
    }
}

/// The same of a call that holds itself.
pub fn round(call: &mut Call) {
    call.held_until = call.held_until.map(kept);
}

/// A call as it is read back.
pub fn as_kept(mut call: Call) -> Call {
    // Whatever else it says, as the columns have it.
    call.held_until = call.held_until.filter(|_| call.state == CallState::Scheduled);
    round(&mut call);
    call.due = call.due.filter(|_| !call.state.is_final()).map(rounded_time);
    call
}

/// A time before the epoch has come as well as the epoch has.
fn kept(until: Timestamp) -> Timestamp {
    rounded_time(until).max(Timestamp::UNIX_EPOCH)
}

/// The column of a call.
pub fn column(call: &Call) -> Option<i64> {
    let held = call.held_until.map_or(IN_HANDS, |until| milliseconds(kept(until)));
    (call.state == CallState::Scheduled).then_some(held)
}

/// Takes up calls of a vendor whose time has come.
pub fn take_up(
    session: &mut Session<'_>,
    vendor: &str,
    by: Timestamp,
    limit: usize,
    ticket: u32,
) -> Result<Held, Trouble> {
    let connection = session.connection;
    let mark = IN_HANDS - 1 - i64::from(ticket);
    let mut held = Held::default();
    let mut again = connection.prepare_cached(sql::CALLS_TAKEN)?;
    let mut rows = again.query((vendor, mark))?;
    let mut before = 0;
    while let Some(row) = rows.next()? {
        before += 1;
        held.calls.extend(readable(row, vendor)?);
    }
    drop(rows);
    let limit = limit.saturating_sub(before);
    let mut keys = Vec::new();
    let mut statement = connection.prepare_cached(sql::CALLS_HELD)?;
    let mut rows = statement.query([vendor])?;
    while let Some(row) = rows.next()? {
        let until = row::held_until(row)?;
        if keys.len() >= limit || until.is_some_and(|until| until > by) {
            held.next = until;
            break;
        }
        keys.push(row::key(row)?);
        held.calls.extend(readable(row, vendor)?);
    }
    drop(rows);
    let mut take = connection.prepare_cached(sql::SET_HELD)?;
    for key in &keys {
        take.execute((key, mark))?;
    }
    keys.iter().for_each(|key| session.changes(*key));
    held.calls.iter().for_each(|call| session.forget(call.id));
    Ok(held)
}

/// The row's call. One that nobody can read must not keep the others from being taken up: it
/// is out of their way until the next start.
fn readable(row: &Row<'_>, vendor: &str) -> Result<Option<Call>, Trouble> {
    match row::call(row) {
        Ok(call) => Ok(Some(Call { held_until: None, ..call })),
        Err(trouble) if !trouble.is_of_the_store() => {
            let error = LedgerError::from(trouble);
            tracing::error!(%error, vendor, "a call that waits is passed over");
            Ok(None)
        }
        Err(trouble) => Err(trouble),
    }
}

/// Lets go what somebody had.
pub fn let_go(session: &mut Session<'_>, until: Timestamp, limit: usize) -> Result<usize, Trouble> {
    let connection = session.connection;
    let limit = limit.max(1);
    let mut keys: Vec<i64> = Vec::new();
    for vendor in waited_for(connection)? {
        let left = i64::try_from(limit - keys.len()).unwrap_or(i64::MAX);
        let mut some = connection.prepare_cached(sql::CALLS_IN_HANDS)?;
        let mut rows = some.query((&vendor, left))?;
        while let Some(row) = rows.next()? {
            keys.push(row.get(0)?);
        }
    }
    let until = milliseconds(kept(until));
    let mut statement = connection.prepare_cached(sql::SET_HELD)?;
    for key in &keys {
        statement.execute((key, until))?;
    }
    if !keys.is_empty() {
        session.forget_all();
    }
    Ok(keys.len())
}

/// The vendors for whom calls wait, by name.
pub fn waited_for(connection: &Connection) -> Result<Vec<String>, Trouble> {
    read::vendors(connection, sql::WAITED_FOR)
}
