//! States as numbers. What is in files stays readable: a code is never given another
//! meaning, and those of open states are below 10, as the index of open calls has it.

use crate::call::CallState;

/// The codes of open states are below.
pub const FIRST_FINAL: i64 = 10;

/// The code of a state.
pub fn code(state: CallState) -> i64 {
    match state {
        CallState::Scheduled => 1,
        CallState::Dispatching => 2,
        CallState::Accepted => 3,
        CallState::Unconfirmed => 4,
        CallState::Ringing => 5,
        CallState::InProgress => 6,
        CallState::Answered => 10,
        CallState::Busy => 11,
        CallState::NoAnswer => 12,
        CallState::Rejected => 13,
        CallState::InvalidNumber => 14,
        CallState::Unreachable => 15,
        CallState::Failed => 16,
        CallState::Canceled => 17,
        CallState::Expired => 18,
        CallState::Unknown => 19,
    }
}

/// The state of a code.
pub fn state(code: i64) -> Option<CallState> {
    CallState::ALL.into_iter().find(|state| self::code(*state) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_split_at_ten() {
        for state in CallState::ALL {
            assert_eq!(super::state(code(state)), Some(state));
            assert_eq!(code(state) < 10, !state.is_final(), "{state:?}");
        }
        for unused in [i64::MIN, 0, 7, 9, 20, i64::MAX] {
            assert_eq!(state(unused), None);
        }
    }

    #[test]
    fn codes_on_disk_stay_what_they_are() {
        let codes: Vec<_> = CallState::ALL.into_iter().map(code).collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    }
}
