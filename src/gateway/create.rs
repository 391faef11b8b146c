//! Places calls: on disk first, then to the vendors, then the answer.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    Gateway, GatewayError, Prepared,
    batch::{Batch, cut},
    dispatch::is_in_hand,
    settle::nothing_new,
};
use crate::{
    call::{Call, CallState, Observation},
    ledger::{LedgerError, NewRequest, News, Recorded},
};

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its calls, in its order; shared by all who wait for them.
    pub calls: Arc<Vec<Call>>,
    /// The request was seen before; this is what is recorded of it.
    pub replayed: bool,
}

impl Gateway {
    /// Records the calls and hands them to their vendors. For who has the request's seat.
    pub(super) async fn run(self, prepared: Prepared) -> Result<Created, GatewayError> {
        let Prepared { request_id, fingerprint, create_time, mut calls, .. } = prepared;
        // More than fits into the semaphore can't come: a request has 5,000 calls at most.
        // What is held waits in the ledger.
        let in_memory = calls.iter().filter(|call| call.held_until.is_none()).count();
        let count = u32::try_from(in_memory).unwrap_or(u32::MAX);
        let waiting = Arc::clone(&self.inner.waiting).try_acquire_many_owned(count);
        let waiting = waiting.map_err(|_| GatewayError::Overloaded)?;
        let mut batches = self.batches(&mut calls);
        let now = self.inner.clock.now();
        let outbox = batches
            .iter_mut()
            .filter(|batch| batch.turn.is_some())
            .filter_map(|batch| batch.write(now))
            .collect();
        let request = NewRequest {
            id: request_id.clone(),
            fingerprint: fingerprint.clone(),
            create_time,
            calls: calls.clone(),
            outbox,
        };
        match self.inner.ledger.record(request).await {
            Ok(Recorded::New) => self.wait_for(&calls),
            // The turns taken for the batches are given back as these are dropped.
            Ok(Recorded::Before(record)) => {
                return self.replay(&request_id, &fingerprint, record).await;
            }
            // Only of one that is recorded beside others.
            Ok(Recorded::Left) => return Err(GatewayError::Broken),
            Err(error) => {
                if matches!(error, LedgerError::Uncertain(_)) {
                    let place = self.clone().place_if_recorded(calls, waiting);
                    self.inner.tasks.spawn(place);
                }
                return Err(error.into());
            }
        }
        for call in self.dispatch(batches).await {
            let place = usize::try_from(call.position).ok().and_then(|at| calls.get_mut(at));
            if let Some(place) = place {
                *place = call;
            }
        }
        drop(waiting);
        Ok(Created { calls: calls.into(), replayed: false })
    }

    /// Calls whose record failed in a way that may have kept it: whoever repeats the request
    /// finds them then, so they are placed like any others. Nothing was sent of them yet.
    /// While the disk does not say which it is, they count among those that wait.
    async fn place_if_recorded(self, calls: Vec<Call>, waiting: OwnedSemaphorePermit) {
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
        drop(waiting);
    }

    /// Cuts the calls to what each vendor takes at a time. Batches whose turn it is now
    /// are marked as being handed over, so that one write to the ledger says so; the
    /// others wait as scheduled.
    fn batches(&self, calls: &mut [Call]) -> Vec<Batch> {
        let mut waiting: BTreeMap<&str, Vec<Call>> = BTreeMap::new();
        for call in calls.iter().filter(|call| is_in_hand(call)) {
            let Some((name, _)) = self.inner.accounts.get_key_value(&call.vendor) else { continue };
            waiting.entry(name).or_default().push(call.clone());
        }
        let mut batches = Vec::new();
        for (name, waiting) in waiting {
            if let Some(account) = self.inner.accounts.get(name) {
                batches.extend(cut(account, waiting));
            }
        }
        for batch in &mut batches {
            let Some(turn) = batch.account.try_turn() else { continue };
            batch.turn = Some(turn);
            for call in &mut batch.calls {
                call.state = CallState::Dispatching;
                let place = usize::try_from(call.position).ok().and_then(|at| calls.get_mut(at));
                if let Some(place) = place {
                    place.state = CallState::Dispatching;
                }
            }
        }
        batches
    }
}
