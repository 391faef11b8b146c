//! What a vendor takes in a window of time, of calls and of requests, and how long it wants to
//! be left alone when it says that it gets too much.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    select,
    sync::{Notify, futures::Notified},
    time::{Instant, sleep_until},
};

use super::allowance::Allowance;
use crate::config::Rate;

/// How long a vendor is left alone that says "too fast", and not for how long; twice as long
/// each time it says so again.
const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest rest, whatever the vendor says.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// The pace of one vendor account.
#[derive(Debug)]
pub(super) struct Pace {
    state: Mutex<State>,
    /// It is known by now when more may go, or that more may.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    calls: Option<Allowance>,
    requests: Option<Allowance>,
    /// Of the requests, those that are questions: half of them at most, so that calls find
    /// room.
    questions: Option<Allowance>,
    /// What these go by.
    rate: Rate,
    /// Taken and not over, of each: a limit may come while it is under way.
    out: Out,
    rests_until: Option<Instant>,
    /// What those wait for who send something once more, in their order. Whoever comes later
    /// leaves room for the first of them.
    repetitions: VecDeque<(u64, u64)>,
    next_repetition: u64,
    /// How often in a row it was too fast.
    too_fast: u32,
    /// When something last arrived of which no ledger tells.
    last_untold: Option<Instant>,
    /// What no ledger tells of may count, and nobody remembers how much: the limit of requests is
    /// new, or its window longer.
    is_forgetful: bool,
}

/// What is under way, limited or not.
#[derive(Debug, Clone, Copy, Default)]
struct Out {
    calls: u64,
    requests: u64,
    questions: u64,
}

/// The right to send one request. It counts from when it was given: until one window after
/// this is dropped, which has to be after the answer; or not at all when nothing was sent.
#[derive(Debug)]
pub(super) struct Paced {
    pace: Arc<Pace>,
    /// Counted for it.
    calls: u64,
    requests: u64,
    is_question: bool,
    /// No ledger tells that it was sent: a question, or what went out once more.
    is_untold: bool,
    /// It may have arrived.
    pub sent: bool,
}

/// What a vendor takes by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// None where there is no limit.
    pub calls: Option<u64>,
    /// The same.
    pub requests: Option<u64>,
    /// For how long it wants to be left alone.
    pub rest: Duration,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        let allowance = |limit: Option<u32>| limit.map(|limit| Allowance::new(limit, rate.per));
        let state = State {
            calls: allowance(rate.calls),
            requests: allowance(rate.requests),
            questions: allowance(rate.requests.map(|limit| limit.div_ceil(2))),
            rate,
            out: Out::default(),
            rests_until: None,
            repetitions: VecDeque::new(),
            next_repetition: 0,
            too_fast: 0,
            last_untold: None,
            is_forgetful: false,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Another rate from now on. What was sent counts on, and so does what is under way. Says
    /// whether more may count than is known here, of a limit that is new or of a longer
    /// window: then nothing more is sent until [`Pace::known`].
    pub(super) fn set_rate(&self, rate: Rate) -> bool {
        let mut state = self.state();
        let out = state.out;
        state.rate = rate;
        let set = |allowance: &mut Option<Allowance>, limit: Option<u32>, out| {
            let Some(limit) = limit else {
                *allowance = None;
                return false;
            };
            match allowance {
                Some(allowance) => allowance.set(limit, rate.per),
                None => {
                    *allowance = Some(Allowance::unknown(limit, rate.per, out));
                    true
                }
            }
        };
        let calls = set(&mut state.calls, rate.calls, out.calls);
        let requests = set(&mut state.requests, rate.requests, out.requests);
        let window = rate.per;
        let untold = state.last_untold.is_some_and(|last| last.elapsed() < window);
        state.is_forgetful |= requests && untold;
        // The limit of all requests is theirs, too, and nobody records when they were asked.
        let limit = rate.requests.map(|limit| limit.div_ceil(2));
        set(&mut state.questions, limit, out.questions);
        state.questions.iter_mut().for_each(|own| own.known(0, Instant::now()));
        // More than may ever go at once count as that.
        let most = state.calls.as_ref().map_or(u64::MAX, Allowance::limit);
        state.repetitions.iter_mut().for_each(|(_, calls)| *calls = (*calls).min(most));
        drop(state);
        self.changed.notify_waiters();
        calls || requests
    }

    /// What was sent so far within a window is not known, and counts.
    pub(super) fn forget(&self, rate: Rate) {
        let unknown = |limit: Option<u32>| limit.map(|l| Allowance::unknown(l, rate.per, 0));
        let mut state = self.state();
        (state.calls, state.requests) = (unknown(rate.calls), unknown(rate.requests));
        state.rate = rate;
    }

    /// As much was sent within the last window of this rate, at most, by what the ledger tells.
    /// By another one's window it is not known yet: whoever set that one asks anew.
    pub(super) fn known(&self, rate: Rate, calls: usize, requests: usize, now: Instant) {
        let mut state = self.state();
        if state.rate != rate {
            return;
        }
        state.calls.iter_mut().for_each(|allowance| allowance.known(count(calls), now));
        // With what no ledger tells of it may be as much as there is.
        let all = std::mem::take(&mut state.is_forgetful);
        if let Some(allowance) = &mut state.requests {
            let requests = if all { allowance.limit() } else { count(requests) };
            allowance.known(requests, now);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Ready once there may be more room than is known now.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// For how many calls a request would have room that is sent now, at least as many as it
    /// `needs`; or when there will be room for these.
    pub(super) fn room(&self, needs: usize, now: Instant) -> Result<usize, Instant> {
        let mut state = self.state();
        let (calls, requests) = state.reserved();
        let wait = state.wait(count(needs).saturating_add(calls), 1 + requests, now);
        if !wait.is_zero() {
            return Err(now + wait);
        }
        let left = state.calls.as_mut().map_or(u64::MAX, |calls| calls.left(now));
        Ok(usize::try_from(left.saturating_sub(calls)).unwrap_or(usize::MAX))
    }

    /// What is left now.
    pub(super) fn left(&self, now: Instant) -> Left {
        let mut state = self.state();
        let rest = state.rests_until.map(|until| until.saturating_duration_since(now));
        let left = |allowance: &mut Option<Allowance>| allowance.as_mut().map(|a| a.left(now));
        let (calls, requests) = (left(&mut state.calls), left(&mut state.requests));
        Left { calls, requests, rest: rest.unwrap_or_default() }
    }

    /// How long it takes until so many calls in so many requests may be sent, if nobody sends
    /// anything before.
    pub(super) fn wait_for(&self, calls: usize, requests: usize, now: Instant) -> Duration {
        let mut state = self.state();
        let (reserved, more) = state.reserved();
        state.wait(count(calls).saturating_add(reserved), count(requests).saturating_add(more), now)
    }

    /// Counts a request with so many calls, if there is room for it.
    pub(super) fn take(self: &Arc<Self>, calls: usize, now: Instant) -> Option<Paced> {
        let mut state = self.state();
        let (reserved, requests) = state.reserved();
        let all = count(calls).saturating_add(reserved);
        if !state.wait(all, 1 + requests, now).is_zero() {
            return None;
        }
        self.count(&mut state, count(calls), now)
    }

    fn count(self: &Arc<Self>, state: &mut State, calls: u64, now: Instant) -> Option<Paced> {
        let is_room = state.wait(calls, 1, now).is_zero()
            && state.requests.as_mut().is_none_or(|requests| requests.take(1, now));
        if !is_room {
            return None;
        }
        if let Some(allowance) = &mut state.calls
            && !allowance.take(calls, now)
        {
            // Not to be seen: the wait was none.
            state.requests.iter_mut().for_each(|requests| requests.unsent(1));
            return None;
        }
        state.out.calls = state.out.calls.saturating_add(calls);
        state.out.requests = state.out.requests.saturating_add(1);
        Some(Paced {
            pace: Arc::clone(self),
            calls,
            requests: 1,
            is_question: false,
            is_untold: false,
            sent: false,
        })
    }

    /// Of nothing, which counts for nothing.
    pub(super) fn nothing(self: &Arc<Self>) -> Paced {
        let pace = Arc::clone(self);
        Paced { pace, calls: 0, requests: 0, is_question: false, is_untold: false, sent: false }
    }

    /// Waits until one more question may be sent, and counts it.
    pub(super) async fn question(self: &Arc<Self>) -> Paced {
        loop {
            let changed = self.changed.notified();
            let wait = {
                let now = Instant::now();
                let mut state = self.state();
                let own = state.questions.as_mut().and_then(|own| own.wait_for(1, now));
                let wait = state.wait(0, 1, now).max(own.unwrap_or_default());
                if wait.is_zero() {
                    for allowance in state.of_a_question() {
                        allowance.take(1, now);
                    }
                    state.out.requests = state.out.requests.saturating_add(1);
                    state.out.questions = state.out.questions.saturating_add(1);
                    return Paced {
                        pace: Arc::clone(self),
                        calls: 0,
                        requests: 1,
                        is_question: true,
                        is_untold: true,
                        sent: false,
                    };
                }
                now + wait
            };
            until(wait, changed).await;
        }
    }

    /// Waits until a request with so many calls may be sent, and counts it: for one that goes
    /// out once more. Nobody who comes later takes its room. More than may ever go at once count
    /// as that.
    pub(super) async fn again(self: &Arc<Self>, calls: usize) -> Paced {
        let own = {
            let mut state = self.state();
            let most = state.calls.as_ref().map_or(u64::MAX, Allowance::limit);
            let place = state.next_repetition;
            state.next_repetition += 1;
            state.repetitions.push_back((place, count(calls).min(most)));
            Repetition { pace: self, place }
        };
        loop {
            // Before the look at what is left, so that nothing is missed in between.
            let changed = self.changed.notified();
            let now = Instant::now();
            match self.take_again(own.place, now) {
                Ok(paced) => return paced,
                Err(Some(wait)) => until(now + wait, changed).await,
                Err(None) => changed.await,
            }
        }
    }

    /// For how long it has to wait if it is the first of these.
    fn take_again(self: &Arc<Self>, place: u64, now: Instant) -> Result<Paced, Option<Duration>> {
        let mut state = self.state();
        let first = state.repetitions.front().filter(|(first, _)| *first == place);
        let Some((_, calls)) = first.copied() else { return Err(None) };
        let wait = state.wait(calls, 1, now);
        if !wait.is_zero() {
            return Err(Some(wait));
        }
        let mut paced = self.count(&mut state, calls, now).ok_or(Some(wait))?;
        paced.is_untold = true;
        Ok(paced)
    }

    /// The vendor says that it gets too much; for how long, if it says so.
    pub(super) fn too_fast(&self, rest: Option<Duration>, now: Instant) {
        let mut state = self.state();
        // Those that were under way at the same time say the same.
        if state.rests_until.is_some_and(|until| until > now) && rest.is_none() {
            return;
        }
        let by_itself = FIRST_REST.saturating_mul(1 << state.too_fast.min(16));
        // No time at all is no news of when it takes more.
        let rest = rest.filter(|rest| !rest.is_zero()).unwrap_or(by_itself);
        let until = now + rest.min(LONGEST_REST);
        state.too_fast = state.too_fast.saturating_add(1);
        state.rests_until = state.rests_until.max(Some(until));
    }

    /// The vendor took what it got.
    pub(super) fn fast_enough(&self) {
        self.state().too_fast = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who send something once more, given up when this is dropped.
struct Repetition<'a> {
    pace: &'a Pace,
    place: u64,
}

impl Drop for Repetition<'_> {
    fn drop(&mut self) {
        self.pace.state().repetitions.retain(|(place, _)| *place != self.place);
        self.pace.changed.notify_waiters();
    }
}

impl State {
    fn wait(&mut self, calls: u64, requests: u64, now: Instant) -> Duration {
        let rest = self.rests_until.map_or(Duration::ZERO, |t| t.saturating_duration_since(now));
        let of = |allowance: &mut Option<Allowance>, count| {
            let Some(allowance) = allowance else { return rest };
            // The windows that it takes begin when the vendor takes anything again.
            let (first, windows) = allowance.wait_for_all(count, now);
            first.max(rest).saturating_add(windows)
        };
        of(&mut self.calls, calls).max(of(&mut self.requests, requests))
    }

    /// What the first of those needs who send something once more: calls and requests.
    fn reserved(&self) -> (u64, u64) {
        self.repetitions.front().map_or((0, 0), |(_, calls)| (*calls, 1))
    }

    fn of_a_question(&mut self) -> impl Iterator<Item = &mut Allowance> {
        self.requests.iter_mut().chain(&mut self.questions)
    }
}

impl Paced {
    /// The same once more, after the answer: waits until there is room.
    pub(super) async fn again(&mut self) {
        let pace = Arc::clone(&self.pace);
        let calls = usize::try_from(self.calls).unwrap_or(usize::MAX);
        let none = pace.nothing();
        // It is over before the next one is waited for, which may need its room.
        drop(std::mem::replace(self, none));
        *self = pace.again(calls).await;
    }

    /// Fewer calls go than were counted for.
    pub(super) fn only(&mut self, calls: usize) {
        let calls = count(calls);
        let Some(fewer) = self.calls.checked_sub(calls).filter(|fewer| *fewer > 0) else { return };
        self.calls = calls;
        let mut state = self.pace.state();
        state.out.calls = state.out.calls.saturating_sub(fewer);
        state.calls.iter_mut().for_each(|allowance| allowance.unsent(fewer));
        drop(state);
        self.pace.changed.notify_waiters();
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.pace.state();
        let over = |allowance: &mut Allowance, count| {
            if self.sent { allowance.arrived(count, now) } else { allowance.unsent(count) }
        };
        state.calls.iter_mut().for_each(|allowance| over(allowance, self.calls));
        state.requests.iter_mut().for_each(|allowance| over(allowance, self.requests));
        state.out.calls = state.out.calls.saturating_sub(self.calls);
        state.out.requests = state.out.requests.saturating_sub(self.requests);
        if self.is_untold && self.sent {
            state.last_untold = Some(now);
        }
        if self.is_question {
            state.out.questions = state.out.questions.saturating_sub(1);
            state.questions.iter_mut().for_each(|allowance| over(allowance, 1));
        }
        drop(state);
        self.pace.changed.notify_waiters();
    }
}

async fn until(time: Instant, changed: Notified<'_>) {
    select! {
        // In this order every time, so that a simulation can be repeated.
        biased;
        () = changed => {}
        () = sleep_until(time) => {}
    }
}

fn count(calls: usize) -> u64 {
    u64::try_from(calls).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
