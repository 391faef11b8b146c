//! Settles doubt at a vendor that knows a repetition: the very same bytes once more, which
//! it takes now, or refuses because it took them before.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Gateway,
    account::Account,
    asking::Asked,
    batch::outgoing,
    exchange::accepted,
    insist::PATIENCE,
    letter,
    meter::Outcome,
    outcome::names_it,
    settle::{later, next_question, nothing_new},
    traced::Errand,
};
use crate::{
    call::{Call, CallError, CallId, CallState, Cause, Observation, Position, Selector},
    http::HttpReply,
    ledger::{LedgerError, News, OutboxEntry},
    telemetry::{Trace, Traced},
    vendors::Placement,
};

/// By how much clocks may differ that are right.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

/// What came of a call in doubt.
pub(super) enum Resent {
    /// It is settled, or looked at as the record says.
    Recorded(Box<Call>),
    /// It is still in doubt, and may be tried again then.
    Again(Timestamp),
}

impl Account {
    /// When a call is first looked at after it was handed over. None when it waits on.
    pub(super) fn first_look(
        &self,
        call: &Call,
        outcome: &Observation,
        now: Timestamp,
    ) -> Option<Timestamp> {
        match outcome {
            Observation::FailedOver { .. }
            | Observation::PutBack
            | Observation::Held { .. }
            | Observation::Expired => None,
            Observation::Failed(error) => Some(self.look_in_doubt(call, error, now)),
            outcome => Some(self.next_look(call, names_it(outcome), now)),
        }
    }

    /// When a call that may be in doubt is looked at next.
    pub(super) fn look_in_doubt(
        &self,
        call: &Call,
        error: &CallError,
        now: Timestamp,
    ) -> Timestamp {
        let look = self.next_look(call, call.vendor_call_id.is_some(), now);
        if error.unanswered && self.adapter().duplicate_check().is_some() {
            // Not at once: the vendor may be at it still.
            return look.min(later(now, self.poll_interval()));
        }
        look
    }

    /// The same bytes may settle what became of the call.
    pub(super) fn may_be_resent(&self, call: &Call) -> bool {
        call.state == CallState::Unconfirmed
            && call.vendor_call_id.is_none()
            && call.error.as_ref().is_some_and(|error| error.unanswered)
            && self.adapter().duplicate_check().is_some()
    }
}

impl Gateway {
    /// Sends once more what these calls went out with, where that is safe.
    ///
    /// # Errors
    /// When the ledger can't be read, or can't take it down that something is sent again.
    pub(super) async fn resend(
        &self,
        account: &Arc<Account>,
        calls: &[Call],
    ) -> Result<HashMap<CallId, Resent>, LedgerError> {
        let mut resent = HashMap::new();
        if self.clock_was_set_back() {
            return Ok(resent);
        }
        let mut unreachable = false;
        for call in calls.iter().filter(|call| account.may_be_resent(call)) {
            if resent.contains_key(&call.id) {
                continue;
            }
            // One letter at a time: they are long.
            let Some(entry) = self.inner.ledger.outbox(vec![call.id]).await?.pop() else {
                continue;
            };
            let Some(window) = account.window(&entry) else { continue };
            let members = entry.calls.clone();
            // A vendor that does not answer once need not be tried with the next.
            if !unreachable {
                let resending = self.resend_one(account, entry, &window);
                match resending.within(Trace::current_or_root()).await? {
                    Answer::Recorded(calls) => {
                        let calls = calls.into_iter();
                        resent
                            .extend(calls.map(|call| (call.id, Resent::Recorded(Box::new(call)))));
                    }
                    Answer::Nothing => {}
                    Answer::Unreachable => unreachable = true,
                }
            }
            if self.is_stopping() {
                return Ok(resent);
            }
            if let Some(again) = window.next_try(self.inner.clock.now(), account.poll_interval()) {
                for id in members {
                    resent.entry(id).or_insert(Resent::Again(again));
                }
            }
        }
        Ok(resent)
    }

    async fn resend_one(
        &self,
        account: &Arc<Account>,
        entry: OutboxEntry,
        window: &Window,
    ) -> Result<Answer, LedgerError> {
        // Until what comes of it is recorded nothing more is sent of these.
        let asked = account.asking.begin(entry.calls.iter().copied());
        if !entry.calls.iter().all(|id| asked.contains(*id)) {
            return Ok(Answer::Nothing);
        }
        let stop = &self.inner.stopping;
        let Some(turn) = stop.run_until_cancelled(account.repetition_turn(entry.calls.len())).await
        else {
            return Ok(Answer::Nothing);
        };
        // The wait may have been long.
        let (count, start) = (entry.calls.len(), Position { entries: 0, within: None });
        let members = Selector::Calls(entry.calls.clone());
        let page = self.inner.ledger.page(&members, start, count).await?;
        let calls: Vec<_> = page.calls.into_iter().map(|(call, _)| call).collect();
        // One that was dialled again since is in another entry: this one can't settle it.
        let entries = self.inner.ledger.outbox(entry.calls.clone()).await?;
        let now = self.inner.clock.now();
        if calls.len() != count
            || entries != [entry.clone()]
            || !self.may_go_again(account, &calls, window, now)
        {
            return Ok(Answer::Nothing);
        }
        let Some(request) = letter::open(&entry.letter, account.secrets()) else {
            tracing::warn!(
                vendor = account.name(),
                calls = count,
                "a request in doubt can't be sent again: the credentials were changed"
            );
            return Ok(Answer::Nothing);
        };
        // When the next one may come is on disk before this one goes out: whatever ends the
        // process, or keeps the ledger from being written, the pauses stay.
        let again = window.next_try(now, account.poll_interval());
        let put_off = calls.iter().map(|call| News {
            call: call.id,
            observation: nothing_new(),
            at: now,
            due: Some(again.unwrap_or_else(|| account.give_up_at(call))),
            vendor: None,
            dial: Some(call.dial()),
        });
        let calls = self.observe(put_off.collect()).await?;
        // It may be the first that the vendor gets.
        if self.is_suppressed(&calls).await? {
            return Ok(Answer::Nothing);
        }
        // That may have taken its time, too.
        if !self.may_go_again(account, &calls, window, self.inner.clock.now()) {
            return Ok(Answer::Nothing);
        }
        let reply = account.send(&request, Errand::Resend, count).await;
        drop(turn);
        let at = self.inner.clock.now();
        let reply = match reply {
            Ok(reply) => {
                account.keep_pace(&reply);
                reply
            }
            Err(failure) => {
                let error = account.line_error(&failure);
                account.went_wrong(&error, at);
                if error.cause != Cause::InDoubt || error.unanswered {
                    return Ok(Answer::Unreachable);
                }
                // An answer that can't be read to its end, and that says that it failed.
                let news = calls.iter().map(|call| failed(account, call, error.clone(), at));
                return Ok(self.record_answer(account, asked, news.collect()).await);
            }
        };
        let news = read(account, &calls, &reply, at);
        account.meter.ended(Errand::Resend, Outcome::of_news(&news));
        if news.is_empty() {
            return Ok(Answer::Nothing);
        }
        Ok(self.record_answer(account, asked, news).await)
    }

    /// The same may be sent now: the vendor may take it for the first time, and must not dial
    /// what has expired or was given up on, nor anybody at night; and where one of the calls is
    /// known to be taken, so was the request.
    fn may_go_again(
        &self,
        account: &Arc<Account>,
        calls: &[Call],
        window: &Window,
        now: Timestamp,
    ) -> bool {
        let over = |call: &Call| {
            self.not_now(account, call, now).is_some() || account.give_up_at(call) <= now
        };
        let fit = |call: &Call| account.may_be_resent(call) && !over(call);
        calls.iter().all(fit)
            && window.is_open(now)
            && !self.is_stopping()
            // Taken out or configured otherwise while this waited: whoever goes by that says
            // whether it may be sent again.
            && !account.is_gone()
            && self.is_current(account)
            && !self.clock_was_set_back()
    }

    /// Records what the vendor answered; with a ledger that fails for long, in the background.
    async fn record_answer(&self, account: &Arc<Account>, asked: Asked, news: Vec<News>) -> Answer {
        match self.insist(PATIENCE, || self.observe(news.clone())).await {
            Ok(recorded) => {
                self.look_sooner(account, &news, &recorded).await;
                Answer::Recorded(self.apply_kept(account, recorded).await)
            }
            Err(error) => {
                tracing::error!(%error, vendor = account.name(), calls = news.len(), "what settles a doubt can't be recorded; it is kept in memory");
                let (gateway, account) = (self.clone(), Arc::clone(account));
                self.inner.tasks.spawn(async move {
                    let observe = || gateway.observe(news.clone());
                    match gateway.insist(Duration::MAX, observe).await {
                        Ok(recorded) => {
                            gateway.look_sooner(&account, &news, &recorded).await;
                            gateway.apply_kept(&account, recorded).await;
                        }
                        Err(error) => {
                            tracing::error!(%error, "what settles a doubt was lost");
                        }
                    }
                    drop(asked);
                });
                Answer::Unreachable
            }
        }
    }

    /// The time of day is earlier than the time that passed since the start allows: how old a
    /// request is can't be told then.
    fn clock_was_set_back(&self) -> bool {
        let (at, time) = self.inner.begun;
        self.inner.clock.now() < later(time, at.elapsed().saturating_sub(CLOCK_TOLERANCE))
    }
}

/// What came of sending the same again.
enum Answer {
    /// The calls as they are now.
    Recorded(Vec<Call>),
    /// Nothing was learned.
    Nothing,
    /// The vendor did not answer.
    Unreachable,
}

/// From when to when the same may be sent again.
struct Window {
    written: Timestamp,
    until: Timestamp,
}

impl Window {
    fn is_open(&self, now: Timestamp) -> bool {
        // What is from the future was written by another clock.
        self.written <= later(now, CLOCK_TOLERANCE) && now < self.until
    }

    /// When the next try may be: after growing pauses, as long as it is open then.
    fn next_try(&self, now: Timestamp, shortest: Duration) -> Option<Timestamp> {
        Some(next_question(self.written, now, shortest)).filter(|again| *again < self.until)
    }
}

impl Account {
    fn window(&self, entry: &OutboxEntry) -> Option<Window> {
        let known = self.adapter().duplicate_check().filter(|_| entry.vendor == self.name())?;
        Some(Window { written: entry.written, until: later(entry.written, known) })
    }
}

fn failed(account: &Account, call: &Call, error: CallError, at: Timestamp) -> News {
    let due = Some(account.next_look(call, false, at));
    let observation = Observation::Failed(error);
    News { call: call.id, observation, at, due, vendor: None, dial: Some(call.dial()) }
}

/// What the answer to a repetition says. Two answers are certain: it is taken now, or it was
/// before. A refusal for any other reason says nothing, for it may have come to be after the
/// vendor took it; and after an answer that leaves a doubt nothing is sent again, for what
/// failed half-way may not count as a repetition.
fn read(account: &Account, calls: &[Call], reply: &HttpReply, at: Timestamp) -> Vec<News> {
    let batch: Vec<_> = calls.iter().map(outgoing).collect();
    let placements = account.adapter().read_placement(&batch, reply);
    let taken_now = placements.iter().any(|p| matches!(p, Placement::Accepted { .. }));
    let news = calls.iter().zip(placements).filter_map(|(call, placement)| {
        let observation = match placement {
            Placement::Accepted { vendor_call_id, vendor_request_id, data } => {
                accepted(vendor_call_id, vendor_request_id, data)
            }
            Placement::Fault(fault) if fault.cause == Cause::Duplicate => {
                accepted(None, None, serde_json::Map::new())
            }
            Placement::Fault(fault)
                if taken_now || (fault.cause == Cause::InDoubt && !fault.unanswered) =>
            {
                Observation::Failed(account.vendor_error(fault, Some(reply.status)))
            }
            Placement::Fault(_) => return None,
        };
        let due = Some(account.next_look(call, names_it(&observation), at));
        Some(News { call: call.id, observation, at, due, vendor: None, dial: Some(call.dial()) })
    });
    news.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(shortest: u64) -> Vec<i64> {
        let at = |second| Timestamp::from_second(second).unwrap();
        let shortest = Duration::from_secs(shortest);
        let window = Window { written: at(0), until: at(600) };
        let mut tries = vec![at(0)];
        while let Some(next) = window.next_try(*tries.last().unwrap(), shortest) {
            tries.push(next);
        }
        tries.into_iter().skip(1).map(Timestamp::as_second).collect()
    }

    #[test]
    fn the_same_is_sent_after_growing_pauses_and_for_ten_minutes_only() {
        assert_eq!(tries(10), [10, 20, 30, 45, 67, 101, 151, 227, 341, 512]);
        assert_eq!(tries(300), [300]);
        assert_eq!(tries(600), [] as [i64; 0]);
    }

    #[test]
    fn a_clock_that_was_set_back_hurries_nobody() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let ten = Duration::from_secs(10);
        let window = Window { written: at(100), until: at(700) };
        assert_eq!(window.next_try(at(0), ten), Some(at(110)));
        assert_eq!(window.next_try(at(700), ten), None);
        for (now, open) in [(0, false), (69, false), (70, true), (699, true), (700, false)] {
            assert_eq!(window.is_open(at(now)), open, "{now}");
        }
    }
}
