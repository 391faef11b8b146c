//! What is counted of each vendor account and of requests, and all of the gateway's numbers
//! together.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    BreakerState, Created, Gateway, GatewayError, MAX_WAITING, account::Account, traced::Errand,
};
use crate::{
    call::{Cause, Observation},
    http::Failure,
    ledger::{LedgerError, News},
    telemetry::metrics::{
        Counter, EXCHANGE_SECONDS, Histogram, Label, Measure, Metrics, PIECES, Snapshot,
        measure_process, seconds, table,
    },
    vendors::Placement,
};

/// How long a ledger may take to say whether it can be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of its calls were taken.
    Accepted,
    /// Some of them were.
    Partial,
    /// None of them was, and none is in doubt; or the answer to a question says nothing.
    Refused,
    /// An answer to what is no order.
    Answered,
    /// Nothing of it reached the vendor.
    NotSent,
    /// The vendor may have it, and gave no answer that can be read.
    InDoubt,
}

const OUTCOMES: [(Outcome, &str); 6] = [
    (Outcome::Accepted, "accepted"),
    (Outcome::Partial, "partial"),
    (Outcome::Refused, "refused"),
    (Outcome::Answered, "answered"),
    (Outcome::NotSent, "not_sent"),
    (Outcome::InDoubt, "in_doubt"),
];

impl Outcome {
    /// Of an order, by why each of its calls was not taken; none for those that were.
    pub(super) fn of(refusals: impl Iterator<Item = Option<Cause>>) -> Self {
        let (mut accepted, mut refused) = (false, false);
        for refusal in refusals {
            match refusal {
                Some(Cause::InDoubt) => return Self::InDoubt,
                Some(_) => refused = true,
                None => accepted = true,
            }
        }
        match (accepted, refused) {
            (true, false) => Self::Accepted,
            (true, true) => Self::Partial,
            (false, _) => Self::Refused,
        }
    }

    /// The same, as an adapter reads the answer.
    pub(super) fn of_placements(placements: &[Placement]) -> Self {
        Self::of(placements.iter().map(|placement| match placement {
            Placement::Accepted { .. } => None,
            Placement::Fault(fault) => Some(fault.cause),
        }))
    }

    /// The same of what is sent once more, by what is learned from that: nothing, if it was
    /// refused.
    pub(super) fn of_news(news: &[News]) -> Self {
        Self::of(news.iter().map(|news| match &news.observation {
            Observation::Failed(error) => Some(error.cause),
            _ => None,
        }))
    }

    /// Of a question.
    pub(super) fn of_answer<T, E>(answer: &Result<T, E>) -> Self {
        if answer.is_ok() { Self::Answered } else { Self::Refused }
    }
}

/// What is counted of a vendor account.
#[derive(Debug)]
pub(super) struct Meter {
    exchanges: [[Counter; OUTCOMES.len()]; Errand::ALL.len()],
    took: [Histogram; Errand::ALL.len()],
    calls: Histogram,
    failovers: [Counter; Cause::ALL.len()],
    /// Answers that say that the vendor gets too much.
    pub(super) too_fast: Counter,
    /// Deliveries that were answered with what the vendor wanted to see.
    pub(super) handshakes: Counter,
    /// Deliveries all of which is on disk.
    pub(super) taken: Counter,
    /// Deliveries that the vendor has to repeat.
    pub(super) put_off: Counter,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            exchanges: Default::default(),
            took: std::array::from_fn(|_| Histogram::new(&EXCHANGE_SECONDS)),
            calls: Histogram::new(&PIECES),
            failovers: Default::default(),
            too_fast: Counter::default(),
            handshakes: Counter::default(),
            taken: Counter::default(),
            put_off: Counter::default(),
        }
    }
}

impl Meter {
    /// A request is over, of so many calls; without an answer, for this reason.
    pub(super) fn sent(
        &self,
        errand: Errand,
        calls: usize,
        took: Duration,
        failure: Option<&Failure>,
    ) {
        if errand == Errand::Place {
            self.calls.pieces(calls);
        }
        if let Some(histogram) = self.took.get(errand as usize) {
            histogram.took(took);
        }
        match failure {
            None => {}
            Some(Failure::NotSent { .. }) => self.ended(errand, Outcome::NotSent),
            Some(Failure::InDoubt { .. }) => self.ended(errand, Outcome::InDoubt),
        }
    }

    /// What came of one that was answered.
    pub(super) fn ended(&self, errand: Errand, outcome: Outcome) {
        let counters = self.exchanges.get(errand as usize);
        if let Some(counter) = counters.and_then(|counters| counters.get(outcome as usize)) {
            counter.one();
        }
    }

    /// Counts those of the calls that move on to another vendor.
    pub(super) fn moved_on(&self, news: &[News]) {
        for news in news {
            if let Observation::FailedOver { error, .. } = &news.observation
                && let Some(counter) = self.failovers.get(error.cause as usize)
            {
                counter.one();
            }
        }
    }
}

/// What came of a request that was right.
const REQUESTS: [&str; 11] = [
    "placed",
    "replayed",
    "request_id_reused",
    "pace_exhausted",
    "overloaded",
    "ledger_overloaded",
    "ledger_failed",
    "ledger_uncertain",
    "stopping",
    "being_placed",
    "failed",
];

/// Requests, by what came of them.
#[derive(Debug, Default)]
pub(super) struct Requests([Counter; REQUESTS.len()]);

impl Requests {
    pub(super) fn ended(&self, outcome: &Result<Created, GatewayError>) {
        let name = match outcome {
            Ok(created) if created.replayed => "replayed",
            Ok(_) => "placed",
            Err(GatewayError::RequestIdReused { .. }) => "request_id_reused",
            Err(GatewayError::NoTurn { .. }) => "pace_exhausted",
            Err(GatewayError::Overloaded) => "overloaded",
            Err(GatewayError::Ledger(LedgerError::Overloaded(_))) => "ledger_overloaded",
            Err(GatewayError::Ledger(LedgerError::Uncertain(_))) => "ledger_uncertain",
            Err(GatewayError::Ledger(_) | GatewayError::Unasked(_)) => "ledger_failed",
            Err(GatewayError::Stopping) => "stopping",
            Err(GatewayError::BeingPlaced(_)) => "being_placed",
            Err(_) => "failed",
        };
        let place = REQUESTS.iter().position(|request| *request == name);
        if let Some(counter) = place.and_then(|place| self.0.get(place)) {
            counter.one();
        }
    }

    pub(super) fn measure(&self, snapshot: &mut Snapshot) {
        for (outcome, counter) in REQUESTS.into_iter().zip(&self.0) {
            snapshot.counter(&table::REQUESTS, [outcome.into()], counter);
        }
    }
}

impl Gateway {
    /// What is counted at its edges.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.metrics
    }

    /// As [`Gateway::measure`], whenever it is called.
    pub fn measured(&self) -> Measure {
        let gateway = self.clone();
        Box::new(move || {
            let gateway = gateway.clone();
            Box::pin(async move { gateway.measure().await })
        })
    }

    /// All numbers as they are now.
    pub async fn measure(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let is_ready = matches!(timeout(PATIENCE, self.ready()).await, Ok(Ok(())));
        snapshot.number(&table::READY, f64::from(u8::from(is_ready)));
        measure_process(&mut snapshot);
        self.inner.metrics.measure(&mut snapshot);
        self.inner.in_flight.requests().measure(&mut snapshot);
        let configured = self.configured();
        let pairs: Vec<_> = configured
            .routes()
            .flat_map(|route| route.vendors.iter().map(|v| (v.as_str(), route.name.as_str())))
            .collect();
        self.inner.ledger.measure(&pairs, &mut snapshot);
        let free = self.inner.waiting.available_permits();
        let in_memory = MAX_WAITING.saturating_sub(free);
        snapshot.number(&table::CALLS_IN_MEMORY, in_memory as f64);
        snapshot.number(&table::CALLS_IN_MEMORY_LIMIT, MAX_WAITING as f64);
        snapshot.number(&table::WATCHERS, self.watchers() as f64);
        snapshot.number(&table::CALLBACK_STRAYS_DROPPED, self.dropped_strays() as f64);
        for account in configured.accounts() {
            account.measure(&mut snapshot);
        }
        snapshot
    }
}

impl Account {
    fn measure(&self, snapshot: &mut Snapshot) {
        let name = || Label::from(self.name().to_owned());
        self.measure_exchanges(snapshot);
        self.measure_turns(snapshot);
        self.measure_breaker(snapshot);
        for (cause, counter) in Cause::ALL.into_iter().zip(&self.meter.failovers) {
            let labels = [name(), cause.name().into()];
            snapshot.counter(&table::VENDOR_FAILOVERS, labels, counter);
        }
        let health = self.health();
        if let Some(at) = health.last_success {
            snapshot.labelled(&table::VENDOR_LAST_SUCCESS, [name()], seconds(at));
        }
        if let Some((_, at)) = health.last_error {
            snapshot.labelled(&table::VENDOR_LAST_ERROR, [name()], seconds(at));
        }
        if self.adapter().callback().is_none() {
            return;
        }
        let counts = self.pushes();
        for (outcome, count) in [
            ("taken", self.meter.taken.get()),
            ("handshake", self.meter.handshakes.get()),
            ("unauthentic", counts.unauthentic),
            ("malformed", counts.malformed),
            ("put_off", self.meter.put_off.get()),
        ] {
            let labels = [name(), outcome.into()];
            snapshot.labelled(&table::CALLBACK_DELIVERIES, labels, count as f64);
        }
        for (outcome, count) in [
            ("applied", counts.applied),
            ("kept", counts.kept),
            ("dropped", counts.dropped),
            ("ignored", counts.ignored),
        ] {
            snapshot.labelled(&table::CALLBACK_PIECES, [name(), outcome.into()], count as f64);
        }
    }

    fn measure_exchanges(&self, snapshot: &mut Snapshot) {
        let name = || Label::from(self.name().to_owned());
        let each = Errand::ALL.into_iter().zip(&self.meter.exchanges).zip(&self.meter.took);
        for ((errand, counters), took) in each {
            for ((outcome, result), counter) in OUTCOMES.iter().zip(counters) {
                let may_be = match (errand, outcome) {
                    (_, Outcome::NotSent | Outcome::InDoubt | Outcome::Refused) => true,
                    (Errand::Place | Errand::Resend, outcome) => *outcome != Outcome::Answered,
                    (Errand::Ask | Errand::Token, outcome) => *outcome == Outcome::Answered,
                };
                if may_be || counter.get() > 0 {
                    let labels = [name(), errand.name().into(), (*result).into()];
                    snapshot.counter(&table::VENDOR_EXCHANGES, labels, counter);
                }
            }
            // Many vendors need no tokens, and some can't be asked.
            if errand == Errand::Place || took.distribution().count() > 0 {
                let labels = [name(), errand.name().into()];
                snapshot.histogram(&table::VENDOR_EXCHANGE_DURATION, labels, took);
            }
        }
        snapshot.histogram(&table::VENDOR_EXCHANGE_CALLS, [name()], &self.meter.calls);
    }

    fn measure_turns(&self, snapshot: &mut Snapshot) {
        let name = || Label::from(self.name().to_owned());
        let number = |snapshot: &mut Snapshot, metric, value| {
            snapshot.labelled(metric, [name()], value);
        };
        let now = Instant::now();
        let (waiting, oldest) = self.lane.waiting(now);
        number(snapshot, &table::VENDOR_WAITING, waiting as f64);
        number(snapshot, &table::VENDOR_WAITING_OLDEST, oldest.as_secs_f64());
        number(snapshot, &table::VENDOR_IN_FLIGHT, f64::from(self.in_flight()));
        number(snapshot, &table::VENDOR_IN_FLIGHT_LIMIT, f64::from(self.max_in_flight()));
        let left = self.pace.left(now);
        let rate = self.rate();
        for (unit, limit, left) in
            [("calls", rate.calls, left.calls), ("requests", rate.requests, left.requests)]
        {
            let (Some(limit), Some(left)) = (limit, left) else { continue };
            snapshot.labelled(&table::VENDOR_PACE_LIMIT, [name(), unit.into()], f64::from(limit));
            snapshot.labelled(&table::VENDOR_PACE_LEFT, [name(), unit.into()], left as f64);
        }
        number(snapshot, &table::VENDOR_PACE_WINDOW, rate.per.as_secs_f64());
        number(snapshot, &table::VENDOR_REST, left.rest.as_secs_f64());
        snapshot.counter(&table::VENDOR_TOO_FAST, [name()], &self.meter.too_fast);
    }

    fn measure_breaker(&self, snapshot: &mut Snapshot) {
        let Some(state) = self.breaker() else { return };
        let name = || Label::from(self.name().to_owned());
        for (one, label) in [
            (BreakerState::Closed, "closed"),
            (BreakerState::Open, "open"),
            (BreakerState::HalfOpen, "half_open"),
        ] {
            let is_it = f64::from(u8::from(one == state));
            snapshot.labelled(&table::VENDOR_BREAKER, [name(), label.into()], is_it);
        }
        let openings = self.breaker_openings() as f64;
        snapshot.labelled(&table::VENDOR_BREAKER_OPENINGS, [name()], openings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_at_their_places() {
        for (place, errand) in Errand::ALL.into_iter().enumerate() {
            assert_eq!(errand as usize, place);
        }
        for (place, (outcome, _)) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
        }
    }

    #[test]
    fn an_order_is_what_became_of_its_calls() {
        let of = |refusals: &[Option<Cause>]| Outcome::of(refusals.iter().copied());
        assert_eq!(of(&[None, None]), Outcome::Accepted);
        assert_eq!(of(&[None, Some(Cause::Exhausted)]), Outcome::Partial);
        assert_eq!(of(&[Some(Cause::Exhausted)]), Outcome::Refused);
        assert_eq!(of(&[None, Some(Cause::InDoubt)]), Outcome::InDoubt);
        assert_eq!(of(&[]), Outcome::Refused);
    }
}
