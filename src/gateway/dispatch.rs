//! Hands batches to their vendors, each in its turn, and records what came back.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};

use super::{Gateway, account::Account};
use crate::{
    call::{Call, CallError, CallState, Cause, Observation},
    ledger::News,
};

/// Calls that go to their vendor in one exchange.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whose.
    pub account: Arc<Account>,
    /// In the state of the ledger: dispatching when the batch has its turn, scheduled
    /// when it waits.
    pub calls: Vec<Call>,
    /// The right to send it now.
    pub turn: Option<OwnedSemaphorePermit>,
}

impl Gateway {
    /// Sends all batches, each as soon as its vendor has a turn for it, and gives the
    /// calls as they are recorded afterwards, in any order.
    pub(super) async fn dispatch(&self, batches: Vec<Batch>) -> Vec<Call> {
        let mut done = Vec::with_capacity(batches.iter().map(|batch| batch.calls.len()).sum());
        let mut under_way = JoinSet::new();
        let (ready, waiting): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|batch| batch.turn.is_some());
        for batch in ready {
            let gateway = self.clone();
            under_way.spawn(async move { gateway.hand_over(batch).await });
        }
        // One line for each vendor, so that a slow one does not hold up another.
        for line in by_account(waiting) {
            let gateway = self.clone();
            under_way.spawn(gateway.in_turn(line));
        }
        while let Some(finished) = under_way.join_next().await {
            match finished {
                Ok(calls) => done.extend(calls),
                Err(error) => {
                    tracing::error!(%error, "a batch was given up; its calls stay as recorded");
                }
            }
        }
        done
    }

    async fn in_turn(self, line: Vec<Batch>) -> Vec<Call> {
        let mut done = Vec::new();
        let mut under_way = JoinSet::new();
        for mut batch in line {
            let Some(turn) = batch.account.turn().await else { break };
            batch.turn = Some(turn);
            let gateway = self.clone();
            under_way.spawn(async move {
                let (batch, over) = gateway.take_turn(batch).await;
                let mut calls = gateway.hand_over(batch).await;
                calls.extend(over);
                calls
            });
            while let Some(finished) = under_way.try_join_next() {
                done.extend(finished.unwrap_or_default());
            }
        }
        while let Some(finished) = under_way.join_next().await {
            done.extend(finished.unwrap_or_default());
        }
        done
    }

    /// Records that a waiting batch is being handed over. What has expired meanwhile, or
    /// can't be recorded, leaves it.
    async fn take_turn(&self, mut batch: Batch) -> (Batch, Vec<Call>) {
        let now = self.inner.clock.now();
        let news = batch
            .calls
            .iter()
            .map(|call| {
                let expired = call.order.expire_time.is_some_and(|end| end <= now);
                let observation =
                    if expired { Observation::Expired } else { Observation::Dispatching };
                News { call: call.id, observation, at: now }
            })
            .collect();
        let recorded = match self.inner.ledger.observe(news).await {
            Ok(calls) => calls,
            Err(error) => {
                // They are recorded as waiting, so that is what the caller is told, and
                // they go out after the next start.
                tracing::error!(%error, vendor = batch.account.name(), "calls were not sent, because that could not be recorded");
                let waiting = std::mem::take(&mut batch.calls);
                return (batch, waiting);
            }
        };
        // Only what is recorded as being handed over may be: another gateway may have
        // been faster.
        let (mine, over) =
            recorded.into_iter().partition(|call| call.state == CallState::Dispatching);
        batch.calls = mine;
        (batch, over)
    }

    /// Sends a batch that has its turn, and records the outcome of each call.
    async fn hand_over(&self, batch: Batch) -> Vec<Call> {
        let Batch { account, calls, turn } = batch;
        if calls.is_empty() {
            return Vec::new();
        }
        let now = self.inner.clock.now();
        let outcomes = self.place(&account, &calls, now).await;
        drop(turn);
        let at = self.inner.clock.now();
        let news: Vec<_> = calls
            .iter()
            .zip(outcomes)
            .map(|(call, observation)| News { call: call.id, observation, at })
            .collect();
        match self.inner.ledger.observe(news.clone()).await {
            Ok(recorded) => recorded,
            Err(error) => {
                tracing::error!(%error, vendor = account.name(), calls = calls.len(), "outcomes could not be recorded");
                // What was not sent may be told as it is. Of what was, the ledger only
                // knows that it was being handed over: so does the caller.
                let doubt = CallError::new(
                    Cause::InDoubt,
                    "LEDGER_UNAVAILABLE",
                    "the call went out, and the vendor's answer could not be recorded",
                );
                fail_in_memory(calls, &doubt, at)
            }
        }
    }
}

fn fail_in_memory(calls: Vec<Call>, error: &CallError, now: Timestamp) -> Vec<Call> {
    calls
        .into_iter()
        .map(|mut call| {
            call.apply(Observation::Failed(error.clone()), now);
            call
        })
        .collect()
}

fn by_account(batches: Vec<Batch>) -> Vec<Vec<Batch>> {
    let mut lines: Vec<Vec<Batch>> = Vec::new();
    for batch in batches {
        let line = lines.iter_mut().find(|line| {
            line.first().is_some_and(|first| Arc::ptr_eq(&first.account, &batch.account))
        });
        match line {
            Some(line) => line.push(batch),
            None => lines.push(vec![batch]),
        }
    }
    lines
}
