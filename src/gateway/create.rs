//! Places calls: on disk first, then to the vendors, then the answer.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Gateway, GatewayError, Prepared,
    account::Account,
    dispatch::{Batch, outgoing},
};
use crate::{
    call::{Call, CallState},
    ledger::{NewRequest, Recorded},
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
        let count = u32::try_from(calls.len()).unwrap_or(u32::MAX);
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
        let recorded = self.inner.ledger.record(request).await;
        match recorded? {
            Recorded::New => {}
            // The turns taken for the batches are given back as these are dropped.
            Recorded::Before(record) => {
                return self.replay(&request_id, &fingerprint, record).await;
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

    /// Cuts the calls to what each vendor takes at a time. Batches whose turn it is now
    /// are marked as being handed over, so that one write to the ledger says so; the
    /// others wait as scheduled.
    fn batches(&self, calls: &mut [Call]) -> Vec<Batch> {
        let mut waiting: BTreeMap<&str, Vec<Call>> = BTreeMap::new();
        for call in calls.iter().filter(|call| call.state == CallState::Scheduled) {
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

/// The batches of one vendor.
pub(super) fn cut(account: &Arc<Account>, calls: Vec<Call>) -> Vec<Batch> {
    let outgoing: Vec<_> = calls.iter().map(outgoing).collect();
    let plan = account.adapter().batches(&outgoing);
    let mut slots: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
    let batch = |calls| Batch::waiting(account, calls);
    // Taken out of its slot, a call can't be in two batches, whatever the plan says.
    let mut batches: Vec<_> = plan
        .into_iter()
        .map(|members| members.into_iter().filter_map(|i| slots.get_mut(i)?.take()).collect())
        .filter(|calls: &Vec<_>| !calls.is_empty())
        .map(batch)
        .collect();
    let forgotten: Vec<_> = slots.into_iter().flatten().collect();
    if !forgotten.is_empty() {
        tracing::error!(
            vendor = account.name(),
            calls = forgotten.len(),
            "the adapter's plan leaves calls out"
        );
        batches.extend(forgotten.into_iter().map(|call| batch(vec![call])));
    }
    batches
}
