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
//! - A request that can be placed at once is not looked up before: its record says that the id
//!   was used. One that can't is looked up before it is refused, or waits for long: whoever
//!   repeats a request is told what became of it, whatever has changed since.
//! - Who may place an id next is *announced* until it has the seat, has joined, or has gone. So
//!   somebody who fails with nothing recorded knows whether another one may place the same
//!   calls still, and is not told then that nobody is dialled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Created, Gateway, GatewayError, Prepared, meter::Requests};
use crate::{
    call::{Fingerprint, Position, RequestId, Selector},
    ledger::{LedgerError, RequestRecord},
};

type Outcome = Result<Created, GatewayError>;

/// The requests that are being placed. Takes memory for these alone: their waiters share one
/// outcome, and it goes with the last of them.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<Table>>, Arc<Requests>);

#[derive(Debug, Default)]
struct Table {
    flights: HashMap<RequestId, Flight>,
    /// How many look an id up, and may place it next.
    announced: HashMap<RequestId, usize>,
}

/// A request that is being looked up and may be placed: others with its id are not told
/// meanwhile that nothing comes of it.
#[derive(Debug)]
pub struct Announced {
    all: InFlight,
    id: RequestId,
    given_up: bool,
}

/// What is known of a request id.
#[derive(Debug)]
pub enum Looked {
    /// Nothing. [`Prepared::announced`] takes it on to the request that is placed; dropped, it
    /// says that this one places nothing.
    New(Announced),
    /// The answer to give again.
    Before(Created),
}

#[derive(Debug)]
struct Flight {
    fingerprint: Fingerprint,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// The right to place a request. Dropped without an outcome, by a panic, it lets its waiters
/// know that there is none.
#[derive(Debug)]
pub(super) struct Seat {
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
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of those that are over.
    pub(super) fn requests(&self) -> &Requests {
        &self.1
    }

    fn announce(&self, id: &RequestId) -> Announced {
        *self.lock().announced.entry(id.clone()).or_default() += 1;
        Announced { all: self.clone(), id: id.clone(), given_up: false }
    }

    /// Takes the seat, or joins who has it. Who was announced is no more, at the same moment.
    fn take(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
        announced: &mut Option<Announced>,
    ) -> Result<Found, GatewayError> {
        let mut table = self.lock();
        if let Some(announced) = announced {
            announced.give_up(&mut table);
        }
        if let Some(flight) = table.flights.get(id) {
            return flight.join(id, fingerprint).map(Found::Taken);
        }
        let (sender, outcome) = watch::channel(None);
        table.flights.insert(id.clone(), Flight { fingerprint: fingerprint.clone(), outcome });
        let all = self.clone();
        Ok(Found::Free(Seat { all, id: id.clone(), outcome: sender, told: None }))
    }

    /// Joins who has the seat, if somebody has it; then who was announced is no more.
    fn join(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
        announced: Option<&mut Announced>,
    ) -> Result<Option<Waiter>, GatewayError> {
        let mut table = self.lock();
        let Some(flight) = table.flights.get(id) else { return Ok(None) };
        let waiter = flight.join(id, fingerprint)?;
        if let Some(announced) = announced {
            announced.give_up(&mut table);
        }
        Ok(Some(waiter))
    }
}

impl Announced {
    /// What to tell when the ledger failed before anything of this request was recorded: with
    /// another one of its id on its way, that something may come of it still.
    pub fn told(&self, error: GatewayError) -> GatewayError {
        let table = self.all.lock();
        let others = table.announced.get(&self.id).is_some_and(|count| *count > 1)
            || table.flights.contains_key(&self.id);
        match error {
            GatewayError::Ledger(_) if others => GatewayError::BeingPlaced(self.id.clone()),
            error => error,
        }
    }

    fn give_up(&mut self, table: &mut Table) {
        if std::mem::replace(&mut self.given_up, true) {
            return;
        }
        match table.announced.get_mut(&self.id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                table.announced.remove(&self.id);
            }
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if !self.given_up {
            let all = self.all.clone();
            self.give_up(&mut all.lock());
        }
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

    pub(super) fn settle(mut self, outcome: Outcome) {
        self.told = Some(outcome);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Given back before anybody hears of it: who has the answer finds the seat free.
        let others = {
            let mut table = self.all.lock();
            table.flights.remove(&self.id);
            table.announced.contains_key(&self.id)
        };
        if let Some(mut outcome) = self.told.take() {
            if others && outcome.as_ref().is_err_and(nothing_was_recorded) {
                outcome = Err(GatewayError::BeingPlaced(self.id.clone()));
            }
            self.all.requests().ended(&outcome);
            self.outcome.send_replace(Some(outcome));
        } else {
            self.all.requests().ended(&Err(GatewayError::Broken));
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
    pub async fn create(&self, mut prepared: Prepared) -> Result<Created, GatewayError> {
        // Counted before the look at it, so that a stop waits for what it did not prevent.
        let counted = self.inner.tasks.token();
        let Prepared { request_id, fingerprint, announced, .. } = &mut prepared;
        let seat = match self.inner.in_flight.take(request_id, fingerprint, announced) {
            Ok(Found::Free(seat)) => seat,
            Ok(Found::Taken(first)) => return self.counted(first.repeated().await),
            Err(reused) => {
                return self.counted(self.reused(request_id, fingerprint, reused).await);
            }
        };
        let own = seat.waiter();
        self.begin(prepared, seat, counted);
        own.outcome().await
    }

    /// Of a request that places nothing itself. Who has the seat counts for himself.
    fn counted(&self, outcome: Outcome) -> Outcome {
        self.inner.in_flight.requests().ended(&outcome);
        outcome
    }

    /// What is recorded of a request id, or comes of it at this moment. Whoever means to
    /// place it afterwards looks here first.
    ///
    /// # Errors
    /// When it was used for another payload, or the ledger can't be asked; and with the error
    /// of the request that was joined.
    pub async fn recorded(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
    ) -> Result<Looked, GatewayError> {
        self.look_up(self.announce(id), fingerprint).await
    }

    /// Announces a request that may be placed.
    pub fn announce(&self, id: &RequestId) -> Announced {
        self.inner.in_flight.announce(id)
    }

    /// As [`Gateway::recorded`], for who is announced.
    ///
    /// # Errors
    /// The same.
    pub async fn look_up(
        &self,
        announced: Announced,
        fingerprint: &Fingerprint,
    ) -> Result<Looked, GatewayError> {
        match self.look(announced, fingerprint).await {
            Ok(Looked::New(announced)) => Ok(Looked::New(announced)),
            Ok(Looked::Before(created)) => self.counted(Ok(created)).map(Looked::Before),
            Err(error) => self.counted(Err(error)).map(Looked::Before),
        }
    }

    async fn look(
        &self,
        mut announced: Announced,
        fingerprint: &Fingerprint,
    ) -> Result<Looked, GatewayError> {
        let in_flight = &self.inner.in_flight;
        let id = &announced.id.clone();
        // In memory first, which spares the ledger; then, once there is a record, again.
        match in_flight.join(id, fingerprint, Some(&mut announced)) {
            Ok(None) => {}
            Ok(Some(first)) => return first.repeated().await.map(Looked::Before),
            Err(reused) => {
                return self.reused(id, fingerprint, reused).await.map(Looked::Before);
            }
        }
        let Some(record) = self.request(id).await? else { return Ok(Looked::New(announced)) };
        // Another payload's has nothing to do with this record.
        if let Ok(Some(first)) = in_flight.join(id, fingerprint, Some(&mut announced)) {
            return first.repeated().await.map(Looked::Before);
        }
        self.replay(id, fingerprint, record).await.map(Looked::Before)
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
        let joined = self.inner.in_flight.join(id, fingerprint, None);
        if matches!(joined, Ok(Some(_))) {
            return Ok(());
        }
        match self.request(id).await? {
            Some(record) => same_payload(id, &record.fingerprint, fingerprint),
            None => joined.map(drop),
        }
    }

    /// What becomes of a request while another payload is being placed under its id. That one
    /// may be the wrong one, and be told so in a moment: what is recorded decides. Whatever is
    /// recorded of this one is over, for the other one has its seat.
    async fn reused(
        &self,
        id: &RequestId,
        fingerprint: &Fingerprint,
        reused: GatewayError,
    ) -> Outcome {
        match self.request(id).await? {
            Some(record) => self.replay(id, fingerprint, record).await,
            None => Err(reused),
        }
    }

    pub(super) async fn request(
        &self,
        id: &RequestId,
    ) -> Result<Option<RequestRecord>, GatewayError> {
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
        let mut calls: Vec<_> = page.calls.into_iter().map(|(call, _)| call).collect();
        let now = self.inner.clock.now();
        calls.iter_mut().for_each(|call| call.wait_from(now));
        Ok(Created { calls: calls.into(), replayed: true })
    }
}

/// Whether an error says that its request is not recorded, so that it is as good as never
/// asked. The others say that it is, may be, or was for another payload.
fn nothing_was_recorded(error: &GatewayError) -> bool {
    match error {
        GatewayError::Ledger(LedgerError::Uncertain(_))
        | GatewayError::RequestIdReused { .. }
        | GatewayError::Unasked(_)
        | GatewayError::BeingPlaced(_)
        | GatewayError::Broken => false,
        GatewayError::Ledger(_)
        | GatewayError::Overloaded
        | GatewayError::NoTurn { .. }
        | GatewayError::Stopping
        | GatewayError::UnknownRoute { .. }
        | GatewayError::TooManySelected(_)
        | GatewayError::NoSuchCalls(_) => true,
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
mod tests;
