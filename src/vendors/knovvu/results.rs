//! The answers to `/v2/call` and `/v2/callresult` (knovvu.md 3 to 5a).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    codes::{self, ERROR_CAUSE, Observed, StateWord, state_word},
    message::said,
    wire::{field, object, text},
};
use crate::{
    call::{Attempt, CallState, Cause, E164, Fault, Report},
    config::Secret,
    http::HttpReply,
    vendors::{
        Placed, Placement,
        bounds::{MAX_ID_BYTES, cut_text},
        of_a_question,
    },
};

/// Reads the answer to `/v2/call`.
pub fn placement(reply: &HttpReply, secrets: &[&Secret]) -> Placement {
    unique_id(reply, secrets).map_or_else(Placement::Fault, |id| Placement::Accepted {
        vendor_call_id: Some(id),
        vendor_request_id: None,
        data: Map::new(),
    })
}

fn unique_id(reply: &HttpReply, secrets: &[&Secret]) -> Result<String, Fault> {
    let seen = |observed| codes::fault(observed, reply, said(reply, secrets));
    let fields = opened(reply, secrets).map_err(|refusal| {
        // A refusal that names the call contradicts itself: somebody's phone may ring.
        let names_a_call = object(&reply.body).is_some_and(|o| text(&o, "UniqueId").is_some());
        if names_a_call && refusal.cause != Cause::InDoubt {
            seen(Observed::Unreadable)
        } else {
            refusal
        }
    })?;
    let id = text(&fields, "UniqueId").ok_or_else(|| seen(Observed::NoUniqueId))?;
    if id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(seen(Observed::Unreadable));
    }
    Ok(id)
}

fn opened(reply: &HttpReply, secrets: &[&Secret]) -> Result<Map<String, Value>, Fault> {
    let seen = |observed| codes::fault(observed, reply, said(reply, secrets));
    if !(200..300).contains(&reply.status) {
        return Err(seen(Observed::Status(reply.status)));
    }
    object(&reply.body).ok_or_else(|| seen(Observed::Unreadable))
}

/// Reads the answer about calls: as many reports as calls. Rows are matched by id and
/// never by place (knovvu.md 6.7); a call without a row, or with a state that is not
/// known, is not over yet.
///
/// # Errors
/// When the vendor refused to answer, or the answer can't be read. A question dials
/// nobody, so nothing is in doubt then.
pub fn answer(
    calls: &[Placed<'_>],
    reply: &HttpReply,
    secrets: &[&Secret],
) -> Result<Vec<Report>, Fault> {
    let fields = opened(reply, secrets).map_err(of_a_question)?;
    let rows = match field(&fields, "CallResults") {
        Some(Value::Array(rows)) => rows.as_slice(),
        Some(Value::Null) => &[],
        _ => {
            let fault = codes::fault(Observed::Unreadable, reply, said(reply, secrets));
            return Err(of_a_question(fault));
        }
    };
    let mut by_id: HashMap<String, Row> = HashMap::with_capacity(rows.len());
    for row in rows.iter().filter_map(Value::as_object) {
        let Some(id) = text(row, "UniqueId") else { continue };
        let row = Row::read(row);
        // Of several about one call the last that says something counts.
        if row.word.is_some() || by_id.get(&id).is_none_or(|known| known.word.is_none()) {
            by_id.insert(id, row);
        }
    }
    let row_of = |call: &Placed<'_>| call.vendor_call_id.and_then(|id| by_id.get(id));
    Ok(calls.iter().map(|call| row_of(call).map_or_else(Report::default, |r| r.of(call))).collect())
}

/// A row of `CallResults`, read.
struct Row {
    /// Verbatim.
    state: Option<String>,
    word: Option<StateWord>,
    /// Not explained by the vendor, and empty in its sample.
    request: Option<String>,
}

impl Row {
    fn read(row: &Map<String, Value>) -> Self {
        let kept = |name| text(row, name).map(|text| cut_text(&text));
        let state = kept("CallState");
        Self { word: state.as_deref().and_then(state_word), state, request: kept("CallRequestId") }
    }

    fn of(&self, call: &Placed<'_>) -> Report {
        let mut data = Map::new();
        for (key, value) in [("call_state", &self.state), ("call_request_id", &self.request)] {
            if let Some(value) = value {
                data.insert(key.to_owned(), Value::String(value.clone()));
            }
        }
        let Some(word) = self.word else { return Report { data, ..Report::default() } };
        let raw = self.state.clone().unwrap_or_default();
        let mut attempt = Attempt::new(word.state);
        attempt.to = call.to.first().map(E164::plus).unwrap_or_default();
        attempt.vendor_state.clone_from(&raw);
        let error = (word.state == CallState::Failed).then(|| {
            let mut fault = Fault::new(
                ERROR_CAUSE,
                "ERROR",
                "the vendor tells of an error while connecting, and no more",
            );
            fault.code = Some(raw);
            fault
        });
        Report { state: Some(word.state), attempts: vec![attempt], data, error }
    }
}

#[cfg(test)]
mod tests;
