//! A call as a row: columns for what is looked up, JSON documents for the rest.

use jiff::Timestamp;
use rusqlite::{ErrorCode, Row};

use super::{
    cache::Known,
    document::{Changing, Columns, Recorded},
    due::NEVER,
    stamp::Stamp,
    state,
};
use crate::{
    call::{Call, CallId, CallState, RequestId},
    ledger::{Change, LedgerError},
};

/// Why something could not be done within a transaction.
#[derive(Debug)]
pub enum Trouble {
    /// The ledger is well; this one thing can't be done.
    Refused(LedgerError),
    /// SQLite says no.
    Sqlite(rusqlite::Error),
}

impl Trouble {
    /// Whether nothing else can be expected to succeed either: disk, memory, file.
    pub fn is_of_the_store(&self) -> bool {
        let Self::Sqlite(error) = self else { return false };
        // Without a code it is a value that could not be read or bound.
        error
            .sqlite_error_code()
            .is_some_and(|code| !matches!(code, ErrorCode::ConstraintViolation | ErrorCode::TooBig))
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Self::Refused(error)
    }
}

impl From<Trouble> for LedgerError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(error) => error,
            Trouble::Sqlite(error) => Self::Failed(error.to_string()),
        }
    }
}

/// The call of a row, its columns as [`super::sql`] selects them.
pub fn call(row: &Row<'_>) -> Result<Call, Trouble> {
    let id = CallId::from_bytes(row.get(0)?);
    let broken = |error: serde_json::Error| unreadable(id, without_content(&error));
    let columns = Columns {
        id,
        request_id: request_id(id, text(row, 1)?)?,
        position: row.get(2)?,
        state: state_of(id, row.get(5)?)?,
        asked_time: asked(row, 12)?,
        due: due(row)?,
    };
    let call = match optional_text(row, 11)? {
        Some(changed) => {
            let changed: Changing<'_> = serde_json::from_str(changed).map_err(broken)?;
            changed.call(columns, serde_json::from_str(text(row, 6)?).map_err(broken)?)
        }
        None => {
            let recorded: Recorded<'_> = serde_json::from_str(text(row, 6)?).map_err(broken)?;
            recorded.call(columns, String::new())
        }
    };
    let (vendor, vendor_call_id) = (row.get(3)?, row.get(4)?);
    Ok(Call { vendor, vendor_call_id, held_until: held_until(row)?, ..call })
}

/// A change, from the rows that [`super::sql::CHANGE`] and [`super::sql::RECORDED_CALL`]
/// select, and how long its documents are.
pub fn change(
    number: u64,
    change: &Row<'_>,
    recorded: &Row<'_>,
) -> Result<(Change, usize), Trouble> {
    let id = CallId::from_bytes(recorded.get(0)?);
    let broken = |error: serde_json::Error| unreadable(id, without_content(&error));
    let columns = Columns {
        id,
        request_id: request_id(id, text(recorded, 1)?)?,
        position: recorded.get(2)?,
        state: state_of(id, change.get(4)?)?,
        asked_time: asked(recorded, 5)?,
        due: due_of(id, recorded.get(4)?)?,
    };
    let document = text(recorded, 3)?;
    let (call, length) = match optional_text(change, 5)? {
        Some(changed) => {
            let length = changed.len() + document.len();
            let changed: Changing<'_> = serde_json::from_str(changed).map_err(broken)?;
            (changed.call(columns, serde_json::from_str(document).map_err(broken)?), length)
        }
        None => {
            let recorded: Recorded<'_> = serde_json::from_str(document).map_err(broken)?;
            (recorded.call(columns, change.get(3)?), document.len())
        }
    };
    Ok((Change { number, call: Call { holds: 0, fallbacks: Vec::new(), ..call } }, length))
}

fn unreadable(id: CallId, reason: String) -> Trouble {
    LedgerError::Unreadable { id: id.to_string(), reason }.into()
}

fn state_of(id: CallId, code: i64) -> Result<CallState, Trouble> {
    state::state(code).ok_or_else(|| unreadable(id, format!("no state has code {code}")))
}

fn request_id(id: CallId, text: &str) -> Result<RequestId, Trouble> {
    text.parse().map_err(|error| unreadable(id, format!("its request id {error}")))
}

/// The key of the row's call, its columns as [`super::sql`] selects them.
pub fn key(row: &Row<'_>) -> Result<i64, Trouble> {
    Ok(row.get(8)?)
}

/// A call with what its row has for the writer, its columns as [`super::sql`] selects them.
pub fn known(row: &Row<'_>) -> Result<Known, Trouble> {
    let length = text(row, 6)?.len() + optional_text(row, 11)?.map_or(0, str::len);
    Ok(Known {
        key: key(row)?,
        outbox: row.get(9)?,
        last: unsigned(row, 13)?,
        length,
        call: call(row)?,
    })
}

/// When the row's call is looked at again, its columns as [`super::sql`] selects them.
pub fn due(row: &Row<'_>) -> Result<Option<Timestamp>, Trouble> {
    due_of(CallId::from_bytes(row.get(0)?), row.get(7)?)
}

fn due_of(id: CallId, column: Option<i64>) -> Result<Option<Timestamp>, Trouble> {
    time(id, column.filter(|due| *due != NEVER), "when it is due")
}

fn asked(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, Trouble> {
    let asked: Option<Stamp> = row.get(column)?;
    Ok(asked.map(|Stamp(at)| at))
}

/// When the row's call is taken up, its columns as [`super::sql`] selects them.
pub fn held_until(row: &Row<'_>) -> Result<Option<Timestamp>, Trouble> {
    let held: Option<i64> = row.get(10)?;
    let id = CallId::from_bytes(row.get(0)?);
    time(id, held.filter(|held| *held >= 0), "until when it is held")
}

fn time(id: CallId, milliseconds: Option<i64>, what: &str) -> Result<Option<Timestamp>, Trouble> {
    milliseconds
        .map(Timestamp::from_millisecond)
        .transpose()
        .map_err(|error| unreadable(id, format!("{what}: {error}")))
}

/// A column that is never negative.
pub fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A number for a column: SQLite counts to 2^63.
pub fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A text column without a copy.
pub fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, rusqlite::Error> {
    row.get_ref(column)?.as_str().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

/// The same of one that may be NULL.
pub fn optional_text<'row>(
    row: &'row Row<'_>,
    column: usize,
) -> Result<Option<&'row str>, rusqlite::Error> {
    row.get_ref(column)?.as_str_or_null().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

/// What is wrong with a document: serde_json quotes what it did not expect, which may be
/// a person's.
pub fn without_content(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Syntax => "is not JSON",
        _ => "does not hold what was expected",
    };
    format!("its document {what}, line {} column {}", error.line(), error.column())
}
