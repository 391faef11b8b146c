//! Sends a batch, and records what came of each of its calls.

use std::time::Duration;

use super::{
    Gateway,
    account::Account,
    batch::Batch,
    dispatch::{Moved, ours_again, wait_again},
    insist::PATIENCE,
    settle::nothing_new,
};
use crate::{
    call::{Call, CallError, Cause, Dialed, Observation},
    ledger::News,
};

impl Gateway {
    /// Sends a batch that has its turn, and records the outcome of each call.
    pub(super) async fn hand_over(&self, batch: Batch, moved: &Moved) -> Vec<Call> {
        let Batch { account, calls, turn, written, taken_up, .. } = batch;
        if calls.is_empty() {
            return Vec::new();
        }
        let outcomes = self.place(&account, &calls, written, taken_up).await;
        drop(turn);
        let at = self.inner.clock.now();
        let mut news: Vec<_> = calls
            .iter()
            .zip(outcomes)
            .map(|(call, outcome)| {
                let observation = self.or_moved_on(call, outcome);
                let due = account.first_look(call, &observation, at);
                News { call: call.id, due, observation, at, vendor: None, dial: Some(call.dial()) }
            })
            .collect();
        let first_look = news.iter().filter_map(|news| news.due).min();
        match self.insist_on(PATIENCE, &mut news).await {
            // A vendor may tell what became of a call before it answers.
            Ok(recorded) => {
                first_look.inspect(|time| account.agenda.is_due(*time));
                self.look_sooner(&account, &news, &recorded).await;
                wait_again(&news, self.apply_kept(&account, recorded).await, moved)
            }
            Err(error) => {
                let of = |call: &Call| news.iter().find(|news| news.call == call.id);
                let told = calls.into_iter().map(|call| match of(&call) {
                    Some(news) => unrecorded(call, news),
                    None => call,
                });
                let told: Vec<_> = told.collect();
                tracing::error!(%error, vendor = account.name(), calls = told.len(), "outcomes can't be recorded; they are kept in memory");
                let gateway = self.clone();
                self.inner.tasks.spawn(async move {
                    let recorded = gateway.insist_on(Duration::MAX, &mut news).await;
                    match recorded {
                        Ok(recorded) => {
                            first_look.inspect(|time| account.agenda.is_due(*time));
                            gateway.look_sooner(&account, &news, &recorded).await;
                            let calls = gateway.apply_kept(&account, recorded).await;
                            gateway.dispatch_again(ours_again(&news, calls).0).await;
                        }
                        Err(error) => {
                            tracing::error!(%error, "outcomes were lost; their calls will be unconfirmed");
                        }
                    }
                });
                told
            }
        }
    }

    /// A vendor's push may have named a call while it was being handed over: then there is
    /// something to ask by, though the answer to the order had nothing. A failure only costs
    /// questions.
    pub(super) async fn look_sooner(&self, account: &Account, news: &[News], recorded: &[Call]) {
        let named = |(news, call): &(&News, &Call)| {
            !names_it(&news.observation) && call.vendor_call_id.is_some() && !call.state.is_final()
        };
        let sooner: Vec<_> = news
            .iter()
            .zip(recorded)
            .filter(named)
            .map(|(news, call)| News {
                call: call.id,
                observation: nothing_new(),
                at: news.at,
                due: Some(account.next_look(call, true, news.at)),
                vendor: None,
                dial: Some(call.dial()),
            })
            .collect();
        let first = sooner.iter().filter_map(|news| news.due).min();
        if first.is_none() {
            return;
        }
        match self.observe(sooner).await {
            Ok(_) => drop(first.inspect(|time| account.agenda.is_due(*time))),
            Err(error) => {
                tracing::warn!(%error, vendor = account.name(), "calls can't be looked at sooner");
            }
        }
    }
}

/// What a caller is told of a call whose outcome is not recorded yet. The ledger only knows
/// that it was being handed over, and so does the caller, unless it may have gone out.
fn unrecorded(mut call: Call, news: &News) -> Call {
    let nobody_dialled = match &news.observation {
        Observation::FailedOver { .. }
        | Observation::PutBack
        | Observation::Held { .. }
        | Observation::Expired => true,
        Observation::Failed(error) => error.dialed == Dialed::No,
        _ => false,
    };
    if nobody_dialled {
        return call;
    }
    let doubt = CallError::new(
        Cause::InDoubt,
        "LEDGER_UNAVAILABLE",
        "the call may have gone out; what came of it is not recorded yet",
    );
    // Under the revision that is recorded: the next one is what comes of it.
    let revision = call.revision;
    call.apply(Observation::Failed(doubt), news.at);
    Call { revision, ..call }
}

/// The vendor can be asked by what was learned.
pub(super) fn names_it(observation: &Observation) -> bool {
    matches!(observation, Observation::Accepted { vendor_call_id: Some(_), .. })
}
