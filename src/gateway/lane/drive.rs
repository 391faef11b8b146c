//! The task that drives a lane, for as long as something waits in it.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::{
    select,
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};

use super::{Grant, Lane, Load, Owners, State, Taken, queue::Front};
use crate::gateway::{
    Gateway, GatewayError,
    account::Account,
    batch::{Batch, outgoing},
    fresh::Fresh,
};
use crate::telemetry::{Trace, Traced};

/// Calls of a vendor that is gone that are given away together.
const AT_ONCE: usize = 500;

/// What is to be done in a lane.
enum Step {
    /// These go now.
    Go(Taken, Grant),
    /// Some could go, had they a turn.
    NeedsTurn,
    /// Nothing before this.
    Rest(Instant),
    /// Nothing waits any more; nobody drives the lane from now on.
    Over,
}

/// However the task ends, another one may drive the lane then.
struct Driving<'a>(&'a Lane);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().driven = false;
        }
    }
}

type Turn = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

impl Gateway {
    pub(super) async fn drive(self, mut account: Arc<Account>) {
        let lane = Arc::clone(&account.lane);
        let _driving = Driving(&lane);
        let (mut turn, mut awaited) = (None, None::<Turn>);
        loop {
            // A reload may have made another of it.
            account = lane.state().current(&account);
            // Before the look at what there is, so that nothing is missed in between.
            let (changed, paced) = (lane.changed.notified(), account.pace.changed());
            if self.is_stopping() {
                self.clear(&account);
                return;
            }
            let now = Instant::now();
            self.act_on_overdue(&account, now);
            let mut wakes_at = match account.step(&mut turn, now) {
                Step::Go(taken, grant) => {
                    self.send_off(taken, grant);
                    continue;
                }
                Step::NeedsTurn => {
                    turn = account.try_turn();
                    if turn.is_some() {
                        continue;
                    }
                    awaited.get_or_insert_with(|| {
                        let account = Arc::clone(&account);
                        Box::pin(async move { account.turn().await })
                    });
                    None
                }
                Step::Rest(until) => {
                    (turn, awaited) = (None, None);
                    Some(until)
                }
                Step::Over => return,
            };
            {
                let mut state = account.lane.state();
                wakes_at = super::queue::earlier(wakes_at, state.queue.act_by());
                state.wakes_at = wakes_at;
            }
            let wakes = sleep_until(wakes_at.unwrap_or(now));
            let got = async {
                match &mut awaited {
                    Some(turn) => turn.await,
                    None => std::future::pending().await,
                }
            };
            select! {
                // In this order every time, so that a simulation can be repeated.
                biased;
                () = self.inner.stopping.cancelled() => {}
                got = got => (turn, awaited) = (got, None),
                () = changed => {}
                () = paced => {}
                () = wakes, if wakes_at.is_some() => {}
            }
        }
    }

    /// Nothing more is sent: what is not recorded is refused, and the rest stays as it is.
    fn clear(&self, account: &Account) {
        let mut state = account.lane.state();
        state.driven = false;
        let (wholes, parts) = state.queue.clear();
        drop(state);
        wholes.into_iter().for_each(|fresh| self.refuse_new(fresh, GatewayError::Stopping));
        for (calls, owner) in parts {
            let mut owners = Owners::default();
            calls.iter().for_each(|call| owners.add(call.id, Arc::clone(&owner)));
            owners.done(calls.into());
        }
    }

    /// Refuses requests that would get their turn too late, and has those recorded that have no
    /// deadline and wait too long to be in memory alone.
    fn act_on_overdue(&self, account: &Arc<Account>, now: Instant) {
        let overdue = account.lane.state().queue.overdue(now);
        for (ticket, group, mut fresh) in overdue {
            if fresh.prepared.queues {
                // The ledger's, from now on.
                self.queue_up(&mut fresh.prepared);
                fresh.spawn_parts(self, Some(ticket));
            } else if fresh.is_late(now) {
                let error = fresh.no_turn(account, now);
                self.refuse_new(fresh, error);
            } else if fresh.prepared.deadline.is_some() {
                let trace = fresh.trace.clone();
                let look = self.clone().look_up_waiting(Arc::clone(account), fresh, group, ticket);
                tokio::spawn(look.within(trace));
            } else {
                fresh.spawn_parts(self, Some(ticket));
            }
        }
    }

    fn send_off(&self, taken: Taken, grant: Grant) {
        // What was taken was taken for this one, whoever comes next.
        let account = Arc::clone(grant.under_way.account());
        match taken.load {
            Load::Wholes(wholes) => {
                let trace = Trace::because_of(wholes.iter().map(|fresh| &fresh.trace));
                tokio::spawn(self.clone().place_together(account, wholes, grant).within(trace));
            }
            Load::Parts(parts) => {
                let mut batch = Batch { apart: taken.group.apart, ..Batch::of(&account, grant) };
                for (call, owner) in parts {
                    batch.owners.add(call.id, owner);
                    batch.calls.push(call);
                }
                let trace = batch.owners.trace();
                self.inner.tasks.spawn(self.clone().take_turn(batch).within(trace));
            }
        }
    }
}

impl State {
    /// How much of the room the next exchange may take: where it is not enough for all, each who
    /// waits has his share, however many calls he has.
    fn share(&self, room: usize, front: &Front) -> usize {
        if self.queue.calls() <= room {
            return room;
        }
        let share = (room / self.queue.entries().max(1)).max(1);
        share.saturating_mul(front.owners).clamp(front.needs, room.max(front.needs))
    }
}

impl Account {
    fn step(self: &Arc<Self>, turn: &mut Option<OwnedSemaphorePermit>, now: Instant) -> Step {
        let mut state = self.lane.state();
        let current = state.current(self);
        if !Arc::ptr_eq(&current, self) {
            drop(state);
            return current.step(turn, now);
        }
        if self.is_gone() {
            // Nothing of it is sent, so there is nothing to wait for.
            state.gathers = false;
            let Some(taken) = state.queue.take(AT_ONCE, true) else {
                state.driven = false;
                return Step::Over;
            };
            return Step::Go(taken, self.sent_off(&mut state, None, self.pace.nothing()));
        }
        let max_batch = self.max_batch();
        state.gathers = false;
        let Some(front) = state.queue.front(max_batch) else {
            state.driven = false;
            return Step::Over;
        };
        let ready = front.since + self.max_delay();
        // Those that go apart may be of many owners, and come one by one.
        if (front.is_apart || state.gathers(self, front.waiting)) && ready > now {
            state.gathers = true;
            return Step::Rest(ready);
        }
        let room = match self.pace.room(front.needs, now) {
            Ok(room) => state.share(room, &front).min(max_batch),
            Err(until) => return Step::Rest(until),
        };
        let Some(turn) = turn.take() else { return Step::NeedsTurn };
        let Some(mut taken) = state.queue.take(room, !self.max_delay().is_zero()) else {
            state.driven = false;
            return Step::Over;
        };
        if let Some(rest) = self.beyond_one_exchange(&mut taken) {
            state.queue.give_back(rest);
        }
        match self.pace.take(taken.calls(), now) {
            Some(paced) => Step::Go(taken, self.sent_off(&mut state, Some(turn), paced)),
            // Somebody asked a question in between.
            None => {
                state.queue.give_back(taken);
                Step::Rest(self.pace.room(front.needs, now).err().unwrap_or(now))
            }
        }
    }

    /// Leaves as many as the vendor takes in one exchange, which has a limit of size as well;
    /// gives the others.
    fn beyond_one_exchange(&self, taken: &mut Taken) -> Option<Taken> {
        let all: Vec<_> = match &taken.load {
            Load::Parts(parts) => parts.iter().map(|(call, _)| outgoing(call)).collect(),
            Load::Wholes(wholes) => wholes.iter().flat_map(Fresh::in_hand).map(outgoing).collect(),
        };
        if all.len() <= 1 {
            return None;
        }
        let fits = self.adapter().batches(&all).first().map_or(0, Vec::len);
        if fits >= all.len() {
            return None;
        }
        let load = match &mut taken.load {
            Load::Parts(parts) => Load::Parts(parts.split_off(fits.max(1).min(parts.len()))),
            Load::Wholes(wholes) => {
                let mut calls = 0;
                let whole = wholes.iter().take_while(|fresh| {
                    calls += fresh.waiting_calls();
                    calls <= fits
                });
                // The first one alone fits: that was looked at before it came here.
                let whole = whole.count().max(1);
                Load::Wholes(wholes.split_off(whole.min(wholes.len())))
            }
        };
        Some(Taken { group: taken.group.clone(), since: taken.since, load })
    }
}
