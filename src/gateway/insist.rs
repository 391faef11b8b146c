//! Patience with a ledger that fails.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

use super::Gateway;
use crate::{
    call::Call,
    ledger::{LedgerError, News},
};

/// How long a caller waits for a ledger that can't be written. The work goes on after.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before a ledger that failed is tried again, at first.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The same, at most.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Gateway {
    /// Asks the ledger again and again while it fails, for as long as there is patience;
    /// once the gateway stops, only as long as a caller would wait.
    pub(super) async fn insist<T, F>(
        &self,
        patience: Duration,
        mut change: impl FnMut() -> F,
    ) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let started = Instant::now();
        let mut stopping_since = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match change().await {
                Ok(done) => return Ok(done),
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => error,
            };
            let (since, patience) = if self.is_stopping() {
                (*stopping_since.get_or_insert_with(Instant::now), PATIENCE)
            } else {
                (started, patience)
            };
            if since.elapsed() >= patience {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Applies news, insisting as [`Gateway::insist`]. What is of a call that is not there any
    /// more, or can't be read, is left out, of the news as well: it must not keep the others
    /// from being recorded.
    pub(super) async fn insist_on(
        &self,
        patience: Duration,
        news: &mut Vec<News>,
    ) -> Result<Vec<Call>, LedgerError> {
        loop {
            let recorded = self.insist(patience, || self.observe(news.clone())).await;
            let lost = match &recorded {
                Err(LedgerError::NoSuchCall(id)) => id.to_string(),
                Err(LedgerError::Unreadable { id, .. }) => id.clone(),
                _ => return recorded,
            };
            let before = news.len();
            news.retain(|news| news.call.to_string() != lost);
            if news.len() == before {
                return recorded;
            }
            tracing::error!(
                call = lost,
                "news of a call can't be recorded: it is not there, or not readable"
            );
        }
    }
}

/// Trying again does not help.
pub(super) fn is_final(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::Closed | LedgerError::NoSuchCall(_) | LedgerError::Unreadable { .. }
    )
}
