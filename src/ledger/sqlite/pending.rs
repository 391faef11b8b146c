//! What waits for the writer.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{cache::Cache, row::Trouble, session::Session};
use crate::ledger::LedgerError;

/// A change that somebody waits for.
pub trait Change: Send {
    /// How many calls it writes, at least 1.
    fn weight(&self) -> usize;

    /// Makes the change and keeps what came of it. Once more, if the transaction in which it
    /// did was rolled back because of another one.
    ///
    /// # Errors
    /// When it was not made; [`Trouble::is_of_the_store`] tells whether the others of
    /// the transaction go with it.
    fn make(&mut self, session: &mut Session<'_>) -> Result<(), Trouble>;

    /// It is on disk, and nothing came after it: what is known of it by now need not be read.
    fn remember(&mut self, cache: &mut Cache);

    /// Tells who waits: what came of the change if it is on disk, the error if not.
    fn answer(self: Box<Self>, committed: Result<(), LedgerError>);
}

/// How a change is made.
pub trait Make: Send + 'static {
    /// What comes of it.
    type Outcome: Send + 'static;

    /// As [`Change::make`].
    ///
    /// # Errors
    /// As there.
    fn make(&mut self, session: &mut Session<'_>) -> Result<Self::Outcome, Trouble>;

    /// As [`Change::remember`].
    fn remember(&mut self, _cache: &mut Cache) {}
}

/// A change made by a function.
pub struct By<F>(pub F);

impl<F, T> Make for By<F>
where
    F: FnMut(&mut Session<'_>) -> Result<T, Trouble> + Send + 'static,
    T: Send + 'static,
{
    type Outcome = T;

    fn make(&mut self, session: &mut Session<'_>) -> Result<T, Trouble> {
        (self.0)(session)
    }
}

/// A change, and who waits for it.
pub struct Pending<M: Make> {
    /// How many calls it writes.
    pub weight: usize,
    /// Makes the change.
    pub make: M,
    /// What came of it.
    pub made: Option<M::Outcome>,
    /// Who waits.
    pub reply: oneshot::Sender<Result<M::Outcome, LedgerError>>,
    /// Its place in the queue.
    pub place: OwnedSemaphorePermit,
}

impl<M: Make> Change for Pending<M> {
    fn weight(&self) -> usize {
        self.weight
    }

    fn make(&mut self, session: &mut Session<'_>) -> Result<(), Trouble> {
        self.made = None;
        self.made = Some(self.make.make(session)?);
        Ok(())
    }

    fn remember(&mut self, cache: &mut Cache) {
        self.make.remember(cache);
    }

    fn answer(self: Box<Self>, committed: Result<(), LedgerError>) {
        let Self { made, reply, place, .. } = *self;
        drop(place);
        let outcome = committed.and_then(|()| {
            made.ok_or_else(|| LedgerError::Failed("the change was not tried".to_owned()))
        });
        // Nobody may wait any more; what was done stays done.
        let _ = reply.send(outcome);
    }
}
