//! Whether a request gets its turn in time. Said before anything is recorded: what can't be
//! served is refused at once, goes to another vendor, or waits in the ledger where its route
//! says so.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Gateway, GatewayError, Prepared, account::Account, dispatch::is_in_hand, lane::TOO_LATE,
};
use crate::{call::Call, config::Route};

/// When to try again where it is not the pace that keeps calls waiting.
const BUSY: Duration = Duration::from_secs(1);

impl Gateway {
    /// Sees to it that those calls that would go now get their turn in time.
    ///
    /// # Errors
    /// [`GatewayError::NoTurn`] when they would not; nothing is to be done of the request then.
    pub(super) fn admit(&self, prepared: &mut Prepared) -> Result<(), GatewayError> {
        let now = Instant::now();
        let configured = Arc::clone(&prepared.configured);
        let Some(route) = configured.route(&prepared.route) else { return Ok(()) };
        if prepared.deadline.is_none() && !prepared.queues {
            return Ok(());
        }
        // Nobody is to wait for a turn that is in the ledger's hands.
        let patience = (!prepared.queues).then(|| prepared.patience(now));
        // Each vendor is looked at once at most.
        for _ in 0..=route.vendors.len() {
            let late = late(prepared, patience, now);
            let Some((vendor, count)) = late else { return Ok(()) };
            if self.pass_over_the_late(prepared, &vendor, count, patience, route, now) {
                continue;
            }
            let Some(account) = configured.account(&vendor) else { return Ok(()) };
            let Some(patience) = patience else {
                self.queue_up(prepared);
                return Ok(());
            };
            return Err(account.no_turn(count, patience, now));
        }
        Ok(())
    }

    /// Gives the calls of a vendor that is too late to the next one that is not, as far as they
    /// have one. False when some have none.
    fn pass_over_the_late(
        &self,
        prepared: &mut Prepared,
        vendor: &str,
        count: usize,
        patience: Option<Duration>,
        route: &Route,
        now: Instant,
    ) -> bool {
        let configured = Arc::clone(&prepared.configured);
        let in_time = |name: &str| {
            let account = configured.account(name);
            account.is_some_and(|a| a.shut_for().is_none() && a.is_in_time(count, patience, now))
        };
        let late = |call: &&mut Call| is_in_hand(call) && call.vendor == vendor;
        let next: Vec<_> = prepared
            .calls
            .iter_mut()
            .filter(late)
            .map(|call| call.fallbacks.iter().position(|fallback| in_time(&fallback.vendor)))
            .collect();
        if next.iter().any(Option::is_none) {
            return false;
        }
        let time = prepared.create_time;
        for (call, next) in prepared.calls.iter_mut().filter(late).zip(next.into_iter().flatten()) {
            configured.put_first(call, next, route, time);
        }
        true
    }

    /// What would go now waits in the ledger, for whoever takes up what waits there.
    pub(super) fn queue_up(&self, prepared: &mut Prepared) {
        let time = super::turn::to_the_millisecond(prepared.create_time);
        for call in prepared.calls.iter_mut().filter(|call| is_in_hand(call)) {
            call.held_until = Some(time);
        }
    }
}

/// The first vendor whose calls would come too late, and how many they are.
fn late(prepared: &Prepared, patience: Option<Duration>, now: Instant) -> Option<(String, usize)> {
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for call in prepared.calls.iter().filter(|call| is_in_hand(call)) {
        match seen.iter_mut().find(|(vendor, _)| *vendor == call.vendor) {
            Some((_, count)) => *count += 1,
            None => seen.push((&call.vendor, 1)),
        }
    }
    let is_late = |(vendor, count): &(&str, usize)| {
        let account = prepared.configured.account(vendor);
        account.is_some_and(|account| !account.is_in_time(*count, patience, now))
    };
    seen.into_iter().find(is_late).map(|(vendor, count)| (vendor.to_owned(), count))
}

impl Account {
    /// Whether so many calls get their turn within so long; at once, where nobody has patience.
    fn is_in_time(&self, calls: usize, patience: Option<Duration>, now: Instant) -> bool {
        match patience {
            Some(patience) => self.wait_for_turn(calls, now) <= patience,
            None => self.has_turn(calls, now),
        }
    }

    /// What is told to a caller whose calls get no turn within so long.
    pub(super) fn no_turn(&self, calls: usize, patience: Duration, now: Instant) -> GatewayError {
        let rate = self.rate();
        let requests = calls.div_ceil(self.max_batch());
        // Were nobody else there.
        let windows = |limit: Option<u32>, count: usize| {
            let limit = limit.map_or(usize::MAX, |limit| limit.max(1) as usize);
            u32::try_from(count.saturating_sub(1) / limit).unwrap_or(u32::MAX)
        };
        let windows = windows(rate.calls, calls).max(windows(rate.requests, requests));
        let helps = rate.per.saturating_mul(windows) <= patience;
        let wait = match self.wait_for_turn(calls, now) {
            Duration::ZERO => BUSY,
            wait => wait.max(TOO_LATE),
        };
        GatewayError::NoTurn {
            vendor: self.name().to_owned(),
            rate,
            calls,
            wait: helps.then_some(wait),
        }
    }
}
