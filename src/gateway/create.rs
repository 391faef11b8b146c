//! Places calls: on disk first, then to the vendors, then the answer.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    Gateway, GatewayError, Prepared,
    account::Account,
    batch::{Batch, cut, outgoing},
    dispatch::is_in_hand,
    fresh::Fresh,
    idempotency::Seat,
    lane::{Apart, Grant, Group},
    settle::nothing_new,
    traced::COMMIT,
};
use crate::{
    call::{Call, CallState, Observation},
    ledger::{LedgerError, NewRequest, News, OutboxEntry, Recorded},
    telemetry::{Trace, Traced, waited},
};

/// Who waited as long may have been put on the do-not-call list meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its calls, in its order; shared by all who wait for them.
    pub calls: Arc<Vec<Call>>,
    /// The request was seen before; this is what is recorded of it.
    pub replayed: bool,
}

impl Gateway {
    /// Places a request, for who has its seat.
    pub(super) fn begin(&self, mut prepared: Prepared, seat: Seat, counted: TaskTrackerToken) {
        let admitted = match self.is_stopping() {
            true => Err(GatewayError::Stopping),
            false => self.admit(&mut prepared),
        };
        // More than fits into the semaphore can't come: a request has 5,000 calls at most.
        // What is held waits in the ledger.
        let in_memory = prepared.calls.iter().filter(|call| call.held_until.is_none()).count();
        let count = u32::try_from(in_memory).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.inner.waiting).try_acquire_many_owned(count);
        let admitted = match &places {
            Ok(_) => admitted,
            Err(_) => admitted.and(Err(GatewayError::Overloaded)),
        };
        let (places, since) = (places.ok(), Instant::now());
        let fresh = Fresh {
            prepared,
            seat,
            counted,
            places,
            since,
            trace: Trace::current(),
            recorded: None,
        };
        if let Err(error) = admitted {
            return self.refuse_new(fresh, error);
        }
        match self.whole(&fresh) {
            Some((account, group)) => self.enter(&account, group, fresh),
            None => fresh.spawn_parts(self, None),
        }
    }

    /// Where a request goes whose calls go in one exchange.
    fn whole(&self, fresh: &Fresh) -> Option<(Arc<Account>, Group)> {
        let first = fresh.in_hand().next()?;
        let account = fresh.prepared.configured.account(&first.vendor)?;
        let name = account.group_of(fresh)?;
        Some((Arc::clone(account), Group { name, apart: None }))
    }

    /// Records requests whose calls go in one exchange, and hands them over.
    pub(super) async fn place_together(
        self,
        account: Arc<Account>,
        mut all: Vec<Fresh>,
        grant: Grant,
    ) {
        self.look_again(&mut all).await;
        if all.is_empty() {
            return;
        }
        let mut batch = Batch::of(&account, grant);
        loop {
            batch.calls = all.iter_mut().flat_map(Fresh::dispatching).collect();
            let mut requests: Vec<_> = all.iter().map(Fresh::record).collect();
            let outbox = batch.write(self.inner.clock.now());
            if let Some(first) = requests.first_mut() {
                first.outbox.extend(outbox);
            }
            let begun = std::time::Instant::now();
            let recorded = self.inner.ledger.record_all(requests).await;
            waited(COMMIT, begun, None);
            match recorded {
                Ok(recorded) if recorded.iter().all(|r| matches!(r, Recorded::New)) => break,
                Ok(recorded) => {
                    let mut left = Vec::with_capacity(all.len());
                    for (fresh, recorded) in all.into_iter().zip(recorded) {
                        match recorded {
                            Recorded::Before(record) => self.replayed(fresh, record).await,
                            Recorded::New | Recorded::Left => left.push(fresh),
                        }
                    }
                    all = left;
                    if all.is_empty() {
                        return;
                    }
                }
                // One of them may be to blame, or they are too many together.
                Err(LedgerError::Unreadable { .. } | LedgerError::Overloaded(_))
                    if all.len() > 1 =>
                {
                    for mut fresh in all {
                        fresh.wait_on();
                        fresh.spawn_parts(&self, None);
                    }
                    return;
                }
                Err(error) => {
                    for fresh in all {
                        self.unrecorded(fresh, &error);
                    }
                    return;
                }
            }
        }
        for fresh in &all {
            self.wait_for(&fresh.prepared.calls);
        }
        let settled = self.hand_over(batch).await;
        let mut again = Vec::new();
        if let [fresh] = all.as_mut_slice() {
            fresh.take(settled.done);
            again.push(settled.again);
        } else {
            let ids = all.iter().enumerate();
            let by_id: HashMap<_, _> =
                ids.map(|(index, fresh)| (fresh.prepared.request_id.clone(), index)).collect();
            again.resize_with(all.len(), Vec::new);
            for call in settled.done {
                let index = by_id.get(&call.request_id);
                if let Some(fresh) = index.and_then(|index| all.get_mut(*index)) {
                    fresh.take([call]);
                }
            }
            for call in settled.again {
                let index = by_id.get(&call.0.request_id);
                if let Some(again) = index.and_then(|index| again.get_mut(*index)) {
                    again.push(call);
                }
            }
        }
        for (fresh, again) in all.into_iter().zip(again) {
            if again.is_empty() {
                fresh.created();
            } else {
                let trace = fresh.trace.clone();
                tokio::spawn(self.clone().go_on(fresh, again).within(trace));
            }
        }
    }

    /// Looks once more which numbers must not be called, of requests that waited: one read for
    /// all of them.
    async fn look_again(&self, all: &mut Vec<Fresh>) {
        let waited = |fresh: &Fresh| fresh.since.elapsed() >= LOOK_AGAIN;
        let calls = all.iter().filter(|fresh| waited(fresh)).flat_map(|f| &f.prepared.calls);
        match self.on_the_list(calls).await {
            Ok(listed) => {
                let now = self.inner.clock.now();
                for fresh in all.iter_mut().filter(|_| !listed.is_empty()) {
                    fresh.prepared.refuse_listed(&listed, now);
                }
            }
            Err(error) => {
                for fresh in std::mem::take(all) {
                    self.refuse_new(fresh, error.clone().into());
                }
            }
        }
    }

    /// Goes on with those of a request's calls that wait for another turn.
    async fn go_on(self, mut fresh: Fresh, again: Vec<(Call, Option<Apart>)>) {
        let done = self.dispatch(Vec::new(), again, None).await;
        fresh.take(done);
        fresh.created();
    }

    /// Records a request whose calls can't go in one exchange now, sends what can go, and has
    /// the rest wait for its turn; with a ticket in the place of who had it.
    pub(super) async fn place_in_parts(self, mut fresh: Fresh, ticket: Option<i64>) {
        let mut batches = match ticket {
            None => self.batches(&mut fresh.prepared.calls),
            Some(_) => Vec::new(),
        };
        let now = self.inner.clock.now();
        let outbox: Vec<OutboxEntry> =
            batches.iter_mut().filter_map(|batch| batch.write(now)).collect();
        let request = NewRequest { outbox, ..fresh.record() };
        let begun = std::time::Instant::now();
        let recorded = self.inner.ledger.record(request).await;
        waited(COMMIT, begun, None);
        match recorded {
            Ok(Recorded::New) => {
                self.wait_for(&fresh.prepared.calls);
                fresh.recorded = None;
            }
            // The turns taken for the batches are given back as these are dropped.
            Ok(Recorded::Before(record)) => return self.replayed(fresh, record).await,
            // Only of one that is recorded beside others.
            Ok(Recorded::Left) => return fresh.settle(Err(GatewayError::Broken)),
            Err(error) => return self.unrecorded(fresh, &error),
        }
        let waiting = fresh.in_hand().map(|call| (call.clone(), None)).collect();
        let done = self.dispatch(batches, waiting, ticket).await;
        fresh.take(done);
        fresh.created();
    }

    /// The answer of a request whose id was used before.
    pub(super) async fn replayed(&self, fresh: Fresh, record: crate::ledger::RequestRecord) {
        let Prepared { request_id, fingerprint, .. } = &fresh.prepared;
        let outcome = self.replay(request_id, fingerprint, record).await;
        fresh.settle(outcome);
    }

    fn unrecorded(&self, mut fresh: Fresh, error: &LedgerError) {
        if matches!(error, LedgerError::Uncertain(_)) {
            let calls = std::mem::take(&mut fresh.prepared.calls);
            // While the disk does not say which it is, they count among those that wait.
            let places = fresh.places.take();
            let place = self.clone().place_if_recorded(calls, places);
            self.inner.tasks.spawn(place.within(fresh.trace.clone()));
            return fresh.settle(Err(error.clone().into()));
        }
        self.refuse_new(fresh, error.clone().into());
    }

    /// Calls whose record failed in a way that may have kept it: whoever repeats the request
    /// finds them then, so they are placed like any others. Nothing was sent of them yet.
    async fn place_if_recorded(self, calls: Vec<Call>, places: Option<OwnedSemaphorePermit>) {
        let at = self.inner.clock.now();
        let news = calls.iter().filter(|call| !call.state.is_final()).map(|call| {
            let dispatching = call.state == CallState::Dispatching;
            let observation = if dispatching { Observation::PutBack } else { nothing_new() };
            News {
                call: call.id,
                observation,
                at,
                due: None,
                vendor: None,
                dial: Some(call.dial()),
            }
        });
        let news: Vec<_> = news.collect();
        // What is held is taken up by others, perhaps already.
        let held: HashSet<_> =
            calls.iter().filter(|c| c.held_until.is_some()).map(|c| c.id).collect();
        match self.insist(Duration::MAX, || self.observe(news.clone())).await {
            Ok(mut calls) => {
                calls.retain(|call| !held.contains(&call.id));
                self.dispatch_again(calls).await;
            }
            Err(LedgerError::NoSuchCall(_)) => {}
            Err(error) => {
                tracing::error!(%error, calls = calls.len(), "it is not known whether calls are recorded");
            }
        }
        drop(places);
    }

    /// Cuts those calls that wait to what each vendor takes at a time, and gives those batches
    /// that can go now. Their calls are marked as being handed over, so that one write to the
    /// ledger says so.
    fn batches(&self, calls: &mut [Call]) -> Vec<Batch> {
        // As it is now: whatever was made ready before a reload goes by what comes after.
        let configured = self.configured();
        let mut waiting: BTreeMap<&str, Vec<Call>> = BTreeMap::new();
        for call in calls.iter().filter(|call| is_in_hand(call)) {
            let Some(account) = configured.account(&call.vendor) else { continue };
            waiting.entry(account.name()).or_default().push(call.clone());
        }
        let mut batches = Vec::new();
        for (name, waiting) in waiting {
            let Some(account) = configured.account(name) else { continue };
            for part in cut(account, waiting) {
                // Who comes later waits for those before, be they fewer.
                let Some(grant) = account.try_grant(part.len()) else { break };
                batches.push(Batch { calls: part, ..Batch::of(account, grant) });
            }
        }
        for call in batches.iter_mut().flat_map(|batch| &mut batch.calls) {
            call.state = CallState::Dispatching;
            let place = usize::try_from(call.position).ok().and_then(|at| calls.get_mut(at));
            if let Some(place) = place {
                place.state = CallState::Dispatching;
            }
        }
        batches
    }
}

impl Account {
    /// The group of a request's calls, if all of them go to it in one exchange.
    pub(super) fn group_of(&self, fresh: &Fresh) -> Option<Arc<str>> {
        let first = fresh.in_hand().next()?;
        let adapter = self.adapter();
        let name = adapter.group(&first.order);
        let alike = |call: &Call| call.vendor == self.name() && adapter.group(&call.order) == name;
        let count = fresh.waiting_calls();
        let most = self.rate().calls.map_or(usize::MAX, |limit| limit as usize);
        if count > self.max_batch().min(most) || !fresh.in_hand().all(alike) {
            return None;
        }
        if count > 1 {
            let all: Vec<_> = fresh.in_hand().map(outgoing).collect();
            if adapter.batches(&all).len() > 1 {
                return None;
            }
        }
        Some(name.into())
    }
}
