//! Numbers that must not be called.

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::{
    row::{Trouble, text},
    sql,
};
use crate::{
    call::{CallError, E164, Suppression, suppressed},
    ledger::LedgerError,
};

/// Puts numbers on the list. Gives them as they are then.
pub fn add(connection: &Connection, numbers: &[Suppression]) -> Result<Vec<Suppression>, Trouble> {
    let mut insert = connection.prepare_cached(sql::INSERT_SUPPRESSION)?;
    let mut now = Vec::with_capacity(numbers.len());
    for Suppression { number, reason, create_time } in numbers {
        let mut rows =
            insert.query((number.digits(), reason.as_str(), nanoseconds(*create_time)))?;
        while let Some(row) = rows.next()? {
            now.push(suppression(row)?);
        }
    }
    Ok(now)
}

/// Takes numbers off the list. Gives those that were on it.
pub fn remove(connection: &Connection, numbers: &[E164]) -> Result<Vec<E164>, Trouble> {
    let mut delete = connection.prepare_cached(sql::DELETE_SUPPRESSION)?;
    let mut gone = Vec::new();
    for number in numbers {
        if delete.execute([number.digits()])? > 0 {
            gone.push(number.clone());
        }
    }
    Ok(gone)
}

/// Those of these numbers that are on the list.
pub fn of(connection: &Connection, numbers: &[E164]) -> Result<Vec<Suppression>, Trouble> {
    let mut statement = connection.prepare_cached(sql::SUPPRESSION)?;
    let mut found = Vec::new();
    for number in numbers {
        let mut rows = statement.query([number.digits()])?;
        found.extend(rows.next()?.map(suppression).transpose()?);
    }
    Ok(found)
}

/// Up to `limit` numbers of the list, and whether there are more.
pub fn page(
    connection: &Connection,
    after: Option<&E164>,
    limit: usize,
) -> Result<(Vec<Suppression>, bool), Trouble> {
    let limit = limit.max(1);
    let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql::SUPPRESSIONS_AFTER)?;
    let mut rows = statement.query((after.map_or("", E164::digits), one_more))?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        if page.len() == limit {
            return Ok((page, true));
        }
        page.push(suppression(row)?);
    }
    Ok((page, false))
}

/// The list as a transaction that claims calls sees it.
pub struct List<'a> {
    connection: &'a Connection,
    is_empty: bool,
}

impl<'a> List<'a> {
    /// Looks whether anything is on it.
    pub fn open(connection: &'a Connection) -> Result<Self, Trouble> {
        let mut statement = connection.prepare_cached(sql::FIRST_SUPPRESSION)?;
        let first: Option<String> = statement.query_row((), |row| row.get(0))?;
        Ok(Self { connection, is_empty: first.is_none() })
    }

    /// What a call with these numbers fails with, if any of them is on it.
    pub fn refuses(&self, numbers: &[E164]) -> Result<Option<CallError>, Trouble> {
        if self.is_empty {
            return Ok(None);
        }
        let mut statement = self.connection.prepare_cached(sql::SUPPRESSION)?;
        let mut places = Vec::new();
        for (place, number) in numbers.iter().enumerate() {
            if statement.exists([number.digits()])? {
                places.push(place);
            }
        }
        Ok(suppressed(&places))
    }
}

/// A row, its columns as [`super::sql`] selects them.
fn suppression(row: &Row<'_>) -> Result<Suppression, Trouble> {
    // Its number is nobody's business, least of all a log's.
    let unreadable = |reason: String| {
        Trouble::Refused(LedgerError::Unreadable { id: "a suppression".to_owned(), reason })
    };
    let create_time: i64 = row.get(2)?;
    Ok(Suppression {
        number: text(row, 0)?.parse().map_err(|error| unreadable(format!("its number {error}")))?,
        reason: text(row, 1)?.parse().map_err(|error| unreadable(format!("its reason {error}")))?,
        create_time: Timestamp::from_nanosecond(create_time.into())
            .map_err(|error| unreadable(format!("its time {error}")))?,
    })
}

// Times beyond the year 2262 are none a clock shows.
fn nanoseconds(at: Timestamp) -> i64 {
    let exact = at.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}
