//! Hands batches to their vendors, each in its turn, and records what came back.

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

use jiff::Timestamp;
use tokio::{
    sync::OwnedSemaphorePermit,
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};

use super::{Gateway, account::Account, create::cut, letter, settle::nothing_new};
use crate::{
    call::{Call, CallError, CallState, Cause, Observation},
    http::HttpRequest,
    ledger::{Claim, LedgerError, News, OutboxEntry},
    vendors::{Context, Outgoing},
};

/// How long a caller waits for a ledger that can't be written. The work goes on after.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before a ledger that failed is tried again, at first.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The same, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Calls that go to their vendor in one exchange.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whose.
    pub account: Arc<Account>,
    /// In the state of the ledger: dispatching when the batch has its turn, scheduled
    /// when it waits.
    pub calls: Vec<Call>,
    /// The right to send it now.
    pub turn: Option<OwnedSemaphorePermit>,
    /// What goes out, where it is in the outbox: these bytes or none.
    pub written: Option<HttpRequest>,
}

impl Batch {
    /// A batch that waits for its turn.
    pub fn waiting(account: &Arc<Account>, calls: Vec<Call>) -> Self {
        Self { account: Arc::clone(account), calls, turn: None, written: None }
    }

    /// Writes what goes out, to be kept before it does, for a vendor that may be sent the
    /// same again. What can't be written now fails when it is sent.
    pub fn write(&mut self, now: Timestamp) -> Option<OutboxEntry> {
        self.written = None;
        let adapter = self.account.adapter();
        adapter.duplicate_check()?;
        let batch: Vec<_> = self.calls.iter().map(outgoing).collect();
        let request = adapter.place(&batch, &Context { now, token: None }).ok()?;
        let letter = letter::seal(&request, self.account.secrets())?;
        self.written = Some(request);
        Some(OutboxEntry {
            vendor: self.account.name().to_owned(),
            calls: self.calls.iter().map(|call| call.id).collect(),
            written: now,
            letter,
        })
    }
}

/// A call as its adapter gets it.
pub(super) fn outgoing(call: &Call) -> Outgoing<'_> {
    Outgoing { id: call.id, order: &call.order }
}

impl Gateway {
    /// Sends all batches, each as soon as its vendor has a turn for it, and gives the
    /// calls as they are recorded afterwards, in any order. When the gateway stops, those
    /// that wait still stay as they are.
    pub(super) async fn dispatch(&self, batches: Vec<Batch>) -> Vec<Call> {
        let mut done = Vec::with_capacity(batches.iter().map(|batch| batch.calls.len()).sum());
        let mut under_way = JoinSet::new();
        let (ready, waiting): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|batch| batch.turn.is_some());
        for batch in ready {
            let gateway = self.clone();
            under_way.spawn(async move { gateway.hand_over(batch).await });
        }
        // One line for each vendor, so that a slow one does not hold up another.
        for line in by_account(waiting) {
            let gateway = self.clone();
            under_way.spawn(gateway.in_turn(line));
        }
        while let Some(finished) = under_way.join_next().await {
            done.extend(outcome(finished));
        }
        done
    }

    async fn in_turn(self, line: Vec<Batch>) -> Vec<Call> {
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
            under_way.spawn(self.clone().take_turn(batch, Arc::clone(&given_up)));
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
    async fn take_turn(self, mut batch: Batch, given_up: Arc<AtomicBool>) -> Vec<Call> {
        let mut done = Vec::new();
        loop {
            let entry = batch.write(self.inner.clock.now());
            let claimed = self
                .insist(PATIENCE, || {
                    let ids = batch.calls.iter().map(|call| call.id).collect();
                    self.inner.ledger.claim(ids, self.inner.clock.now(), entry.clone())
                })
                .await;
            match claimed {
                Ok(Claim { mine, others, left }) => {
                    done.extend(others);
                    // Of these alone something else goes out. Each time they are fewer.
                    if !left.is_empty() {
                        batch.calls = left;
                        continue;
                    }
                    done.extend(self.hand_over(Batch { calls: mine, ..batch }).await);
                }
                Err(error) => {
                    // They are recorded as waiting, and that is what the caller is told.
                    tracing::error!(%error, vendor = batch.account.name(), "waiting calls can't be claimed; they wait on");
                    batch.turn = None;
                    done.extend(batch.calls.iter().cloned());
                    if !is_final(&error) {
                        given_up.store(true, Ordering::Relaxed);
                        self.inner.tasks.spawn(self.clone().later(vec![batch]));
                    }
                }
            }
            return done;
        }
    }

    /// Tries batches again after a while.
    fn later(self, batches: Vec<Batch>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            sleep(LONGEST_PAUSE).await;
            self.dispatch(batches).await;
        })
    }

    /// Sends a batch that has its turn, and records the outcome of each call.
    async fn hand_over(&self, batch: Batch) -> Vec<Call> {
        let Batch { account, calls, turn, written } = batch;
        if calls.is_empty() {
            return Vec::new();
        }
        let outcomes = self.place(&account, &calls, written).await;
        drop(turn);
        let at = self.inner.clock.now();
        let news: Vec<_> = calls
            .iter()
            .zip(outcomes)
            .map(|(call, outcome)| {
                let observation = self.or_moved_on(call, outcome);
                let due = account.first_look(call, &observation, at);
                News { call: call.id, due, observation, at }
            })
            .collect();
        let first_look = news.iter().filter_map(|news| news.due).min();
        match self.insist(PATIENCE, || self.inner.ledger.observe(news.clone())).await {
            // A vendor may tell what became of a call before it answers.
            Ok(recorded) => {
                first_look.inspect(|time| account.agenda.is_due(*time));
                self.look_sooner(&account, &news, &recorded).await;
                let calls = self.apply_kept(&account, recorded).await;
                self.hand_on(calls).await
            }
            Err(error) => {
                tracing::error!(%error, vendor = account.name(), calls = calls.len(), "outcomes can't be recorded; they are kept in memory");
                let gateway = self.clone();
                self.inner.tasks.spawn(async move {
                    let recorded = gateway
                        .insist(Duration::MAX, || gateway.inner.ledger.observe(news.clone()))
                        .await;
                    match recorded {
                        Ok(recorded) => {
                            first_look.inspect(|time| account.agenda.is_due(*time));
                            gateway.look_sooner(&account, &news, &recorded).await;
                            let calls = gateway.apply_kept(&account, recorded).await;
                            gateway.hand_on(calls).await;
                        }
                        Err(error) => {
                            tracing::error!(%error, "outcomes were lost; their calls will be unconfirmed");
                        }
                    }
                });
                // The ledger only knows that they were being handed over. So does the
                // caller, until it is written.
                let doubt = CallError::new(
                    Cause::InDoubt,
                    "LEDGER_UNAVAILABLE",
                    "the call may have gone out; what came of it is not recorded yet",
                );
                // Under the revision that is recorded: the next one is what comes of it.
                let unconfirmed = |mut call: Call| {
                    let revision = call.revision;
                    call.apply(Observation::Failed(doubt.clone()), at);
                    Call { revision, ..call }
                };
                calls.into_iter().map(unconfirmed).collect()
            }
        }
    }

    /// Sends those of the calls that wait for another turn, as a failover or a batch that was
    /// put back leaves them. They are this task's: nobody else takes up what it claimed.
    fn hand_on(&self, calls: Vec<Call>) -> Pin<Box<dyn Future<Output = Vec<Call>> + Send + '_>> {
        Box::pin(async move {
            let (waiting, mut done): (Vec<_>, Vec<_>) =
                calls.into_iter().partition(|call| call.state == CallState::Scheduled);
            let mut by_vendor: BTreeMap<String, Vec<Call>> = BTreeMap::new();
            for call in waiting {
                by_vendor.entry(call.vendor.clone()).or_default().push(call);
            }
            let mut batches = Vec::new();
            for (vendor, calls) in by_vendor {
                match self.inner.accounts.get(&vendor) {
                    Some(account) => batches.extend(cut(account, calls)),
                    None => done.extend(calls),
                }
            }
            if !batches.is_empty() {
                done.extend(self.dispatch(batches).await);
            }
            done
        })
    }

    /// A vendor's push may have named a call while it was being handed over: then there is
    /// something to ask by, though the answer to the order had nothing. A failure only costs
    /// questions.
    async fn look_sooner(&self, account: &Account, news: &[News], recorded: &[Call]) {
        let named = |(news, call): &(&News, &Call)| {
            !names_it(&news.observation) && call.vendor_call_id.is_some() && !call.state.is_final()
        };
        let sooner: Vec<_> = news
            .iter()
            .zip(recorded)
            .filter(named)
            .map(|(news, call)| News {
                call: call.id,
                observation: nothing_new(),
                at: news.at,
                due: Some(account.next_look(call, true, news.at)),
            })
            .collect();
        let first = sooner.iter().filter_map(|news| news.due).min();
        if first.is_none() {
            return;
        }
        match self.inner.ledger.observe(sooner).await {
            Ok(_) => drop(first.inspect(|time| account.agenda.is_due(*time))),
            Err(error) => {
                tracing::warn!(%error, vendor = account.name(), "calls can't be looked at sooner");
            }
        }
    }

    /// Asks the ledger again and again while it fails, for as long as there is patience;
    /// once the gateway stops, only as long as a caller would wait.
    async fn insist<T, F>(
        &self,
        patience: Duration,
        mut change: impl FnMut() -> F,
    ) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let started = Instant::now();
        let mut stopping_since = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match change().await {
                Ok(done) => return Ok(done),
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => error,
            };
            let (since, patience) = if self.is_stopping() {
                (*stopping_since.get_or_insert_with(Instant::now), PATIENCE)
            } else {
                (started, patience)
            };
            if since.elapsed() >= patience {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The vendor can be asked by what was learned.
pub(super) fn names_it(observation: &Observation) -> bool {
    matches!(observation, Observation::Accepted { vendor_call_id: Some(_), .. })
}

/// The calls of a batch that is done. One whose task died has none to show: its calls
/// stay as recorded.
fn outcome(finished: Result<Vec<Call>, JoinError>) -> Vec<Call> {
    finished.unwrap_or_else(|error| {
        tracing::error!(%error, "a batch was given up; its calls stay as recorded");
        Vec::new()
    })
}

/// Trying again does not help.
pub(super) fn is_final(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::Closed | LedgerError::NoSuchCall(_) | LedgerError::Unreadable { .. }
    )
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
