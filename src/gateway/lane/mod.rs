//! Where calls wait for their vendor: one lane for each account. It keeps to the vendor's pace
//! and to the exchanges it takes at a time, is fair to all who wait, and lets calls of the
//! same group go together.
//!
//! A request whose calls fit into one exchange waits here as a whole and unrecorded, so that one
//! commit and one exchange serve many of them. What has to wait longer is recorded first
//! ([`UNRECORDED`]), and so are requests that need several exchanges: their calls may be parted.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, mpsc::UnboundedSender, oneshot},
    time::Instant,
};

use super::{Gateway, Scope, account::Account, fresh::Fresh, pace::Paced};
use crate::{
    call::{Call, CallId, Selector},
    telemetry::{Trace, Traced},
};

mod drive;
mod queue;
#[cfg(test)]
mod tests;

pub(super) use queue::{Group, Load, Queue, Whole};

/// How long a request without a deadline waits before it is recorded as waiting.
pub(super) const UNRECORDED: Duration = Duration::from_millis(250);
/// How long before its caller's deadline a request is refused that has had no turn.
pub(super) const TOO_LATE: Duration = Duration::from_millis(10);

type Waiting = Queue<Fresh, Call, Arc<Owner>>;
type Taken = queue::Taken<Fresh, Call, Arc<Owner>>;

/// The lane of an account: the same one, however often the account is configured anew.
#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
    /// Somebody has to look again.
    changed: Notify,
    /// The account is not configured any more: what waits is given away, or held.
    gone: AtomicBool,
    next_apart: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    queue: Waiting,
    /// The account as it is configured now: what waits here was grouped by that.
    account: Weak<Account>,
    /// A task drives the lane.
    driven: bool,
    /// It rests until others came, or until then.
    gathers: bool,
    wakes_at: Option<Instant>,
    /// Exchanges under way, until what came of them is recorded.
    under_way: usize,
}

/// The right to send one exchange now.
#[derive(Debug)]
pub(super) struct Grant {
    /// Held for as long as the exchange takes; none where nothing is sent.
    pub turn: Option<OwnedSemaphorePermit>,
    pub paced: Paced,
    /// Held until all is recorded.
    pub under_way: UnderWay,
}

/// An exchange of a lane.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Account>);

/// Calls that go with nobody but themselves, after a refusal of many that can only be meant
/// for some of them.
#[derive(Debug, Clone)]
pub(super) struct Apart {
    /// Above 0, and no other's.
    pub id: u64,
    /// How many more exchanges may be spent on telling them apart.
    pub budget: Arc<AtomicU32>,
}

/// Who waits for calls that are recorded.
#[derive(Debug)]
pub(super) struct Owner {
    to: UnboundedSender<Answer>,
    /// They waited for their time: no caller waits for what comes of them.
    pub taken_up: bool,
    /// A claim of them failed in a way that may have kept it: those of them that are
    /// dispatching were not sent.
    pub maybe_claimed: bool,
    /// Set once calls of it can't be claimed: it need not wait for the ledger with each of the
    /// others, too.
    pub given_up: AtomicBool,
    /// That of the RPC which waits, or nobody's.
    trace: Trace,
}

/// What became of a call in a lane.
#[derive(Debug)]
pub(super) enum Answer {
    /// As it is recorded.
    Done(Call),
    /// It waits again, for the vendor it has now.
    Again(Call, Option<Apart>),
    /// Its exchange died of a defect: it stays as recorded.
    Lost,
}

/// Calls of an exchange, by whom each belongs to. Whoever is not told of a call before this is
/// dropped is told that it is lost.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<CallId, Arc<Owner>>);

impl Owner {
    pub(super) fn new(to: UnboundedSender<Answer>, taken_up: bool) -> Self {
        Self {
            to,
            taken_up,
            maybe_claimed: false,
            given_up: AtomicBool::new(false),
            trace: Trace::current(),
        }
    }

    pub(super) fn of_maybe_claimed(to: UnboundedSender<Answer>, taken_up: bool) -> Self {
        Self { maybe_claimed: true, ..Self::new(to, taken_up) }
    }

    fn tell(&self, answer: Answer) {
        // Nobody listens once the gateway is gone.
        let _ = self.to.send(answer);
    }
}

impl Owners {
    pub(super) fn add(&mut self, call: CallId, owner: Arc<Owner>) {
        self.0.insert(call, owner);
    }

    /// The place of what is done for all of them.
    pub(super) fn trace(&self) -> Trace {
        Trace::because_of(self.0.values().map(|owner| &owner.trace))
    }

    pub(super) fn of(&self, call: CallId) -> Option<&Arc<Owner>> {
        self.0.get(&call)
    }

    pub(super) fn done(&mut self, calls: Vec<Call>) {
        for call in calls {
            if let Some(owner) = self.0.remove(&call.id) {
                owner.tell(Answer::Done(call));
            }
        }
    }

    pub(super) fn again(&mut self, calls: Vec<(Call, Option<Apart>)>) {
        for (call, apart) in calls {
            if let Some(owner) = self.0.remove(&call.id) {
                owner.tell(Answer::Again(call, apart));
            }
        }
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.0.values().for_each(|owner| owner.tell(Answer::Lost));
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            gone: AtomicBool::new(false),
            next_apart: AtomicU32::new(1),
        }
    }
}

impl Lane {
    /// From now on it is this account's.
    pub(super) fn is_of(&self, account: &Arc<Account>) {
        self.state().account = Arc::downgrade(account);
    }

    /// The account is another from now on, or it is configured again. What waits is grouped by
    /// it, and what does not fit into one of its exchanges any more comes back, with its
    /// tickets.
    pub(super) fn goes_to(&self, account: &Arc<Account>) -> Vec<(i64, Fresh)> {
        let mut state = self.state();
        state.account = Arc::downgrade(account);
        self.gone.store(false, Ordering::SeqCst);
        let unfit = state.queue.regroup(
            |fresh| account.group_of(fresh),
            |call| account.adapter().group(&call.order).into(),
        );
        drop(state);
        self.changed.notify_one();
        unfit
    }

    /// The account is not configured any more.
    pub(super) fn is_left(&self) {
        let state = self.state();
        self.gone.store(true, Ordering::SeqCst);
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls wait, and for how long the first of them does.
    pub(super) fn waiting(&self, now: Instant) -> (usize, Duration) {
        let state = self.state();
        let since = state.queue.front(1).map(|front| front.since);
        let oldest = since.map(|since| now.saturating_duration_since(since));
        (state.queue.calls(), oldest.unwrap_or_default())
    }

    /// Calls that are to go apart from all others.
    pub(super) fn apart(&self, budget: Arc<AtomicU32>) -> Apart {
        Apart { id: u64::from(self.next_apart.fetch_add(1, Ordering::Relaxed).max(1)), budget }
    }
}

impl State {
    /// The account as it is now; `before` is how it was.
    fn current(&self, before: &Arc<Account>) -> Arc<Account> {
        self.account.upgrade().unwrap_or_else(|| Arc::clone(before))
    }

    /// It was not configured anew since.
    fn is_of(&self, account: &Arc<Account>) -> bool {
        self.account.as_ptr() == Arc::as_ptr(account)
    }

    /// Whether so few calls wait for others that may go with them.
    fn gathers(&self, account: &Account, calls: usize) -> bool {
        !account.max_delay().is_zero() && calls < account.max_batch() && self.under_way > 0
    }
}

impl UnderWay {
    /// Whose it is.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let lane = &self.0.lane;
        let mut state = lane.state();
        state.under_way = state.under_way.saturating_sub(1);
        let rests = state.gathers;
        drop(state);
        if rests {
            lane.changed.notify_one();
        }
    }
}

impl Account {
    /// How long it takes until so many calls more have their turn, as far as the vendor's pace
    /// tells.
    pub(super) fn wait_for_turn(&self, calls: usize, now: Instant) -> Duration {
        let state = self.lane.state();
        let (queue, max_batch) = (&state.queue, self.max_batch());
        let all = queue.ahead_of(calls).saturating_add(calls);
        let own = calls.div_ceil(max_batch);
        let requests = if self.max_delay().is_zero() {
            queue.entries().saturating_add(own)
        } else {
            // Its own line may be there already, and may not.
            all.div_ceil(max_batch).max(queue.lines().saturating_add(own))
        };
        drop(state);
        self.pace.wait_for(all, requests, now)
    }

    /// So many calls could go now, and nobody waits before them.
    pub(super) fn has_turn(&self, calls: usize, now: Instant) -> bool {
        let is_empty = self.lane.state().queue.is_empty();
        is_empty && self.has_free_turn() && self.pace.wait_for(calls, 1, now).is_zero()
    }

    /// The right to send so many calls at once, if nobody waits and nothing speaks against it.
    pub(super) fn try_grant(self: &Arc<Self>, calls: usize) -> Option<Grant> {
        self.grant(&mut self.lane.state(), calls, Instant::now())
    }

    fn grant(self: &Arc<Self>, state: &mut State, calls: usize, now: Instant) -> Option<Grant> {
        if !state.queue.is_empty()
            || !state.is_of(self)
            || self.is_gone()
            || state.gathers(self, calls)
        {
            return None;
        }
        let turn = self.try_turn()?;
        Some(self.sent_off(state, Some(turn), self.pace.take(calls, now)?))
    }

    fn sent_off(
        self: &Arc<Self>,
        state: &mut State,
        turn: Option<OwnedSemaphorePermit>,
        paced: Paced,
    ) -> Grant {
        state.under_way += 1;
        Grant { turn, paced, under_way: UnderWay(Arc::clone(self)) }
    }
}

impl Gateway {
    /// Sends a request that goes whole, or has it wait.
    pub(super) fn enter(&self, account: &Arc<Account>, group: Group, fresh: Fresh) {
        let now = Instant::now();
        let mut state = account.lane.state();
        if !state.is_of(account) {
            drop(state);
            // It was made ready for an account that is another one by now.
            return fresh.spawn_parts(self, None);
        }
        if let Some(grant) = account.grant(&mut state, fresh.calls(), now) {
            drop(state);
            let trace = fresh.trace.clone();
            let place = self.clone().place_together(Arc::clone(account), vec![fresh], grant);
            tokio::spawn(place.within(trace));
            return;
        }
        let is_sooner = |time| state.wakes_at.is_none_or(|wakes_at| time < wakes_at);
        let is_sooner = fresh.act_by().is_some_and(is_sooner);
        state.queue.push_whole(group, fresh, now, None);
        self.see_to(account, state, is_sooner);
    }

    /// The same for one that waited, in the place of its ticket.
    pub(super) fn enter_again(
        &self,
        account: &Arc<Account>,
        group: Group,
        fresh: Fresh,
        ticket: i64,
    ) {
        let mut state = account.lane.state();
        if !state.is_of(account) {
            drop(state);
            return fresh.spawn_parts(self, Some(ticket));
        }
        let since = fresh.since;
        state.queue.push_whole(group, fresh, since, Some(ticket));
        self.see_to(account, state, true);
    }

    /// Has those requests recorded that wait unrecorded and have any of these calls; for each,
    /// something that is ready then.
    pub(super) fn record_waiting(
        &self,
        scope: &Scope,
        selector: &Selector,
    ) -> Vec<oneshot::Receiver<()>> {
        let mut recorded = Vec::new();
        // Nobody knows the id of a call that is not recorded.
        if matches!(selector, Selector::Calls(_)) {
            return recorded;
        }
        let is_selected = |fresh: &Fresh| {
            fresh.is_selected(selector) && fresh.prepared.calls.iter().all(|c| scope.has(&c.route))
        };
        for account in self.configured().accounts.values() {
            let taken = account.lane.state().queue.take_out(is_selected);
            for (ticket, _, mut fresh) in taken {
                recorded.push(fresh.recorded());
                fresh.spawn_parts(self, Some(ticket));
            }
        }
        recorded
    }

    /// Has calls wait that are recorded as waiting and are the owner's alone. With a ticket
    /// they have the place of who had it.
    pub(super) fn queue(
        &self,
        account: &Arc<Account>,
        calls: Vec<Call>,
        owner: &Arc<Owner>,
        apart: Option<&Apart>,
        ticket: Option<i64>,
    ) {
        let mut state = account.lane.state();
        // As it is now, which is known here and nowhere before.
        let account = &state.current(account);
        let mut groups: Vec<(Group, VecDeque<Call>)> = Vec::new();
        for call in calls {
            let name = account.adapter().group(&call.order);
            match groups.iter_mut().find(|(group, _)| *group.name == *name) {
                Some((_, calls)) => calls.push_back(call),
                None => {
                    let group = Group { name: name.into(), apart: apart.cloned() };
                    groups.push((group, VecDeque::from([call])));
                }
            }
        }
        let now = Instant::now();
        for (group, calls) in groups {
            state.queue.push_parts(group, calls, Arc::clone(owner), now, ticket);
        }
        self.see_to(account, state, ticket.is_some());
    }

    /// Whoever drives the lane looks again, if that may change anything.
    fn see_to(&self, account: &Arc<Account>, mut state: MutexGuard<'_, State>, is_urgent: bool) {
        if !std::mem::replace(&mut state.driven, true) {
            drop(state);
            self.inner.tasks.spawn(self.clone().drive(Arc::clone(account)));
            return;
        }
        let lane = &account.lane;
        let is_full = state.gathers && state.queue.calls() >= account.max_batch();
        drop(state);
        if is_urgent || is_full {
            lane.changed.notify_one();
        }
    }
}
