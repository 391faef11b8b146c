//! What programs in between repeat by themselves. Client libraries repeat the codes of their
//! service config, and proxies those of their own, whether or not somebody was dialled: so
//! they are told what they may do, and a repetition that can't be recognised by its
//! request_id is recognised by what they say of it.

use std::time::Duration;

use tonic::{Status, metadata::MetadataMap};

use crate::call::RequestId;

/// The trailer by which a client library is told when to try again (gRFC A6): some obey it
/// whatever the code is. Negative means never.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// How often a client library has sent this RPC before.
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";
/// How often a proxy has sent it, this time included.
const ATTEMPT_COUNT: &str = "x-envoy-attempt-count";

/// Whether an RPC says of itself that it was sent before. What can't be read is no first try:
/// somebody counts there.
pub(super) fn is_repeated(metadata: &MetadataMap) -> bool {
    let beyond = |name: &str, first: u64| {
        metadata.get_all(name).iter().any(|value| {
            let count = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            count.is_none_or(|count| count > first)
        })
    };
    beyond(PREVIOUS_ATTEMPTS, 0) || beyond(ATTEMPT_COUNT, 1)
}

/// What an RPC was to do, as far as its errors depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// By which its calls are found.
    pub request_id: Option<&'a RequestId>,
    /// The very same once more dials nobody twice.
    pub repeatable: bool,
}

impl<'a> Asked<'a> {
    /// To read, or to check.
    pub(super) const READING: Self = Self { request_id: None, repeatable: true };

    /// To place calls, under an id that the caller gave (`named`) or the gateway did.
    pub(super) fn placing(request_id: &'a RequestId, named: bool) -> Self {
        Self { request_id: Some(request_id), repeatable: named }
    }
}

/// What there is to be said for trying again, of an RPC that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It is wrong, or not for this gateway: the same again fails the same.
    Same,
    /// It failed and is recorded: the same id gives the same error.
    Recorded,
    /// Nothing was recorded and nothing sent by it; after this wait it may go well.
    Later(Duration),
    /// The same, but the RPC's deadline comes first: a library that waited would only be told
    /// that it passed, and not of what is the matter.
    TooLate(Duration),
    /// Somebody may have been dialled by it, or may be yet.
    Doubt,
}

/// After which wait the very same RPC may be sent again by itself; none for never. The one
/// place that decides it.
pub(super) fn pushback(asked: Asked<'_>, outlook: Outlook) -> Option<Duration> {
    match (outlook, asked.repeatable) {
        (Outlook::Later(wait), true) => Some(wait),
        // Its next try would come without an id as well and so be refused
        // ([`is_repeated`]): the caller would be told of that, and not of what is wrong.
        (Outlook::Later(_), false) => None,
        (Outlook::Same | Outlook::Recorded | Outlook::TooLate(_) | Outlook::Doubt, _) => None,
    }
}

/// Tells it in the trailers.
pub(super) fn tell(status: &mut Status, wait: Option<Duration>) {
    // No wait of the gateway's is longer than what clients read: 32 bits of milliseconds.
    let milliseconds = wait.map_or(-1, |wait| i32::try_from(wait.as_millis()).unwrap_or(i32::MAX));
    status.metadata_mut().insert(PUSHBACK, milliseconds.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_harmless_and_may_help_is_tried_again() {
        let wait = Duration::from_millis(1_500);
        let id: RequestId = "one".parse().unwrap();
        let asked = [Asked::READING, Asked::placing(&id, true), Asked::placing(&id, false)];
        let table = [
            //                         reading     named       unnamed
            (Outlook::Same, [None, None, None]),
            (Outlook::Recorded, [None, None, None]),
            (Outlook::Later(wait), [Some(wait), Some(wait), None]),
            (Outlook::TooLate(wait), [None, None, None]),
            (Outlook::Doubt, [None, None, None]),
        ];
        for (outlook, expected) in table {
            assert_eq!(asked.map(|asked| pushback(asked, outlook)), expected, "{outlook:?}");
        }
    }

    #[test]
    fn waits_are_told_in_milliseconds() {
        for (wait, expected) in [
            (None, "-1"),
            (Some(Duration::ZERO), "0"),
            (Some(Duration::from_micros(1_500_900)), "1500"),
            (Some(Duration::MAX), "2147483647"),
        ] {
            let mut status = Status::unavailable("");
            tell(&mut status, wait);
            assert_eq!(status.metadata().get(PUSHBACK).unwrap(), expected);
        }
    }

    #[test]
    fn a_first_try_is_told_from_later_ones() {
        let cases = [
            (vec![], false),
            (vec![(PREVIOUS_ATTEMPTS, "0")], false),
            (vec![(PREVIOUS_ATTEMPTS, "1")], true),
            (vec![(PREVIOUS_ATTEMPTS, "4")], true),
            (vec![(PREVIOUS_ATTEMPTS, "many")], true),
            (vec![(ATTEMPT_COUNT, "1")], false),
            (vec![(ATTEMPT_COUNT, "0")], false),
            (vec![(ATTEMPT_COUNT, "2")], true),
            (vec![(ATTEMPT_COUNT, "")], true),
            (vec![(ATTEMPT_COUNT, "1"), (PREVIOUS_ATTEMPTS, "1")], true),
            // Two proxies, each of which counts.
            (vec![(ATTEMPT_COUNT, "1"), (ATTEMPT_COUNT, "2")], true),
        ];
        for (headers, expected) in cases {
            let mut metadata = MetadataMap::new();
            for (name, value) in &headers {
                metadata.append(*name, value.parse().unwrap());
            }
            assert_eq!(is_repeated(&metadata), expected, "{headers:?}");
        }
    }
}
