//! One exchange with a vendor: written by its adapter, sent by the HTTP edge, read
//! by its adapter.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Gateway,
    account::Account,
    batch::{Batch, outgoing},
    breaker::Verdict,
    fault::UNREACHABLE_WAIT,
    meter::Outcome,
    pace::Paced,
    token::{NoToken, TokenUse},
    traced::Errand,
};
use crate::{
    call::{Call, CallError, Cause, Dialed, Observation},
    http::{Failure, HttpReply, HttpRequest, NotSent},
    vendors::{Context, Outgoing, Placement, bounds},
};

/// What came of sending a batch.
enum Sent {
    /// One for each call, in its order.
    Outcomes(Vec<Observation>),
    /// The same, though the vendor was not even tried.
    NotTried(Vec<Observation>),
    /// The vendor did not take this token, and so did nothing.
    TokenRefused(u64),
}

/// One of the tries to send a batch.
struct Try {
    token: Result<Option<TokenUse>, NoToken>,
    /// Another token may be tried after this.
    is_first: bool,
    now: Timestamp,
}

impl Gateway {
    /// Hands a batch to its vendor and gives the outcome of each call, in its order. Where
    /// something was written for all of them, that is what goes out, or nothing.
    pub(super) async fn place(&self, batch: &mut Batch) -> Vec<Observation> {
        let Batch { account, calls, written, taken_up, grant, .. } = batch;
        if account.is_gone() {
            return self.all_while_gone(account, calls, taken_up);
        }
        if grant.turn.is_none() {
            // Taken out to be given away, and the vendor is back: they wait for a turn.
            return calls.iter().map(|_| Observation::PutBack).collect();
        }
        let paced = &mut grant.paced;
        // Before the token: that is asked for at the vendor's as well. Where nothing is sent
        // after all it is given back.
        let pass = match account.enter() {
            Ok(pass) => pass,
            Err(wait) => {
                let now = self.inner.clock.now();
                let is_taken_up = |call: &Call| taken_up.contains(&call.id);
                let shut = |call| self.while_shut(account, call, is_taken_up(call), wait, now);
                let not_sent =
                    |call| self.not_now(account, call, now).unwrap_or_else(|| shut(call));
                return calls.iter().map(not_sent).collect();
            }
        };
        let mut refused_token = None;
        loop {
            if refused_token.is_some() {
                // The one before counts as well. Before the look at the time: it may be long.
                let stop = &self.inner.stopping;
                if stop.run_until_cancelled(paced.again()).await.is_none() {
                    return calls.iter().map(|_| Observation::PutBack).collect();
                }
                if account.is_gone() {
                    return self.all_while_gone(account, calls, taken_up);
                }
            }
            let token = account.token(refused_token).await;
            // Only now: recording and a token may have taken their time.
            let now = self.inner.clock.now();
            let not_now: Vec<_> =
                calls.iter().map(|call| self.not_now(account, call, now)).collect();
            let due = calls.iter().zip(&not_now).filter(|(_, not_now)| not_now.is_none());
            let batch: Vec<_> = due.map(|(call, _)| outgoing(call)).collect();
            // Without the one that must not go now it would be another request than the one
            // in the outbox.
            let is_another = written.is_some() && batch.len() < calls.len();
            if batch.is_empty() || is_another {
                let put_back = |not_now: Option<_>| not_now.unwrap_or(Observation::PutBack);
                return not_now.into_iter().map(put_back).collect();
            }
            let is_first = refused_token.is_none();
            paced.only(batch.len());
            let sending =
                self.send(account, &batch, written.as_ref(), Try { token, is_first, now }, paced);
            let outcomes = match sending.await {
                Sent::Outcomes(outcomes) => {
                    if let Some(pass) = pass {
                        pass.end(Verdict::of(&outcomes), Instant::now().into_std());
                    }
                    outcomes
                }
                Sent::NotTried(outcomes) => outcomes,
                Sent::TokenRefused(generation) => {
                    refused_token = Some(generation);
                    continue;
                }
            };
            let mut outcomes = outcomes.into_iter();
            return not_now
                .into_iter()
                .map(|not_now| not_now.or_else(|| outcomes.next()).unwrap_or_else(not_mentioned))
                .collect();
        }
    }

    async fn send(
        &self,
        account: &Account,
        batch: &[Outgoing<'_>],
        written: Option<&HttpRequest>,
        this: Try,
        paced: &mut Paced,
    ) -> Sent {
        let Try { token, is_first: may_renew, now } = this;
        let all = |error| self.all(account, batch.len(), error, now);
        let token = match token {
            Ok(token) => token,
            // One failure is one, however many wait for what comes of it.
            Err(NoToken { error, is_shared: true }) => return Sent::NotTried(all(error)),
            Err(NoToken { error, .. }) => return Sent::Outcomes(all(error)),
        };
        let context = Context { now, token: token.as_ref().map(|token| &token.secret) };
        let request = match written {
            Some(request) => Cow::Borrowed(request),
            None => match account.adapter().place(batch, &context) {
                Ok(request) => Cow::Owned(request),
                Err(fault) => return Sent::NotTried(all(account.vendor_error(fault, None))),
            },
        };
        // Also if this is never answered.
        paced.sent = true;
        let reply = match account.send(&request, Errand::Place, batch.len()).await {
            Ok(reply) => reply,
            Err(failure) => {
                paced.sent = !matches!(failure, Failure::NotSent { .. });
                let outcomes = all(account.line_error(&failure));
                return match failure {
                    Failure::NotSent { kind: NotSent::Request, .. } => Sent::NotTried(outcomes),
                    _ => Sent::Outcomes(outcomes),
                };
            }
        };
        account.keep_pace(&reply);
        let placements = account.adapter().read_placement(batch, &reply);
        account.meter.ended(Errand::Place, Outcome::of_placements(&placements));
        match token {
            // A readable "no" to the token: a fresh one may do, once. An answer that leaves
            // anything open is none, whatever its status.
            Some(token)
                if may_renew
                    && matches!(reply.status, 401 | 403)
                    && placements.iter().all(is_certain_refusal) =>
            {
                Sent::TokenRefused(token.generation)
            }
            _ => Sent::Outcomes(self.outcomes(account, batch, placements, reply.status, now)),
        }
    }

    fn outcomes(
        &self,
        account: &Account,
        batch: &[Outgoing<'_>],
        mut placements: Vec<Placement>,
        http_status: u16,
        now: Timestamp,
    ) -> Vec<Observation> {
        if placements.len() != batch.len() {
            tracing::error!(vendor = account.name(), "the adapter did not account for every call");
            placements.truncate(batch.len());
        }
        let whole = is_refused_as_a_whole(&placements);
        let mut observations: Vec<_> = placements
            .into_iter()
            .map(|placement| match placement {
                Placement::Accepted { vendor_call_id, vendor_request_id, data } => {
                    accepted(vendor_call_id, vendor_request_id, data)
                }
                Placement::Fault(fault) => {
                    let mut error = account.vendor_error(fault, Some(http_status));
                    if whole {
                        error.violations.clear();
                        error.message +=
                            &format!(" (said of {} calls in one request)", batch.len());
                    }
                    Observation::Failed(error)
                }
            })
            .collect();
        observations.resize_with(batch.len(), not_mentioned);
        // One call's mistake says nothing of the vendor; only an exchange in which
        // nothing went well, by the vendor's doing, does.
        let vendors_doing = observations.iter().all(|observation| {
            matches!(observation, Observation::Failed(error) if !is_callers_doing(error.cause))
        });
        match observations.first() {
            Some(Observation::Failed(error)) if vendors_doing => account.went_wrong(error, now),
            _ => account.went_well(now),
        }
        observations
    }

    fn all(
        &self,
        account: &Account,
        count: usize,
        error: CallError,
        now: Timestamp,
    ) -> Vec<Observation> {
        account.went_wrong(&error, now);
        std::iter::repeat_n(Observation::Failed(error), count).collect()
    }

    /// Sends a question and gives the answer; a vendor that can't be asked now is no
    /// news of any call, so the error is for a warning.
    pub(super) async fn question(
        &self,
        account: &Account,
        calls: usize,
        write: impl Fn(&Context<'_>) -> Option<crate::http::HttpRequest>,
    ) -> Result<HttpReply, CallError> {
        // No vendor wants a token for questions.
        let context = Context { now: self.inner.clock.now(), token: None };
        let Some(request) = write(&context) else {
            return Err(CallError::new(
                Cause::Unsupported,
                "RESULTS_ARE_PUSHED",
                format!("{} can't be asked for results; it posts them", account.name()),
            ));
        };
        let reply = account.send(&request, Errand::Ask, calls).await;
        reply.inspect(|r| account.keep_pace(r)).map_err(|failure| unanswered(account, &failure))
    }
}

impl Account {
    /// A vendor that says "too fast" is left alone for as long as it says; so is one that is
    /// overloaded and says for how long.
    pub(super) fn keep_pace(&self, reply: &HttpReply) {
        match reply.status {
            429 | 503 if reply.status == 429 || reply.retry_after.is_some() => {
                tracing::warn!(vendor = self.name(), rest = ?reply.retry_after, "the vendor says that it gets too much; nothing is sent for a while");
                self.meter.too_fast.one();
                self.pace.too_fast(reply.retry_after, Instant::now());
            }
            200..=299 => self.pace.fast_enough(),
            _ => {}
        }
    }
}

fn not_mentioned() -> Observation {
    Observation::Failed(CallError::new(
        Cause::InDoubt,
        "UNREADABLE_ANSWER",
        "the vendor's answer does not mention the call",
    ))
}

fn is_certain_refusal(placement: &Placement) -> bool {
    matches!(placement, Placement::Fault(fault) if fault.cause != Cause::InDoubt)
}

/// An id that is longer than any id known is none: the vendor said yes, and under which
/// name is not known.
pub(super) fn accepted(
    vendor_call_id: Option<String>,
    vendor_request_id: Option<String>,
    data: Map<String, Value>,
) -> Observation {
    let short = |id: &String| id.len() <= bounds::MAX_ID_BYTES;
    Observation::Accepted {
        vendor_call_id: vendor_call_id.filter(short),
        vendor_request_id: vendor_request_id.filter(short),
        data: bounds::data(data),
    }
}

/// A vendor that refuses a request of many calls as a whole does not say which of them
/// it means: none should be told that its field is wrong.
fn is_refused_as_a_whole(placements: &[Placement]) -> bool {
    match placements {
        [Placement::Fault(first), rest @ ..] if !rest.is_empty() => {
            first.cause != Cause::InDoubt
                && rest.iter().all(|p| matches!(p, Placement::Fault(fault) if fault == first))
        }
        _ => false,
    }
}

/// A question without an answer puts nothing in doubt: it may be asked again.
fn unanswered(account: &Account, failure: &Failure) -> CallError {
    let mut error = account.line_error(failure);
    if error.cause == Cause::InDoubt {
        error.cause = Cause::Unreachable;
        error.dialed = Dialed::No;
        error.retry_after = Some(UNREACHABLE_WAIT);
        error.message =
            format!("{} did not answer the question for results: {failure}", account.name());
    }
    error
}

fn is_callers_doing(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::InvalidCall
            | Cause::NotAllowed
            | Cause::NotFound
            | Cause::Unsupported
            | Cause::Aborted
    )
}
