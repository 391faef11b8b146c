//! Takes back calls that no vendor has yet.

use super::{Gateway, GatewayError, Scope};
use crate::{
    call::{Call, CallState, Observation, Position, Selector},
    ledger::News,
    telemetry::Traced,
};

/// The most calls that are taken back at once: what one answer can tell of.
const MAX_CALLS: usize = 5_000;

/// Calls that were to be taken back.
#[derive(Debug)]
pub struct Canceled {
    /// As they are now. Those in another state than [`CallState::Canceled`] were too late, or
    /// over already.
    pub calls: Vec<Call>,
    /// Ids and references without a call.
    pub not_found: Vec<String>,
}

impl Gateway {
    /// Takes back those of the selected calls that wait. A call is taken back or claimed for
    /// its vendor, each in a transaction: never both, and never half. None of the vendors can
    /// take back what it has. The same again does no harm.
    ///
    /// # Errors
    /// [`GatewayError::TooManySelected`], before anything is taken back; or when the ledger
    /// can't be read or written.
    pub async fn cancel(&self, selector: Selector) -> Result<Canceled, GatewayError> {
        self.cancel_in(Scope::default(), selector).await
    }

    /// The same for somebody to whom the calls of other routes are not there.
    ///
    /// # Errors
    /// The same.
    pub async fn cancel_in(
        &self,
        scope: Scope,
        selector: Selector,
    ) -> Result<Canceled, GatewayError> {
        // A caller that leaves finds its calls taken back all the same, and a stop waits.
        let counted = self.inner.tasks.token();
        let gateway = self.clone();
        let take_back = async move {
            let canceled = gateway.take_back(&scope, &selector).await;
            drop(counted);
            canceled
        };
        let work = tokio::spawn(take_back.here());
        work.await.unwrap_or(Err(GatewayError::Broken))
    }

    async fn take_back(
        &self,
        scope: &Scope,
        selector: &Selector,
    ) -> Result<Canceled, GatewayError> {
        // What waits in memory alone can be taken back once it is recorded.
        for recorded in self.record_waiting(scope, selector) {
            // Told, or gone: either way it is not in memory alone any more.
            let _ = recorded.await;
        }
        let Canceled { mut calls, not_found } = self.selected(scope, selector).await?;
        let at = self.inner.clock.now();
        let waiting: Vec<_> = calls
            .iter_mut()
            .filter(|call| matches!(call.state, CallState::Scheduled | CallState::Dispatching))
            .collect();
        // What is being handed over may come back to wait for another vendor meanwhile.
        let news = waiting.iter().map(|call| News {
            call: call.id,
            observation: Observation::Canceled,
            at,
            due: None,
            vendor: None,
            dial: None,
        });
        let recorded = self.observe(news.collect()).await?;
        for (call, recorded) in waiting.into_iter().zip(recorded) {
            *call = recorded;
        }
        Ok(Canceled { calls, not_found })
    }

    /// The calls as they would be, and nothing is changed: what waits in memory alone stays there,
    /// and is not seen.
    ///
    /// # Errors
    /// As [`Gateway::cancel`], but that nothing is written.
    pub async fn would_cancel_in(
        &self,
        scope: Scope,
        selector: Selector,
    ) -> Result<Canceled, GatewayError> {
        let mut canceled = self.selected(&scope, &selector).await?;
        let at = self.inner.clock.now();
        for call in &mut canceled.calls {
            call.apply(Observation::Canceled, at);
        }
        Ok(canceled)
    }

    async fn selected(&self, scope: &Scope, selector: &Selector) -> Result<Canceled, GatewayError> {
        let start = Position { entries: 0, within: None };
        let page = self.page_in(scope, selector, start, MAX_CALLS).await?;
        if page.next.is_some() {
            return Err(GatewayError::TooManySelected(MAX_CALLS));
        }
        let calls = page.calls.into_iter().map(|(call, _)| call).collect();
        Ok(Canceled { calls, not_found: page.not_found })
    }
}
