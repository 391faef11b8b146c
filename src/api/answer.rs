//! Keeps answers below what clients take by default.

use prost::Message;

use super::{MAX_MESSAGE_BYTES, status};
use crate::proto::Call;

/// Left for the framing and the fields around the calls.
const MARGIN: usize = 16 * 1024;
/// What is there for calls.
pub(super) const MAX_CALLS_BYTES: usize = MAX_MESSAGE_BYTES - MARGIN;

/// By how much a call may grow at most between being recorded and being answered,
/// when it is cut down by [`shrink`]: the vendor's two ids, or an error as small as
/// it can be told, and a new state.
const MAX_GROWTH: usize = 460;

/// The size of a call within an answer.
pub(super) fn size(call: &Call) -> usize {
    let len = call.encoded_len();
    1 + prost::length_delimiter_len(len) + len
}

/// Whether the answer to these calls is certain to fit; if not, about how many of
/// them would.
pub(super) fn fits<'a>(calls: impl Iterator<Item = (&'a Call, bool)>) -> Result<(), usize> {
    let (mut total, mut fitting) = (0, 0);
    for (call, will_be_sent) in calls {
        total += size(call) + if will_be_sent { MAX_GROWTH } else { 0 };
        if total <= MAX_CALLS_BYTES {
            fitting += 1;
        }
    }
    // Ids and times differ by a few bytes from one request to the next.
    if total <= MAX_CALLS_BYTES { Ok(()) } else { Err(fitting - fitting / 50) }
}

/// How many of the calls fit into an answer that holds `extra` bytes besides. At least
/// one, so that there is always a next page to go on with.
pub(super) fn fitting(calls: &[Call], extra: usize) -> usize {
    let mut left = MAX_CALLS_BYTES.saturating_sub(extra);
    let fits = calls.iter().take_while(|call| {
        let size = size(call);
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    });
    fits.count().max(1).min(calls.len())
}

/// Cuts the calls to what an answer takes, where they are more: leaves out what
/// GetCallResults gives as well.
pub(super) fn shrink(calls: &mut [Call]) {
    let total: usize = calls.iter().map(size).sum();
    if total <= MAX_CALLS_BYTES {
        return;
    }
    for call in calls.iter_mut() {
        call.attempts.clear();
        call.failovers.clear();
        call.vendor_data = None;
        call.error = call.error.as_ref().map(status::render_small);
    }
    // Accepted under two long ids and failed later: more than was reckoned with.
    if calls.iter().map(size).sum::<usize>() > MAX_CALLS_BYTES {
        calls.iter_mut().for_each(|call| call.vendor_request_id.clear());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::status::{Subject, render, render_small},
        call::{CallError, Cause, VendorFault},
    };

    #[test]
    fn growth_is_bounded() {
        let long = |n| "x".repeat(n);
        let mut largest = 0;
        for cause in Cause::ALL {
            let error = CallError {
                reason: long(48).into(),
                vendor: Some(VendorFault {
                    vendor: long(63),
                    domain: "mobtexting.com".into(),
                    code: Some(long(48)),
                    message: long(200),
                    http_status: Some(599),
                    request_id: Some(long(128)),
                }),
                ..CallError::new(cause, "X", long(300))
            };
            let subject = Subject { vendor: &long(63), prefix: "calls[4999].", request_id: None };
            largest = largest.max(render_small(&render(&error, subject)).encoded_len());
        }
        let failed = Call {
            vendor_request_id: long(128),
            end_time: Some(prost_types::Timestamp {
                seconds: i64::from(u32::MAX),
                nanos: 999_999_999,
            }),
            ..Call::default()
        };
        let accepted =
            Call { vendor_call_id: long(128), vendor_request_id: long(128), ..Call::default() };
        // Tags and length prefixes, and numbers that grow: revision, update time.
        let room = 24;
        assert!(failed.encoded_len() + largest + room <= MAX_GROWTH, "{largest}");
        assert!(accepted.encoded_len() + room <= MAX_GROWTH);
    }
}
