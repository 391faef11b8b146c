//! One exchange with a vendor: written by its adapter, sent by the HTTP edge, read
//! by its adapter.

use jiff::Timestamp;

use super::{Gateway, account::Account};
use crate::{
    call::{Call, CallError, Cause, Observation},
    http::{Failure, HttpReply},
    vendors::{Context, Outgoing, Placement},
};

impl Gateway {
    /// Hands a batch to its vendor and gives the outcome of each call, in its order.
    pub(super) async fn place(
        &self,
        account: &Account,
        calls: &[Call],
        now: Timestamp,
    ) -> Vec<Observation> {
        let batch: Vec<_> =
            calls.iter().map(|call| Outgoing { id: call.id, order: &call.order }).collect();
        let mut refused_token = None;
        loop {
            let token = match account.token(refused_token).await {
                Ok(token) => token,
                Err(fault) => {
                    return self.all(account, calls, account.vendor_error(fault, None), now);
                }
            };
            let context = Context { now, token: token.as_ref().map(|token| &token.secret) };
            let request = match account.adapter().place(&batch, &context) {
                Ok(request) => request,
                Err(fault) => {
                    return self.all(account, calls, account.vendor_error(fault, None), now);
                }
            };
            let reply = match account.client.send(&request).await {
                Ok(reply) => reply,
                Err(failure) => {
                    return self.all(account, calls, account.line_error(&failure), now);
                }
            };
            // A readable "no" to the token: a fresh one may do, once.
            if let Some(token) = token
                && refused_token.is_none()
                && matches!(reply.status, 401 | 403)
            {
                refused_token = Some(token.generation);
                continue;
            }
            return self.outcomes(account, &batch, &reply, now);
        }
    }

    fn outcomes(
        &self,
        account: &Account,
        batch: &[Outgoing<'_>],
        reply: &HttpReply,
        now: Timestamp,
    ) -> Vec<Observation> {
        let mut placements = account.adapter().read_placement(batch, reply);
        if placements.len() != batch.len() {
            tracing::error!(vendor = account.name(), "the adapter did not account for every call");
            placements.truncate(batch.len());
        }
        let mut observations: Vec<_> = placements
            .into_iter()
            .map(|placement| match placement {
                Placement::Accepted { vendor_call_id, vendor_request_id, data } => {
                    Observation::Accepted { vendor_call_id, vendor_request_id, data }
                }
                Placement::Fault(fault) => {
                    Observation::Failed(account.vendor_error(fault, Some(reply.status)))
                }
            })
            .collect();
        observations.resize_with(batch.len(), || {
            Observation::Failed(CallError::new(
                Cause::InDoubt,
                "UNREADABLE_ANSWER",
                "the vendor's answer does not mention the call",
            ))
        });
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
        calls: &[Call],
        error: CallError,
        now: Timestamp,
    ) -> Vec<Observation> {
        account.went_wrong(&error, now);
        calls.iter().map(|_| Observation::Failed(error.clone())).collect()
    }

    /// Sends a question and gives the answer; a vendor that can't be asked now is no
    /// news of any call, so the error is for a warning.
    pub(super) async fn question(
        &self,
        account: &Account,
        write: impl Fn(&Context<'_>) -> Option<crate::http::HttpRequest>,
    ) -> Result<HttpReply, CallError> {
        let mut refused_token = None;
        loop {
            let token = account
                .token(refused_token)
                .await
                .map_err(|fault| account.vendor_error(fault, None))?;
            let now = self.inner.clock.now();
            let context = Context { now, token: token.as_ref().map(|token| &token.secret) };
            let Some(request) = write(&context) else {
                return Err(CallError::new(
                    Cause::Unsupported,
                    "RESULTS_ARE_PUSHED",
                    format!("{} can't be asked for results; it posts them", account.name()),
                ));
            };
            let reply = account
                .client
                .send(&request)
                .await
                .map_err(|failure| unanswered(account, &failure))?;
            if let Some(token) = token
                && refused_token.is_none()
                && matches!(reply.status, 401 | 403)
            {
                refused_token = Some(token.generation);
                continue;
            }
            return Ok(reply);
        }
    }
}

/// A question without an answer puts nothing in doubt: it may be asked again.
fn unanswered(account: &Account, failure: &Failure) -> CallError {
    let mut error = account.line_error(failure);
    if error.cause == Cause::InDoubt {
        error.cause = Cause::Unreachable;
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
