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
        render_small, request_info, shorten,
    },
};
use crate::{
    call::{CallError, Cause, Violation},
    proto::{Call, CreateCallsResponse, Failover},
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

/// The error that an RPC of which nothing came ends with.
#[derive(Debug, Clone, Copy)]
pub(super) struct First<'a> {
    pub error: &'a CallError,
    pub subject: Subject<'a>,
    /// So many vendors of the route did not dial before this one.
    pub others: usize,
}

/// Nothing was accepted, and nothing was dialled by this request: the RPC fails with the
/// first wrong call's error, and tells of all calls as far as there is room. `in_doubt`
/// when one of them is a duplicate, whose first coming may have been dialled.
pub(super) fn nothing_placed(
    asked: Asked<'_>,
    first: First<'_>,
    in_doubt: bool,
    violations: impl Iterator<Item = (String, Violation)>,
    response: CreateCallsResponse,
) -> Status {
    let First { error, subject, others } = first;
    let more = response.calls.len().saturating_sub(1);
    // A field of the gateway's own finding has its path in the message, too.
    let of_a_field = matches!(error.cause, Cause::InvalidCall | Cause::NotAllowed);
    let path = if of_a_field && error.vendor.is_none() { subject.prefix } else { "" };
    // In front, so that a long message does not push it out.
    let others = match others {
        0 => String::new(),
        1 => "after 1 other vendor did not dial: ".to_owned(),
        n => format!("after {n} other vendors did not dial: "),
    };
    let message = if more == 0 {
        format!("{others}{path}{}", error.message)
    } else {
        let message = &error.message;
        format!("none of {} calls was placed; the first error: {others}{path}{message}", more + 1)
    };
    let mut info = error_info(error, subject);
    if in_doubt {
        info.metadata.insert("dialed".to_owned(), "maybe".to_owned());
    }
    let mut details = vec![any("ErrorInfo", &info)];
    let list = violations.map(|(prefix, violation)| field_violation(&violation, &prefix));
    details.extend(bad_request(list.collect()));
    details.extend(extras(error, subject));
    request_info(&mut details, subject.request_id);
    let mut status =
        pb::Status { code: code_of(error.cause) as i32, message: for_a_trailer(&message), details };
    let budget = MAX_TRAILER_BYTES.saturating_sub(encoded_len(&status.message)) / 4 * 3;
    let room = budget.min(MAX_STATUS_BYTES).saturating_sub(status.encoded_len());
    status.details.extend(pack(response, room));
    into_status(status, pushback(asked, Outlook::Recorded))
}

/// The response as a detail, with as many of its calls as fit, and of the room that is left
/// then as many of their failovers.
fn pack(mut response: CreateCallsResponse, room: usize) -> Option<Any> {
    // The type's name, the request id, tags and lengths.
    let mut left = room.saturating_sub(80 + response.request_id.len());
    let mut failovers = Vec::new();
    for call in &mut response.calls {
        // What the caller gave itself need not travel in a trailer.
        let whole = std::mem::take(call);
        let fitting =
            Call { labels: Default::default(), vendor_data: None, failovers: Vec::new(), ..whole };
        let size = fitting.encoded_len() + 4;
        if size > left {
            break;
        }
        left -= size;
        *call = fitting;
        failovers.push(whole.failovers);
    }
    response.calls.truncate(failovers.len());
    if response.calls.is_empty() {
        return None;
    }
    for (call, failovers) in response.calls.iter_mut().zip(failovers) {
        let failovers: Vec<_> = failovers.iter().map(small).collect();
        // A tag of two bytes and a length; the call's own length may take one byte more.
        let size: usize = failovers.iter().map(|failover| failover.encoded_len() + 5).sum();
        // All of a call's or none: those that are there are to be all that there were.
        if size > left {
            break;
        }
        left -= size;
        call.failovers = failovers;
    }
    let type_url = format!("type.googleapis.com/{}", CreateCallsResponse::full_name());
    Some(Any { type_url, value: response.encode_to_vec() })
}

fn small(failover: &Failover) -> Failover {
    Failover { error: failover.error.as_ref().map(render_small), ..failover.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::render,
        call::{CallState, Failover, RequestId, testing},
    };

    fn failed() -> crate::call::Call {
        let error = |vendor: &str| CallError::new(Cause::Exhausted, "NO_BALANCE", vendor);
        let failover = |vendor: &str| Failover {
            vendor: vendor.to_owned(),
            error: error("it refused because there is no balance left, which goes on and on"),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let mut call = testing::call(CallState::Failed);
        call.error = Some(error("the last one refused"));
        call.failovers = vec![failover("one"), failover("two")];
        call
    }

    fn packed(count: usize, others: usize) -> (pb::Status, CreateCallsResponse) {
        let call = failed();
        let id: RequestId = "one".parse().unwrap();
        let error = call.error.clone().unwrap();
        let subject = Subject { vendor: "three", prefix: "calls[0].", request_id: Some(&id) };
        let response = CreateCallsResponse {
            calls: vec![render::call(&call); count],
            replayed: false,
            request_id: id.to_string(),
        };
        let first = First { error: &error, subject, others };
        let status =
            nothing_placed(Asked::placing(&id, true), first, false, std::iter::empty(), response);
        let status = pb::Status::decode(status.details()).unwrap();
        assert!(status.encoded_len() <= MAX_STATUS_BYTES, "{}", status.encoded_len());
        let packed = status.details.last().unwrap();
        assert!(packed.type_url.ends_with("CreateCallsResponse"));
        let response = CreateCallsResponse::decode(packed.value.as_slice()).unwrap();
        (status, response)
    }

    #[test]
    fn failovers_stay_while_they_fit_and_cost_no_call_its_place() {
        let mut before = usize::MAX;
        for count in 1..40 {
            let (_, response) = packed(count, 2);
            let calls = &response.calls;
            let full = calls.iter().take_while(|call| call.failovers.len() == 2).count();
            assert!(calls.iter().skip(full).all(|call| call.failovers.is_empty()));
            if calls.len() < count {
                // Not even the calls fit.
                assert_eq!(full, 0, "{count}");
                continue;
            }
            assert!(full == count || full <= before, "{count}");
            before = full;
        }
        assert_eq!(before, 0, "some do not fit");
        let (_, response) = packed(3, 2);
        let failover = &response.calls[2].failovers[1];
        assert_eq!(failover.vendor, "two");
        let error = failover.error.as_ref().unwrap();
        assert!(error.message.ends_with('…') && error.details.len() == 1, "{error:?}");
    }

    #[test]
    fn the_message_says_how_many_others_did_not_dial() {
        let message = |count, others| packed(count, others).0.message;
        assert_eq!(message(1, 0), "the last one refused");
        assert_eq!(message(1, 1), "after 1 other vendor did not dial: the last one refused");
        assert_eq!(
            message(2, 2),
            "none of 2 calls was placed; the first error: after 2 other vendors did not dial: \
             the last one refused"
        );
    }
}
