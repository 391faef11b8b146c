//! A vendor that refuses a request of many calls for what can only be one call's fault does not
//! always say which. Nobody was dialled, so they are sent again, half and half, until the one
//! is alone: it does not spoil its neighbours, which may be other callers'.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{Gateway, batch::Batch, lane::Apart};
use crate::call::{CallError, CallId, Cause, Dialed, Observation};

/// How many requests are spent on one that was refused, besides two for each caller whose calls
/// are in it, who would have had one of his own.
const BUDGET: u32 = 64;
/// How many more for each part that is taken: as long as there is something to be found, the
/// search goes on. Where all are wrong it ends.
const FOR_A_PART_TAKEN: u32 = 4;

/// Calls that are to be sent again, by the half they are in.
pub(super) struct Parted(HashMap<CallId, Apart>);

impl Parted {
    pub(super) fn of(&self, call: CallId) -> Option<Apart> {
        self.0.get(&call).cloned()
    }
}

impl Gateway {
    /// Parts the calls of a batch that was refused as a whole for what one of them may be to
    /// blame for.
    pub(super) fn part(&self, batch: &Batch, outcomes: &[Observation]) -> Option<Parted> {
        let calls = &batch.calls;
        if let (Some(apart), Some(Observation::Accepted { .. })) = (&batch.apart, outcomes.first())
        {
            apart.budget.fetch_add(FOR_A_PART_TAKEN, Ordering::Relaxed);
        }
        if calls.len() < 2 || outcomes.len() != calls.len() {
            return None;
        }
        let Some(Observation::Failed(first)) = outcomes.first() else { return None };
        let alike =
            |outcome: &Observation| matches!(outcome, Observation::Failed(error) if error == first);
        if !may_be_one_calls(first) || !outcomes.iter().all(alike) {
            return None;
        }
        let budget = match &batch.apart {
            Some(apart) => Arc::clone(&apart.budget),
            None => {
                let callers: HashSet<_> = calls.iter().map(|call| &call.request_id).collect();
                let callers = u32::try_from(callers.len()).unwrap_or(u32::MAX);
                let budget = BUDGET.saturating_add(callers.saturating_mul(2));
                Arc::new(AtomicU32::new(budget))
            }
        };
        budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(2))
            .ok()?;
        tracing::info!(
            vendor = batch.account.name(),
            calls = calls.len(),
            reason = %first.reason,
            "a request was refused as a whole; its calls are sent again in two halves"
        );
        let lane = &batch.account.lane;
        let halves = [lane.apart(Arc::clone(&budget)), lane.apart(budget)];
        let (one, other) = calls.split_at(calls.len() / 2);
        let mut parted = HashMap::with_capacity(calls.len());
        for (calls, half) in [one, other].into_iter().zip(halves) {
            parted.extend(calls.iter().map(|call| (call.id, half.clone())));
        }
        Some(Parted(parted))
    }
}

/// A refusal that says that somebody's number or data is wrong, and that nobody was dialled.
fn may_be_one_calls(error: &CallError) -> bool {
    error.dialed == Dialed::No && matches!(error.cause, Cause::InvalidCall | Cause::NotAllowed)
}
