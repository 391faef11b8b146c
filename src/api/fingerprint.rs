//! The fingerprint of a CreateCalls request.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;

use crate::{
    call::{FIELDS_OF_A_CALL, Fields, Fingerprint, Mark},
    proto::{CallSpec, CreateCallsRequest, call_spec::Script},
};

/// Of everything that changes what is placed. The key itself does not, nor does having it
/// checked first; they are left out of `request`, and its route is named.
pub(super) fn of(request: &mut CreateCallsRequest) -> Fingerprint {
    if request.route.is_empty() {
        "default".clone_into(&mut request.route);
    }
    request.request_id.clear();
    request.validate_only = false;
    let mut fingerprint = Fingerprint { digest: [0; 32], fields: marks(request) };
    // Digests are kept on disk: what is hashed may not change.
    fingerprint.digest.copy_from_slice(digest(&SHA256, &request.encode_to_vec()).as_ref());
    fingerprint
}

fn marks(request: &CreateCallsRequest) -> Vec<u8> {
    let all_or_nothing = if request.all_or_nothing { Mark::of([]) } else { Mark::NONE };
    let mut fields =
        Fields::new(Mark::of_text(&request.route), all_or_nothing, request.calls.len());
    for call in &request.calls {
        fields.call(call_marks(call));
    }
    fields.into_bytes()
}

/// In the order of the API. What was given empty is not what was left out: their digests
/// differ.
fn call_marks(call: &CallSpec) -> [Mark; FIELDS_OF_A_CALL] {
    // Taken apart, so that a new field can't be forgotten.
    let CallSpec {
        client_reference,
        to,
        caller_id,
        variables,
        start_time,
        expire_time,
        recipient,
        locale,
        retry,
        labels,
        script,
    } = call;
    let message = |bytes: Option<Vec<u8>>| bytes.map_or(Mark::NONE, |b| Mark::of([b.as_slice()]));
    let (flow, audio) = match script {
        None => (Mark::NONE, Mark::NONE),
        Some(Script::Flow(flow)) => (Mark::of([flow.as_bytes()]), Mark::NONE),
        Some(Script::Audio(audio)) => (Mark::NONE, Mark::of([audio.as_bytes()])),
    };
    [
        Mark::of_text(client_reference),
        if to.is_empty() { Mark::NONE } else { Mark::of(to.iter().map(String::as_bytes)) },
        Mark::of_text(caller_id),
        flow,
        audio,
        map(variables),
        message(start_time.as_ref().map(Message::encode_to_vec)),
        message(expire_time.as_ref().map(Message::encode_to_vec)),
        message(recipient.as_ref().map(Message::encode_to_vec)),
        Mark::of_text(locale),
        message(retry.as_ref().map(Message::encode_to_vec)),
        map(labels),
    ]
}

fn map(map: &BTreeMap<String, String>) -> Mark {
    if map.is_empty() {
        return Mark::NONE;
    }
    Mark::of(map.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]))
}

#[cfg(test)]
mod tests;
