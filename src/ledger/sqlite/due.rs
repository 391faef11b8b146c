//! When calls are looked at again. The column has milliseconds since the epoch, rounded
//! up: a call is never taken up before its time.

use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    read,
    row::{self, Trouble},
    sql,
};
use crate::{
    call::Call,
    ledger::{Due, LedgerError},
};

const NANOSECONDS: i128 = 1_000_000;

/// In the column: not looked at by itself, and yet with a vendor. So the index on it has
/// everything that is.
pub const NEVER: i64 = i64::MAX;

/// What the column has of a time.
pub fn milliseconds(due: Timestamp) -> i64 {
    let exact = due.as_nanosecond();
    let up = exact.div_euclid(NANOSECONDS) + i128::from(exact.rem_euclid(NANOSECONDS) != 0);
    // Nothing is after the end of time, which is a whole second for who reads it back.
    let last = Timestamp::MAX.as_second().saturating_mul(1_000);
    i64::try_from(up).unwrap_or(last).min(last)
}

/// A time as it is given back once it was kept.
pub fn rounded(due: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(milliseconds(due)).unwrap_or(Timestamp::MAX)
}

/// The column of a call. One that is over is not looked at again, whatever it says.
pub fn column(call: &Call) -> Option<i64> {
    if call.state.is_final() {
        return None;
    }
    call.due.map(milliseconds).or(call.state.is_with_vendor().then_some(NEVER))
}

/// Up to `limit` calls of a vendor whose time has come, and when the next one's comes.
pub fn due(
    connection: &Connection,
    vendor: &str,
    by: Timestamp,
    limit: usize,
) -> Result<Due, Trouble> {
    let mut due = Due::default();
    let mut statement = connection.prepare_cached(sql::CALLS_DUE)?;
    let mut rows = statement.query([vendor])?;
    while let Some(row) = rows.next()? {
        let time = row::due(row)?;
        if due.calls.len() >= limit || time.is_some_and(|time| time > by) {
            due.next = time;
            break;
        }
        match row::call(row) {
            Ok(call) => due.calls.push(call),
            // One that nobody can read must not keep the others from being looked at.
            Err(trouble) if !trouble.is_of_the_store() => {
                let error = LedgerError::from(trouble);
                tracing::error!(%error, vendor, "a call that is due is passed over");
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(due)
}

/// The vendors who have open calls, by name.
pub fn vendors(connection: &Connection) -> Result<Vec<String>, Trouble> {
    read::vendors(connection, sql::VENDOR_WITH_CALLS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        let at = |nanoseconds| Timestamp::from_nanosecond(nanoseconds).unwrap();
        for (exact, kept) in
            [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (-1, 0), (-1_000_000, -1)]
        {
            assert_eq!(milliseconds(at(exact)), kept, "{exact}");
        }
        assert!(rounded(at(1)) > at(1));
        for end in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(rounded(rounded(end)), rounded(end));
            assert!(Timestamp::from_millisecond(milliseconds(end)).is_ok());
        }
    }
}
