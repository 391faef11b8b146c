//! What an answer to an order says of each call (phonon.md 3, 4, 6.1 to 6.4).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    answer::{Answer, fault_without_code},
    codes::{ACCEPTED_OR_INVALID_SECURITY_ID, Code, PARTIAL_SUCCESS, SUCCESS},
    place::reference,
    settings::Lane,
    wire::{Fields, VendorId, text_of},
};
use crate::{
    call::{Cause, Fault},
    http::HttpReply,
    vendors::{Outgoing, Placement},
};

/// As many placements as the batch has orders, in its order.
pub(super) fn read(lane: Lane, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement> {
    let json = serde_json::from_slice::<Value>(&reply.body);
    // What was read says something, though it may not say what: it is an answer.
    let is_read = json.is_ok();
    let value = json.unwrap_or_default();
    let Some(answer) = Answer::read(&value) else {
        if lane == Lane::Bulk && is_queued(&value, reply) {
            return for_all(batch, || accepted(None, None));
        }
        let fault = || {
            let fault = fault_without_code(reply);
            Fault { unanswered: fault.unanswered && !is_read, ..fault }
        };
        let Some(fields) = Fields::of(&value) else {
            return for_all(batch, || Placement::Fault(fault()));
        };
        let request_id = fields.id("requestid").readable();
        return refused(batch, &Details::read(&fields), request_id, |_| fault());
    };
    let details = Details::read(&answer.fields);
    let request_id = answer.request_id.clone().readable();
    let refused = |fault: &dyn Fn(&Outgoing<'_>) -> Fault| {
        refused(batch, &details, request_id.clone(), fault)
    };
    match answer.code {
        Some(SUCCESS | PARTIAL_SUCCESS) => read_details(batch, &details, &answer, reply),
        Some(ACCEPTED_OR_INVALID_SECURITY_ID) => match read_202(lane, &answer) {
            Ok(id) => for_all(batch, || accepted(None, Some(id.clone()))),
            Err(Unaccepted::Refused) => {
                refused(&|order| answer.fault(reply, order.order.script.as_ref()))
            }
            Err(Unaccepted::InDoubt(reason)) => {
                refused(&|_| answer.fault_as(Cause::InDoubt, reason, reply))
            }
        },
        _ => refused(&|order| answer.fault(reply, order.order.script.as_ref())),
    }
}

fn for_all(batch: &[Outgoing<'_>], one: impl Fn() -> Placement) -> Vec<Placement> {
    batch.iter().map(|_| one()).collect()
}

fn accepted(vendor_call_id: Option<String>, vendor_request_id: Option<String>) -> Placement {
    Placement::Accepted { vendor_call_id, vendor_request_id, data: Map::new() }
}

/// What a refusal says of each call. One that names a call as taken contradicts itself:
/// that call was taken, and of the others nothing is certain.
fn refused(
    batch: &[Outgoing<'_>],
    details: &Details,
    request_id: Option<String>,
    fault: impl Fn(&Outgoing<'_>) -> Fault,
) -> Vec<Placement> {
    let contradicts = details.name_a_taken_call();
    let read_one = |(position, order): (usize, &Outgoing<'_>)| {
        if let Some(VendorId::Is(uuid)) = details.of(position, order, batch.len()) {
            return accepted(Some(uuid.clone()), request_id.clone());
        }
        let mut fault = fault(order);
        if contradicts {
            fault.cause = Cause::InDoubt;
            fault.reason = "CONTRADICTORY_ANSWER".into();
            (fault.field, fault.resource, fault.retry_after) = (None, None, None);
            // It was read, and says that some of it was taken: nothing to send again.
            fault.unanswered = false;
        }
        Placement::Fault(fault)
    };
    batch.iter().enumerate().map(read_one).collect()
}

/// What code 202 says when it is not "Accepted".
enum Unaccepted {
    /// It is the error "Invalid Security ID".
    Refused,
    /// It may be either; the reason says why.
    InDoubt(&'static str),
}

/// Code 202 is "Accepted", with the vendor's id of the request, on the bulk lane, and
/// "Invalid Security ID" everywhere (phonon.md 6.1). The text decides; without one an id
/// of the request does. What fits neither is neither.
fn read_202(lane: Lane, answer: &Answer<'_>) -> Result<String, Unaccepted> {
    let said = match answer.fields.get("apiresponsemessage") {
        None => String::new(),
        Some(Value::String(text)) if text.trim().is_empty() => String::new(),
        Some(Value::String(text)) if !letters_of(text).is_empty() => letters_of(text),
        Some(_) => return Err(Unaccepted::InDoubt("UNCLEAR_202")),
    };
    let error = Code::find(ACCEPTED_OR_INVALID_SECURITY_ID).map(|row| letters_of(row.message));
    match (said.as_str(), &answer.request_id) {
        ("", VendorId::Missing) => Err(Unaccepted::Refused),
        (said, _) if error.as_deref() == Some(said) => Err(Unaccepted::Refused),
        ("" | "accepted" | "success", VendorId::Is(id)) if lane == Lane::Bulk => Ok(id.clone()),
        ("" | "accepted" | "success", VendorId::Unreadable) if lane == Lane::Bulk => {
            Err(Unaccepted::InDoubt("UNREADABLE_REQUEST_ID"))
        }
        _ => Err(Unaccepted::InDoubt("UNCLEAR_202")),
    }
}

/// A text without case, punctuation and spaces.
fn letters_of(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The answer of the queue behind the bulk lane, in early 2023 (phonon.md 3b). Its ids
/// are the queue's and name nothing at the vendor's.
fn is_queued(value: &Value, reply: &HttpReply) -> bool {
    let message_id = value.pointer("/SendMessageResponse/SendMessageResult/MessageId");
    (200..300).contains(&reply.status) && message_id.and_then(text_of).is_some()
}

/// One entry of `call-details`.
struct Detail {
    /// Ours, or somebody else's; none when the entry has none.
    client_identifier: Option<String>,
    uuid: VendorId,
}

impl Detail {
    fn read(value: &Value) -> Option<Self> {
        let fields = Fields::of(value)?;
        Some(Self {
            client_identifier: fields.text("clientidentifier").map(|id| id.to_ascii_lowercase()),
            uuid: fields.id("phononuuid"),
        })
    }
}

/// The list of calls taken.
struct Details {
    /// None where an entry is no object.
    entries: Vec<Option<Detail>>,
    /// By our own id, where an entry has one.
    named: HashMap<String, usize>,
}

impl Details {
    fn read(fields: &Fields<'_>) -> Self {
        let entries: Vec<_> = fields.list("calldetails").iter().map(Detail::read).collect();
        let mut named: HashMap<String, usize> = HashMap::with_capacity(entries.len());
        let has_id = |at: usize| {
            let entry: Option<&Detail> = entries.get(at).and_then(Option::as_ref);
            entry.is_some_and(|entry| matches!(entry.uuid, VendorId::Is(_)))
        };
        for (at, entry) in entries.iter().enumerate() {
            let Some(id) = entry.as_ref().and_then(|entry| entry.client_identifier.clone()) else {
                continue;
            };
            let known = named.entry(id).or_insert(at);
            // Of two entries for one call the one with an id of it tells more.
            if !has_id(*known) && has_id(at) {
                *known = at;
            }
        }
        Self { entries, named }
    }

    fn at(&self, position: usize) -> Option<&Detail> {
        self.entries.get(position)?.as_ref()
    }

    /// What the list has for an order. A call is found by our own id; an entry without one
    /// stands for the call at its place, as long as the list has a place for each call: in
    /// a shorter one places mean nothing, and a call must not get another's id.
    fn of(&self, position: usize, order: &Outgoing<'_>, orders: usize) -> Option<&VendorId> {
        let named = self.named.get(&reference(order)).and_then(|at| self.at(*at));
        let at_place = || {
            let detail = self.at(position)?;
            let is_place = self.entries.len() == orders && detail.client_identifier.is_none();
            is_place.then_some(detail)
        };
        named.or_else(at_place).map(|detail| &detail.uuid)
    }

    /// Whether an entry has an id of the vendor's, be it one that can't be read.
    fn name_a_taken_call(&self) -> bool {
        self.entries.iter().flatten().any(|entry| entry.uuid != VendorId::Missing)
    }
}

fn read_details(
    batch: &[Outgoing<'_>],
    details: &Details,
    answer: &Answer<'_>,
    reply: &HttpReply,
) -> Vec<Placement> {
    let read_one = |(position, order): (usize, &Outgoing<'_>)| {
        read_detail(details.of(position, order, batch.len()), answer, reply)
    };
    batch.iter().enumerate().map(read_one).collect()
}

fn read_detail(uuid: Option<&VendorId>, answer: &Answer<'_>, reply: &HttpReply) -> Placement {
    let partial = answer.code == Some(PARTIAL_SUCCESS);
    let fault = |cause, otherwise: &'static str| -> Fault {
        let reason = if partial { "PARTIAL_SUCCESS" } else { otherwise };
        answer.fault_as(cause, reason, reply)
    };
    match uuid {
        Some(VendorId::Is(uuid)) => {
            accepted(Some(uuid.clone()), answer.request_id.clone().readable())
        }
        // Counts as failed (phonon.md 6.4).
        Some(VendorId::Missing) => Placement::Fault(fault(Cause::Unreadable, "NO_PHONON_UUID")),
        Some(VendorId::Unreadable) => {
            Placement::Fault(fault(Cause::InDoubt, "UNREADABLE_PHONON_UUID"))
        }
        None => Placement::Fault(fault(Cause::InDoubt, "NOT_IN_CALL_DETAILS")),
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
