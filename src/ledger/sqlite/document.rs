//! The JSON documents of a call. One is written when it is recorded, and stays as it is: it
//! has what never changes, and how the call was then. Each change after that has one with
//! whatever may change.

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::stamp::Stamp;
use crate::{
    call::{Attempt, Call, CallError, CallId, CallerId, Dial, Failover, Fallback, Order},
    ledger::LedgerError,
};

/// How a call was recorded. Its id, position, vendor and state are in columns.
#[derive(Serialize, Deserialize)]
pub struct Recorded<'a> {
    order: Cow<'a, Order>,
    route: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor_call_id: Option<Cow<'a, str>>,
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
    create_time: Stamp,
    /// Where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update_time: Option<Stamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<Stamp>,
    /// Of calls from before it had a column.
    #[serde(default, skip_serializing)]
    asked_time: Option<Stamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_until: Option<Stamp>,
    #[serde(default, skip_serializing_if = "is_zero")]
    holds: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispatch_time: Option<Stamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    handed_over: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redials: bool,
    #[serde(default, skip_serializing_if = "<[Dial]>::is_empty")]
    dials: Cow<'a, [Dial]>,
    revision: u64,
}

/// What of a call may change, as each of its changes left it. Its state is in a column.
#[derive(Serialize, Deserialize)]
pub struct Changing<'a> {
    vendor: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor_call_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vendor_request_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "<[Failover]>::is_empty")]
    failovers: Cow<'a, [Failover]>,
    /// The order's, once the call moved on to another vendor.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "even_none")]
    caller_id: Option<Option<Cow<'a, CallerId>>>,
    #[serde(default, skip_serializing_if = "<[Fallback]>::is_empty")]
    fallbacks: Cow<'a, [Fallback]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, CallError>>,
    #[serde(default, skip_serializing_if = "<[Attempt]>::is_empty")]
    attempts: Cow<'a, [Attempt]>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    vendor_data: Cow<'a, Map<String, Value>>,
    update_time: Stamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time: Option<Stamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_until: Option<Stamp>,
    #[serde(default, skip_serializing_if = "is_zero")]
    holds: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dispatch_time: Option<Stamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    handed_over: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redials: bool,
    #[serde(default, skip_serializing_if = "<[Dial]>::is_empty")]
    dials: Cow<'a, [Dial]>,
    revision: u64,
}

/// What a change has of the document with which its call was recorded.
#[derive(Deserialize)]
pub struct Lasting {
    order: Order,
    route: String,
    create_time: Stamp,
    #[serde(default)]
    asked_time: Option<Stamp>,
}

/// When something of a call changed last.
#[derive(Deserialize)]
pub struct Touched {
    create_time: Option<Stamp>,
    update_time: Option<Stamp>,
}

impl Touched {
    /// The time, where the document says it.
    pub fn time(self) -> Option<Timestamp> {
        self.update_time.or(self.create_time).map(|Stamp(at)| at)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

// What is there and none is told from what is not there.
fn even_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Writes the document with which a call is recorded, over what the buffer had.
pub fn record(call: &Call, buffer: &mut Vec<u8>) -> Result<(), LedgerError> {
    // Taken apart so that a new field finds its place here before it compiles.
    let Call {
        id,
        request_id: _,
        position: _,
        order,
        route,
        vendor: _,
        vendor_call_id,
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
        // Columns.
        asked_time: _,
        due: _,
        held_until,
        holds,
        dispatch_time,
        handed_over,
        redials,
        dials,
        revision,
    } = call;
    let document = Recorded {
        order: Cow::Borrowed(order),
        route: Cow::Borrowed(route),
        vendor_call_id: vendor_call_id.as_deref().map(Cow::Borrowed),
        vendor_request_id: vendor_request_id.as_deref().map(Cow::Borrowed),
        failovers: Cow::Borrowed(failovers),
        fallbacks: Cow::Borrowed(fallbacks),
        error: error.as_ref().map(Cow::Borrowed),
        attempts: Cow::Borrowed(attempts),
        vendor_data: Cow::Borrowed(vendor_data),
        create_time: Stamp(*create_time),
        update_time: Some(Stamp(*update_time)).filter(|_| update_time != create_time),
        end_time: end_time.map(Stamp),
        asked_time: None,
        held_until: held_until.map(Stamp),
        holds: *holds,
        dispatch_time: dispatch_time.map(Stamp),
        handed_over: *handed_over,
        redials: *redials,
        dials: Cow::Borrowed(dials),
        revision: *revision,
    };
    write(&document, *id, buffer)
}

/// Writes the document of a change that left the call like this.
pub fn change(call: &Call, buffer: &mut Vec<u8>) -> Result<(), LedgerError> {
    // Taken apart so that a new field finds its place here before it compiles.
    let Call {
        id,
        request_id: _,
        position: _,
        order,
        route: _,
        vendor,
        vendor_call_id,
        vendor_request_id,
        failovers,
        fallbacks,
        state: _,
        error,
        attempts,
        vendor_data,
        create_time: _,
        update_time,
        end_time,
        // Columns, which change by themselves.
        asked_time: _,
        due: _,
        held_until,
        holds,
        dispatch_time,
        handed_over,
        redials,
        dials,
        revision,
    } = call;
    let moved = !failovers.is_empty();
    let document = Changing {
        vendor: Cow::Borrowed(vendor),
        vendor_call_id: vendor_call_id.as_deref().map(Cow::Borrowed),
        vendor_request_id: vendor_request_id.as_deref().map(Cow::Borrowed),
        failovers: Cow::Borrowed(failovers),
        caller_id: moved.then(|| order.caller_id.as_ref().map(Cow::Borrowed)),
        fallbacks: Cow::Borrowed(fallbacks),
        error: error.as_ref().map(Cow::Borrowed),
        attempts: Cow::Borrowed(attempts),
        vendor_data: Cow::Borrowed(vendor_data),
        update_time: Stamp(*update_time),
        end_time: end_time.map(Stamp),
        held_until: held_until.map(Stamp),
        holds: *holds,
        dispatch_time: dispatch_time.map(Stamp),
        handed_over: *handed_over,
        redials: *redials,
        dials: Cow::Borrowed(dials),
        revision: *revision,
    };
    write(&document, *id, buffer)
}

fn write(document: &impl Serialize, id: CallId, buffer: &mut Vec<u8>) -> Result<(), LedgerError> {
    buffer.clear();
    serde_json::to_writer(buffer, document)
        .map_err(|error| LedgerError::Failed(format!("call {id} can't be written: {error}")))
}

/// What of a call is in columns, wherever its documents are.
pub struct Columns {
    /// Its id.
    pub id: CallId,
    /// Its request's.
    pub request_id: crate::call::RequestId,
    /// Its place in that.
    pub position: u32,
    /// Where it stands, or stood.
    pub state: crate::call::CallState,
    /// When its vendor last answered a question.
    pub asked_time: Option<Timestamp>,
    /// When it is looked at again.
    pub due: Option<Timestamp>,
}

impl Recorded<'_> {
    /// The call as it was recorded, at this vendor.
    pub fn call(self, columns: Columns, vendor: String) -> Call {
        let Columns { id, request_id, position, state, asked_time, due } = columns;
        let Stamp(create_time) = self.create_time;
        Call {
            id,
            request_id,
            position,
            order: Arc::new(self.order.into_owned()),
            route: self.route.into_owned(),
            vendor,
            vendor_call_id: self.vendor_call_id.map(Cow::into_owned),
            vendor_request_id: self.vendor_request_id.map(Cow::into_owned),
            failovers: self.failovers.into_owned(),
            fallbacks: self.fallbacks.into_owned(),
            state,
            error: self.error.map(Cow::into_owned),
            attempts: self.attempts.into_owned(),
            vendor_data: self.vendor_data.into_owned(),
            create_time,
            update_time: time(self.update_time).unwrap_or(create_time),
            end_time: time(self.end_time),
            asked_time: asked_time.or(time(self.asked_time)),
            due,
            held_until: time(self.held_until),
            holds: self.holds,
            dispatch_time: time(self.dispatch_time),
            handed_over: self.handed_over,
            redials: self.redials,
            dials: self.dials.into_owned(),
            revision: self.revision,
        }
    }
}

impl Changing<'_> {
    /// The call as the change left it.
    pub fn call(self, columns: Columns, lasting: Lasting) -> Call {
        let Columns { id, request_id, position, state, asked_time, due } = columns;
        let mut order = lasting.order;
        if let Some(caller_id) = self.caller_id {
            order.caller_id = caller_id.map(Cow::into_owned);
        }
        Call {
            id,
            request_id,
            position,
            order: Arc::new(order),
            route: lasting.route,
            vendor: self.vendor.into_owned(),
            vendor_call_id: self.vendor_call_id.map(Cow::into_owned),
            vendor_request_id: self.vendor_request_id.map(Cow::into_owned),
            failovers: self.failovers.into_owned(),
            fallbacks: self.fallbacks.into_owned(),
            state,
            error: self.error.map(Cow::into_owned),
            attempts: self.attempts.into_owned(),
            vendor_data: self.vendor_data.into_owned(),
            create_time: lasting.create_time.0,
            update_time: self.update_time.0,
            end_time: time(self.end_time),
            asked_time: asked_time.or(time(lasting.asked_time)),
            due,
            held_until: time(self.held_until),
            holds: self.holds,
            dispatch_time: time(self.dispatch_time),
            handed_over: self.handed_over,
            redials: self.redials,
            dials: self.dials.into_owned(),
            revision: self.revision,
        }
    }
}

fn time(stamp: Option<Stamp>) -> Option<Timestamp> {
    stamp.map(|Stamp(at)| at)
}
