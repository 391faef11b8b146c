//! Settles doubt at a vendor that knows a repetition: the very same bytes once more, which
//! it takes now, or refuses because it took them before.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Gateway,
    account::Account,
    dispatch::{names_it, outgoing},
    exchange::accepted,
    letter,
    settle::{later, next_question},
};
use crate::{
    call::{Call, CallError, CallId, CallState, Cause, Observation, Position, Selector},
    http::HttpReply,
    ledger::{LedgerError, News, OutboxEntry},
    vendors::Placement,
};

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
            Observation::FailedOver { .. } | Observation::PutBack => None,
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
    pub(super) async fn resend(
        &self,
        account: &Arc<Account>,
        calls: &[Call],
    ) -> Result<HashMap<CallId, Resent>, LedgerError> {
        let ids: Vec<_> =
            calls.iter().filter(|call| account.may_be_resent(call)).map(|call| call.id).collect();
        let mut resent = HashMap::new();
        if ids.is_empty() {
            return Ok(resent);
        }
        let mut unreachable = false;
        for entry in self.inner.ledger.outbox(ids).await? {
            let now = self.inner.clock.now();
            let Some(until) = account.resendable_until(&entry).filter(|until| *until > now) else {
                continue;
            };
            let (written, members) = (entry.written, entry.calls.clone());
            // A vendor that does not answer once need not be tried with the next.
            if !unreachable {
                match self.resend_one(account, entry, until).await? {
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
            let now = self.inner.clock.now();
            if let Some(again) = next_try(written, now, account.poll_interval(), until) {
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
        until: Timestamp,
    ) -> Result<Answer, LedgerError> {
        let (count, start) = (entry.calls.len(), Position { entries: 0, within: None });
        let page = self.inner.ledger.page(&Selector::Calls(entry.calls), start, count).await?;
        let calls: Vec<_> = page.calls.into_iter().map(|(call, _)| call).collect();
        let stop = &self.inner.stopping;
        let Some(turn) = stop.run_until_cancelled(account.question_turn()).await else {
            return Ok(Answer::Nothing);
        };
        // The wait may have been long. The vendor may take it for the first time, and must
        // not dial what has expired.
        let now = self.inner.clock.now();
        let expired = |call: &Call| call.order.expire_time.is_some_and(|end| end <= now);
        if calls.len() != count || calls.iter().any(expired) || until <= now {
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
        let reply = account.line.send(&request).await;
        drop(turn);
        let at = self.inner.clock.now();
        let reply = match reply {
            Ok(reply) => reply,
            Err(failure) => {
                account.went_wrong(&account.line_error(&failure), at);
                return Ok(Answer::Unreachable);
            }
        };
        let news = read(account, &calls, &reply, at);
        if news.is_empty() {
            return Ok(Answer::Nothing);
        }
        let recorded = self.inner.ledger.observe(news).await?;
        Ok(Answer::Recorded(self.apply_kept(account, recorded).await))
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

impl Account {
    fn resendable_until(&self, entry: &OutboxEntry) -> Option<Timestamp> {
        let known = self.adapter().duplicate_check().filter(|_| entry.vendor == self.name())?;
        Some(later(entry.written, known))
    }
}

/// When the same may be sent once more: after growing pauses, and not from `until` on.
fn next_try(
    written: Timestamp,
    now: Timestamp,
    shortest: Duration,
    until: Timestamp,
) -> Option<Timestamp> {
    Some(next_question(written, now, shortest)).filter(|again| *again < until)
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
        Some(News { call: call.id, observation, at, due })
    });
    news.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(shortest: u64) -> Vec<i64> {
        let at = |second| Timestamp::from_second(second).unwrap();
        let shortest = Duration::from_secs(shortest);
        let mut tries = vec![at(0)];
        while let Some(next) = next_try(at(0), *tries.last().unwrap(), shortest, at(600)) {
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
        assert_eq!(next_try(at(100), at(0), ten, at(700)), Some(at(110)));
        assert_eq!(next_try(at(0), at(600), ten, at(600)), None);
    }
}
