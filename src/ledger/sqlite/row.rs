//! A call as a row: columns for what is looked up, one JSON document for the rest.

use std::borrow::Cow;

use jiff::Timestamp;
use rusqlite::{ErrorCode, Row};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state;
use crate::{
    call::{
        Attempt, Call, CallError, CallId, CallState, Dial, Failover, Fallback, Order, RequestId,
    },
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

/// What of a call is in no column of its own.
#[derive(Serialize, Deserialize)]
struct Document<'a> {
    order: Cow<'a, Order>,
    route: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor_request_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "<[Failover]>::is_empty")]
    failovers: Cow<'a, [Failover]>,
    #[serde(default, skip_serializing_if = "<[Fallback]>::is_empty")]
    fallbacks: Cow<'a, [Fallback]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, CallError>>,
    #[serde(default, skip_serializing_if = "<[Attempt]>::is_empty")]
    attempts: Cow<'a, [Attempt]>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    vendor_data: Cow<'a, Map<String, Value>>,
    create_time: Timestamp,
    update_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_zero")]
    holds: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispatch_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    handed_over: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redials: bool,
    #[serde(default, skip_serializing_if = "<[Dial]>::is_empty")]
    dials: Cow<'a, [Dial]>,
    revision: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The document of a call.
pub fn document(call: &Call) -> Result<String, LedgerError> {
    // Taken apart so that a new field finds its place here before it compiles.
    let Call {
        id,
        request_id: _,
        position: _,
        order,
        route,
        vendor: _,
        vendor_call_id: _,
        vendor_request_id,
        failovers,
        fallbacks,
        state: _,
        error,
        attempts,
        vendor_data,
        create_time,
        update_time,
        end_time,
        asked_time,
        // Columns.
        due: _,
        held_until: _,
        holds,
        dispatch_time,
        handed_over,
        redials,
        dials,
        revision,
    } = call;
    let document = Document {
        order: Cow::Borrowed(order),
        route: Cow::Borrowed(route),
        vendor_request_id: vendor_request_id.as_deref().map(Cow::Borrowed),
        failovers: Cow::Borrowed(failovers),
        fallbacks: Cow::Borrowed(fallbacks),
        error: error.as_ref().map(Cow::Borrowed),
        attempts: Cow::Borrowed(attempts),
        vendor_data: Cow::Borrowed(vendor_data),
        create_time: *create_time,
        update_time: *update_time,
        end_time: *end_time,
        asked_time: *asked_time,
        holds: *holds,
        dispatch_time: *dispatch_time,
        handed_over: *handed_over,
        redials: *redials,
        dials: Cow::Borrowed(dials),
        revision: *revision,
    };
    serde_json::to_string(&document)
        .map_err(|error| LedgerError::Failed(format!("call {id} can't be written: {error}")))
}

/// The call of a row, its columns as [`super::sql`] selects them.
pub fn call(row: &Row<'_>) -> Result<Call, Trouble> {
    let id = CallId::from_bytes(row.get(0)?);
    let state = state_of(id, row.get(5)?)?;
    let document: Document<'_> = serde_json::from_str(text(row, 6)?)
        .map_err(|error| unreadable(id, without_content(&error)))?;
    Ok(Call {
        id,
        request_id: request_id(id, text(row, 1)?)?,
        position: row.get(2)?,
        order: document.order.into_owned(),
        route: document.route.into_owned(),
        vendor: row.get(3)?,
        vendor_call_id: row.get(4)?,
        vendor_request_id: document.vendor_request_id.map(Cow::into_owned),
        failovers: document.failovers.into_owned(),
        fallbacks: document.fallbacks.into_owned(),
        state,
        error: document.error.map(Cow::into_owned),
        attempts: document.attempts.into_owned(),
        vendor_data: document.vendor_data.into_owned(),
        create_time: document.create_time,
        update_time: document.update_time,
        end_time: document.end_time,
        asked_time: document.asked_time,
        due: due(row)?,
        held_until: held_until(row)?,
        holds: document.holds,
        dispatch_time: document.dispatch_time,
        handed_over: document.handed_over,
        redials: document.redials,
        dials: document.dials.into_owned(),
        revision: document.revision,
    })
}

/// What of a call may change and is seen by a caller, as each of its changes has it.
#[derive(Serialize, Deserialize)]
struct Changing<'a> {
    vendor: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor_call_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor_request_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "<[Failover]>::is_empty")]
    failovers: Cow<'a, [Failover]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, CallError>>,
    #[serde(default, skip_serializing_if = "<[Attempt]>::is_empty")]
    attempts: Cow<'a, [Attempt]>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    vendor_data: Cow<'a, Map<String, Value>>,
    update_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispatch_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    handed_over: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redials: bool,
    #[serde(default, skip_serializing_if = "<[Dial]>::is_empty")]
    dials: Cow<'a, [Dial]>,
    revision: u64,
}

/// What a change has of the call's own document.
#[derive(Deserialize)]
struct Lasting {
    order: Order,
    route: String,
    create_time: Timestamp,
    #[serde(default)]
    asked_time: Option<Timestamp>,
}

/// The document of a change that left the call like this.
pub fn changing(call: &Call) -> Result<String, LedgerError> {
    // Taken apart so that a new field finds its place here before it compiles.
    let Call {
        id,
        request_id: _,
        position: _,
        order: _,
        route: _,
        vendor,
        vendor_call_id,
        vendor_request_id,
        failovers,
        // No caller sees them.
        fallbacks: _,
        state: _,
        error,
        attempts,
        vendor_data,
        create_time: _,
        update_time,
        end_time,
        asked_time: _,
        due: _,
        held_until,
        holds: _,
        dispatch_time,
        handed_over,
        redials,
        dials,
        revision,
    } = call;
    let document = Changing {
        vendor: Cow::Borrowed(vendor),
        vendor_call_id: vendor_call_id.as_deref().map(Cow::Borrowed),
        vendor_request_id: vendor_request_id.as_deref().map(Cow::Borrowed),
        failovers: Cow::Borrowed(failovers),
        error: error.as_ref().map(Cow::Borrowed),
        attempts: Cow::Borrowed(attempts),
        vendor_data: Cow::Borrowed(vendor_data),
        update_time: *update_time,
        end_time: *end_time,
        held_until: *held_until,
        dispatch_time: *dispatch_time,
        handed_over: *handed_over,
        redials: *redials,
        dials: Cow::Borrowed(dials),
        revision: *revision,
    };
    serde_json::to_string(&document)
        .map_err(|error| LedgerError::Failed(format!("call {id} can't be written: {error}")))
}

/// The change of a row, its columns as [`super::sql::CHANGE`] selects them, and how long
/// its documents are.
pub fn change(row: &Row<'_>) -> Result<(Change, usize), Trouble> {
    let id = CallId::from_bytes(row.get(0)?);
    let (changing, lasting) = (text(row, 5)?, text(row, 6)?);
    let length = changing.len() + lasting.len();
    let broken = |error: serde_json::Error| unreadable(id, without_content(&error));
    let changing: Changing<'_> = serde_json::from_str(changing).map_err(broken)?;
    let lasting: Lasting = serde_json::from_str(lasting).map_err(broken)?;
    let call = Call {
        id,
        request_id: request_id(id, text(row, 1)?)?,
        position: row.get(2)?,
        order: lasting.order,
        route: lasting.route,
        vendor: changing.vendor.into_owned(),
        vendor_call_id: changing.vendor_call_id.map(Cow::into_owned),
        vendor_request_id: changing.vendor_request_id.map(Cow::into_owned),
        failovers: changing.failovers.into_owned(),
        fallbacks: Vec::new(),
        state: state_of(id, row.get(4)?)?,
        error: changing.error.map(Cow::into_owned),
        attempts: changing.attempts.into_owned(),
        vendor_data: changing.vendor_data.into_owned(),
        create_time: lasting.create_time,
        update_time: changing.update_time,
        end_time: changing.end_time,
        asked_time: lasting.asked_time,
        due: due(row)?,
        held_until: changing.held_until,
        holds: 0,
        dispatch_time: changing.dispatch_time,
        handed_over: changing.handed_over,
        redials: changing.redials,
        dials: changing.dials.into_owned(),
        revision: changing.revision,
    };
    Ok((Change { number: unsigned(row, 3)?, call }, length))
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

/// The outbox entry of the row's call, its columns as [`super::sql`] selects them.
pub fn outbox(row: &Row<'_>) -> Result<Option<i64>, Trouble> {
    Ok(row.get(9)?)
}

/// When the row's call is looked at again, its columns as [`super::sql`] selects them.
pub fn due(row: &Row<'_>) -> Result<Option<Timestamp>, Trouble> {
    time(row, row.get(7)?, "when it is due")
}

/// When the row's call is taken up, its columns as [`super::sql`] selects them.
pub fn held_until(row: &Row<'_>) -> Result<Option<Timestamp>, Trouble> {
    let held: Option<i64> = row.get(10)?;
    time(row, held.filter(|held| *held >= 0), "until when it is held")
}

fn time(
    row: &Row<'_>,
    milliseconds: Option<i64>,
    what: &str,
) -> Result<Option<Timestamp>, Trouble> {
    let id = CallId::from_bytes(row.get(0)?);
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
