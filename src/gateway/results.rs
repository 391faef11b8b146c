//! Tells what became of calls, and asks the vendor first where that may bring news.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::timeout;

use super::{
    Gateway, GatewayError, Scope,
    account::Account,
    ask::{Round, distinct, questions},
};
use crate::{
    call::{Call, CallError, CallId, Cause, Position, Selector},
    ledger::Page,
    telemetry::Traced,
};

/// Which calls are wanted, and how fresh.
#[derive(Debug, Clone)]
pub struct ResultsQuery {
    /// Whose calls are there for who asks.
    pub scope: Scope,
    /// Which calls.
    pub selector: Selector,
    /// Where the page starts.
    pub after: Position,
    /// How many calls at most, at least one.
    pub limit: usize,
    /// How old an answer may be before the vendor is asked again; none means each
    /// vendor's poll interval.
    pub max_staleness: Option<Duration>,
    /// How long vendors may be waited for.
    pub patience: Duration,
}

/// A page of calls.
#[derive(Debug)]
pub struct Results {
    /// The calls, those without one, and where to go on.
    pub page: Page,
    /// Why some may be older than wanted.
    pub warnings: Vec<Warning>,
}

/// A vendor that could not be asked.
#[derive(Debug, Clone)]
pub struct Warning {
    /// Its configured name.
    pub vendor: String,
    /// Why not.
    pub error: CallError,
}

impl Gateway {
    /// The selected calls, as fresh as they can be had in time.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn results(&self, query: ResultsQuery) -> Result<Results, GatewayError> {
        let mut page =
            self.page_in(&query.scope, &query.selector, query.after, query.limit).await?;
        let (rounds, mut warnings) = self.rounds(&page, query.max_staleness);
        if !rounds.is_empty() {
            let vendors: Vec<_> = rounds.iter().map(|r| r.account.name().to_owned()).collect();
            // The asking goes on without this caller: what it learns is worth keeping.
            let asking = self.inner.tasks.spawn(self.clone().ask(rounds).here());
            if let Ok(Ok((fresh, failed))) = timeout(query.patience, asking).await {
                warnings.extend(failed);
                renew(&mut page, fresh);
            } else {
                page =
                    self.page_in(&query.scope, &query.selector, query.after, query.limit).await?;
                warnings.extend(vendors.iter().map(|vendor| too_slow(vendor)));
            }
        }
        Ok(Results { page, warnings: distinct(warnings) })
    }

    /// The selected calls as they are known.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn page(
        &self,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, GatewayError> {
        let mut page = self.inner.ledger.page(selector, after, limit).await?;
        let now = self.inner.clock.now();
        page.calls.iter_mut().for_each(|(call, _)| call.wait_from(now));
        Ok(page)
    }

    /// Who has to be asked about which calls of the page, and why some can't be.
    fn rounds(&self, page: &Page, wanted: Option<Duration>) -> (Vec<Round>, Vec<Warning>) {
        let (now, configured) = (self.inner.clock.now(), self.configured());
        let mut stale: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        let mut warnings = Vec::new();
        for (call, _) in page.calls.iter().filter(|(call, _)| call.state.is_with_vendor()) {
            match configured.account(&call.vendor) {
                Some(account) => {
                    if is_stale(call, wanted.unwrap_or(account.poll_interval()), now) {
                        stale.entry(account.name()).or_default().push(call);
                    }
                }
                None => warnings.push(not_configured(&call.vendor)),
            }
        }
        let mut rounds = Vec::new();
        for (name, calls) in stale {
            let Some(account) = configured.account(name) else { continue };
            let (round, unasked) = round(account, &calls);
            rounds.extend(round);
            // An explicit wish that can't be met is worth a word; the usual one isn't.
            if wanted.is_some() {
                warnings.extend(unasked);
            }
        }
        (rounds, warnings)
    }
}

/// What a vendor is to be asked about its calls, and why some of them are left out.
pub(super) fn round(account: &Arc<Account>, calls: &[&Call]) -> (Option<Round>, Vec<Warning>) {
    let warn = |cause, reason, message: String| Warning {
        vendor: account.name().to_owned(),
        error: CallError::new(cause, reason, message),
    };
    let name = account.name();
    if !account.adapter().capabilities().pull_results {
        let message = format!("{name} can't be asked for results; it posts them");
        return (None, vec![warn(Cause::Unsupported, "RESULTS_ARE_PUSHED", message)]);
    }
    let mut unasked = Vec::new();
    let asked = account.asking.begin(calls.iter().map(|call| call.id));
    let mine: Vec<_> = calls.iter().copied().filter(|call| asked.contains(call.id)).collect();
    if mine.len() < calls.len() {
        let message = format!("{name} is being asked about some of the calls by another request");
        unasked.push(warn(Cause::Unreachable, "BEING_ASKED", message));
    }
    let questions = questions(account, &mine);
    if questions.iter().map(Vec::len).sum::<usize>() < mine.len() {
        let message =
            format!("{name} gave no id for some of the calls, and can't be asked about them");
        unasked.push(warn(Cause::Unsupported, "NO_VENDOR_CALL_ID", message));
    }
    let round = Round { account: Arc::clone(account), questions, asked };
    ((!round.questions.is_empty()).then_some(round), unasked)
}

fn too_slow(vendor: &str) -> Warning {
    let message = format!("{vendor} was asked, and its answer did not come in time");
    let error = CallError::new(Cause::Unreachable, "VENDOR_TOO_SLOW", message);
    Warning { vendor: vendor.to_owned(), error }
}

pub(super) fn not_configured(vendor: &str) -> Warning {
    let message = format!("{vendor} is not configured any more, so it can't be asked");
    let error = CallError::new(Cause::Operator, "VENDOR_NOT_CONFIGURED", message);
    Warning { vendor: vendor.to_owned(), error }
}

fn is_stale(call: &Call, max: Duration, now: Timestamp) -> bool {
    let known_at = call.asked_time.map_or(call.update_time, |asked| asked.max(call.update_time));
    let age = now.duration_since(known_at);
    // Known in the future: the clock was set back, and how old it is, nobody knows.
    age.is_negative() || age.unsigned_abs() >= max
}

fn renew(page: &mut Page, fresh: Vec<Call>) {
    let mut fresh: BTreeMap<CallId, Call> = fresh.into_iter().map(|call| (call.id, call)).collect();
    for (call, _) in &mut page.calls {
        if let Some(newer) = fresh.remove(&call.id) {
            *call = newer;
        }
    }
}
