//! An error of an RPC travels in HTTP trailers, and common clients take little of them.

use std::time::Duration;

use prost::{Message, Name};
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use super::{
    retries::{self, Asked, Outlook, pushback},
    status::{
        MAX_MESSAGE_CHARS, Subject, any, bad_request, code_of, error_info, extras, field_violation,
        shorten,
    },
};
use crate::{
    call::{CallError, Cause, Violation},
    proto::{Call, CreateCallsResponse},
};

/// The trailers of an error that fits into what common clients take, which is 8 KiB of
/// them: the details in base64 and the message, percent-encoded, with room for the
/// names and for what proxies add.
const MAX_TRAILER_BYTES: usize = 7_600;
/// All details of a status, however short its message is.
const MAX_STATUS_BYTES: usize = 5_400;
/// The most of a message as it travels in a trailer.
const MAX_ENCODED_MESSAGE_BYTES: usize = 480;

/// The size of a message as it travels in a trailer: most of what is not a letter or a
/// digit takes three bytes for one.
fn encoded_len(message: &str) -> usize {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"#<>`?{}%".contains(&b);
    message.bytes().map(|b| if plain(b) { 1 } else { 3 }).sum()
}

fn for_a_trailer(message: &str) -> String {
    let mut message = shorten(message, MAX_MESSAGE_CHARS);
    while encoded_len(&message) > MAX_ENCODED_MESSAGE_BYTES {
        message = shorten(&message, message.chars().count().saturating_sub(12));
    }
    message
}

/// The error as tonic sends it, with the wait after which it may be tried again by itself.
pub(super) fn into_status(mut status: pb::Status, pushback: Option<Duration>) -> Status {
    status.message = for_a_trailer(&status.message);
    let code = Code::from_i32(status.code);
    let bytes = status.encode_to_vec();
    let mut status = Status::with_details(code, status.message, bytes.into());
    retries::tell(&mut status, pushback);
    status
}

/// Nothing was accepted, and nothing was dialled by this request: the RPC fails with the
/// first wrong call's error, and tells of all calls as far as there is room. `in_doubt`
/// when one of them is a duplicate, whose first coming may have been dialled.
pub(super) fn nothing_placed(
    asked: Asked<'_>,
    first: (&CallError, Subject<'_>),
    in_doubt: bool,
    violations: impl Iterator<Item = (String, Violation)>,
    response: CreateCallsResponse,
) -> Status {
    let (error, subject) = first;
    let more = response.calls.len().saturating_sub(1);
    // A field of the gateway's own finding has its path in the message, too.
    let path = if error.cause == Cause::InvalidCall && error.vendor.is_none() {
        subject.prefix
    } else {
        ""
    };
    let message = if more == 0 {
        format!("{path}{}", error.message)
    } else {
        format!("none of {} calls was placed; the first error: {path}{}", more + 1, error.message)
    };
    let mut info = error_info(error, subject);
    if in_doubt {
        info.metadata.insert("dialed".to_owned(), "maybe".to_owned());
    }
    let mut details = vec![any("ErrorInfo", &info)];
    let list = violations.map(|(prefix, violation)| field_violation(&violation, &prefix));
    details.extend(bad_request(list.collect()));
    details.extend(extras(error, subject));
    let mut status =
        pb::Status { code: code_of(error.cause) as i32, message: for_a_trailer(&message), details };
    let budget = MAX_TRAILER_BYTES.saturating_sub(encoded_len(&status.message)) / 4 * 3;
    let room = budget.min(MAX_STATUS_BYTES).saturating_sub(status.encoded_len());
    status.details.extend(pack(response, room));
    into_status(status, pushback(asked, Outlook::Recorded))
}

/// The response as a detail, with as many of its calls as fit.
fn pack(mut response: CreateCallsResponse, room: usize) -> Option<Any> {
    // The type's name, the request id, tags and lengths.
    let mut left = room.saturating_sub(80 + response.request_id.len());
    let mut fitting = 0;
    for call in &mut response.calls {
        // What the caller gave itself need not travel in a trailer.
        *call = Call {
            labels: Default::default(),
            vendor_data: None,
            failovers: Vec::new(),
            ..std::mem::take(call)
        };
        let size = call.encoded_len() + 4;
        if size > left {
            break;
        }
        left -= size;
        fitting += 1;
    }
    response.calls.truncate(fitting);
    if response.calls.is_empty() {
        return None;
    }
    let type_url = format!("type.googleapis.com/{}", CreateCallsResponse::full_name());
    Some(Any { type_url, value: response.encode_to_vec() })
}
