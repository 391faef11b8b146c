//! A circuit breaker in front of a vendor: after some failures of the vendor's own in a row
//! nothing is sent to it for a while, then one exchange, to see whether it is back.
//!
//! Each change of state begins an era, and an exchange is of the era in which it was let
//! through. What becomes of one of an earlier era is passed over, good or bad: it was begun
//! under what the vendor was then, and only the one exchange that is let through to find out
//! says what the vendor is now. So a late failure opens nothing again, and a late success
//! closes nothing.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::fault::UNREACHABLE_WAIT;
use crate::{
    call::{Cause, Observation},
    config,
    telemetry::metrics::Counter,
};

/// Whether a vendor's exchanges are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// All are.
    Closed,
    /// None is, until a pause is over.
    Open,
    /// One is, to see whether the vendor is back.
    HalfOpen,
}

/// What an exchange says of its vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there, whatever it said.
    Answered,
    /// It could not be reached, or it failed, or nobody can read what it said.
    Failed,
}

impl Verdict {
    /// By what came of the calls of an exchange that was begun. One answer that is the
    /// vendor's to give (taken, or refused for a reason) shows that it is there.
    pub(super) fn of(outcomes: &[Observation]) -> Self {
        let failed = |outcome: &Observation| {
            let Observation::Failed(error) = outcome else { return false };
            matches!(error.cause, Cause::InDoubt | Cause::Unreachable | Cause::Unreadable)
        };
        if outcomes.iter().all(failed) { Self::Failed } else { Self::Answered }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many exchanges failed since the last that did not.
    Closed { failures: u32 },
    /// The pause is the one that ends then.
    Open { until: Instant, pause: Duration },
    /// The pause is the one that is over.
    HalfOpen { pause: Duration, is_tried: bool },
}

/// The right to one exchange. Nobody has two of it.
#[derive(Debug)]
struct Ticket {
    era: u64,
}

/// For the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Opened { failures: u32, pause: Duration },
    HalfOpened,
    Closed,
}

/// The breaker itself: pure, with the time from outside.
#[derive(Debug)]
struct Machine {
    settings: config::Breaker,
    state: State,
    era: u64,
}

impl Machine {
    fn new(settings: config::Breaker) -> Self {
        Self { settings, state: State::Closed { failures: 0 }, era: 0 }
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.era = self.era.wrapping_add(1);
    }

    fn open(&mut self, failures: u32, pause: Duration, now: Instant) -> Change {
        self.turn(State::Open { until: now.checked_add(pause).unwrap_or(now), pause });
        Change::Opened { failures, pause }
    }

    /// How long an exchange would have to wait now; none if it would be let through.
    fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Closed { .. } | State::HalfOpen { is_tried: false, .. } => None,
            State::Open { until, .. } => {
                Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
            }
            // When the one under way is over nobody knows.
            State::HalfOpen { is_tried: true, .. } => {
                Some(self.settings.pause.min(UNREACHABLE_WAIT))
            }
        }
    }

    fn enter(&mut self, now: Instant) -> Result<(Ticket, Option<Change>), Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        let mut change = None;
        match self.state {
            State::Closed { .. } => {}
            State::Open { pause, .. } => {
                self.turn(State::HalfOpen { pause, is_tried: true });
                change = Some(Change::HalfOpened);
            }
            State::HalfOpen { pause, .. } => self.state = State::HalfOpen { pause, is_tried: true },
        }
        Ok((Ticket { era: self.era }, change))
    }

    fn end(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) -> Option<Change> {
        if ticket.era != self.era {
            return None;
        }
        match (self.state, verdict) {
            (State::Closed { .. }, Verdict::Answered) => {
                self.state = State::Closed { failures: 0 };
                None
            }
            (State::Closed { failures }, Verdict::Failed) => {
                let failures = failures.saturating_add(1);
                self.state = State::Closed { failures };
                let is_enough = failures >= self.settings.failures;
                is_enough.then(|| self.open(failures, self.settings.pause, now))
            }
            (State::HalfOpen { .. }, Verdict::Answered) => {
                self.turn(State::Closed { failures: 0 });
                Some(Change::Closed)
            }
            (State::HalfOpen { pause, .. }, Verdict::Failed) => {
                let longest = self.settings.longest();
                Some(self.open(1, pause.saturating_mul(2).min(longest), now))
            }
            // Nothing is let through in this era.
            (State::Open { .. }, _) => None,
        }
    }

    /// Nothing came of it: nothing was sent, or nobody is left to say.
    fn give_back(&mut self, ticket: Ticket) {
        if let State::HalfOpen { pause, is_tried: true } = self.state
            && ticket.era == self.era
        {
            self.state = State::HalfOpen { pause, is_tried: false };
        }
    }

    fn shown(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until, .. } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

/// A vendor's breaker, for everybody who sends to it.
#[derive(Debug)]
pub(super) struct Breaker {
    vendor: String,
    machine: Mutex<Machine>,
    openings: Counter,
}

impl Breaker {
    pub(super) fn new(vendor: &str, settings: config::Breaker) -> Self {
        let machine = Mutex::new(Machine::new(settings));
        Self { vendor: vendor.to_owned(), machine, openings: Counter::default() }
    }

    /// Goes by these from now on, from where it stands.
    pub(super) fn set(&self, settings: config::Breaker) {
        self.machine().settings = settings;
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one exchange through, or says how long none will be.
    pub(super) fn enter(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let (ticket, change) = self.machine().enter(now)?;
        self.tell(change);
        Ok(Pass { breaker: self, ticket: Some(ticket) })
    }

    /// How long an exchange would have to wait now; none if it would be let through.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.machine().wait(now)
    }

    /// Where it stands.
    pub(super) fn state(&self, now: Instant) -> BreakerState {
        self.machine().shown(now)
    }

    /// How often it opened.
    pub(super) fn openings(&self) -> u64 {
        self.openings.get()
    }

    fn tell(&self, change: Option<Change>) {
        let vendor = &self.vendor;
        match change {
            None => {}
            Some(Change::Opened { failures, pause }) => {
                self.openings.one();
                tracing::warn!(
                    vendor,
                    failures,
                    ?pause,
                    "the vendor fails; its breaker is open, and nothing is sent to it for a while"
                );
            }
            Some(Change::HalfOpened) => {
                tracing::info!(vendor, "the breaker is half-open; one exchange is let through");
            }
            Some(Change::Closed) => {
                tracing::info!(vendor, "the vendor answers; its breaker is closed");
            }
        }
    }
}

/// One exchange that was let through. Dropped, it says nothing of the vendor, and another one
/// may go instead.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    ticket: Option<Ticket>,
}

impl Pass<'_> {
    /// What the exchange says of the vendor.
    pub(super) fn end(mut self, verdict: Verdict, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            let change = self.breaker.machine().end(ticket, verdict, now);
            self.breaker.tell(change);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.machine().give_back(ticket);
        }
    }
}

#[cfg(test)]
mod tests;
