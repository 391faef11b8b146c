//! Where a call stands.

use serde::{Deserialize, Serialize};

/// The states of the API, without `UNSPECIFIED`: a call always has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CallState {
    /// Held by the gateway until its time or its turn.
    Scheduled,
    /// Being handed to the vendor.
    Dispatching,
    /// The vendor took it.
    Accepted,
    /// The vendor may have it.
    Unconfirmed,
    /// The phone rings.
    Ringing,
    /// Answered, and still going on.
    InProgress,
    /// Final: answered.
    Answered,
    /// Final: the line was engaged.
    Busy,
    /// Final: it rang, nobody answered.
    NoAnswer,
    /// Final: the person declined.
    Rejected,
    /// Final: no such number.
    InvalidNumber,
    /// Final: phone off or out of coverage.
    Unreachable,
    /// Final: refused or failed.
    Failed,
    /// Final: taken back before it was dialled.
    Canceled,
    /// Final: its time passed before it was dialled.
    Expired,
    /// Final: unconfirmed, and given up on.
    Unknown,
}

impl CallState {
    /// Every state, in the order of the API.
    pub const ALL: [Self; 16] = [
        Self::Scheduled,
        Self::Dispatching,
        Self::Accepted,
        Self::Unconfirmed,
        Self::Ringing,
        Self::InProgress,
        Self::Answered,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::InvalidNumber,
        Self::Unreachable,
        Self::Failed,
        Self::Canceled,
        Self::Expired,
        Self::Unknown,
    ];

    /// The call is over.
    pub fn is_final(self) -> bool {
        self.rank() == FINAL
    }

    /// Final, was dialled or may have been, and nobody is known to have answered.
    pub fn is_not_answered(self) -> bool {
        matches!(
            self,
            Self::Busy | Self::NoAnswer | Self::Rejected | Self::InvalidNumber | Self::Unreachable
        )
    }

    /// A vendor may have it, so asking a vendor makes sense.
    pub fn is_with_vendor(self) -> bool {
        matches!(self, Self::Accepted | Self::Unconfirmed | Self::Ringing | Self::InProgress)
    }

    /// Its name in the API without the prefix: `NO_ANSWER`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Dispatching => "DISPATCHING",
            Self::Accepted => "ACCEPTED",
            Self::Unconfirmed => "UNCONFIRMED",
            Self::Ringing => "RINGING",
            Self::InProgress => "IN_PROGRESS",
            Self::Answered => "ANSWERED",
            Self::Busy => "BUSY",
            Self::NoAnswer => "NO_ANSWER",
            Self::Rejected => "REJECTED",
            Self::InvalidNumber => "INVALID_NUMBER",
            Self::Unreachable => "UNREACHABLE",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// How far along: a call only moves to a higher rank.
    fn rank(self) -> u8 {
        match self {
            Self::Scheduled => 0,
            Self::Dispatching => 1,
            Self::Unconfirmed => 2,
            Self::Accepted => 3,
            Self::Ringing => 4,
            Self::InProgress => 5,
            _ => FINAL,
        }
    }

    /// Whether a call in this state moves to `next` when a vendor reports it. News
    /// may come late, twice or out of order: whatever lies behind is passed over, a
    /// final state stays, and only "answered" (or, after `UNKNOWN`, any result)
    /// replaces one that says that nobody answered, or that something failed.
    pub fn moves_to(self, next: Self) -> bool {
        match self {
            Self::Unknown => next.is_final() && next != Self::Unknown,
            // Somebody was reached: that is so whatever was told before.
            Self::Failed => next == Self::Answered,
            state if state.is_not_answered() => next == Self::Answered,
            state if state.is_final() => false,
            state => next.rank() > state.rank(),
        }
    }
}

const FINAL: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_stay() {
        for from in CallState::ALL.into_iter().filter(|s| s.is_final()) {
            for to in CallState::ALL {
                let not_answered = from.is_not_answered() || from == CallState::Failed;
                let late_answer = to == CallState::Answered && not_answered;
                let news = from == CallState::Unknown && to.is_final() && to != from;
                assert_eq!(from.moves_to(to), late_answer || news, "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn nothing_goes_back() {
        use CallState::{Accepted, Dispatching, InProgress, Ringing, Scheduled, Unconfirmed};
        let order = [Scheduled, Dispatching, Unconfirmed, Accepted, Ringing, InProgress];
        for (i, from) in order.into_iter().enumerate() {
            for (j, to) in order.into_iter().enumerate() {
                assert_eq!(from.moves_to(to), j > i, "{from:?} -> {to:?}");
            }
            assert!(from.moves_to(CallState::Busy));
        }
    }

    #[test]
    fn names_are_those_of_the_ledger() {
        for state in CallState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
