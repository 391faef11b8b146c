//! After a restart: what was being handed over is in doubt, what waited goes on.

use std::collections::BTreeMap;

use super::{Gateway, GatewayError, batch::cut};
use crate::{
    call::{Call, CallError, CallId, CallState, Cause, Observation},
    ledger::News,
};

/// Calls read from the ledger at a time.
const PAGE: usize = 1_000;

/// What a restart found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Calls that were being handed over when the gateway stopped: now unconfirmed.
    pub unconfirmed: usize,
    /// Calls that waited for their turn: being sent now.
    pub resumed: usize,
}

impl Gateway {
    /// Deals with what the last run left behind. Call it once, before new calls are
    /// taken.
    ///
    /// # Errors
    /// When the ledger can't be read or written.
    pub async fn recover(&self) -> Result<Recovery, GatewayError> {
        let mut recovery = Recovery::default();
        let mut after = None;
        loop {
            let calls = self.open(CallState::Dispatching, after).await?;
            let Some(last) = calls.last() else { break };
            after = Some(last.id);
            recovery.unconfirmed += calls.len();
            let at = self.inner.clock.now();
            let error = CallError {
                unanswered: true,
                ..CallError::new(
                    Cause::InDoubt,
                    "GATEWAY_RESTARTED",
                    "the gateway stopped while the call was being handed over, so the vendor may have it",
                )
            };
            let news = calls.iter().map(|call| News {
                call: call.id,
                observation: Observation::Failed(error.clone()),
                at,
                due: Some(match self.inner.accounts.get(&call.vendor) {
                    Some(account) => account.look_in_doubt(call, &error, at),
                    None => at,
                }),
                vendor: None,
            });
            self.inner.ledger.observe(news.collect()).await?;
        }
        recovery.resumed = self.resume().await?;
        Ok(recovery)
    }

    async fn open(
        &self,
        state: CallState,
        after: Option<CallId>,
    ) -> Result<Vec<Call>, GatewayError> {
        Ok(self.inner.ledger.open_calls(&[state], after, PAGE).await?)
    }

    async fn resume(&self) -> Result<usize, GatewayError> {
        let mut resumed = 0;
        let mut after = None;
        let mut batches = Vec::new();
        loop {
            let calls = self.open(CallState::Scheduled, after).await?;
            let Some(last) = calls.last() else { break };
            after = Some(last.id);
            let mut by_vendor: BTreeMap<String, Vec<Call>> = BTreeMap::new();
            for call in calls {
                by_vendor.entry(call.vendor.clone()).or_default().push(call);
            }
            for (vendor, calls) in by_vendor {
                match self.inner.accounts.get(&vendor) {
                    Some(account) => {
                        resumed += calls.len();
                        batches.extend(cut(account, calls));
                    }
                    None => {
                        tracing::warn!(
                            vendor,
                            calls = calls.len(),
                            "calls wait for a vendor that is not configured any more"
                        );
                    }
                }
            }
        }
        if !batches.is_empty() {
            let gateway = self.clone();
            self.inner.tasks.spawn(async move { gateway.dispatch(batches).await });
        }
        Ok(resumed)
    }
}
