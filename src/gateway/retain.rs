//! Removes what is over for long enough, a little at a time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::Gateway;
use crate::ledger::{LedgerError, Removed};

/// A start has more urgent things to do.
const FIRST: Duration = Duration::from_secs(60);
/// Between two passes.
const EVERY: Duration = Duration::from_secs(3_600);
/// Calls in one step.
const STEP: usize = 1_000;
/// Between two steps: others want to write as well.
const PAUSE: Duration = Duration::from_millis(100);

impl Gateway {
    /// Removes requests that are older than is to be kept, again and again, until the gateway
    /// stops.
    pub(super) async fn remove_what_is_old(self) {
        let mut wait = FIRST;
        while self.goes_on_after(wait).await {
            match self.remove_in_steps().await {
                Ok(Removed { requests: 0, calls: 0, .. }) => {}
                Ok(Removed { requests, calls, .. }) => {
                    tracing::info!(requests, calls, "what is over for long enough was removed");
                }
                // What was removed so far is gone; the rest is found the next time.
                Err(error) => tracing::warn!(%error, "what is old can't be removed"),
            }
            wait = EVERY;
        }
    }

    async fn remove_in_steps(&self) -> Result<Removed, LedgerError> {
        let retain = SignedDuration::try_from(self.inner.retain).unwrap_or(SignedDuration::MAX);
        let now = self.inner.clock.now();
        let before = now.checked_sub(retain).unwrap_or(Timestamp::MIN);
        let mut all = Removed::default();
        loop {
            let step = self.inner.ledger.remove_old(before, STEP).await?;
            all.requests = all.requests.saturating_add(step.requests);
            all.calls = all.calls.saturating_add(step.calls);
            if !step.more || !self.goes_on_after(PAUSE).await {
                return Ok(all);
            }
        }
    }

    /// Waits, unless the gateway stops.
    async fn goes_on_after(&self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => !self.is_stopping(),
            () = self.inner.stopping.cancelled() => false,
        }
    }
}
