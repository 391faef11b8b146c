//! Dialling again: when a call gets another dial, and what news of the dials before it
//! comes to. A person's phone rings because of this, so whatever is in doubt ends the call.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    super::attempt::{Attempt, take_in_of},
    Call, CallError, CallState, Cause, Dialed, Known, Observation, ReportedState,
};

/// A dial that is over, after which the gateway dials again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dial {
    /// The vendor's id of it: what tells its late news from that of the next one.
    pub vendor_call_id: String,
    /// The vendor's id of the exchange in which it took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_request_id: Option<String>,
    /// How it ended; [`CallState::Answered`] if that was learned later.
    pub state: CallState,
    /// When its end was told.
    pub at: Timestamp,
}

impl Call {
    /// Which dial of the call is under way or next, from 0.
    pub fn dial(&self) -> u32 {
        u32::try_from(self.dials.len()).unwrap_or(u32::MAX)
    }

    /// The earlier dial that has one of these ids.
    pub fn dial_of(&self, ids: &[impl AsRef<str>]) -> Option<u32> {
        let named = |dial: &Dial| ids.iter().any(|id| id.as_ref() == dial.vendor_call_id);
        self.dials.iter().position(named).and_then(|dial| u32::try_from(dial).ok())
    }

    /// Takes in one piece of news, of the dial that it is of. None means whichever is under
    /// way or next. News of an earlier dial never moves the one after it.
    pub fn apply_to(
        &mut self,
        dial: Option<u32>,
        observation: Observation,
        now: Timestamp,
    ) -> bool {
        match (dial, observation) {
            (Some(dial), Observation::Reported { report, .. }) if dial < self.dial() => {
                self.hear_of_earlier(dial, report, now)
            }
            (Some(dial), _) if dial != self.dial() => false,
            (_, observation) => self.apply(observation, now),
        }
    }

    /// Nobody has the next dial yet, so nobody can have news of it.
    pub(super) fn waits_between_dials(&self) -> bool {
        self.state == CallState::Scheduled && !self.dials.is_empty()
    }

    /// Whether the end of this dial is followed by another one.
    pub(super) fn is_dialed_again(&self, end: CallState, now: Timestamp) -> bool {
        // Certainly taken, and certainly not answered.
        let may_follow = matches!(end, CallState::Busy | CallState::NoAnswer)
            && matches!(
                self.state,
                CallState::Dispatching
                    | CallState::Accepted
                    | CallState::Ringing
                    | CallState::InProgress
            )
            && self.vendor_call_id.as_ref().is_some_and(|id| !id.is_empty())
            && !self.attempts.iter().any(Attempt::shows_an_answer)
            && !self.dials.iter().any(|dial| dial.state == CallState::Answered);
        let Some(retry) = self.order.retry.filter(|retry| retry.is_wanted()) else { return false };
        let in_time = self.order.expire_time.is_none_or(|end| self.next_dial_at(now) < end);
        self.redials && may_follow && self.dial().saturating_add(1) < retry.dials() && in_time
    }

    fn next_dial_at(&self, now: Timestamp) -> Timestamp {
        let pause = self.order.retry.map(super::super::Retry::pause).unwrap_or_default();
        let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
        now.checked_add(pause).unwrap_or(Timestamp::MAX)
    }

    /// This dial ended so, and the call waits for the next one.
    pub(super) fn dial_again(&mut self, end: CallState, now: Timestamp) {
        let until = self.next_dial_at(now);
        let dial = self.dial();
        let Some(vendor_call_id) = self.vendor_call_id.take() else { return };
        if !self.attempts.iter().any(|attempt| attempt.dial == dial) {
            let mut attempt = Attempt::untold(end, dial);
            // Of several nobody knows which one rang.
            if let [number] = self.order.to.as_slice() {
                attempt.to = number.plus();
            }
            take_in_of(&mut self.attempts, vec![attempt], dial, false);
        }
        let vendor_request_id = self.vendor_request_id.take();
        self.dials.push(Dial { vendor_call_id, vendor_request_id, state: end, at: now });
        self.hold_until(until);
        self.handed_over = false;
        self.fallbacks = Vec::new();
        self.error = None;
        self.touch(now);
    }

    /// How a call ends that is said to end so, with what its earlier dials came to: somebody
    /// who was reached was reached, and what was dialled can't be taken back or expire
    /// undialled.
    pub(super) fn ends_as(&self, next: CallState) -> CallState {
        let never_dialed = matches!(next, CallState::Canceled | CallState::Expired);
        let answered = self.dials.iter().any(|dial| dial.state == CallState::Answered);
        match self.dials.last() {
            Some(_) if answered && next.is_final() => CallState::Answered,
            Some(last) if never_dialed => last.state,
            _ => next,
        }
    }

    /// How a call ends whose dial was refused.
    pub(super) fn ends_as_refused(&self) -> CallState {
        if self.dials.is_empty() { CallState::Failed } else { self.ends_as(CallState::Canceled) }
    }

    /// A refusal of a later dial says nothing of the phone that rang before.
    pub(super) fn after_dials(&self, error: CallError) -> CallError {
        let dialed = if self.dials.is_empty() { error.dialed } else { Dialed::Maybe };
        CallError { dialed, ..error }
    }

    /// The end of a call whose vendor has not told it. What is known of its attempts is the
    /// end of those: the vendor may dial again, but has had its time to. The gateway does not.
    pub(super) fn give_up(&mut self, now: Timestamp) -> bool {
        if !self.state.is_with_vendor() {
            return false;
        }
        let dial = self.dial();
        let last = self.attempts.iter().rfind(|attempt| attempt.dial == dial);
        let state = last.map(|attempt| attempt.state).filter(|state| state.is_not_answered());
        let state = self.ends_as(state.unwrap_or(CallState::Unknown));
        self.error = match state {
            // Why it was in doubt is still all there is to say.
            CallState::Unknown => Some(self.error.take().unwrap_or_else(|| {
                CallError::new(
                    Cause::InDoubt,
                    "NO_RESULT",
                    "the vendor took the call and has not told how it ended, in all the time it had",
                )
            })),
            _ => None,
        };
        self.advance(state, now)
    }

    /// Late news of an earlier dial. Only that somebody was reached changes anything: then
    /// nothing more is dialled.
    fn hear_of_earlier(&mut self, dial: u32, report: ReportedState, now: Timestamp) -> bool {
        let ReportedState { state, attempts, data, error: _ } = report;
        let place = usize::try_from(dial).ok().and_then(|dial| self.dials.get_mut(dial));
        let Some(earlier) = place else { return false };
        let is_answered = |attempt: &Attempt| attempt.state == CallState::Answered;
        let answered = state == Some(CallState::Answered) || attempts.iter().any(is_answered);
        let behind = !answered && state.is_some_and(|state| state != earlier.state);
        let reached = answered || attempts.iter().any(Attempt::shows_an_answer);
        let told_apart = attempts.iter().all(|attempt| !attempt.key.is_empty());
        let news = answered && earlier.state != CallState::Answered;
        if answered {
            earlier.state = CallState::Answered;
        }
        let mut changed = news || (reached && self.redials);
        self.redials &= !reached;
        let mut seen = false;
        if !behind || told_apart {
            seen |= take_in_of(&mut self.attempts, attempts, dial, behind);
            seen |= self.merge(data, Known::Kept);
        }
        let ended = match self.state {
            CallState::Scheduled if reached => self.advance(self.ends_as_refused(), now),
            now_at if now_at.is_final() && news && now_at.moves_to(CallState::Answered) => {
                self.error = None;
                self.advance(CallState::Answered, now)
            }
            _ => false,
        };
        changed |= seen | ended;
        if seen && !ended {
            self.touch(now);
        }
        changed
    }
}

#[cfg(test)]
#[path = "redial_tests.rs"]
mod tests;
