//! Takes calls that waited for the exchange that has its turn now, and sends what is its own.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc::unbounded_channel, time::sleep};

use super::{
    Gateway,
    batch::Batch,
    dispatch::ours_again,
    insist::{LONGEST_PAUSE, PATIENCE, is_final},
    lane::{Answer, Owner, Owners},
    traced::COMMIT,
};
use crate::{
    call::{Call, CallId, CallState, Observation},
    ledger::{Claim, LedgerError, News},
    telemetry::{Traced, waited},
};

impl Gateway {
    /// Claims a batch that waited, sends what is ours of it, and tells whose calls are in it.
    pub(super) async fn take_turn(self, mut batch: Batch) {
        let mut owners = std::mem::take(&mut batch.owners);
        self.put_off_some(&mut batch, &mut owners);
        owners.done(self.hold_some(&mut batch, &owners).await);
        while !batch.calls.is_empty() {
            let entry = batch.write(self.inner.clock.now());
            let uncertain = AtomicBool::new(false);
            let claim = || async {
                let ids = batch.calls.iter().map(|call| call.id).collect();
                let now = self.inner.clock.now();
                let claimed = self.inner.ledger.claim(ids, now, entry.clone()).await;
                uncertain
                    .fetch_or(matches!(claimed, Err(LedgerError::Uncertain(_))), Ordering::Relaxed);
                claimed
            };
            let begun = std::time::Instant::now();
            let claimed = self.insist(PATIENCE, claim).await;
            waited(COMMIT, begun, None);
            match claimed {
                Ok(Claim { mine, others, left }) => {
                    self.give_away(&batch, others, uncertain.into_inner(), &mut owners).await;
                    // Of these alone something else goes out. Each time they are fewer.
                    if !left.is_empty() {
                        batch.calls = left;
                        continue;
                    }
                    batch.calls = mine;
                    batch.taken_up = taken_up(&batch.calls, &owners);
                    let settled = self.hand_over(batch).await;
                    owners.done(settled.done);
                    owners.again(settled.again);
                }
                Err(error) => {
                    // They are recorded as waiting, and that is what the caller is told.
                    tracing::error!(%error, vendor = batch.account.name(), "waiting calls can't be claimed; they wait on");
                    let calls = std::mem::take(&mut batch.calls);
                    for owner in calls.iter().filter_map(|call| owners.of(call.id)) {
                        owner.given_up.store(!is_final(&error), Ordering::Relaxed);
                    }
                    let put_off = if is_final(&error) { Vec::new() } else { calls.clone() };
                    self.put_off(put_off, &owners, uncertain.into_inner());
                    owners.done(calls);
                }
            }
            return;
        }
    }

    /// Calls that were not ours to claim.
    async fn give_away(
        &self,
        batch: &Batch,
        others: Vec<Call>,
        uncertain: bool,
        owners: &mut Owners,
    ) {
        for call in &others {
            tracing::debug!(call = %call.id, state = call.state.name(), "not handed over");
        }
        // What was held since, or dialled, is somebody else's by now.
        let as_it_was = |call: &Call| {
            let ours = batch.calls.iter().find(|ours| ours.id == call.id);
            ours.is_some_and(|ours| (ours.dial(), ours.holds) == (call.dial(), call.holds))
        };
        let maybe_ours =
            |call: &Call| uncertain || owners.of(call.id).is_some_and(|owner| owner.maybe_claimed);
        let (claimed, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|call| maybe_ours(call) && as_it_was(call));
        owners.done(others);
        self.put_back(claimed, owners).await;
    }

    /// Calls of those whose others could not be claimed: they need not wait for the ledger with
    /// each exchange.
    fn put_off_some(&self, batch: &mut Batch, owners: &mut Owners) {
        let given_up = |call: &Call| {
            owners.of(call.id).is_some_and(|owner| owner.given_up.load(Ordering::Relaxed))
        };
        if !batch.calls.iter().any(given_up) {
            return;
        }
        let calls = std::mem::take(&mut batch.calls);
        let (put_off, rest): (Vec<_>, Vec<_>) = calls.into_iter().partition(given_up);
        batch.calls = rest;
        self.put_off(put_off.clone(), owners, false);
        owners.done(put_off);
    }

    /// Takes those calls out of a batch that must not be handed over now, whatever the time
    /// was when they began to wait; gives them as they are recorded then.
    async fn hold_some(&self, batch: &mut Batch, owners: &Owners) -> Vec<Call> {
        let at = self.inner.clock.now();
        let mut news = Vec::new();
        let calls = std::mem::take(&mut batch.calls);
        let (held, due): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| {
            let observation = match self.not_now(&batch.account, call, at) {
                // The claim says so.
                Some(Observation::Expired) => return false,
                Some(observation) => observation,
                None if batch.account.is_gone() => match self.held_while_gone(call, at) {
                    None => return false,
                    Some(observation) => observation,
                },
                None => {
                    let taken_up = owners.of(call.id).is_some_and(|owner| owner.taken_up);
                    match self.held_while_shut(&batch.account, call, taken_up, at) {
                        None => return false,
                        Some(observation) => observation,
                    }
                }
            };
            let dial = Some(call.dial());
            news.push(News { call: call.id, observation, at, due: None, vendor: None, dial });
            true
        });
        batch.calls = due;
        let configured = self.configured();
        let astray = held.iter().find(|call| configured.route(&call.route).is_none());
        if let Some(call) = astray {
            tracing::warn!(
                route = call.route,
                "calls wait whose route is not configured any more; they go when it is back"
            );
        }
        match self.insist_on(PATIENCE, &mut news).await {
            Ok(calls) => calls,
            Err(error) => {
                tracing::error!(%error, calls = held.len(), "calls that must not be dialled now can't be held yet");
                self.inner.tasks.spawn(self.clone().put_back_later(news).here());
                held
            }
        }
    }

    /// Of calls that were not ours to claim: those that are dispatching were claimed by a try
    /// before, which was kept though it failed. Nothing was sent of them, and they wait for
    /// another turn; with a ledger that fails for long that goes on in the background.
    async fn put_back(&self, calls: Vec<Call>, owners: &mut Owners) {
        let (claimed, others): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| call.state == CallState::Dispatching);
        owners.done(others);
        let at = self.inner.clock.now();
        let back = |call: &Call| News {
            call: call.id,
            observation: Observation::PutBack,
            at,
            due: None,
            vendor: None,
            dial: Some(call.dial()),
        };
        let mut news: Vec<_> = claimed.iter().map(back).collect();
        match self.insist_on(PATIENCE, &mut news).await {
            Ok(calls) => {
                let (ours, others) = ours_again(&news, calls);
                owners.again(ours.into_iter().map(|call| (call, None)).collect());
                owners.done(others);
            }
            Err(error) => {
                tracing::error!(%error, calls = claimed.len(), "calls that were claimed twice can't be put back yet");
                owners.done(claimed);
                self.inner.tasks.spawn(self.clone().put_back_later(news).here());
            }
        }
    }

    /// Records in the background what is to wait again, and goes on with what is ours of it.
    pub(super) async fn put_back_later(self, mut news: Vec<News>) {
        match self.insist_on(Duration::MAX, &mut news).await {
            Ok(calls) => drop(self.dispatch_again(ours_again(&news, calls).0).await),
            Err(error) => {
                tracing::error!(%error, calls = news.len(), "calls that were to wait again stay as they are");
            }
        }
    }

    /// Tries calls again after a while, in the background. Those whose claim may have been kept
    /// are known by that.
    fn put_off(&self, calls: Vec<Call>, owners: &Owners, uncertain: bool) {
        let is =
            |call: &Call, what: fn(&Owner) -> bool| owners.of(call.id).is_some_and(|o| what(o));
        let (mut certain, mut doubtful) = (Vec::new(), Vec::new());
        for call in calls {
            let taken_up = is(&call, |owner| owner.taken_up);
            if uncertain || is(&call, |owner| owner.maybe_claimed) {
                doubtful.push((call, taken_up));
            } else {
                certain.push((call, taken_up));
            }
        }
        for (calls, maybe_claimed) in [(certain, false), (doubtful, true)] {
            for taken_up in [false, true] {
                let calls: Vec<_> = calls
                    .iter()
                    .filter(|(_, was_taken_up)| *was_taken_up == taken_up)
                    .map(|(call, _)| call.clone())
                    .collect();
                if !calls.is_empty() {
                    let later = self.clone().later(calls, taken_up, maybe_claimed);
                    self.inner.tasks.spawn(later.here());
                }
            }
        }
    }

    fn later(
        self,
        calls: Vec<Call>,
        taken_up: bool,
        maybe_claimed: bool,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            sleep(LONGEST_PAUSE).await;
            let (to, mut answers) = unbounded_channel();
            let owner = match maybe_claimed {
                true => Owner::of_maybe_claimed(to, taken_up),
                false => Owner::new(to, taken_up),
            };
            let configured = self.configured();
            let Some(account) = calls.first().and_then(|c| configured.account_or_gone(&c.vendor))
            else {
                return;
            };
            let (mut out, owner) = (calls.len(), Arc::new(owner));
            self.queue(account, calls, &owner, None, None);
            let mut moved = Vec::new();
            while out > 0
                && let Some(answer) = answers.recv().await
            {
                match answer {
                    Answer::Again(call, Some(apart)) => {
                        self.queue(account, vec![call], &owner, Some(&apart), None);
                    }
                    Answer::Again(call, None) => {
                        out -= 1;
                        moved.push((call, None));
                    }
                    Answer::Done(_) | Answer::Lost => out -= 1,
                }
            }
            if !moved.is_empty() {
                self.dispatch(Vec::new(), moved, None).await;
            }
        })
    }
}

/// Those of the calls that waited for their time.
fn taken_up(calls: &[Call], owners: &Owners) -> HashSet<CallId> {
    let ids = calls.iter().map(|call| call.id);
    ids.filter(|id| owners.of(*id).is_some_and(|owner| owner.taken_up)).collect()
}
