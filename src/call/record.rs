//! A call as the ledger keeps it, and how news changes it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Attempt, CallError, CallId, CallState, CallerId, Cause, Dialed, Observation, Order,
    ReportedState, RequestId, attempt::take_in_of,
};

/// A vendor of the route that did not dial, and why another one was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    /// The vendor's configured name.
    pub vendor: String,
    /// Why it did not; [`CallError::dialed`] is always no.
    pub error: CallError,
    /// When.
    pub at: Timestamp,
}

/// A vendor of the route that may be tried if those before it certainly did not dial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fallback {
    /// The vendor's configured name.
    pub vendor: String,
    /// The number it would show; what a route has as default is not for every vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
    /// There the gateway would dial again: [`Call::redials`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redials: bool,
}

/// One call, as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Given before a vendor hears of it.
    pub id: CallId,
    /// The request that placed it.
    pub request_id: RequestId,
    /// Its place in that request, from 0.
    pub position: u32,
    /// What was asked for. Shared, for it is long and seldom changes.
    pub order: Arc<Order>,
    /// The configured route.
    pub route: String,
    /// The configured vendor.
    pub vendor: String,
    /// The vendor's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_call_id: Option<String>,
    /// The vendor's id of the exchange in which it took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_request_id: Option<String>,
    /// Where it stands.
    pub state: CallState,
    /// The vendors that were tried before this one, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failovers: Vec<Failover>,
    /// The vendors that may be tried after this one, in order. Empty once a vendor took the
    /// call, or may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Fallback>,
    /// Why it failed or is in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
    /// What the vendor told of attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Whatever else the vendor said.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vendor_data: Map<String, Value>,
    /// When the gateway took it.
    pub create_time: Timestamp,
    /// When anything of it changed last.
    pub update_time: Timestamp,
    /// When it became final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// When the vendor last answered a question about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_time: Option<Timestamp>,
    /// When the gateway looks at it again by itself: to ask its vendor, or to give up on
    /// it. None when nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// While it is scheduled: when it is taken up, to be handed over. None once somebody
    /// has taken it up and waits for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
    /// The gateway dials again when nobody answers: the call asks for it, and its vendor does
    /// not do it itself. Never again once the call was in doubt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redials: bool,
    /// The dials before this one, oldest first, all at [`Call::vendor`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dials: Vec<Dial>,
    /// How often it was held since it was created. Tells whoever says so once more, not knowing
    /// whether the first time was kept, that somebody else may have taken it up since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub holds: u32,
    /// When it was last taken for being handed over, if that was not when it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatch_time: Option<Timestamp>,
    /// Whether the vendor took it, or may have: a call that failed without was never
    /// dialled. While the gateway dials again it is of the next dial, and at the end of all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_over: bool,
    /// Rises with every change a caller can see, from 1.
    pub revision: u64,
}

impl Call {
    /// Takes in one piece of news of the dial that is under way or next. Late, repeated and contradicting news are ordinary
    /// input: the state only moves as [`CallState::moves_to`] allows. Whether
    /// anything a caller can see changed is in the revision; whether anything at all
    /// did is the answer.
    pub fn apply(&mut self, observation: Observation, now: Timestamp) -> bool {
        match observation {
            Observation::Dispatching => self.advance(CallState::Dispatching, now),
            Observation::PutBack => self.put_back(now),
            Observation::Held { until, holds } => self.hold(until, holds, now),
            Observation::Canceled => self.cancel(now),
            Observation::Expired => self.expire(now),
            Observation::Accepted { vendor_call_id, vendor_request_id, data } => {
                self.accept(vendor_call_id, vendor_request_id, data, now)
            }
            Observation::Failed(error) => self.fail(error, now),
            Observation::FailedOver { error, to } => self.fail_over(error, &to, now),
            Observation::GivenUp => self.give_up(now),
            Observation::LastDial => std::mem::take(&mut self.redials),
            // Nobody can tell of a dial that nobody made yet.
            Observation::Reported { .. } if self.waits_between_dials() => false,
            Observation::Reported { report, asked } => {
                let changed = self.report(report, now);
                let fresher = asked && self.asked_time < Some(now);
                if fresher {
                    self.asked_time = Some(now);
                }
                changed || fresher
            }
        }
    }

    /// Has its error say how long to wait from now on, not from when it failed.
    pub fn wait_from(&mut self, now: Timestamp) {
        let failed = self.end_time.unwrap_or(self.update_time);
        let passed = Duration::try_from(now.duration_since(failed)).unwrap_or_default();
        if let Some(error) = &mut self.error {
            let left = error.retry_after.and_then(|wait| wait.checked_sub(passed));
            error.retry_after = left.filter(|left| !left.is_zero());
        }
    }

    /// Sets when the call is looked at again. A call that is over is not, nor one that waits.
    pub fn look_again(&mut self, due: Timestamp) -> bool {
        let goes_on = !self.state.is_final() && self.state != CallState::Scheduled;
        let due = goes_on.then_some(due);
        let moved = self.due != due;
        self.due = due;
        moved
    }

    fn advance(&mut self, next: CallState, now: Timestamp) -> bool {
        if !self.state.moves_to(next) {
            return false;
        }
        self.state = next;
        self.held_until = None;
        if next == CallState::Dispatching {
            self.dispatch_time = Some(now);
        }
        self.handed_over |= next.is_with_vendor() || (next.is_final() && !self.dials.is_empty());
        self.redials &= next != CallState::Unconfirmed && !next.is_final();
        if self.handed_over || next.is_final() {
            self.fallbacks = Vec::new();
        }
        if next.is_final() {
            self.end_time = Some(now);
            self.due = None;
        }
        self.touch(now);
        true
    }

    fn cancel(&mut self, now: Timestamp) -> bool {
        // What is being handed over can't be taken back: the vendor may have it.
        self.state == CallState::Scheduled && self.advance(self.ends_as(CallState::Canceled), now)
    }

    fn expire(&mut self, now: Timestamp) -> bool {
        // Expired is never dialled. Where a vendor has it, or may have had it, it lost a
        // race.
        matches!(self.state, CallState::Scheduled | CallState::Dispatching)
            && self.advance(self.ends_as(CallState::Expired), now)
    }

    fn touch(&mut self, now: Timestamp) {
        self.update_time = self.update_time.max(now);
        self.revision += 1;
    }

    fn accept(
        &mut self,
        vendor_call_id: Option<String>,
        vendor_request_id: Option<String>,
        data: Map<String, Value>,
        now: Timestamp,
    ) -> bool {
        if self.waits_between_dials() {
            return false;
        }
        let before = self.revision;
        let mut learned = false;
        // What names an earlier dial can't name this one.
        let vendor_call_id = vendor_call_id.filter(|id| self.dial_of(&[id]).is_none());
        // A push may overtake the answer: the ids are still news then.
        if self.vendor_call_id.is_none() && vendor_call_id.is_some() {
            self.vendor_call_id = vendor_call_id;
            learned = true;
        }
        if self.vendor_request_id.is_none() && vendor_request_id.is_some() {
            self.vendor_request_id = vendor_request_id;
            learned = true;
        }
        learned |= self.merge(data, Known::Replaced);
        if self.state == CallState::Unconfirmed {
            self.error = None;
        }
        if !self.advance(CallState::Accepted, now) && learned {
            self.touch(now);
        }
        self.revision != before
    }

    fn fail(&mut self, error: CallError, now: Timestamp) -> bool {
        let error = self.after_dials(error);
        let next =
            if error.cause == Cause::InDoubt { CallState::Unconfirmed } else { CallState::Failed };
        // What the vendor took, by its own word, it took, whatever an answer that comes later
        // says; and a call given up on waits for a result, not for a refusal.
        let taken = self.state.is_with_vendor() && self.state != CallState::Unconfirmed;
        let passed = self.state.is_final() || taken;
        // An answer, though it leaves the doubt: from now on nothing is sent again.
        let answered = |known: &CallError| known.unanswered && !error.unanswered;
        if (self.state, next) == (CallState::Unconfirmed, CallState::Unconfirmed)
            && self.error.as_ref().is_some_and(answered)
        {
            self.error = Some(error);
            self.touch(now);
            return true;
        }
        if passed || !self.state.moves_to(next) {
            return false;
        }
        self.vendor_request_id = self
            .vendor_request_id
            .take()
            .or_else(|| error.vendor.as_ref().and_then(|v| v.request_id.clone()));
        // What was refused is one more dial, and not the call.
        let next = if next == CallState::Failed { self.ends_as_refused() } else { next };
        self.error = (next != CallState::Answered).then_some(error);
        self.advance(next, now)
    }

    fn put_back(&mut self, now: Timestamp) -> bool {
        if self.state != CallState::Dispatching || self.handed_over {
            return false;
        }
        self.state = CallState::Scheduled;
        self.due = None;
        self.touch(now);
        true
    }

    fn hold(&mut self, until: Timestamp, holds: u32, now: Timestamp) -> bool {
        let waits = matches!(self.state, CallState::Scheduled | CallState::Dispatching);
        if self.handed_over || !waits || holds != self.holds {
            return false;
        }
        self.hold_until(until);
        self.touch(now);
        true
    }

    fn hold_until(&mut self, until: Timestamp) {
        self.state = CallState::Scheduled;
        self.held_until = Some(until);
        self.holds = self.holds.saturating_add(1);
        self.due = None;
    }

    /// When it was handed over last, as far as it was; else when it was created.
    pub fn handed_over_at(&self) -> Timestamp {
        self.dispatch_time.unwrap_or(self.create_time)
    }

    /// Back to waiting for a turn, at another vendor. Where news of the call came meanwhile,
    /// this vendor has it after all.
    fn fail_over(&mut self, error: CallError, to: &str, now: Timestamp) -> bool {
        // Told again, as after a ledger that kept what it said it had not; or in doubt by now,
        // which a refusal of an earlier moment does not end.
        if self.vendor == to || self.state == CallState::Unconfirmed {
            return false;
        }
        let next = self.fallbacks.iter().position(|fallback| fallback.vendor == to);
        let may_move = self.state == CallState::Dispatching && !self.handed_over;
        let (true, Dialed::No, Some(next)) = (may_move, error.dialed, next) else {
            return self.fail(error, now);
        };
        let next = self.fallbacks.drain(..=next).next_back();
        let Some(Fallback { vendor, caller_id, redials }) = next else { return false };
        self.redials = redials;
        let vendor = std::mem::replace(&mut self.vendor, vendor);
        self.failovers.push(Failover { vendor, error, at: now });
        Arc::make_mut(&mut self.order).caller_id = caller_id;
        self.state = CallState::Scheduled;
        self.due = None;
        self.touch(now);
        true
    }

    fn report(&mut self, report: ReportedState, now: Timestamp) -> bool {
        let before = self.revision;
        let ReportedState { state, attempts, data, error } = report;
        let moves = state.filter(|next| self.state.moves_to(*next)).map(|next| self.ends_as(next));
        let dial = self.dial();
        let behind = moves.is_none() && state.is_some_and(|state| state != self.state);
        // News that contradicts a final state is passed over whole, for its attempts would
        // contradict it too: unless they are told apart from those that led to it.
        if behind && self.state.is_final() {
            let told_apart = attempts.iter().all(|attempt| !attempt.key.is_empty());
            let learned = told_apart && take_in_of(&mut self.attempts, attempts, dial, behind);
            if learned {
                self.touch(now);
            }
            return learned;
        }
        // Late news adds what is not known yet, and takes nothing back.
        let mut learned = self.merge(data, if behind { Known::Kept } else { Known::Replaced });
        learned |= take_in_of(&mut self.attempts, attempts, dial, behind);
        match moves {
            // As it was told: an end that only the dials before give it is followed by none.
            Some(next) if state == Some(next) && self.is_dialed_again(next, now) => {
                self.dial_again(next, now);
            }
            Some(next) => {
                self.handed_over = true;
                self.error = match next {
                    CallState::Failed => error.map(|error| self.after_dials(error)),
                    // Given up on: why it was in doubt is still all there is to say.
                    CallState::Unknown => error.or(self.error.take()),
                    _ => None,
                };
                self.advance(next, now);
            }
            None if learned => self.touch(now),
            None => {}
        }
        self.revision != before
    }

    fn merge(&mut self, data: Map<String, Value>, known: Known) -> bool {
        let mut learned = false;
        for (key, value) in data {
            match self.vendor_data.get(&key) {
                Some(before) if known == Known::Kept || *before == value => {}
                _ => {
                    self.vendor_data.insert(key, value);
                    learned = true;
                }
            }
        }
        learned
    }
}

mod redial;
pub use redial::Dial;

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What becomes of a value that is known when another one comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Kept,
    Replaced,
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod moving_tests;
