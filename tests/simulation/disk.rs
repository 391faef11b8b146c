//! A ledger that fails, dawdles and dies; all else is SQLite's.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dialplane::{
    call::{Call, CallId, CallState, E164, Position, RequestId, Selection, Selector, Suppression},
    ledger::{
        Changes, Claim, Due, Held, Kept, Ledger, LedgerError, NewRequest, News, OutboxEntry, Page,
        Recorded, Removed, RequestRecord, Stray, StrayName, sqlite::SqliteLedger,
    },
};
use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};

use crate::{
    checker::person,
    faults::Mischief,
    world::{World, note},
};

#[derive(Debug)]
pub struct Shaky {
    pub sqlite: Arc<SqliteLedger>,
    pub world: Arc<World>,
}

impl Shaky {
    /// Before anything is done: it may never be.
    async fn begin(&self, what: &str, writes: bool) -> Result<(), LedgerError> {
        self.world.point(what).await;
        let (wait, fails) = {
            let mut state = self.world.state();
            let now = state.now();
            let (wait, fails) = state.faults.ledger(now, writes);
            if fails {
                note!(state, "the ledger fails: {what}");
            }
            (wait, fails)
        };
        if let Some(wait) = wait {
            self.world.pause(1, wait).await;
        }
        if fails { Err(LedgerError::Failed("the disk is full".to_owned())) } else { Ok(()) }
    }

    /// Reads, or writes. It may be done without anybody hearing of it.
    async fn act<T: Send>(
        &self,
        what: &str,
        writes: bool,
        act: impl Future<Output = Result<T, LedgerError>> + Send,
    ) -> Result<T, LedgerError> {
        if let Err(error) = self.begin(what, writes).await {
            let breaks = {
                let mut state = self.world.state();
                let now = state.now();
                let lives_on = what == "take_up" && state.waits.survives;
                if writes { state.faults.breaks(now, lives_on) } else { None }
            };
            let Some(is_kept) = breaks else { return Err(error) };
            if is_kept {
                // Shown by the next start: this process does not live much longer.
                drop(act.await);
            }
            let mut state = self.world.state();
            note!(state, "the disk breaks in the middle of a commit: {what}, kept: {is_kept}");
            return Err(LedgerError::Uncertain("the disk is gone".to_owned()));
        }
        let done = act.await;
        if writes {
            {
                let mut state = self.world.state();
                let went = if done.is_ok() { "is on disk" } else { "was not taken" };
                note!(state, "ledger: {what} {went}");
            }
            self.world.changed.notify_one();
            self.world.point(what).await;
        }
        done
    }
}

/// Whom a call is for.
fn number(call: &Call) -> String {
    call.order.to.first().map(|to| to.digits().to_owned()).unwrap_or_default()
}

#[async_trait]
impl Ledger for Shaky {
    async fn record_all(&self, requests: Vec<NewRequest>) -> Result<Vec<Recorded>, LedgerError> {
        let forgets = self.world.state().mischief == Some(Mischief::Forgotten);
        if forgets {
            return Ok(vec![Recorded::New; requests.len()]);
        }
        let record = async {
            let calls = requests.iter().flat_map(|request| &request.calls);
            let begun = calls.filter(|call| call.state == CallState::Dispatching);
            let begun: Vec<_> = begun.map(|call| (number(call), call.create_time)).collect();
            let done = self.sqlite.record_all(requests).await;
            if done.as_ref().is_ok_and(|recorded| recorded.contains(&Recorded::New)) {
                let timing = &mut self.world.state().checker.timing;
                begun.iter().for_each(|(number, at)| timing.begun(number, *at));
            }
            done
        };
        self.act("record", true, record).await
    }

    async fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, LedgerError> {
        self.act("request", false, self.sqlite.request(id)).await
    }

    async fn observe(&self, news: Vec<News>) -> Result<Vec<Call>, LedgerError> {
        self.act("observe", true, self.sqlite.observe(news)).await
    }

    async fn claim(
        &self,
        calls: Vec<CallId>,
        at: Timestamp,
        outbox: Option<OutboxEntry>,
    ) -> Result<Claim, LedgerError> {
        let claim = async {
            // Who is on it by now, and told so, is not to be called.
            let listed = self.world.state().checker.timing.everybody_listed();
            let done = self.sqlite.claim(calls, at, outbox).await;
            if let Ok(claim) = &done {
                let timing = &mut self.world.state().checker.timing;
                for number in claim.mine.iter().map(number) {
                    timing.claimed(&number, listed.contains(&person(&number)));
                }
            }
            done
        };
        self.act("claim", true, claim).await
    }

    async fn outbox(&self, calls: Vec<CallId>) -> Result<Vec<OutboxEntry>, LedgerError> {
        self.act("outbox", false, self.sqlite.outbox(calls)).await
    }

    async fn page(
        &self,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        self.act("page", false, self.sqlite.page(selector, after, limit)).await
    }

    async fn open_calls(
        &self,
        states: &[CallState],
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, LedgerError> {
        self.act("open_calls", false, self.sqlite.open_calls(states, after, limit)).await
    }

    async fn find(
        &self,
        vendor: &str,
        ids: Vec<Vec<String>>,
    ) -> Result<Vec<Option<Call>>, LedgerError> {
        self.act("find", false, self.sqlite.find(vendor, ids)).await
    }

    async fn keep(&self, strays: Vec<Stray>) -> Result<Vec<Option<Call>>, LedgerError> {
        self.act("keep", true, self.sqlite.keep(strays)).await
    }

    async fn kept(&self, vendor: &str, ids: Vec<String>) -> Result<Vec<Kept>, LedgerError> {
        self.act("kept", false, self.sqlite.kept(vendor, ids)).await
    }

    async fn strays(&self, after: i64, limit: usize) -> Result<Vec<StrayName>, LedgerError> {
        self.act("strays", false, self.sqlite.strays(after, limit)).await
    }

    async fn forget(&self, keys: Vec<i64>) -> Result<(), LedgerError> {
        self.act("forget", true, self.sqlite.forget(keys)).await
    }

    async fn drop_kept(&self, before: Timestamp) -> Result<u64, LedgerError> {
        self.act("drop_kept", true, self.sqlite.drop_kept(before)).await
    }

    async fn due(&self, vendor: &str, by: Timestamp, limit: usize) -> Result<Due, LedgerError> {
        self.act("due", false, self.sqlite.due(vendor, by, limit)).await
    }

    async fn remove_old(&self, before: Timestamp, limit: usize) -> Result<Removed, LedgerError> {
        self.act("remove_old", true, self.sqlite.remove_old(before, limit)).await
    }

    async fn take_up(
        &self,
        vendor: &str,
        by: Timestamp,
        limit: usize,
        ticket: u32,
    ) -> Result<Held, LedgerError> {
        let mischief = self.world.state().mischief;
        match mischief {
            Some(Mischief::Late) => sleep(Duration::from_secs(1)).await,
            Some(Mischief::Asleep) => return Ok(Held::default()),
            _ => {}
        }
        self.act("take_up", true, self.sqlite.take_up(vendor, by, limit, ticket)).await
    }

    async fn let_go(&self, until: Timestamp, limit: usize) -> Result<usize, LedgerError> {
        self.act("let_go", true, self.sqlite.let_go(until, limit)).await
    }

    async fn waited_for(&self) -> Result<Vec<String>, LedgerError> {
        self.act("waited_for", false, self.sqlite.waited_for()).await
    }

    async fn looked_after(&self) -> Result<Vec<String>, LedgerError> {
        self.act("looked_after", false, self.sqlite.looked_after()).await
    }

    async fn suppress(&self, numbers: Vec<Suppression>) -> Result<Vec<Suppression>, LedgerError> {
        if self.world.state().mischief == Some(Mischief::Unlisted) {
            return Ok(numbers);
        }
        self.act("suppress", true, self.sqlite.suppress(numbers)).await
    }

    async fn unsuppress(&self, numbers: Vec<E164>) -> Result<Vec<E164>, LedgerError> {
        self.act("unsuppress", true, self.sqlite.unsuppress(numbers)).await
    }

    async fn suppressed(&self, numbers: Vec<E164>) -> Result<Vec<Suppression>, LedgerError> {
        self.act("suppressed", false, self.sqlite.suppressed(numbers)).await
    }

    async fn suppressions(
        &self,
        after: Option<E164>,
        limit: usize,
    ) -> Result<(Vec<Suppression>, bool), LedgerError> {
        self.act("suppressions", false, self.sqlite.suppressions(after, limit)).await
    }

    async fn changes(
        &self,
        selection: &Selection,
        after: u64,
        limit: usize,
    ) -> Result<Changes, LedgerError> {
        self.act("changes", false, self.sqlite.changes(selection, after, limit)).await
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.sqlite.newest()
    }

    fn identity(&self) -> [u8; 8] {
        self.sqlite.identity()
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        self.act("ready", false, self.sqlite.ready()).await
    }

    async fn close(&self) {
        self.sqlite.close().await;
    }
}
