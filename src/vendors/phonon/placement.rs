//! What an answer to an order says of each call (phonon.md 3, 4, 6.1 to 6.4).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    answer::{Answer, fault_without_code},
    codes::{ACCEPTED_OR_INVALID_SECURITY_ID, Code, PARTIAL_SUCCESS, SUCCESS},
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
    let value = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
    let Some(answer) = Answer::read(&value) else {
        return for_all(batch, || {
            if lane == Lane::Bulk && is_queued(&value, reply) {
                accepted(None, None)
            } else {
                Placement::Fault(fault_without_code(reply))
            }
        });
    };
    match answer.code {
        Some(SUCCESS | PARTIAL_SUCCESS) => read_details(batch, &answer, reply),
        Some(ACCEPTED_OR_INVALID_SECURITY_ID) if lane == Lane::Bulk && !is_a_refusal(&answer) => {
            match &answer.request_id {
                VendorId::Is(id) => for_all(batch, || accepted(None, Some(id.clone()))),
                VendorId::Unreadable => for_all(batch, || {
                    let reason = "UNREADABLE_REQUEST_ID";
                    Placement::Fault(answer.fault_as(Cause::InDoubt, reason, reply))
                }),
                VendorId::Missing => refused(batch, &answer, reply),
            }
        }
        _ => refused(batch, &answer, reply),
    }
}

fn for_all(batch: &[Outgoing<'_>], one: impl Fn() -> Placement) -> Vec<Placement> {
    batch.iter().map(|_| one()).collect()
}

fn refused(batch: &[Outgoing<'_>], answer: &Answer<'_>, reply: &HttpReply) -> Vec<Placement> {
    let fault = |order: &Outgoing<'_>| answer.fault(reply, order.order.script.as_ref());
    batch.iter().map(|order| Placement::Fault(fault(order))).collect()
}

fn accepted(vendor_call_id: Option<String>, vendor_request_id: Option<String>) -> Placement {
    Placement::Accepted { vendor_call_id, vendor_request_id, data: Map::new() }
}

/// 202 on the bulk lane is "Accepted", unless the text is that of the error: an error
/// may have a request id too.
fn is_a_refusal(answer: &Answer<'_>) -> bool {
    let error = Code::find(ACCEPTED_OR_INVALID_SECURITY_ID).map(|row| row.message);
    answer
        .message
        .as_deref()
        .zip(error)
        .is_some_and(|(said, error)| said.trim().eq_ignore_ascii_case(error))
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

/// The list of calls taken. A call is found by our own id; an entry without one stands
/// for the call at its place, as long as the list has a place for each call: in a
/// shorter one places mean nothing, and a call must not get another's id.
fn read_details(batch: &[Outgoing<'_>], answer: &Answer<'_>, reply: &HttpReply) -> Vec<Placement> {
    let entries = answer.fields.list("calldetails");
    let details: Vec<_> = entries.iter().map(Detail::read).collect();
    let mut named: HashMap<&str, &Detail> = HashMap::with_capacity(details.len());
    for detail in details.iter().flatten() {
        if let Some(id) = &detail.client_identifier {
            let known = named.entry(id).or_insert(detail);
            // Of two entries for one call the one with an id of it tells more.
            if !matches!(known.uuid, VendorId::Is(_)) && matches!(detail.uuid, VendorId::Is(_)) {
                *known = detail;
            }
        }
    }
    let has_places = details.len() == batch.len();
    let at_place = |position: usize| {
        let detail = details.get(position)?.as_ref()?;
        (has_places && detail.client_identifier.is_none()).then_some(detail)
    };
    let read_one = |(position, order): (usize, &Outgoing<'_>)| {
        let id = order.id.to_string();
        let detail = named.get(id.as_str()).copied().or_else(|| at_place(position));
        read_detail(detail, answer, reply)
    };
    batch.iter().enumerate().map(read_one).collect()
}

fn read_detail(detail: Option<&Detail>, answer: &Answer<'_>, reply: &HttpReply) -> Placement {
    let partial = answer.code == Some(PARTIAL_SUCCESS);
    let fault = |cause, otherwise: &'static str| -> Fault {
        let reason = if partial { "PARTIAL_SUCCESS" } else { otherwise };
        answer.fault_as(cause, reason, reply)
    };
    match detail.map(|detail| &detail.uuid) {
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
