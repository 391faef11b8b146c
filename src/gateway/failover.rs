//! After which refusals the next vendor of a route is tried.

use super::Gateway;
use crate::call::{Call, CallError, Cause, Dialed, Fallback, Observation};

/// What a cause means for the other vendors of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Why a vendor did not dial.
    pub cause: Cause,
    /// The next vendor is tried.
    pub moves_on: bool,
    /// Why, or why not.
    pub because: &'static str,
}

/// A row for each cause. Whatever it says, a call that may have been dialled stays.
pub const TABLE: [Row; Cause::ALL.len()] = [
    row(Cause::InvalidCall, false, "the call has to be mended for any vendor"),
    row(Cause::NotFound, false, "the caller or the operator named something that is not there"),
    row(Cause::Operator, true, "this account's credentials, addresses or validity"),
    row(Cause::NotAllowed, false, "who must not be called must not be called by anybody"),
    row(Cause::NotNow, false, "the hour is the same for every vendor"),
    row(Cause::Duplicate, false, "the vendor may have dialled when the call came first"),
    row(Cause::Exhausted, true, "this account's balance, lines or rate"),
    row(Cause::Unreachable, true, "nothing reached the vendor"),
    row(Cause::InDoubt, false, "the vendor may have dialled"),
    row(Cause::Unreadable, true, "the vendor refused, for reasons of its own"),
    row(Cause::Unsupported, true, "another vendor may be able to do it"),
    row(Cause::Aborted, false, "another call of the request was wrong"),
];

const fn row(cause: Cause, moves_on: bool, because: &'static str) -> Row {
    Row { cause, moves_on, because }
}

/// Whether another vendor may be tried after this.
pub fn moves_on(error: &CallError) -> bool {
    error.dialed == Dialed::No && TABLE.iter().any(|row| row.cause == error.cause && row.moves_on)
}

impl Gateway {
    /// What became of a call at one vendor, or that another one gets it.
    pub(super) fn or_moved_on(&self, call: &Call, outcome: Observation) -> Observation {
        let Observation::Failed(error) = outcome else { return outcome };
        match self.next_vendor(call) {
            Some(next) if moves_on(&error) => {
                Observation::FailedOver { error, to: next.vendor.clone() }
            }
            _ => Observation::Failed(error),
        }
    }

    /// Who is tried after the call's vendor.
    pub(super) fn next_vendor<'a>(&self, call: &'a Call) -> Option<&'a Fallback> {
        let configured = self.configured();
        let mut fallbacks = call.fallbacks.iter();
        fallbacks.find(|fallback| configured.account(&fallback.vendor).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_row() {
        let causes: Vec<_> = TABLE.iter().map(|row| row.cause).collect();
        assert_eq!(causes, Cause::ALL);
    }

    #[test]
    fn a_call_that_may_have_been_dialled_stays() {
        for row in TABLE {
            let mut error = CallError::new(row.cause, "X", "it is");
            assert_eq!(moves_on(&error), row.moves_on, "{:?}", row.cause);
            assert!(!row.moves_on || row.cause.dialed() == Dialed::No, "{:?}", row.cause);
            error.dialed = Dialed::Maybe;
            assert!(!moves_on(&error), "{:?}", row.cause);
        }
    }
}
