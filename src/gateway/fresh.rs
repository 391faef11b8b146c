//! A request that is on its way to the ledger.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    Created, Gateway, GatewayError, Prepared,
    account::Account,
    dispatch::is_in_hand,
    idempotency::Seat,
    lane::{Group, TOO_LATE, UNRECORDED, Whole},
};
use crate::{
    call::{Call, CallState, Selector},
    ledger::NewRequest,
    telemetry::{Trace, Traced},
};

/// A request that is not recorded yet, and has its seat.
#[derive(Debug)]
pub(super) struct Fresh {
    pub prepared: Prepared,
    pub seat: Seat,
    /// A stop waits for it.
    pub counted: TaskTrackerToken,
    /// Its calls' places among those that wait in memory.
    pub places: Option<OwnedSemaphorePermit>,
    pub since: Instant,
    /// That of its RPC.
    pub trace: Trace,
    /// Somebody waits until it is recorded, or is not to be.
    pub recorded: Option<oneshot::Sender<()>>,
}

impl Fresh {
    /// The calls that go now.
    pub(super) fn in_hand(&self) -> impl Iterator<Item = &Call> {
        self.prepared.calls.iter().filter(|call| is_in_hand(call))
    }

    /// How many these are.
    pub(super) fn waiting_calls(&self) -> usize {
        self.in_hand().count()
    }

    /// Whether it has any of these calls. They have no ids that anybody knows.
    pub(super) fn is_selected(&self, selector: &Selector) -> bool {
        let Prepared { request_id, calls, .. } = &self.prepared;
        match selector {
            Selector::Calls(_) => false,
            Selector::Request(id) => id == request_id,
            Selector::References(references) => calls.iter().any(|call| {
                let reference = call.order.client_reference.as_ref();
                reference.is_some_and(|reference| references.contains(reference))
            }),
        }
    }

    /// Ready once it is recorded, or is not to be.
    pub(super) fn recorded(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.recorded = Some(sender);
        receiver
    }

    /// Places it by itself.
    pub(super) fn spawn_parts(self, gateway: &Gateway, ticket: Option<i64>) {
        let trace = self.trace.clone();
        tokio::spawn(gateway.clone().place_in_parts(self, ticket).within(trace));
    }

    /// Its caller would not hear of a turn any more.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.prepared.deadline.is_some_and(|deadline| deadline <= now + TOO_LATE)
    }

    /// What is told to its caller when its account gave it no turn in time.
    pub(super) fn no_turn(&self, account: &Account, now: Instant) -> GatewayError {
        let waited = now.saturating_duration_since(self.since);
        account.no_turn(self.waiting_calls(), waited, now)
    }

    /// The end of it.
    pub(super) fn settle(self, outcome: Result<Created, GatewayError>) {
        let Self { seat, counted, places, .. } = self;
        drop(places);
        seat.settle(outcome);
        drop(counted);
    }

    /// The end of one of which all is done.
    pub(super) fn created(mut self) {
        let calls = std::mem::take(&mut self.prepared.calls).into();
        self.settle(Ok(Created { calls, replayed: false }));
    }

    /// The calls that go now, marked as being handed over.
    pub(super) fn dispatching(&mut self) -> Vec<Call> {
        let mut going = Vec::new();
        for call in &mut self.prepared.calls {
            if is_in_hand(call) {
                call.state = CallState::Dispatching;
            }
            if call.state == CallState::Dispatching {
                going.push(call.clone());
            }
        }
        going
    }

    /// Its calls were not handed over after all.
    pub(super) fn wait_on(&mut self) {
        for call in &mut self.prepared.calls {
            if call.state == CallState::Dispatching {
                call.state = CallState::Scheduled;
            }
        }
    }

    /// As it is recorded, with nothing to be sent.
    pub(super) fn record(&self) -> NewRequest {
        let Prepared { request_id, fingerprint, create_time, calls, .. } = &self.prepared;
        NewRequest {
            id: request_id.clone(),
            fingerprint: fingerprint.clone(),
            create_time: *create_time,
            calls: calls.clone(),
            outbox: Vec::new(),
        }
    }

    /// Takes calls as they are recorded by now.
    pub(super) fn take(&mut self, calls: impl IntoIterator<Item = Call>) {
        for call in calls {
            let place = usize::try_from(call.position).ok();
            if let Some(place) = place.and_then(|at| self.prepared.calls.get_mut(at)) {
                *place = call;
            }
        }
    }
}

impl Whole for Fresh {
    fn calls(&self) -> usize {
        self.waiting_calls()
    }

    /// With a deadline it is refused in time and so need not be recorded before its turn; but
    /// who repeats a request is not to wait for that.
    fn act_by(&self) -> Option<Instant> {
        let soon = self.since.checked_add(UNRECORDED);
        let Some(deadline) = self.prepared.deadline else { return soon };
        let late = deadline.checked_sub(TOO_LATE).unwrap_or(self.since);
        match soon.filter(|_| self.prepared.may_be_known || self.prepared.queues) {
            Some(soon) => Some(soon.min(late)),
            None => Some(late),
        }
    }
}

impl Gateway {
    /// Refuses a request, unless its id was used before: then its answer is that one's.
    pub(super) fn refuse_new(&self, fresh: Fresh, error: GatewayError) {
        if !fresh.prepared.may_be_known {
            return fresh.settle(Err(error));
        }
        let gateway = self.clone();
        let trace = fresh.trace.clone();
        let look_up = async move {
            let Prepared { request_id, fingerprint, .. } = &fresh.prepared;
            let outcome = match gateway.request(request_id).await {
                Ok(Some(record)) => gateway.replay(request_id, fingerprint, record).await,
                Ok(None) => Err(error),
                Err(unasked) => Err(unasked),
            };
            fresh.settle(outcome);
        };
        tokio::spawn(look_up.within(trace));
    }

    /// Looks up whether a request was placed before that waits; if not, it waits on in its
    /// place.
    pub(super) async fn look_up_waiting(
        self,
        account: Arc<Account>,
        mut fresh: Fresh,
        group: Group,
        ticket: i64,
    ) {
        match self.request(&fresh.prepared.request_id).await {
            Ok(None) => {
                fresh.prepared.may_be_known = false;
                self.enter_again(&account, group, fresh, ticket);
            }
            Ok(Some(record)) => self.replayed(fresh, record).await,
            Err(unasked) => fresh.settle(Err(unasked)),
        }
    }
}
