//! What is to be pushed, in the order in which it falls due.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::{Posted, Pushing, Webhooks, log::Log};
use crate::sandbox::{Pace, System, journal::Call};

/// What calls that wait carry along, in bytes, whatever their number.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// The same push at most so often.
const MOST_TIMES: u32 = 1000;

/// What a push needs to know of an order beside the call.
#[derive(Debug, Clone, Default)]
pub(in crate::sandbox) struct Telling {
    /// The flow that was run.
    pub(in crate::sandbox) flow: String,
    /// Phonon's flow variables: names as sent, values.
    pub(in crate::sandbox) variables: Vec<(String, String)>,
    /// Where Knovvu was asked to send the result.
    pub(in crate::sandbox) destination: Option<String>,
}

impl Telling {
    fn bytes(&self) -> usize {
        let variables = self.variables.iter().map(|(name, value)| name.len() + value.len());
        let destination = self.destination.as_ref().map_or(0, String::len);
        self.flow.len() + destination + variables.sum::<usize>()
    }
}

/// A call just taken.
#[derive(Debug)]
pub(in crate::sandbox) struct Fresh {
    pub(in crate::sandbox) call: Arc<Call>,
    pub(in crate::sandbox) telling: Telling,
    /// It was not asked to start later.
    pub(in crate::sandbox) at_once: bool,
}

/// How much of a call a push tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// So many legs, with more to come.
    Legs(usize),
    /// All of it.
    Whole,
}

/// A push to be done.
#[derive(Debug)]
pub(in crate::sandbox) struct Job {
    pub(super) call: Arc<Call>,
    pub(super) telling: Arc<Telling>,
    pub(super) part: Part,
    /// Attempts before this one.
    pub(super) attempt: u32,
    /// Dropped when it was posted, or never will be.
    pub(super) done: Option<oneshot::Sender<()>>,
    /// What it tells is known from here on; it falls due no sooner.
    ripe: Timestamp,
}

/// The pushes that the answer to a request has to wait for.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Overtaking(Mutex<Vec<oneshot::Receiver<()>>>);

impl Overtaking {
    pub(in crate::sandbox) fn add(&self, pushes: Vec<oneshot::Receiver<()>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(pushes);
    }

    /// Waits until each was posted once, or never will be.
    pub(in crate::sandbox) async fn done(&self) {
        let pushes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for push in pushes {
            let _ = push.await;
        }
    }
}

/// The pushes of all systems.
#[derive(Debug)]
pub(in crate::sandbox) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    keep: usize,
}

#[derive(Debug, Default)]
struct State {
    webhooks: Webhooks,
    pushing: Pushing,
    /// By the time each falls due, then by number.
    waiting: BTreeMap<(Timestamp, u64), Job>,
    /// Due, and not begun.
    ready: VecDeque<Job>,
    next_number: u64,
    bytes: usize,
    closed: bool,
    log: Log,
}

impl Queue {
    /// Holds at most `keep` pushes.
    pub(in crate::sandbox) fn new(webhooks: Webhooks, pushing: Pushing, keep: usize) -> Self {
        let state = Mutex::new(State { webhooks, pushing, ..State::default() });
        Self { state, changed: Notify::new(), keep }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the pushes of calls just taken, where there is somebody to push to. Gives
    /// those that the answer has to wait for.
    pub(in crate::sandbox) fn add(
        &self,
        calls: Vec<Fresh>,
        pace: Pace,
    ) -> Vec<oneshot::Receiver<()>> {
        let mut state = self.state();
        let mut overtaking = Vec::new();
        for fresh in calls {
            if !state.closed && state.has_place_for(fresh.call.system, &fresh.telling) {
                state.add(fresh, pace, self.keep, &mut overtaking);
            }
        }
        drop(state);
        self.changed.notify_one();
        overtaking
    }

    /// One that is to be begun now.
    pub(in crate::sandbox) fn take(&self, now: Timestamp) -> Option<Job> {
        let mut state = self.state();
        state.ripen(now);
        let latest_first = state.pushing.reordered;
        let job = if latest_first { state.ready.pop_back() } else { state.ready.pop_front() };
        if let Some(job) = &job {
            state.bytes -= job.telling.bytes();
        }
        job
    }

    /// When the next one falls due; past if it has.
    pub(in crate::sandbox) fn next_due(&self) -> Option<Timestamp> {
        let state = self.state();
        if !state.ready.is_empty() {
            return Some(Timestamp::MIN);
        }
        state.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// The same once more at a time.
    pub(super) fn again(&self, mut job: Job, at: Timestamp) {
        job.ripe = at;
        let mut state = self.state();
        if !state.closed {
            state.insert(at, job, self.keep);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for news: calls, settings.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many may be under way. One when their order is meant to be seen.
    pub(super) fn concurrency(&self) -> usize {
        let state = self.state();
        if state.pushing.reordered { 1 } else { state.pushing.concurrency.max(1) }
    }

    pub(in crate::sandbox) fn settings(&self) -> (Webhooks, Pushing) {
        let state = self.state();
        (state.webhooks.clone(), state.pushing.clone())
    }

    pub(in crate::sandbox) fn set_webhooks(&self, webhooks: Webhooks) {
        self.state().webhooks = webhooks;
        self.changed.notify_one();
    }

    pub(in crate::sandbox) fn set_pushing(&self, pushing: Pushing) {
        self.state().pushing = pushing;
        self.changed.notify_one();
    }

    pub(super) fn note(&self, posted: Posted) {
        self.state().log.add(posted, self.keep);
    }

    pub(in crate::sandbox) fn posted(&self) -> Vec<Posted> {
        self.state().log.all()
    }

    /// Forgets what waits and what was done.
    pub(in crate::sandbox) fn clear(&self) {
        let mut state = self.state();
        state.drop_waiting();
        state.log = Log::default();
    }

    /// Takes no more, and lets go of whoever waits for what was left.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.drop_waiting();
    }
}

impl State {
    fn has_place_for(&self, system: System, telling: &Telling) -> bool {
        match system {
            System::Phonon | System::PhononBulk => self.webhooks.phonon.is_some(),
            System::MobTexting => self.webhooks.mobtexting.is_some(),
            System::Knovvu => self.webhooks.knovvu && telling.destination.is_some(),
            System::KnovvuIdentity | System::Nowhere => false,
        }
    }

    fn add(
        &mut self,
        fresh: Fresh,
        pace: Pace,
        keep: usize,
        overtaking: &mut Vec<oneshot::Receiver<()>>,
    ) {
        let Fresh { call, telling, at_once } = fresh;
        let telling = Arc::new(telling);
        let early = self.pushing.early && at_once;
        let reordered = self.pushing.reordered;
        let delay = if early { SignedDuration::ZERO } else { signed(self.pushing.delay) };
        for (part, ripe) in parts(&call, pace) {
            let ripe = if reordered { call.life.over } else { ripe };
            for _ in 0..self.pushing.times.min(MOST_TIMES) {
                let (done, waiter) = oneshot::channel();
                if early {
                    overtaking.push(waiter);
                }
                let (call, telling) = (Arc::clone(&call), Arc::clone(&telling));
                let job = Job { call, telling, part, attempt: 0, done: Some(done), ripe };
                self.insert(ripe.checked_add(delay).unwrap_or(Timestamp::MAX), job, keep);
            }
        }
    }

    /// What would come last makes room.
    fn insert(&mut self, due: Timestamp, job: Job, keep: usize) {
        self.bytes += job.telling.bytes();
        self.waiting.insert((due, self.next_number), job);
        self.next_number += 1;
        while self.waiting.len() + self.ready.len() > keep || self.bytes > WAITING_BYTES {
            let last = self.waiting.pop_last().map(|(_, job)| job);
            let Some(last) = last.or_else(|| self.ready.pop_back()) else { break };
            self.bytes -= last.telling.bytes();
        }
    }

    /// What is due becomes ready. When the order is turned round, whatever else could be
    /// told by now goes along: nothing overtakes what it does not meet.
    fn ripen(&mut self, now: Timestamp) {
        if self.waiting.first_key_value().is_none_or(|((due, _), _)| *due > now) {
            return;
        }
        let later = self.waiting.split_off(&(now, u64::MAX));
        self.ready.extend(std::mem::replace(&mut self.waiting, later).into_values());
        if self.pushing.reordered {
            let waiting = std::mem::take(&mut self.waiting);
            for (key, job) in waiting {
                if job.ripe <= now {
                    self.ready.push_back(job);
                } else {
                    self.waiting.insert(key, job);
                }
            }
        }
    }

    fn drop_waiting(&mut self) {
        self.waiting.clear();
        self.ready.clear();
        self.bytes = 0;
    }
}

/// What is told of a call, and from when on: Phonon tells of each leg that another
/// follows (`phonon.md 6.9`), unless all is over at once.
fn parts(call: &Call, pace: Pace) -> Vec<(Part, Timestamp)> {
    let phonon = matches!(call.system, System::Phonon | System::PhononBulk);
    let mut parts = Vec::new();
    if phonon && pace == Pace::Lifelike {
        let before_last = call.life.legs.len().saturating_sub(1);
        let legs = call.life.legs.iter().take(before_last).enumerate();
        parts.extend(legs.map(|(index, leg)| (Part::Legs(index + 1), leg.over)));
    }
    parts.push((Part::Whole, call.life.over));
    parts
}

fn signed(delay: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{PhononWebhook, life::Life};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn queue(pushing: Pushing, keep: usize) -> Queue {
        let phonon = Some(PhononWebhook::default());
        Queue::new(Webhooks { phonon, ..Webhooks::default() }, pushing, keep)
    }

    /// A call that is over at a second.
    fn fresh(second: i64, system: System) -> Fresh {
        let numbers = vec!["919900000000".to_owned()];
        let call = Call {
            system,
            id: second.to_string(),
            request_id: String::new(),
            owner: String::new(),
            reference: None,
            caller: String::new(),
            taken: at(0),
            life: Life::new(&numbers, at(second), Pace::Instant),
            numbers,
        };
        let variables = vec![("a".to_owned(), "b".to_owned())];
        let telling = Telling { variables, ..Telling::default() };
        Fresh { call: Arc::new(call), telling, at_once: second == 0 }
    }

    fn add(queue: &Queue, second: i64) -> usize {
        queue.add(vec![fresh(second, System::Phonon)], Pace::Instant).len()
    }

    /// The ids of all that go at a second.
    fn taken(queue: &Queue, second: i64) -> String {
        std::iter::from_fn(|| queue.take(at(second))).map(|job| job.call.id.clone()).collect()
    }

    fn delayed(reordered: bool) -> Pushing {
        let delay = std::time::Duration::from_secs(5);
        Pushing { delay, reordered, ..Pushing::default() }
    }

    #[test]
    fn each_goes_in_its_time() {
        let queue = queue(delayed(false), 9);
        for second in [2, 1, 3] {
            add(&queue, second);
        }
        assert_eq!((taken(&queue, 5), queue.next_due()), (String::new(), Some(at(6))));
        assert_eq!((taken(&queue, 7), queue.next_due()), ("12".to_owned(), Some(at(8))));
        assert_eq!((taken(&queue, 99), queue.next_due()), ("3".to_owned(), None));
        assert_eq!(queue.state().bytes, 0);
    }

    #[test]
    fn turned_round_the_latest_that_can_be_told_goes_first() {
        let queue = queue(delayed(true), 9);
        for second in [1, 2, 3, 8] {
            add(&queue, second);
        }
        assert_eq!(taken(&queue, 5), "");
        assert_eq!(taken(&queue, 6), "321");
        assert_eq!(taken(&queue, 13), "8");
    }

    #[test]
    fn what_waits_is_bounded_and_the_last_go() {
        let queue = queue(Pushing { times: u32::MAX, ..Pushing::default() }, 2);
        add(&queue, 7);
        add(&queue, 1);
        add(&queue, 3);
        assert_eq!(taken(&queue, 9), "11");
        assert_eq!(queue.state().bytes, 0);
        let large = Telling { flow: "x".repeat(WAITING_BYTES / 2), ..Telling::default() };
        let fresh = Fresh { telling: large, ..fresh(1, System::Phonon) };
        queue.add(vec![fresh], Pace::Instant);
        assert_eq!(taken(&queue, 9).len(), 2);
    }

    #[test]
    fn an_answer_waits_only_for_calls_that_start_at_once() {
        let queue = queue(Pushing { early: true, ..delayed(false) }, 9);
        assert_eq!((add(&queue, 0), add(&queue, 1)), (1, 0));
        assert_eq!((taken(&queue, 0), queue.next_due()), ("0".to_owned(), Some(at(6))));
        let unpushed = queue.add(vec![fresh(0, System::MobTexting)], Pace::Instant);
        assert!(unpushed.is_empty());
        queue.close();
        assert_eq!((add(&queue, 0), taken(&queue, 99)), (0, String::new()));
    }
}
