//! A request_id places its calls once. Who comes with one that is being placed at this
//! moment joins the work and gets its very outcome; who comes later gets what is recorded.
//!
//! Why nothing slips in between:
//!
//! - To place anything a request needs its *seat*, and there is one for each id. Whether
//!   it is free is looked up and changed under one lock, so of many at once one works.
//! - A seat is given back only after the work is over: what it recorded was on disk before.
//!   Whoever finds the seat free therefore finds the record, or there is none; and the
//!   ledger itself records an id once, whatever is in memory here.
//! - A record alone does not say that the work is over, so it is answered from only when the
//!   seat was seen free *after* the record was seen: a request is recorded once, and then its
//!   work can't begin again. In the other order (seat free, then record) the work may have
//!   begun in between, and its half-way state would be told as the answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Created, Gateway, GatewayError, Prepared};
use crate::{
    call::{Fingerprint, Position, RequestId, Selector},
    ledger::RequestRecord,
};

type Outcome = Result<Created, GatewayError>;

/// The requests that are being placed. Takes memory for these alone: their waiters share one
/// outcome, and it goes with the last of them.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<RequestId, Flight>>>);

#[derive(Debug)]
struct Flight {
    fingerprint: Fingerprint,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// The right to place a request. Dropped without an outcome, by a panic, it lets its waiters
/// know that there is none.
#[derive(Debug)]
struct Seat {
    all: InFlight,
    id: RequestId,
    outcome: watch::Sender<Option<Outcome>>,
    told: Option<Outcome>,
}

/// The outcome of a request that is being placed.
#[derive(Debug)]
struct Waiter(watch::Receiver<Option<Outcome>>);

/// What a request finds that wants to be placed.
enum Found {
    Free(Seat),
    Taken(Waiter),
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the seat, or joins who has it.
    fn take(&self, id: &RequestId, fingerprint: &Fingerprint) -> Result<Found, GatewayError> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(id) {
            return flight.join(id, fingerprint).map(Found::Taken);
        }
        let (sender, outcome) = watch::channel(None);
        flights.insert(id.clone(), Flight { fingerprint: fingerprint.clone(), outcome });
        let all = self.clone();
        Ok(Found::Free(Seat { all, id: id.clone(), outcome: sender, told: None }))
    }

    /// Joins who has the seat, if somebody has it.
    fn join(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Waiter>, GatewayError> {
        self.lock().get(id).map(|flight| flight.join(id, fingerprint)).transpose()
    }
}

impl Flight {
    fn join(&self, id: &RequestId, fingerprint: &Fingerprint) -> Result<Waiter, GatewayError> {
        same_payload(id, &self.fingerprint, fingerprint)?;
        Ok(Waiter(self.outcome.clone()))
    }
}

impl Seat {
    fn waiter(&self) -> Waiter {
        Waiter(self.outcome.subscribe())
    }

    fn settle(mut self, outcome: Outcome) {
        self.told = Some(outcome);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Given back before anybody hears of it: who has the answer finds the seat free.
        self.all.lock().remove(&self.id);
        if let Some(outcome) = self.told.take() {
            self.outcome.send_replace(Some(outcome));
        }
    }
}

impl Waiter {
    /// Waits for the outcome, as the one who placed it gets it.
    async fn outcome(mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(GatewayError::Broken)),
            // The work ended without one.
            Err(_) => Err(GatewayError::Broken),
        }
    }

    /// The same for who came later.
    async fn repeated(self) -> Outcome {
        self.outcome().await.map(|created| Created { replayed: true, ..created })
    }
}

impl Gateway {
    /// Records the calls and hands them to their vendors, unless the very same request is
    /// being placed: then the outcome is that one's, an error included, which is as true for
    /// the second as for the first. The work is a task of the gateway's own and goes on to its
    /// end when the future is dropped: a caller that leaves stops nothing.
    ///
    /// # Errors
    /// When nothing was sent: the id was used for another payload, or the ledger does
    /// not take the calls. [`GatewayError::Broken`] when the work ended by a defect.
    pub async fn create(&self, prepared: Prepared) -> Result<Created, GatewayError> {
        // Counted before the look at it, so that a stop waits for what it did not prevent.
        let counted = self.inner.tasks.token();
        let seat = match self.inner.in_flight.take(&prepared.request_id, &prepared.fingerprint)? {
            Found::Free(seat) => seat,
            Found::Taken(first) => return first.repeated().await,
        };
        let own = seat.waiter();
        if self.is_stopping() {
            seat.settle(Err(GatewayError::Stopping));
        } else {
            let gateway = self.clone();
            tokio::spawn(async move {
                let outcome = gateway.run(prepared).await;
                seat.settle(outcome);
                drop(counted);
            });
        }
        own.outcome().await
    }

    /// What is recorded of a request id, or comes of it at this moment: the answer to give
    /// again. None when it is new.
    ///
    /// # Errors
    /// When it was used for another payload, or the ledger can't be asked; and with the error
    /// of the request that was joined.
    pub async fn recorded(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Created>, GatewayError> {
        // In memory first, which spares the ledger; then, once there is a record, again.
        if let Some(first) = self.inner.in_flight.join(id, fingerprint)? {
            return first.repeated().await.map(Some);
        }
        let Some(record) = self.request(id).await? else { return Ok(None) };
        if let Some(first) = self.inner.in_flight.join(id, fingerprint)? {
            return first.repeated().await.map(Some);
        }
        self.replay(id, fingerprint, record).await.map(Some)
    }

    /// Whether a request id may have this payload: it is new, or its payload is this one.
    /// Waits for nothing that is being placed.
    ///
    /// # Errors
    /// When it was used for another payload, or the ledger can't be asked.
    pub async fn may_use(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
    ) -> Result<(), GatewayError> {
        if self.inner.in_flight.join(id, fingerprint)?.is_some() {
            return Ok(());
        }
        match self.request(id).await? {
            Some(record) => same_payload(id, &record.fingerprint, fingerprint),
            None => Ok(()),
        }
    }

    async fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, GatewayError> {
        self.inner.ledger.request(id).await.map_err(GatewayError::Unasked)
    }

    /// The recorded answer. Only for who has the seat, or has seen it free after the record.
    pub(super) async fn replay(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
        record: RequestRecord,
    ) -> Result<Created, GatewayError> {
        same_payload(id, &record.fingerprint, fingerprint)?;
        let start = Position { entries: 0, within: None };
        let limit = usize::try_from(record.calls).unwrap_or(usize::MAX).max(1);
        let selector = Selector::Request(id.clone());
        let page = self.inner.ledger.page(&selector, start, limit).await;
        let page = page.map_err(GatewayError::Unasked)?;
        let calls: Vec<_> = page.calls.into_iter().map(|(call, _)| call).collect();
        Ok(Created { calls: calls.into(), replayed: true })
    }
}

/// The digest decides; the fields only say where they differ.
fn same_payload(
    id: &RequestId,
    first: &Fingerprint,
    second: &Fingerprint,
) -> Result<(), GatewayError> {
    if first.digest == second.digest {
        return Ok(());
    }
    Err(GatewayError::RequestIdReused { id: id.clone(), field: first.difference(second) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(digest: u8) -> Fingerprint {
        Fingerprint { digest: [digest; 32], fields: Vec::new() }
    }

    fn seat(all: &InFlight) -> Seat {
        match all.take(&"one".parse().unwrap(), &print(1)).unwrap() {
            Found::Free(seat) => seat,
            Found::Taken(_) => panic!("taken"),
        }
    }

    fn joined(all: &InFlight) -> Waiter {
        all.join(&"one".parse().unwrap(), &print(1)).unwrap().unwrap()
    }

    #[tokio::test]
    async fn who_joins_gets_what_the_first_gets_whenever_it_looks() {
        let all = InFlight::default();
        let first = seat(&all);
        let (own, early, late) = (first.waiter(), joined(&all), joined(&all));
        let early = tokio::spawn(early.repeated());
        first.settle(Ok(Created { calls: Vec::new().into(), replayed: false }));
        assert!(!own.outcome().await.unwrap().replayed);
        let (early, late) = (early.await.unwrap().unwrap(), late.repeated().await.unwrap());
        assert!(early.replayed && late.replayed);
        assert!(all.lock().is_empty(), "nothing is kept of what is over");
    }

    #[tokio::test]
    async fn another_payload_does_not_wait_and_another_id_has_a_seat_of_its_own() {
        let all = InFlight::default();
        let _first = seat(&all);
        let one: RequestId = "one".parse().unwrap();
        for found in [all.join(&one, &print(2)).err(), all.take(&one, &print(2)).err()] {
            assert!(matches!(found, Some(GatewayError::RequestIdReused { .. })));
        }
        let two = all.take(&"two".parse().unwrap(), &print(2)).unwrap();
        assert!(matches!(two, Found::Free(_)));
    }

    #[tokio::test]
    async fn work_that_panics_lets_its_waiters_go() {
        let all = InFlight::default();
        let first = seat(&all);
        let waiter = joined(&all);
        let work = tokio::spawn(async move {
            let _seat = first;
            panic!("a defect");
        });
        assert!(work.await.is_err());
        assert!(matches!(waiter.repeated().await, Err(GatewayError::Broken)));
        // And the id is free for another try.
        seat(&all).settle(Err(GatewayError::Stopping));
    }

    #[tokio::test]
    async fn a_seat_that_is_taken_again_is_not_given_back_by_the_one_before() {
        let all = InFlight::default();
        let first = seat(&all);
        first.settle(Err(GatewayError::Overloaded));
        let second = seat(&all);
        let waiter = joined(&all);
        second.settle(Err(GatewayError::Stopping));
        assert!(matches!(waiter.repeated().await, Err(GatewayError::Stopping)));
    }
}
