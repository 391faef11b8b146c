//! Takes up the calls that wait when their time has come, and hands them over. When that is
//! is kept with each call ([`Call::held_until`]), so a restart goes on where the last run
//! stopped, and what waits costs nothing until then.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::unbounded_channel},
    time::sleep,
};

use super::{
    Gateway,
    account::Account,
    insist::PATIENCE,
    lane::{Answer, Owner},
};
use crate::{
    call::{Call, Observation},
    ledger::{Held, LedgerError, News},
};

/// Calls taken up at a time: what the largest exchange takes.
const CHUNK: u32 = 500;
/// Calls of a vendor that were taken up and wait for their turn, at most: the others wait in
/// the ledger.
pub(super) const MAX_TAKEN_UP: usize = 10_000;
/// The pause after calls were taken up: those whose time comes within it go together.
const GATHER: Duration = Duration::from_millis(5);
/// The pause after a ledger that failed.
const PAUSE: Duration = Duration::from_millis(250);

impl Gateway {
    /// Applies news, as [`crate::ledger::Ledger::observe`], and lets the calls that it holds
    /// be taken up on time.
    pub(super) async fn observe(&self, news: Vec<News>) -> Result<Vec<Call>, LedgerError> {
        let calls = self.inner.ledger.observe(news).await?;
        self.wait_for(&calls);
        Ok(calls)
    }

    /// Whoever takes up what is held is woken in time for these, which are recorded.
    pub(super) fn wait_for(&self, calls: &[Call]) {
        if calls.iter().all(|call| call.held_until.is_none()) {
            return;
        }
        let configured = self.configured();
        for call in calls {
            let Some(until) = call.held_until else { continue };
            tracing::debug!(call = %call.id, vendor = call.vendor, %until, "held");
            if let Some(account) = configured.account(&call.vendor) {
                account.waiting.is_due(until);
            }
        }
    }

    /// Takes up a vendor's calls, each when its time has come, until the gateway stops.
    pub(super) async fn take_up_what_waits(self, account: Arc<Account>) {
        let room = Arc::new(Semaphore::new(MAX_TAKEN_UP));
        let mut ticket = self.new_ticket();
        while let Some(mut place) = self.place_for_a_chunk(&room).await {
            // From here on whoever holds a call wakes us; before, we would have found it.
            account.waiting.awake();
            let now = self.inner.clock.now();
            let limit = CHUNK as usize;
            let Held { calls, next } = match self
                .inner
                .ledger
                .take_up(account.name(), now, limit, ticket)
                .await
            {
                Ok(held) => held,
                Err(error) => {
                    tracing::warn!(%error, vendor = account.name(), "calls that wait can't be taken up");
                    self.pause(PAUSE).await;
                    continue;
                }
            };
            ticket = self.new_ticket();
            for call in &calls {
                tracing::debug!(call = %call.id, vendor = call.vendor, dial = call.dial(), "taken up");
            }
            if calls.is_empty() {
                drop(place);
                self.rest(&account.waiting, next, now).await;
                continue;
            }
            let is_full = calls.len() >= limit;
            let calls = self.expire_some(calls).await;
            drop(place.split(limit.saturating_sub(calls.len())));
            let (gateway, account) = (self.clone(), Arc::clone(&account));
            self.inner.tasks.spawn(async move {
                gateway.hand_over_in_turn(&account, calls).await;
                drop(place);
            });
            if !is_full {
                self.pause(GATHER).await;
            }
        }
    }

    /// Hands calls over that were taken up, each in its turn. What moves on from here is held
    /// for whoever takes up what waits for the next vendor, so that a slow one there takes no
    /// place of this vendor's calls.
    async fn hand_over_in_turn(&self, account: &Arc<Account>, calls: Vec<Call>) {
        let (to, mut answers) = unbounded_channel();
        let owner = Arc::new(Owner::new(to, true));
        let mut out = calls.len();
        self.queue(account, calls, &owner, None, None);
        while out > 0 {
            let Some(first) = answers.recv().await else { return };
            let mut some = vec![first];
            while let Ok(answer) = answers.try_recv() {
                some.push(answer);
            }
            out = out.saturating_sub(some.len());
            let mut moved = Vec::new();
            for answer in some {
                match answer {
                    // It waits for the same vendor, and is in hand still.
                    Answer::Again(call, Some(apart)) => {
                        out += 1;
                        self.queue(account, vec![call], &owner, Some(&apart), None);
                    }
                    Answer::Again(call, None) => moved.push(call),
                    Answer::Done(_) | Answer::Lost => {}
                }
            }
            if !moved.is_empty() {
                self.hold_for_the_next(moved).await;
            }
        }
    }

    async fn hold_for_the_next(&self, calls: Vec<Call>) {
        let at = self.inner.clock.now();
        let held = |call: &Call| News {
            call: call.id,
            observation: Observation::Held { until: at, holds: call.holds },
            at,
            due: None,
            vendor: None,
            dial: Some(call.dial()),
        };
        let mut news: Vec<_> = calls.iter().map(held).collect();
        if let Err(error) = self.insist_on(PATIENCE, &mut news).await {
            tracing::error!(%error, calls = news.len(), "calls that move on can't be held yet");
            self.inner.tasks.spawn(self.clone().put_back_later(news));
        }
    }

    /// Ends those of the calls that must not be dialled any more, without waiting for their
    /// turn; gives the others. What can't be recorded now is found out at their turn.
    async fn expire_some(&self, calls: Vec<Call>) -> Vec<Call> {
        let at = self.inner.clock.now();
        let is_over = |call: &Call| call.order.expire_time.is_some_and(|end| end <= at);
        if !calls.iter().any(is_over) {
            return calls;
        }
        let (over, mut rest): (Vec<_>, Vec<_>) = calls.into_iter().partition(is_over);
        let expired = |call: &Call| News {
            call: call.id,
            observation: Observation::Expired,
            at,
            due: None,
            vendor: None,
            dial: Some(call.dial()),
        };
        if let Err(error) = self.observe(over.iter().map(expired).collect()).await {
            tracing::warn!(%error, calls = over.len(), "calls that expired can't be recorded yet");
            rest.extend(over);
        }
        rest
    }

    /// What calls are taken up with, by whomever: nobody else has it in this process.
    fn new_ticket(&self) -> u32 {
        self.inner.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// None once the gateway stops.
    async fn place_for_a_chunk(&self, room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            // In this order every time, so that a simulation can be repeated.
            biased;
            () = self.inner.stopping.cancelled() => None,
            place = Arc::clone(room).acquire_many_owned(CHUNK) => place.ok(),
        }
    }

    /// Waits, unless the gateway stops.
    pub(super) async fn pause(&self, pause: Duration) {
        tokio::select! {
            // In this order every time, so that a simulation can be repeated.
            biased;
            () = sleep(pause) => {}
            () = self.inner.stopping.cancelled() => {}
        }
    }
}
