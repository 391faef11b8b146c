//! What becomes of calls while their vendor's breaker lets nothing through. They certainly were
//! not sent, so another vendor may have them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Configured, Gateway, account::Account, dispatch::is_in_hand, settle::later};
use crate::{
    call::{Call, CallError, Cause, Fallback, Observation},
    config::Route,
};

impl Gateway {
    /// What becomes of a call whose vendor gets nothing for so long. `taken_up` says that it
    /// waited, and nobody for it: such a call waits on where there is nobody else to go to.
    pub(super) fn while_shut(
        &self,
        account: &Account,
        call: &Call,
        taken_up: bool,
        wait: Duration,
        now: Timestamp,
    ) -> Observation {
        let waits = taken_up || call.holds > 0;
        if waits && self.next_vendor(call).is_none() {
            let expires = call.order.expire_time.unwrap_or(Timestamp::MAX);
            // It expires on time, though the vendor does not come back.
            let until = later(now, wait).min(expires);
            return Observation::Held { until, holds: call.holds };
        }
        Observation::Failed(shut(account, wait))
    }

    /// The same for a call that is not claimed yet: none for one that moves on or fails, or
    /// may go.
    pub(super) fn held_while_shut(
        &self,
        account: &Account,
        call: &Call,
        taken_up: bool,
        now: Timestamp,
    ) -> Option<Observation> {
        let observation = self.while_shut(account, call, taken_up, account.shut_for()?, now);
        matches!(observation, Observation::Held { .. }).then_some(observation)
    }
}

impl Configured {
    /// Of a call that is not recorded yet, and would go now: the first vendor that gets
    /// anything has it.
    pub(super) fn pass_over_the_shut(&self, call: &mut Call, route: &Route, now: Timestamp) {
        if !is_in_hand(call) || !self.is_shut(&call.vendor) {
            return;
        }
        let Some(next) = call.fallbacks.iter().position(|f| !self.is_shut(&f.vendor)) else {
            return;
        };
        self.put_first(call, next, route, now);
    }

    /// The fallback of this index has the call, and those before come after all others, so that
    /// they are still tried, or say how long to wait, if none of these dials.
    pub(super) fn put_first(&self, call: &mut Call, next: usize, route: &Route, now: Timestamp) {
        if next >= call.fallbacks.len() {
            return;
        }
        let mut ahead: Vec<_> = call.fallbacks.drain(..=next).collect();
        let Some(Fallback { vendor, caller_id, redials }) = ahead.pop() else { return };
        let first = Fallback {
            vendor: std::mem::replace(&mut call.vendor, vendor),
            caller_id: std::mem::replace(&mut Arc::make_mut(&mut call.order).caller_id, caller_id),
            redials: std::mem::replace(&mut call.redials, redials),
        };
        call.fallbacks.push(first);
        call.fallbacks.append(&mut ahead);
        // One vendor may get a start time itself, and another may not.
        self.hold_until_its_turn(call, route, now);
    }

    fn is_shut(&self, vendor: &str) -> bool {
        self.account(vendor).is_some_and(|account| account.shut_for().is_some())
    }
}

fn shut(account: &Account, wait: Duration) -> CallError {
    let message = format!(
        "{} failed again and again, so nothing is sent to it for a while; nothing was sent",
        account.name()
    );
    CallError {
        retry_after: Some(wait),
        ..CallError::new(Cause::Unreachable, "BREAKER_OPEN", message)
    }
}
