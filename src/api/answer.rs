//! Keeps answers below what clients take by default.

use prost::Message;

use super::{MAX_MESSAGE_BYTES, status};
use crate::proto::Call;

/// Left for the framing and the fields around the calls.
const MARGIN: usize = 16 * 1024;
/// What is there for calls.
pub(super) const MAX_CALLS_BYTES: usize = MAX_MESSAGE_BYTES - MARGIN;

/// By how much a call may grow at most between being recorded and being answered, when it
/// is cut down by [`shrink`]: an error as small as it can be told or else the vendor's id, an
/// end, and another vendor of the route with a longer name, which shows a number.
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

/// The most that a call's answer has beside what its spec had: ids, names, times.
const MAX_OWN: usize = 512;

/// Whether the answer to so many calls fits for certain, as far as their specs' size tells. Of
/// calls that are refused already it says nothing.
pub(crate) fn fits_for_certain(calls: usize, spec_bytes: usize) -> bool {
    calls.saturating_mul(MAX_OWN + MAX_GROWTH).saturating_add(spec_bytes) <= MAX_CALLS_BYTES
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
    let too_large = |calls: &[Call]| calls.iter().map(size).sum::<usize>() > MAX_CALLS_BYTES;
    if !too_large(calls) {
        return;
    }
    for call in calls.iter_mut() {
        call.attempts.clear();
        call.failovers.clear();
        call.vendor_data = None;
        call.error = call.error.as_ref().map(status::render_small);
    }
    // More than was reckoned with: long ids, and long errors besides for what failed later.
    if too_large(calls) {
        calls.iter_mut().for_each(|call| call.vendor_request_id.clear());
    }
    if too_large(calls) {
        let failed = calls.iter_mut().filter(|call| call.error.is_some());
        failed.for_each(|call| call.vendor_call_id.clear());
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        api::render,
        call::{
            self, CallError, CallState, Cause, Dialed, Fallback, Observation, ReportedState,
            VendorFault, testing,
        },
    };

    /// What bounds let through that is longest, in characters of so many bytes.
    fn long(character: char, bytes: usize) -> String {
        let text = character.to_string().repeat(bytes / character.len_utf8());
        format!("{text}{}", "x".repeat(bytes - text.len()))
    }

    fn error(cause: Cause, character: char, vendor: &str) -> CallError {
        let said = long(character, 200);
        CallError {
            reason: long(character, 48).into(),
            vendor: Some(VendorFault {
                vendor: vendor.to_owned(),
                domain: "mobtexting.com".into(),
                code: Some(long(character, 48)),
                message: said.clone(),
                http_status: Some(599),
                request_id: Some(long(character, 128)),
            }),
            ..CallError::new(cause, "X", said)
        }
    }

    /// So many calls fill an answer, as they are reckoned with when they are let in.
    const COUNT: usize = 250;

    /// A call, as it is recorded, with all that another one may have longer as short as can
    /// be.
    fn recorded() -> call::Call {
        let mut call = testing::call(CallState::Scheduled);
        call.vendor = "a".to_owned();
        let vendor = "b".repeat(63);
        call.fallbacks = vec![Fallback {
            vendor,
            caller_id: Some("+123456789012345".parse().unwrap()),
            redials: false,
        }];
        std::sync::Arc::make_mut(&mut call.order)
            .labels
            .insert("of".to_owned(), "x".repeat(10_000));
        let missing = MAX_CALLS_BYTES / COUNT - MAX_GROWTH - size(&render::call(&call));
        std::sync::Arc::make_mut(&mut call.order)
            .labels
            .insert("of".to_owned(), "x".repeat(10_000 + missing));
        call
    }

    /// The same after the longest way that a call can go, as far as one of its states.
    fn ends(cause: Cause, character: char) -> Vec<call::Call> {
        let now = Timestamp::new(i64::from(u32::MAX), 999_999_999).unwrap();
        let mut call = recorded();
        let to = call.fallbacks[0].vendor.clone();
        let exhausted = error(Cause::Exhausted, character, "a");
        let accepted = Observation::Accepted {
            vendor_call_id: Some(long(character, 128)),
            vendor_request_id: Some(long(character, 128)),
            data: [("said".to_owned(), long(character, 8_000).into())].into_iter().collect(),
        };
        let failed =
            CallError { dialed: Dialed::Maybe, ..error(Cause::Unreadable, character, &to) };
        let reported = ReportedState {
            state: Some(CallState::Failed),
            error: Some(failed),
            ..ReportedState::default()
        };
        call.apply(Observation::Dispatching, now);
        call.apply(Observation::FailedOver { error: exhausted, to: to.clone() }, now);
        call.apply(Observation::Dispatching, now);
        let mut refused = call.clone();
        refused.apply(Observation::Failed(error(cause, character, &to)), now);
        call.apply(accepted, now);
        let taken = call.clone();
        call.apply(Observation::Reported { report: reported, asked: false }, now);
        let states = [refused.state, taken.state, call.state];
        assert!(states[0] == CallState::Failed || cause == Cause::InDoubt);
        assert_eq!(states[1..], [CallState::Accepted, CallState::Failed]);
        let mut ends = vec![refused, taken, call];
        for call in &mut ends {
            call.revision = u64::MAX;
        }
        ends
    }

    #[test]
    fn what_is_let_in_fits_whatever_becomes_of_it() {
        let before = render::call(&recorded());
        assert_eq!(fits(std::iter::repeat_n((&before, true), COUNT)), Ok(()));
        assert!(fits(std::iter::repeat_n((&before, true), COUNT + 1)).is_err());
        for cause in Cause::ALL {
            for character in ['x', 'é', '…', '📞'] {
                for end in ends(cause, character) {
                    let mut calls = vec![render::call(&end); COUNT];
                    shrink(&mut calls);
                    let total: usize = calls.iter().map(size).sum();
                    let state = end.state;
                    assert!(total <= MAX_CALLS_BYTES, "{cause:?} {character} {state:?}: {total}");
                    let call = &calls[0];
                    assert_eq!(call.error.is_some(), end.error.is_some());
                    assert_eq!(call.vendor, end.vendor);
                }
            }
        }
    }
}
