//! Asks vendors what became of calls, and records what they say.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;

use super::{
    Gateway,
    account::Account,
    asking::Asked,
    meter::Outcome,
    results::{Warning, not_configured},
    traced::Errand,
};
use crate::{
    call::{Call, CallError, Cause, Observation, Report, ReportedState, Retry},
    ledger::News,
    telemetry::{Trace, Traced},
    vendors::{Context, Placed, bounds},
};

/// What one vendor is to be asked.
#[derive(Debug)]
pub(super) struct Round {
    pub account: Arc<Account>,
    /// Each about some calls.
    pub questions: Vec<Vec<Call>>,
    /// Kept until the round is over, so that nobody else asks about the same.
    pub asked: Asked,
}

impl Gateway {
    /// Asks every vendor, all at the same time.
    pub(super) async fn ask(self, rounds: Vec<Round>) -> (Vec<Call>, Vec<Warning>) {
        let mut under_way = JoinSet::new();
        for round in rounds {
            under_way.spawn(self.clone().ask_vendor(round).here());
        }
        let (mut fresh, mut warnings) = (Vec::new(), Vec::new());
        while let Some(finished) = under_way.join_next().await {
            let (calls, failed) = finished.unwrap_or_default();
            fresh.extend(calls);
            warnings.extend(failed);
        }
        (fresh, warnings)
    }

    pub(super) async fn ask_vendor(self, round: Round) -> (Vec<Call>, Vec<Warning>) {
        let Round { account, questions, asked } = round;
        let (gateway, account) = (&self, &account);
        // A vendor that does not answer one question need not be asked the next.
        let unreachable = &AtomicBool::new(false);
        let answers: Vec<_> = stream::iter(questions)
            .map(|calls| async move {
                if unreachable.load(Ordering::Relaxed) {
                    return None;
                }
                let stop = &gateway.inner.stopping;
                let Some(turn) = stop.run_until_cancelled(account.question_turn()).await else {
                    return Some(Err(stopping()));
                };
                // The wait may have been long.
                if unreachable.load(Ordering::Relaxed) {
                    return None;
                }
                if account.is_gone() {
                    return Some(Err(not_configured(account.name()).error));
                }
                let asking = gateway.ask_about(account, calls);
                let answer = asking.within(Trace::current_or_root()).await;
                drop(turn);
                if answer.as_ref().is_err_and(|error| error.cause == Cause::Unreachable) {
                    unreachable.store(true, Ordering::Relaxed);
                }
                Some(answer)
            })
            .buffer_unordered(account.max_questions())
            .collect()
            .await;
        drop(asked);
        let (mut fresh, mut warnings) = (Vec::new(), Vec::new());
        for answer in answers.into_iter().flatten() {
            match answer {
                Ok(calls) => fresh.extend(calls),
                Err(error) => warnings.push(Warning { vendor: account.name().to_owned(), error }),
            }
        }
        (fresh, warnings)
    }

    async fn ask_about(
        &self,
        account: &Arc<Account>,
        calls: Vec<Call>,
    ) -> Result<Vec<Call>, CallError> {
        let asked: Vec<_> = calls.iter().map(|call| placed(account, call)).collect();
        let write = |context: &Context<'_>| account.adapter().ask(&asked, context);
        let reply = self.question(account, asked.len(), write).await;
        let at = self.inner.clock.now();
        let reports = reply.and_then(|reply| {
            let answer = account.adapter().read_answer(&asked, &reply);
            account.meter.ended(Errand::Ask, Outcome::of_answer(&answer));
            answer.map_err(|fault| {
                let mut error = account.vendor_error(fault, Some(reply.status));
                let said = error.vendor.as_ref().map(|v| v.message.as_str()).unwrap_or_default();
                error.message = format!("{} did not tell of its calls: {said}", account.name());
                error
            })
        });
        let reports = match reports {
            Ok(reports) => reports,
            Err(error) => {
                account.went_wrong(&error, at);
                return Err(error);
            }
        };
        account.went_well(at);
        let news = calls.iter().zip(reports).map(|(call, report)| News {
            call: call.id,
            observation: Observation::Reported { report: reported(account, report), asked: true },
            at,
            due: Some(account.next_look(call, true, at)),
            vendor: None,
            // As it was when it was asked about: it may have been dialled again since.
            dial: Some(call.dial()),
        });
        self.observe(news.collect()).await.map_err(|error| {
            tracing::error!(%error, vendor = account.name(), "a vendor's answer could not be recorded");
            CallError::new(
                Cause::Unreachable,
                "LEDGER_UNAVAILABLE",
                format!("what {} answered could not be recorded", account.name()),
            )
        })
    }
}

fn stopping() -> CallError {
    CallError::new(
        Cause::Unreachable,
        "STOPPING",
        "the gateway is stopping, and asks nobody any more",
    )
}

/// The questions of a vendor about calls, as its adapter groups them.
pub(super) fn questions(account: &Account, calls: &[&Call]) -> Vec<Vec<Call>> {
    let about: Vec<_> = calls.iter().map(|call| placed(account, call)).collect();
    let groups = account.adapter().questions(&about).into_iter();
    groups
        .map(|members| {
            members.into_iter().filter_map(|i| calls.get(i).map(|c| (*c).clone())).collect()
        })
        .filter(|group: &Vec<_>| !group.is_empty())
        .collect()
}

/// A call as its adapter sees it: the dial that is under way.
pub(super) fn placed<'a>(account: &Account, call: &'a Call) -> Placed<'a> {
    Placed {
        vendor_call_id: call.vendor_call_id.as_deref(),
        to: &call.order.to,
        script: call.order.script.as_ref(),
        create_time: call.handed_over_at(),
        retries: account.adapter().capabilities().retries
            && call.order.retry.is_some_and(Retry::is_wanted),
    }
}

/// What an adapter read, within the bounds.
pub(super) fn reported(account: &Account, report: Report) -> ReportedState {
    let Report { state, attempts, data, error } = bounds::report(report);
    let error = error.map(|fault| account.reported_error(fault));
    ReportedState { state, attempts, data, error }
}

/// One warning for each vendor and reason, however many questions met it.
pub(super) fn distinct(warnings: Vec<Warning>) -> Vec<Warning> {
    let mut kept = BTreeMap::new();
    for warning in warnings {
        let key = (warning.vendor.clone(), warning.error.reason.to_string());
        kept.entry(key).or_insert(warning);
    }
    kept.into_values().collect()
}
