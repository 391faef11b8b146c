//! Tells what became of calls, and asks the vendor first where that may bring news.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::{Gateway, GatewayError, account::Account};
use crate::{
    call::{
        Call, CallError, CallId, Cause, Observation, Position, Report, ReportedState, Retry,
        Selector,
    },
    ledger::{News, Page},
    vendors::Placed,
};

/// Which calls are wanted, and how fresh.
#[derive(Debug, Clone)]
pub struct ResultsQuery {
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

/// Calls that one question is about.
#[derive(Debug)]
struct Question {
    account: Arc<Account>,
    calls: Vec<Call>,
}

impl Gateway {
    /// The selected calls, as fresh as they can be had in time.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn results(&self, query: ResultsQuery) -> Result<Results, GatewayError> {
        let mut page = self.inner.ledger.page(&query.selector, query.after, query.limit).await?;
        let (questions, mut warnings) = self.questions(&page, query.max_staleness);
        if questions.is_empty() {
            return Ok(Results { page, warnings });
        }
        let vendors: Vec<String> =
            questions.iter().map(|question| question.account.name().to_owned()).collect();
        // The asking goes on without this caller: what it learns is worth keeping.
        let gateway = self.clone();
        let asking = self.inner.tasks.spawn(async move { gateway.ask_all(questions).await });
        match timeout(query.patience, asking).await {
            Ok(Ok((fresh, failed))) => {
                warnings.extend(failed);
                renew(&mut page, fresh);
            }
            Ok(Err(_)) | Err(_) => {
                page = self.inner.ledger.page(&query.selector, query.after, query.limit).await?;
                warnings.extend(vendors.into_iter().map(|vendor| Warning {
                    error: CallError::new(
                        Cause::Unreachable,
                        "VENDOR_TOO_SLOW",
                        format!("{vendor} was asked, and its answer did not come in time"),
                    ),
                    vendor,
                }));
            }
        }
        Ok(Results { page, warnings: distinct(warnings) })
    }

    /// Who has to be asked about which calls of the page.
    fn questions(
        &self,
        page: &Page,
        max_staleness: Option<Duration>,
    ) -> (Vec<Question>, Vec<Warning>) {
        let now = self.inner.clock.now();
        let mut stale: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
        for (call, _) in page.calls.iter().filter(|(call, _)| call.state.is_with_vendor()) {
            let Some(account) = self.inner.accounts.get(&call.vendor) else { continue };
            if is_stale(call, max_staleness.unwrap_or(account.poll_interval()), now) {
                stale.entry(account.name()).or_default().push(call);
            }
        }
        let (mut questions, mut warnings) = (Vec::new(), Vec::new());
        for (name, calls) in stale {
            let Some(account) = self.inner.accounts.get(name) else { continue };
            if !account.adapter().capabilities().pull_results {
                // An explicit wish that can't be met is worth a word; the usual one isn't.
                if max_staleness.is_some() {
                    warnings.push(Warning { vendor: name.to_owned(), error: pushed_only(account) });
                }
                continue;
            }
            let placed: Vec<_> = calls.iter().map(|call| placed(call)).collect();
            for members in account.adapter().questions(&placed) {
                let calls = members.into_iter().filter_map(|i| calls.get(i).map(|c| (*c).clone()));
                questions.push(Question { account: Arc::clone(account), calls: calls.collect() });
            }
        }
        (questions, warnings)
    }

    async fn ask_all(self, questions: Vec<Question>) -> (Vec<Call>, Vec<Warning>) {
        let width = questions.iter().map(|q| q.account.max_in_flight()).max().unwrap_or(1);
        let gateway = &self;
        let answers: Vec<_> = stream::iter(questions)
            .map(|question| async move {
                let vendor = question.account.name().to_owned();
                gateway.ask_one(question).await.map_err(|error| Warning { vendor, error })
            })
            .buffer_unordered(width.max(1) as usize)
            .collect()
            .await;
        let (mut fresh, mut warnings) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(calls) => fresh.extend(calls),
                Err(warning) => warnings.push(warning),
            }
        }
        (fresh, warnings)
    }

    async fn ask_one(&self, question: Question) -> Result<Vec<Call>, CallError> {
        let Question { account, calls } = question;
        let asked: Vec<_> = calls.iter().map(placed).collect();
        let turn = account.turn().await;
        let reply = self.question(&account, |context| account.adapter().ask(&asked, context)).await;
        drop(turn);
        let at = self.inner.clock.now();
        let reports = reply.and_then(|reply| {
            account
                .adapter()
                .read_answer(&asked, &reply)
                .map_err(|fault| account.vendor_error(fault, Some(reply.status)))
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
            observation: Observation::Reported { report: reported(&account, report), asked: true },
            at,
        });
        self.inner.ledger.observe(news.collect()).await.map_err(|error| {
            CallError::new(
                Cause::Unreachable,
                "LEDGER_UNAVAILABLE",
                format!("what {} answered could not be recorded: {error}", account.name()),
            )
        })
    }
}

fn reported(account: &Account, report: Report) -> ReportedState {
    let Report { state, attempts, data, error } = report;
    ReportedState {
        state,
        attempts,
        data,
        error: error.map(|fault| account.vendor_error(fault, None)),
    }
}

fn placed(call: &Call) -> Placed<'_> {
    Placed {
        vendor_call_id: call.vendor_call_id.as_deref(),
        to: &call.order.to,
        script: call.order.script.as_ref(),
        create_time: call.create_time,
        retries: call.order.retry.is_some_and(Retry::is_wanted),
    }
}

fn is_stale(call: &Call, max: Duration, now: Timestamp) -> bool {
    let known_at = call.asked_time.map_or(call.update_time, |asked| asked.max(call.update_time));
    let age = now.duration_since(known_at).max(SignedDuration::ZERO);
    age.unsigned_abs() >= max
}

fn renew(page: &mut Page, fresh: Vec<Call>) {
    let mut fresh: BTreeMap<CallId, Call> = fresh.into_iter().map(|call| (call.id, call)).collect();
    for (call, _) in &mut page.calls {
        if let Some(newer) = fresh.remove(&call.id) {
            *call = newer;
        }
    }
}

fn pushed_only(account: &Account) -> CallError {
    CallError::new(
        Cause::Unsupported,
        "RESULTS_ARE_PUSHED",
        format!("{} can't be asked for results; it posts them", account.name()),
    )
}

/// One warning for each vendor and reason, however many questions met it.
fn distinct(warnings: Vec<Warning>) -> Vec<Warning> {
    let mut kept: Vec<Warning> = Vec::new();
    for warning in warnings {
        let known = kept
            .iter()
            .any(|w| w.vendor == warning.vendor && w.error.reason == warning.error.reason);
        if !known {
            kept.push(warning);
        }
    }
    kept
}
