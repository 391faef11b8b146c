//! Hands batches to their vendors, each in its turn. What has to go to another vendor is
//! gathered, so that it goes there together.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    select,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Gateway,
    batch::{Batch, cut},
    insist::{LONGEST_PAUSE, PATIENCE, is_final},
};
use crate::{
    call::{Call, CallState, Observation},
    ledger::{Claim, LedgerError, News},
};

/// How long calls that move on wait for others that go with them. A request that waits for
/// nothing else does not wait for this.
const GATHER: Duration = Duration::from_millis(50);

/// Where calls go that wait for another turn: no more than the request has.
pub(super) type Moved = UnboundedSender<Call>;

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
    /// Sends all batches, each as soon as its vendor has a turn for it, and gives the
    /// calls as they are recorded afterwards, in any order. When the gateway stops, those
    /// that wait still stay as they are.
    pub(super) async fn dispatch(&self, batches: Vec<Batch>) -> Vec<Call> {
        let mut done = Vec::with_capacity(batches.iter().map(|batch| batch.calls.len()).sum());
        let mut under_way = JoinSet::new();
        let (moved, mut arriving) = unbounded_channel();
        let mut gathered = Gathered::default();
        let (ready, waiting): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|batch| batch.turn.is_some());
        for batch in ready {
            let (gateway, moved) = (self.clone(), moved.clone());
            under_way.spawn(async move { gateway.hand_over(batch, &moved).await });
        }
        // One line for each vendor, so that a slow one does not hold up another.
        for line in by_account(waiting) {
            under_way.spawn(self.clone().in_turn(line, moved.clone()));
        }
        loop {
            while let Ok(call) = arriving.try_recv() {
                gathered.add(call);
            }
            let full = gathered.calls.iter().any(|(vendor, calls)| self.is_full(vendor, calls));
            let is_time = gathered.since.is_some_and(|since| since.elapsed() >= GATHER);
            if full || is_time || under_way.is_empty() {
                if under_way.is_empty() && gathered.calls.is_empty() {
                    return done;
                }
                for (vendor, calls) in gathered.take() {
                    match self.inner.accounts.get(&vendor) {
                        Some(account) => {
                            let line = cut(account, calls);
                            under_way.spawn(self.clone().in_turn(line, moved.clone()));
                        }
                        None => done.extend(calls),
                    }
                }
                continue;
            }
            let until = gathered.since.map(|since| since + GATHER);
            select! {
                biased;
                Some(call) = arriving.recv() => gathered.add(call),
                Some(finished) = under_way.join_next() => done.extend(outcome(finished)),
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
            }
        }
    }

    /// More calls would not go with these in one exchange.
    fn is_full(&self, vendor: &str, calls: &[Call]) -> bool {
        let account = self.inner.accounts.get(vendor);
        account.is_none_or(|a| calls.len() >= a.adapter().capabilities().max_batch)
    }

    /// Sends those of the calls that wait for a turn, and gives all. They are the caller's:
    /// nobody else takes them up.
    pub(super) fn dispatch_again(
        &self,
        calls: Vec<Call>,
    ) -> Pin<Box<dyn Future<Output = Vec<Call>> + Send + '_>> {
        Box::pin(async move {
            let (waiting, mut done): (Vec<_>, Vec<_>) = calls.into_iter().partition(is_in_hand);
            let mut gathered = Gathered::default();
            waiting.into_iter().for_each(|call| gathered.add(call));
            let mut batches = Vec::new();
            for (vendor, calls) in gathered.take() {
                match self.inner.accounts.get(&vendor) {
                    Some(account) => batches.extend(cut(account, calls)),
                    None => done.extend(calls),
                }
            }
            done.extend(self.dispatch(batches).await);
            done
        })
    }

    pub(super) async fn in_turn(self, line: Vec<Batch>, moved: Moved) -> Vec<Call> {
        let mut done = Vec::new();
        let mut under_way = JoinSet::new();
        // Set by the first batch that can't be claimed: the caller need not wait for the
        // ledger with each of the others, too.
        let given_up = Arc::new(AtomicBool::new(false));
        let mut put_off = Vec::new();
        for mut batch in line {
            let turn = if self.is_stopping() { None } else { batch.account.turn().await };
            // The wait may have been long.
            if turn.is_none() || self.is_stopping() {
                done.extend(batch.calls);
                continue;
            }
            if given_up.load(Ordering::Relaxed) {
                done.extend(batch.calls.iter().cloned());
                put_off.push(batch);
                continue;
            }
            batch.turn = turn;
            let given_up = Arc::clone(&given_up);
            under_way.spawn(self.clone().take_turn(batch, given_up, moved.clone()));
            while let Some(finished) = under_way.try_join_next() {
                done.extend(outcome(finished));
            }
        }
        while let Some(finished) = under_way.join_next().await {
            done.extend(outcome(finished));
        }
        if !put_off.is_empty() {
            self.inner.tasks.spawn(self.clone().later(put_off));
        }
        done
    }

    /// Claims a batch that waited, and sends what is ours of it.
    async fn take_turn(
        self,
        mut batch: Batch,
        given_up: Arc<AtomicBool>,
        moved: Moved,
    ) -> Vec<Call> {
        let mut done = self.hold_some(&mut batch).await;
        while !batch.calls.is_empty() {
            let entry = batch.write(self.inner.clock.now());
            let uncertain = AtomicBool::new(batch.maybe_claimed);
            let claim = || async {
                let ids = batch.calls.iter().map(|call| call.id).collect();
                let now = self.inner.clock.now();
                let claimed = self.inner.ledger.claim(ids, now, entry.clone()).await;
                uncertain
                    .fetch_or(matches!(claimed, Err(LedgerError::Uncertain(_))), Ordering::Relaxed);
                claimed
            };
            match self.insist(PATIENCE, claim).await {
                Ok(Claim { mine, others, left }) => {
                    for call in &others {
                        tracing::debug!(call = %call.id, state = call.state.name(), "not handed over");
                    }
                    if uncertain.into_inner() {
                        // What was held since, or dialled, is somebody else's by now.
                        let as_it_was = |call: &Call| {
                            let ours = batch.calls.iter().find(|ours| ours.id == call.id);
                            ours.is_some_and(|ours| {
                                (ours.dial(), ours.holds) == (call.dial(), call.holds)
                            })
                        };
                        let (claimed, others): (Vec<_>, Vec<_>) =
                            others.into_iter().partition(as_it_was);
                        done.extend(others);
                        done.extend(self.put_back(claimed, &moved).await);
                    } else {
                        done.extend(others);
                    }
                    // Of these alone something else goes out. Each time they are fewer.
                    if !left.is_empty() {
                        batch.calls = left;
                        continue;
                    }
                    let batch = Batch { calls: mine, ..batch };
                    done.extend(self.hand_over(batch, &moved).await);
                }
                Err(error) => {
                    // They are recorded as waiting, and that is what the caller is told.
                    tracing::error!(%error, vendor = batch.account.name(), "waiting calls can't be claimed; they wait on");
                    batch.turn = None;
                    batch.maybe_claimed = uncertain.into_inner();
                    done.extend(batch.calls.iter().cloned());
                    if !is_final(&error) {
                        given_up.store(true, Ordering::Relaxed);
                        self.inner.tasks.spawn(self.clone().later(vec![batch]));
                    }
                }
            }
            return done;
        }
        done
    }

    /// Takes those calls out of a batch that must not be handed over now, whatever the time
    /// was when it was made; gives them as they are recorded then.
    async fn hold_some(&self, batch: &mut Batch) -> Vec<Call> {
        let at = self.inner.clock.now();
        let mut news = Vec::new();
        let calls = std::mem::take(&mut batch.calls);
        let (held, due): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| {
            let observation = match self.not_now(&batch.account, call, at) {
                // The claim says so.
                Some(Observation::Expired) => return false,
                Some(observation) => observation,
                None => {
                    let (account, taken_up) = (&batch.account, batch.taken_up);
                    match self.held_while_shut(account, call, taken_up, at) {
                        None => return false,
                        Some(observation) => observation,
                    }
                }
            };
            let dial = Some(call.dial());
            news.push(News { call: call.id, observation, at, due: None, vendor: None, dial });
            true
        });
        batch.calls = due;
        let astray = held.iter().find(|call| !self.inner.routes.contains_key(&call.route));
        if let Some(call) = astray {
            tracing::warn!(
                route = call.route,
                "calls wait whose route is not configured any more; they go when it is back"
            );
        }
        match self.insist_on(PATIENCE, &mut news).await {
            Ok(calls) => calls,
            Err(error) => {
                tracing::error!(%error, calls = held.len(), "calls that must not be dialled now can't be held yet");
                self.inner.tasks.spawn(self.clone().put_back_later(news));
                held
            }
        }
    }

    /// Of calls that were not ours to claim: those that are dispatching were claimed by a try
    /// before, which was kept though it failed. Nothing was sent of them, and they wait for
    /// another turn; with a ledger that fails for long that goes on in the background. Gives
    /// those that don't wait.
    async fn put_back(&self, calls: Vec<Call>, moved: &Moved) -> Vec<Call> {
        let (claimed, mut others): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| call.state == CallState::Dispatching);
        let at = self.inner.clock.now();
        let back = |call: &Call| News {
            call: call.id,
            observation: Observation::PutBack,
            at,
            due: None,
            vendor: None,
            dial: Some(call.dial()),
        };
        let mut news: Vec<_> = claimed.iter().map(back).collect();
        match self.insist_on(PATIENCE, &mut news).await {
            Ok(calls) => others.extend(wait_again(&news, calls, moved)),
            Err(error) => {
                tracing::error!(%error, calls = claimed.len(), "calls that were claimed twice can't be put back yet");
                others.extend(claimed);
                self.inner.tasks.spawn(self.clone().put_back_later(news));
            }
        }
        others
    }

    /// Records in the background what is to wait again, and goes on with what is ours of it.
    pub(super) async fn put_back_later(self, mut news: Vec<News>) {
        match self.insist_on(Duration::MAX, &mut news).await {
            Ok(calls) => drop(self.dispatch_again(ours_again(&news, calls).0).await),
            Err(error) => {
                tracing::error!(%error, calls = news.len(), "calls that were to wait again stay as they are");
            }
        }
    }

    /// Tries batches again after a while.
    fn later(self, batches: Vec<Batch>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            sleep(LONGEST_PAUSE).await;
            self.dispatch(batches).await;
        })
    }
}

fn by_account(batches: Vec<Batch>) -> Vec<Vec<Batch>> {
    let mut lines: Vec<Vec<Batch>> = Vec::new();
    for batch in batches {
        let line = lines.iter_mut().find(|line| {
            line.first().is_some_and(|first| Arc::ptr_eq(&first.account, &batch.account))
        });
        match line {
            Some(line) => line.push(batch),
            None => lines.push(vec![batch]),
        }
    }
    lines
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

/// Lets those go that wait for another turn, and gives the others. Nobody waits for calls
/// that move on in the background: they are found by whoever asks.
pub(super) fn wait_again(news: &[News], recorded: Vec<Call>, moved: &Moved) -> Vec<Call> {
    let (ours, mut others) = ours_again(news, recorded);
    others
        .extend(ours.into_iter().filter_map(|call| moved.send(call).err().map(|unsent| unsent.0)));
    others
}

/// The calls of a batch that is done. One whose task died has none to show: its calls
/// stay as recorded.
fn outcome(finished: Result<Vec<Call>, JoinError>) -> Vec<Call> {
    finished.unwrap_or_else(|error| {
        tracing::error!(%error, "a batch was given up; its calls stay as recorded");
        Vec::new()
    })
}
