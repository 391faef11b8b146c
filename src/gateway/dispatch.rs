//! Has calls of a request go to their vendors, each in its turn, until none waits any more. What
//! has to go to another vendor is gathered, so that it goes there together.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    select,
    sync::mpsc::unbounded_channel,
    time::{Instant, sleep_until},
};

use super::{
    Gateway,
    batch::Batch,
    lane::{Answer, Apart, Owner},
};
use crate::{
    call::{Call, CallState, Observation},
    ledger::News,
    telemetry::Traced,
};

/// How long calls that move on wait for others that go with them. A request that waits for
/// nothing else does not wait for this.
const GATHER: Duration = Duration::from_millis(50);

/// Calls that wait for another turn, by vendor.
#[derive(Default)]
struct Gathered {
    calls: BTreeMap<String, Vec<Call>>,
    since: Option<Instant>,
}

impl Gathered {
    fn add(&mut self, call: Call) {
        self.since.get_or_insert_with(Instant::now);
        self.calls.entry(call.vendor.clone()).or_default().push(call);
    }

    fn take(&mut self) -> BTreeMap<String, Vec<Call>> {
        self.since = None;
        std::mem::take(&mut self.calls)
    }
}

impl Gateway {
    /// Sends the batches, which have their turn, has the others wait for theirs (with a ticket
    /// in the place of who had it), and gives all calls as they are recorded afterwards, in
    /// any order. When the gateway stops, those that wait still stay as they are.
    pub(super) async fn dispatch(
        &self,
        batches: Vec<Batch>,
        waiting: Vec<(Call, Option<Apart>)>,
        ticket: Option<i64>,
    ) -> Vec<Call> {
        let (to, mut answers) = unbounded_channel();
        let owner = Arc::new(Owner::new(to, false));
        let mut done = Vec::new();
        let mut out = 0;
        for mut batch in batches {
            out += batch.calls.len();
            batch.calls.iter().for_each(|call| batch.owners.add(call.id, Arc::clone(&owner)));
            self.inner.tasks.spawn(self.clone().send_batch(batch).here());
        }
        out += self.queue_all(waiting, &owner, ticket, &mut done);
        let mut gathered = Gathered::default();
        loop {
            let full = gathered.calls.iter().any(|(vendor, calls)| self.is_full(vendor, calls));
            let is_time = gathered.since.is_some_and(|since| since.elapsed() >= GATHER);
            if full || is_time || out == 0 {
                let calls = gathered.take().into_values().flatten();
                out += self.queue_all(calls.map(|call| (call, None)), &owner, None, &mut done);
                if out == 0 {
                    return done;
                }
            }
            let until = gathered.since.map(|since| since + GATHER);
            let answer = select! {
                biased;
                answer = answers.recv() => answer,
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => continue,
            };
            out -= 1;
            match answer {
                Some(Answer::Done(call)) => done.push(call),
                Some(Answer::Again(call, None)) => gathered.add(call),
                Some(Answer::Again(call, apart)) => {
                    // What belongs together comes together.
                    let mut some = vec![(call, apart)];
                    while let Ok(answer) = answers.try_recv() {
                        out -= 1;
                        match answer {
                            Answer::Done(call) => done.push(call),
                            Answer::Again(call, apart) => some.push((call, apart)),
                            Answer::Lost => {}
                        }
                    }
                    out += self.queue_all(some, &owner, None, &mut done);
                }
                Some(Answer::Lost) => {
                    tracing::error!("a call was given up; it stays as recorded");
                }
                // The owner is here.
                None => return done,
            }
        }
    }

    /// Has calls wait in the lanes of their vendors, and says how many; those of a vendor that
    /// is not configured are done.
    fn queue_all(
        &self,
        calls: impl IntoIterator<Item = (Call, Option<Apart>)>,
        owner: &Arc<Owner>,
        ticket: Option<i64>,
        done: &mut Vec<Call>,
    ) -> usize {
        let mut by_lane: BTreeMap<(String, u64), (Vec<Call>, Option<Apart>)> = BTreeMap::new();
        for (call, apart) in calls {
            let key = (call.vendor.clone(), apart.as_ref().map_or(0, |apart| apart.id));
            by_lane.entry(key).or_insert_with(|| (Vec::new(), apart)).0.push(call);
        }
        let (mut count, configured) = (0, self.configured());
        for ((vendor, _), (calls, apart)) in by_lane {
            // Who is not configured any more has a lane still, which gives them away.
            match configured.account_or_gone(&vendor) {
                Some(account) => {
                    count += calls.len();
                    self.queue(account, calls, owner, apart.as_ref(), ticket);
                }
                None => done.extend(calls),
            }
        }
        count
    }

    /// More calls would not go with these in one exchange.
    fn is_full(&self, vendor: &str, calls: &[Call]) -> bool {
        let account = self.account(vendor);
        account.is_none_or(|account| calls.len() >= account.max_batch())
    }

    /// Sends those of the calls that wait for a turn, and gives all. They are the caller's:
    /// nobody else takes them up.
    pub(super) fn dispatch_again(
        &self,
        calls: Vec<Call>,
    ) -> Pin<Box<dyn Future<Output = Vec<Call>> + Send + '_>> {
        Box::pin(async move {
            let (waiting, mut done): (Vec<_>, Vec<_>) = calls.into_iter().partition(is_in_hand);
            if !waiting.is_empty() {
                let waiting = waiting.into_iter().map(|call| (call, None)).collect();
                done.extend(self.dispatch(Vec::new(), waiting, None).await);
            }
            done
        })
    }

    /// Hands over a batch that has its turn, and tells whose calls are in it.
    async fn send_batch(self, mut batch: Batch) {
        let mut owners = std::mem::take(&mut batch.owners);
        let settled = self.hand_over(batch).await;
        owners.done(settled.done);
        owners.again(settled.again);
    }
}

/// It waits, and not for a time: whoever has it sees that it gets its turn.
pub(super) fn is_in_hand(call: &Call) -> bool {
    call.state == CallState::Scheduled && call.held_until.is_none()
}

/// Of calls that somebody had and said this of, as they are recorded then: those that he has
/// still, to wait for another turn, and the others. What else waits is in the ledger's hands,
/// or in those of who has taken it up since: a call never has two owners.
pub(super) fn ours_again(news: &[News], recorded: Vec<Call>) -> (Vec<Call>, Vec<Call>) {
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for (news, call) in news.iter().zip(recorded) {
        let gives_back =
            matches!(news.observation, Observation::FailedOver { .. } | Observation::PutBack);
        let is_ours = gives_back && news.dial == Some(call.dial()) && is_in_hand(&call);
        if is_ours { ours.push(call) } else { others.push(call) }
    }
    (ours, others)
}
