//! After a restart: what was being handed over is in doubt, what waited goes on, and what was
//! sent counts still.

use super::{Gateway, GatewayError, gone::gone};
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
    /// Calls that waited for their turn: sent as soon as the gateway attends to them.
    pub resumed: usize,
}

impl Gateway {
    /// Deals with what the last run left behind. Call it once, before new calls are
    /// taken.
    ///
    /// # Errors
    /// When the ledger can't be read or written.
    pub async fn recover(&self) -> Result<Recovery, GatewayError> {
        // First of all: nothing may be sent before, and what follows is news of its own.
        self.count_what_was_sent(self.configured().accounts()).await?;
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
            let configured = self.configured();
            let news = calls.iter().map(|call| News {
                call: call.id,
                observation: Observation::Failed(error.clone()),
                at,
                due: Some(match configured.account(&call.vendor) {
                    Some(account) => account.look_in_doubt(call, &error, at),
                    None => at,
                }),
                vendor: None,
                dial: Some(call.dial()),
            });
            self.observe(news.collect()).await?;
        }
        recovery.resumed = self.resume().await?;
        self.remember_who_is_gone().await?;
        Ok(recovery)
    }

    async fn open(
        &self,
        state: CallState,
        after: Option<CallId>,
    ) -> Result<Vec<Call>, GatewayError> {
        Ok(self.inner.ledger.open_calls(&[state], after, PAGE).await?)
    }

    /// Lets go what the last run had taken up, for whoever takes up what waits.
    async fn resume(&self) -> Result<usize, GatewayError> {
        self.move_from_missing_vendors().await?;
        let now = self.inner.clock.now();
        let mut resumed = 0;
        loop {
            let some = self.inner.ledger.let_go(now, PAGE).await?;
            resumed += some;
            if some < PAGE {
                return Ok(resumed);
            }
        }
    }

    /// Calls that wait for a vendor that is not configured any more go to the next one of
    /// their plan. Those that have none wait on (`gateway::gone`): the vendor may be back.
    async fn move_from_missing_vendors(&self) -> Result<(), GatewayError> {
        let mut missing = self.inner.ledger.waited_for().await?;
        let configured = self.configured();
        missing.retain(|vendor| configured.account(vendor).is_none());
        if missing.is_empty() {
            return Ok(());
        }
        let (mut after, mut moved, mut left) = (None, 0, 0);
        loop {
            let calls = self.open(CallState::Scheduled, after).await?;
            let Some(last) = calls.last() else { break };
            after = Some(last.id);
            let at = self.inner.clock.now();
            let mut news = Vec::new();
            for call in calls.iter().filter(|call| missing.contains(&call.vendor)) {
                let refused = self.or_moved_on(call, Observation::Failed(gone(call)));
                if !matches!(refused, Observation::FailedOver { .. }) {
                    left += 1;
                    continue;
                }
                moved += 1;
                // As if that vendor had been tried; at the next one it waits as long.
                let until = call.held_until.unwrap_or(at);
                let steps = [
                    Observation::Dispatching,
                    refused,
                    Observation::Held { until, holds: call.holds },
                ];
                news.extend(steps.map(|observation| News {
                    call: call.id,
                    observation,
                    at,
                    due: None,
                    vendor: None,
                    dial: Some(call.dial()),
                }));
            }
            self.observe(news).await?;
        }
        tracing::warn!(
            ?missing,
            moved,
            left,
            "calls wait for vendors that are not configured any more"
        );
        Ok(())
    }
}
