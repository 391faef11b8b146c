//! Asking for results by the vendor's ids (phonon.md 5a).

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;

use super::{
    answer::{Answer, fault_without_code},
    codes::{NO_DATA_AVAILABLE, PARTIAL_SUCCESS, SUCCESS},
    leg::Unit,
    place::flow_of,
    row::Row,
    settings::{Pull, PullVersion, Settings},
    wire::Ask,
};
use crate::{
    call::{Cause, Fault, Report},
    http::{Body, HttpReply, HttpRequest, Method},
    vendors::Placed,
};

/// Ids in one question. The pages name 500, 200 and 100, "less than" which is allowed
/// at the newest; the vendor notes settle for 100 (phonon.md 1).
const MAX_IDS: usize = 100;

/// Calls with an id, those of one flow together: a question names its flow.
pub(super) fn questions(settings: &Settings, calls: &[Placed<'_>]) -> Vec<Vec<usize>> {
    let Some(pull) = &settings.results else { return Vec::new() };
    let mut questions: Vec<Vec<usize>> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (index, call) in calls.iter().enumerate() {
        let flow = flow_of(settings, call.script);
        if call.vendor_call_id.is_none() || (flow.is_none() && pull.version == PullVersion::V2) {
            continue;
        }
        let flow = flow.unwrap_or_default();
        let question = open.get(flow).and_then(|at| questions.get_mut(*at));
        match question.filter(|question| question.len() < MAX_IDS) {
            Some(question) => question.push(index),
            None => {
                open.insert(flow, questions.len());
                questions.push(vec![index]);
            }
        }
    }
    questions
}

/// The question about calls of one flow.
pub(super) fn ask(settings: &Settings, calls: &[Placed<'_>]) -> Option<HttpRequest> {
    let Pull { url, version } = settings.results.as_ref()?;
    let phonon_uuids: Vec<_> = calls.iter().filter_map(|call| call.vendor_call_id).collect();
    let flow = calls.first().and_then(|first| flow_of(settings, first.script));
    let (security_id, flow_id) = match version {
        PullVersion::V1 => (None, None),
        PullVersion::V2 => (Some(settings.security_id.expose()), Some(flow?)),
    };
    if phonon_uuids.is_empty() {
        return None;
    }
    let question = Ask { security_id, flow_id, phonon_uuids, fetch_attempt: "ALL" };
    let body = serde_json::to_vec(&question).ok()?;
    Some(HttpRequest {
        method: Method::Post,
        url: url.clone(),
        headers: Vec::new(),
        body: Body::Json(Bytes::from(body)),
    })
}

/// As many reports as calls, in their order.
pub(super) fn read(calls: &[Placed<'_>], reply: &HttpReply) -> Result<Vec<Report>, Fault> {
    let value = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    let Some(answer) = Answer::read(&value) else {
        return Err(of_a_question(fault_without_code(reply), reply));
    };
    match answer.code {
        Some(NO_DATA_AVAILABLE) => Ok(calls.iter().map(|_| Report::default()).collect()),
        Some(SUCCESS | PARTIAL_SUCCESS) => match answer.fields.get("data") {
            None | Some(Value::Array(_) | Value::Object(_)) => {
                Ok(read_rows(calls, answer.fields.list("data")))
            }
            Some(_) => Err(answer.fault_as(Cause::Unreachable, "UNREADABLE_ANSWER", reply)),
        },
        _ => {
            let script = calls.first().and_then(|call| call.script);
            Err(of_a_question(answer.fault(reply, script), reply))
        }
    }
}

/// A question dials nobody: whatever leaves an order in doubt only means that the
/// question has to be asked again.
fn of_a_question(mut fault: Fault, reply: &HttpReply) -> Fault {
    if fault.cause == Cause::InDoubt {
        fault.cause = Cause::Unreachable;
        fault.retry_after = reply.retry_after;
    }
    fault
}

fn read_rows(calls: &[Placed<'_>], rows: &[Value]) -> Vec<Report> {
    let mut found: HashMap<String, Row> = HashMap::with_capacity(rows.len());
    for row in rows.iter().filter_map(|row| Row::read(row, Unit::Milliseconds)) {
        let Some(key) = row.uuid.as_deref().map(str::to_ascii_lowercase) else { continue };
        match found.get_mut(&key) {
            Some(known) => known.absorb(row),
            None => {
                found.insert(key, row);
            }
        }
    }
    let report = |call: &Placed<'_>| {
        let row = found.get(&call.vendor_call_id?.to_ascii_lowercase())?;
        Some(row.report(call.to))
    };
    calls.iter().map(|call| report(call).unwrap_or_default()).collect()
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
