//! Sends a batch, and records what came of each of its calls.

use std::{sync::Arc, time::Duration};

use super::{
    Gateway,
    account::Account,
    batch::Batch,
    dispatch::ours_again,
    insist::PATIENCE,
    lane::{Apart, Grant},
    settle::nothing_new,
    traced::COMMIT,
};
use crate::{
    call::{Call, CallError, Cause, Dialed, Observation},
    ledger::{LedgerError, News},
    telemetry::{Traced, waited},
};

/// What became of the calls of a batch, each as it is recorded.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Nothing more is to be done about these now.
    pub done: Vec<Call>,
    /// They wait for another turn, some of them apart from the others.
    pub again: Vec<(Call, Option<Apart>)>,
}

impl Gateway {
    /// Sends a batch that has its turn, and records the outcome of each call.
    pub(super) async fn hand_over(&self, mut batch: Batch) -> Settled {
        if batch.calls.is_empty() {
            return Settled::default();
        }
        let outcomes = self.place(&mut batch).await;
        let parted = self.part(&batch, &outcomes);
        let Batch { account, calls, grant: Grant { turn, paced, under_way }, .. } = batch;
        drop((turn, paced));
        let at = self.inner.clock.now();
        let mut news: Vec<_> = calls
            .iter()
            .zip(outcomes)
            .map(|(call, outcome)| {
                let observation = match &parted {
                    Some(_) => Observation::PutBack,
                    None => self.or_moved_on(call, outcome),
                };
                let due = account.first_look(call, &observation, at);
                News { call: call.id, due, observation, at, vendor: None, dial: Some(call.dial()) }
            })
            .collect();
        account.meter.moved_on(&news);
        let first_look = news.iter().filter_map(|news| news.due).min();
        let begun = std::time::Instant::now();
        let recorded = self.insist_on(PATIENCE, &mut news).await;
        waited(COMMIT, begun, None);
        let settled = match recorded {
            // A vendor may tell what became of a call before it answers.
            Ok(recorded) => {
                first_look.inspect(|time| account.agenda.is_due(*time));
                self.look_sooner(&account, &news, &recorded).await;
                let recorded = self.apply_kept(&account, recorded).await;
                let (ours, done) = ours_again(&news, recorded);
                let apart = |call: &Call| parted.as_ref().and_then(|parted| parted.of(call.id));
                let again = ours.into_iter().map(|call| (apart(&call), call));
                Settled { done, again: again.map(|(apart, call)| (call, apart)).collect() }
            }
            Err(error) => self.unrecorded_outcomes(account, calls, news, error),
        };
        drop(under_way);
        settled
    }

    /// What is told of calls whose outcome can't be recorded now, while that goes on in the
    /// background.
    fn unrecorded_outcomes(
        &self,
        account: Arc<Account>,
        calls: Vec<Call>,
        mut news: Vec<News>,
        error: LedgerError,
    ) -> Settled {
        let of = |call: &Call| news.iter().find(|news| news.call == call.id);
        let told = calls.into_iter().map(|call| match of(&call) {
            Some(news) => unrecorded(call, news),
            None => call,
        });
        let done: Vec<_> = told.collect();
        tracing::error!(%error, vendor = account.name(), calls = done.len(), "outcomes can't be recorded; they are kept in memory");
        let gateway = self.clone();
        let first_look = news.iter().filter_map(|news| news.due).min();
        let record = async move {
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
        };
        self.inner.tasks.spawn(record.here());
        Settled { done, again: Vec::new() }
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
