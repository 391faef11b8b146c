//! Looks after the calls that are with a vendor, by itself: asks about them at growing
//! intervals, and gives up on them in the end. When that is next is kept with each call
//! ([`Call::due`]), so a restart goes on where the last run stopped, and nothing is looked
//! at before its time.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::{
    Gateway, account::Account, agenda::Agenda, gone::UNTIL_VENDOR_IS_BACK, resend::Resent,
    results::round,
};
use crate::{
    call::{Call, CallId, CallState, Observation, ReportedState},
    ledger::News,
};

/// Calls looked at together.
const BATCH: usize = 500;
/// The longest rest: the clock may be set meanwhile.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// The pause after a ledger that failed, or when nothing came of looking.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a vendor that can't be asked.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The pause between two questions about a call grows up to so many poll intervals.
const GROWTH: u32 = 20;

impl Gateway {
    /// Does what is to be done without being asked, until the gateway stops: looks after the
    /// calls of every vendor, hands over those that wait when their time comes, and tells
    /// those who watch. Call it once, after
    /// [`Gateway::recover`].
    pub fn attend(&self) {
        self.inner.attended.store(true, Ordering::SeqCst);
        let configured = self.configured();
        for account in configured.accounts.values().chain(configured.gone.values()) {
            self.attend_to(account);
        }
        self.inner.tasks.spawn(self.clone().hand_out_changes());
        self.inner.tasks.spawn(self.clone().look_through_strays());
        self.inner.tasks.spawn(self.clone().remove_what_is_old());
    }

    /// Does so for one vendor from now on, however often it is configured anew. One that is not
    /// configured any more is attended to as well: as long as it has calls, somebody has to
    /// give up on them.
    pub(super) fn attend_to(&self, account: &Arc<Account>) {
        if !self.inner.attended.load(Ordering::SeqCst) {
            return;
        }
        let settler = self.clone().settle_account(Arc::clone(account));
        self.inner.tasks.spawn(settler);
        let scheduler = self.clone().take_up_what_waits(Arc::clone(account));
        self.inner.tasks.spawn(scheduler);
    }

    async fn look_through_strays(self) {
        while !self.is_stopping() {
            self.apply_strays().await;
            self.drop_strays().await;
            self.pause(LONGEST_PAUSE).await;
        }
    }

    async fn settle_account(self, mut account: Arc<Account>) {
        let mut failures = 0;
        while !self.is_stopping() {
            // As it is configured by now.
            account = self.current(&account);
            // From here on whoever hands over a call wakes us; before, we would have read it.
            account.agenda.awake();
            let now = self.inner.clock.now();
            // What is due in a moment may as well share a question.
            let by = later(now, account.poll_interval().mul_f32(0.1).min(PAUSE));
            let due = match self.inner.ledger.due(account.name(), by, BATCH).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(%error, vendor = account.name(), "the calls that are due can't be read");
                    self.pause(PAUSE).await;
                    continue;
                }
            };
            if due.calls.is_empty() {
                self.rest(&account.agenda, due.next, now).await;
                continue;
            }
            match self.look_at(&account, due.calls, by).await {
                Looked::Well => failures = 0,
                Looked::InVain(wait) => {
                    failures += 1;
                    let growing = account.poll_interval() * (1 << u32::min(failures, 8));
                    let pause = wait.unwrap_or(growing).clamp(PAUSE / 4, LONGEST_PAUSE);
                    tokio::select! {
                        // In this order every time, so that a simulation can be repeated.
                        biased;
                        () = self.pause(pause) => {}
                        // With other credentials it may be asked again.
                        () = self.reloaded() => {}
                    }
                }
            }
        }
    }

    /// Until the next call's time comes, somebody wakes us, or the gateway stops.
    pub(super) async fn rest(&self, agenda: &Agenda, next: Option<Timestamp>, now: Timestamp) {
        let until = next.map_or(LONGEST_REST, |next| {
            Duration::try_from(next.duration_since(now)).unwrap_or_default().min(LONGEST_REST)
        });
        agenda.rest_until(later(now, until));
        tokio::select! {
            // In this order every time, so that a simulation can be repeated.
            biased;
            () = agenda.woken() => {}
            () = sleep(until) => {}
            () = self.inner.stopping.cancelled() => {}
        }
    }

    /// Asks about the calls that can be asked about, gives up on those whose time has
    /// passed by then, and puts off the rest.
    async fn look_at(&self, account: &Arc<Account>, calls: Vec<Call>, by: Timestamp) -> Looked {
        let with_vendor: Vec<&Call> = calls.iter().filter(|c| c.state.is_with_vendor()).collect();
        // Nobody can ask who is gone.
        let is_gone = account.is_gone();
        let round = match is_gone {
            true => None,
            false => round(account, &with_vendor).0,
        };
        let mut asked: HashMap<CallId, Option<Call>> = HashMap::new();
        let mut failed = None;
        let resent = match is_gone {
            true => Ok(HashMap::new()),
            false => self.resend(account, &calls).await,
        };
        let resent = match resent {
            Ok(resent) => resent,
            Err(error) => {
                tracing::warn!(%error, vendor = account.name(), "calls in doubt can't be settled");
                return Looked::InVain(Some(PAUSE));
            }
        };
        if self.is_stopping() {
            return Looked::Well;
        }
        if let Some(round) = round {
            asked.extend(round.questions.iter().flatten().map(|call| (call.id, None)));
            let (fresh, warnings) = self.clone().ask_vendor(round).await;
            let in_vain = fresh.is_empty();
            asked.extend(fresh.into_iter().map(|call| (call.id, Some(call))));
            if self.is_stopping() {
                return Looked::Well;
            }
            if let Some(warning) = warnings.first() {
                tracing::warn!(vendor = account.name(), reason = %warning.error.reason, "open calls can't be asked about");
                let wait = warnings.iter().filter_map(|w| w.error.retry_after).max();
                failed = in_vain.then_some(wait);
            }
        }
        let now = self.inner.clock.now();
        // What was configured otherwise meanwhile is for who goes by that.
        let is_other = !self.is_current(account);
        let news: Vec<_> = calls
            .iter()
            .filter_map(|call| {
                let answer = asked.get(&call.id);
                let doubt = resent.get(&call.id);
                if let Some(Resent::Recorded(call)) = doubt
                    && call.state != CallState::Unconfirmed
                {
                    return None;
                }
                let latest = answer.and_then(Option::as_ref).unwrap_or(call);
                let end = account.give_up_at(latest);
                let due = match answer {
                    _ if latest.state.is_final() => return None,
                    // It waits for its next dial, and nobody has anything to tell until then.
                    _ if latest.state == CallState::Scheduled && latest.due.is_none() => {
                        return None;
                    }
                    // Being handed over: what comes of that will say when to look.
                    _ if !latest.state.is_with_vendor() => later(now, account.poll_interval()),
                    // Not `now`: what is due by then is looked at now.
                    _ if end <= by.max(now) => return Some(given_up(latest, now)),
                    // What it was answered said when to look again.
                    Some(Some(_)) => return None,
                    // The next one may fare better, and this one come later again.
                    Some(None) => account.next_look(call, true, now),
                    // Somebody else asks, and will say when to look again.
                    None if account.asking.contains(call.id) => later(now, PAUSE),
                    None if let Some(Resent::Again(again)) = doubt => (*again).min(end),
                    // It is asked about when its vendor is back, and not only in the end.
                    None if is_other => later(now, PAUSE),
                    None if is_gone => end.min(later(now, UNTIL_VENDOR_IS_BACK)),
                    // There is nothing to ask by, now or later, unless an id is learned.
                    None => end,
                };
                let observation = nothing_new();
                let (at, due, dial) = (now, Some(due), Some(latest.dial()));
                Some(News { call: call.id, observation, at, due, vendor: None, dial })
            })
            .collect();
        if let Err(error) = self.observe(news).await {
            tracing::warn!(%error, vendor = account.name(), "open calls can't be put off");
            return Looked::InVain(Some(PAUSE));
        }
        failed.map_or(Looked::Well, Looked::InVain)
    }
}

/// What came of looking at calls.
enum Looked {
    Well,
    /// The vendor can't be asked now; it may have said how long.
    InVain(Option<Duration>),
}

impl Account {
    /// When a call that is with the vendor is looked at next. `askable`: there is, or may be,
    /// something to ask by.
    pub(super) fn next_look(&self, call: &Call, askable: bool, now: Timestamp) -> Timestamp {
        let end = self.give_up_at(call);
        if !askable || !self.adapter().capabilities().pull_results {
            return end;
        }
        let next = next_question(begun(call), now, self.poll_interval());
        // The last question is asked when it is time to give up.
        if now < end { next.min(end) } else { next }
    }

    /// When a call is given up on.
    pub(super) fn give_up_at(&self, call: &Call) -> Timestamp {
        later(begun(call), self.give_up_after())
    }
}

/// The older a call, the longer it may well go on.
pub(super) fn next_question(begun: Timestamp, now: Timestamp, shortest: Duration) -> Timestamp {
    let age = Duration::try_from(now.duration_since(begun)).unwrap_or_default();
    let pause = (age / 2).clamp(shortest, shortest.saturating_mul(GROWTH));
    later(now.max(begun), pause)
}

/// A call that waits for its time, at the vendor or here, has not begun.
fn begun(call: &Call) -> Timestamp {
    let handed_over = call.handed_over_at();
    call.order.start_time.map_or(handed_over, |start| start.max(handed_over))
}

pub(super) fn later(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// No news: only [`News::due`] is meant.
pub(super) fn nothing_new() -> Observation {
    Observation::Reported { report: ReportedState::default(), asked: false }
}

fn given_up(call: &Call, now: Timestamp) -> News {
    let observation = Observation::GivenUp;
    let dial = Some(call.dial());
    News { call: call.id, observation, at: now, due: None, vendor: None, dial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallError, Cause, testing::call};

    #[test]
    fn pauses_between_questions_grow_up_to_a_limit() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (mut now, mut pauses) = (at(0), Vec::new());
        for _ in 0..14 {
            let next = next_question(at(0), now, Duration::from_secs(10));
            pauses.push(next.duration_since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [10, 10, 10, 15, 22, 33, 50, 75, 113, 170, 200, 200, 200, 200]);
        let before = next_question(at(100), at(0), Duration::from_secs(10));
        assert_eq!(before, at(110), "not before the vendor was to begin");
    }

    #[test]
    fn who_is_given_up_on_ended_as_far_as_is_known() {
        let end = |call: &Call| {
            let mut call = call.clone();
            let news = given_up(&call, call.create_time);
            call.apply(news.observation, news.at);
            call
        };
        let accepted = end(&call(CallState::Accepted));
        assert_eq!(accepted.state, CallState::Unknown);
        assert_eq!(accepted.error.map(|error| error.reason.into_owned()), Some("NO_RESULT".into()));

        let mut doubtful = call(CallState::Unconfirmed);
        doubtful.error = Some(CallError::new(Cause::InDoubt, "VENDOR_ANSWER_LOST", "it is"));
        assert_eq!(end(&doubtful).error, doubtful.error);

        let mut retried = call(CallState::InProgress);
        retried.attempts = vec![crate::call::Attempt::new(CallState::NoAnswer)];
        assert_eq!((end(&retried).state, end(&retried).error), (CallState::NoAnswer, None));
        retried.attempts.push(crate::call::Attempt::new(CallState::Ringing));
        assert_eq!(end(&retried).state, CallState::Unknown);
    }
}
