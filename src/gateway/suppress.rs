//! Numbers that must not be called.
//!
//! They are looked at twice: when a call is prepared, so that its caller is told at once, and
//! by the ledger itself within the transaction that claims a call that waited.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{Gateway, GatewayError, prepare::refuse};
use crate::{
    call::{Call, CallState, E164, Suppression, SuppressionReason, suppressed},
    ledger::LedgerError,
    telemetry::Traced,
};

impl Gateway {
    /// Puts numbers on the do-not-call list, or a new reason that is not empty to those that
    /// are on it. Gives them as they are then, in their order. No call is handed over to one of
    /// them that had not been begun before. The same again changes nothing.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub async fn suppress(
        &self,
        numbers: Vec<E164>,
        reason: SuppressionReason,
    ) -> Result<Vec<Suppression>, GatewayError> {
        let create_time = self.inner.clock.now();
        let numbers = numbers
            .into_iter()
            .map(|number| Suppression { number, reason: reason.clone(), create_time })
            .collect();
        let ledger = self.inner.ledger.clone();
        self.to_its_end(async move { ledger.suppress(numbers).await }).await
    }

    /// Takes numbers off the list. Gives those that were on it, in their order.
    ///
    /// # Errors
    /// When the ledger can't be written.
    pub async fn unsuppress(&self, numbers: Vec<E164>) -> Result<Vec<E164>, GatewayError> {
        let ledger = self.inner.ledger.clone();
        self.to_its_end(async move { ledger.unsuppress(numbers).await }).await
    }

    /// Those of these numbers that are on the list, in their order.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn suppressed(&self, numbers: Vec<E164>) -> Result<Vec<Suppression>, GatewayError> {
        Ok(self.inner.ledger.suppressed(numbers).await?)
    }

    /// Up to `limit` numbers of the list after a number, in their order, and whether there are
    /// more.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn suppressions(
        &self,
        after: Option<E164>,
        limit: usize,
    ) -> Result<(Vec<Suppression>, bool), GatewayError> {
        Ok(self.inner.ledger.suppressions(after, limit).await?)
    }

    /// A change that is made though its caller leaves, and for which a stop waits.
    async fn to_its_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, LedgerError>> + Send + 'static,
    ) -> Result<T, GatewayError> {
        let counted = self.inner.tasks.token();
        let change = async move {
            let done = change.await;
            drop(counted);
            done
        };
        let work = tokio::spawn(change.here());
        Ok(work.await.map_err(|_| GatewayError::Broken)??)
    }

    /// Fails those calls that would be placed and must not be: one read for all of them.
    pub(super) async fn refuse_suppressed(
        &self,
        calls: &mut [Call],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let waits = |call: &Call| call.state == CallState::Scheduled;
        let listed = self.on_the_list(calls.iter().filter(|call| waits(call))).await?;
        refuse_listed(calls, &listed, now);
        Ok(())
    }

    /// Whether any number of these calls is on the list.
    pub(super) async fn is_suppressed(&self, calls: &[Call]) -> Result<bool, LedgerError> {
        Ok(!self.on_the_list(calls.iter()).await?.is_empty())
    }

    /// Those of these calls' numbers that are on the list.
    pub(super) async fn on_the_list(
        &self,
        calls: impl Iterator<Item = &Call> + Send,
    ) -> Result<HashSet<E164>, LedgerError> {
        if !self.inner.ledger.may_suppress() {
            return Ok(HashSet::new());
        }
        let numbers: HashSet<_> = calls.flat_map(|call| &call.order.to).cloned().collect();
        let listed = self.inner.ledger.suppressed(numbers.into_iter().collect()).await?;
        Ok(listed.into_iter().map(|suppression| suppression.number).collect())
    }
}

/// Fails those calls that would be placed, and have a number that is on the list.
pub(super) fn refuse_listed(calls: &mut [Call], listed: &HashSet<E164>, now: Timestamp) {
    if listed.is_empty() {
        return;
    }
    for call in calls.iter_mut().filter(|call| call.state == CallState::Scheduled) {
        let numbers = call.order.to.iter().enumerate();
        let places: Vec<_> =
            numbers.filter(|(_, n)| listed.contains(*n)).map(|(place, _)| place).collect();
        if let Some(error) = suppressed(&places) {
            refuse(call, error, now);
        }
    }
}
