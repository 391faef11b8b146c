//! A ledger that fails and waits when a test says so; all else is SQLite's.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use dialplane::{
    call::{
        Call, CallId, CallState, E164, Observation, Position, RequestId, Selection, Selector,
        Suppression,
    },
    ledger::{
        Changes, Claim, Due, Held, Kept, Ledger, LedgerError, NewRequest, News, OutboxEntry, Page,
        Recorded, Removed, RequestRecord, Stray, StrayName, sqlite::SqliteLedger,
    },
};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

/// A place where tests hold up who passes.
#[derive(Debug)]
pub struct Gate {
    pub open: watch::Sender<bool>,
    /// One permit for each who came.
    pub reached: Semaphore,
}

impl Gate {
    fn new() -> Self {
        Self { open: watch::channel(true).0, reached: Semaphore::new(0) }
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

#[derive(Debug)]
pub struct Watched {
    sqlite: SqliteLedger,
    /// How much is kept of calls that are not known.
    kept: AtomicUsize,
    /// When calls are to be looked at again.
    pub due: Mutex<Vec<(CallId, Timestamp)>>,
    /// So many changes fail.
    pub failures: AtomicUsize,
    /// All changes of this name fail.
    pub failing: Mutex<Option<&'static str>>,
    /// Changes wait while it is shut.
    pub open: watch::Sender<bool>,
    /// One permit for each change that was begun.
    pub begun: Semaphore,
    /// Before a request id is looked up.
    pub looking: Gate,
    /// After that.
    pub looked: Gate,
    /// Before a request is recorded.
    pub recording: Gate,
    /// Before calls are read.
    pub paging: Gate,
    /// Before it is told whether a change would be taken.
    pub probing: Gate,
    /// So many requests are not recorded.
    pub refusals: AtomicUsize,
    /// The next change of this name may be on disk, for all that is answered; and whether it
    /// is.
    pub uncertain: Mutex<Option<(&'static str, bool)>>,
}

impl Watched {
    pub fn new() -> Self {
        Self::over(SqliteLedger::open("sqlite::memory:").unwrap())
    }

    pub fn over(sqlite: SqliteLedger) -> Self {
        Self {
            sqlite,
            kept: AtomicUsize::new(0),
            due: Mutex::default(),
            failures: AtomicUsize::new(0),
            failing: Mutex::default(),
            open: watch::channel(true).0,
            begun: Semaphore::new(0),
            looking: Gate::new(),
            looked: Gate::new(),
            recording: Gate::new(),
            paging: Gate::new(),
            probing: Gate::new(),
            refusals: AtomicUsize::new(0),
            uncertain: Mutex::default(),
        }
    }

    pub fn kept_count(&self) -> usize {
        self.kept.load(Ordering::SeqCst)
    }

    async fn begin(&self, name: &str) -> Result<(), LedgerError> {
        self.begun.add_permits(1);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        if self.failing.lock().unwrap().is_some_and(|failing| failing == name) {
            return Err(LedgerError::Failed("the disk is full".into()));
        }
        fail(&self.failures)
    }

    /// Makes a change, and tells what came of it if anybody can know.
    async fn make<T>(
        &self,
        name: &str,
        change: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let next = self.uncertain.lock().unwrap().take_if(|(which, _)| *which == name);
        let Some((_, is_kept)) = next else { return change.await };
        if is_kept {
            drop(change.await?);
        }
        Err(LedgerError::Uncertain("the disk is gone".into()))
    }
}

fn fail(left: &AtomicUsize) -> Result<(), LedgerError> {
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
        Ok(_) => Err(LedgerError::Failed("the disk is full".into())),
        Err(_) => Ok(()),
    }
}

#[async_trait]
impl Ledger for Watched {
    async fn observe(&self, news: Vec<News>) -> Result<Vec<Call>, LedgerError> {
        self.begin("observe").await?;
        let due: Vec<_> = news.iter().filter_map(|news| Some((news.call, news.due?))).collect();
        let holds = news.iter().any(|news| matches!(news.observation, Observation::Held { .. }));
        let name = if holds { "hold" } else { "observe" };
        let calls = self.make(name, self.sqlite.observe(news)).await?;
        self.due.lock().unwrap().extend(due);
        Ok(calls)
    }

    async fn find(
        &self,
        vendor: &str,
        ids: Vec<Vec<String>>,
    ) -> Result<Vec<Option<Call>>, LedgerError> {
        self.sqlite.find(vendor, ids).await
    }

    async fn keep(&self, strays: Vec<Stray>) -> Result<Vec<Option<Call>>, LedgerError> {
        self.begin("keep").await?;
        let calls = self.sqlite.keep(strays).await?;
        self.kept.fetch_add(calls.iter().filter(|c| c.is_none()).count(), Ordering::SeqCst);
        Ok(calls)
    }

    async fn kept(&self, vendor: &str, ids: Vec<String>) -> Result<Vec<Kept>, LedgerError> {
        self.sqlite.kept(vendor, ids).await
    }

    async fn strays(&self, after: i64, limit: usize) -> Result<Vec<StrayName>, LedgerError> {
        self.sqlite.strays(after, limit).await
    }
    async fn forget(&self, keys: Vec<i64>) -> Result<(), LedgerError> {
        self.kept.fetch_sub(keys.len(), Ordering::SeqCst);
        self.sqlite.forget(keys).await
    }

    async fn drop_kept(&self, before: Timestamp) -> Result<u64, LedgerError> {
        let dropped = self.sqlite.drop_kept(before).await?;
        self.kept.fetch_sub(usize::try_from(dropped).unwrap(), Ordering::SeqCst);
        Ok(dropped)
    }

    async fn record_all(&self, requests: Vec<NewRequest>) -> Result<Vec<Recorded>, LedgerError> {
        self.recording.pass().await;
        fail(&self.refusals)?;
        self.make("record", self.sqlite.record_all(requests)).await
    }

    async fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, LedgerError> {
        self.looking.pass().await;
        let found = self.sqlite.request(id).await;
        self.looked.pass().await;
        found
    }

    async fn outbox(&self, calls: Vec<CallId>) -> Result<Vec<OutboxEntry>, LedgerError> {
        self.sqlite.outbox(calls).await
    }

    async fn remove_old(&self, before: Timestamp, limit: usize) -> Result<Removed, LedgerError> {
        self.sqlite.remove_old(before, limit).await
    }

    async fn claim(
        &self,
        calls: Vec<CallId>,
        at: Timestamp,
        outbox: Option<OutboxEntry>,
    ) -> Result<Claim, LedgerError> {
        self.begin("claim").await?;
        self.make("claim", self.sqlite.claim(calls, at, outbox)).await
    }

    async fn page(
        &self,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        self.paging.pass().await;
        self.sqlite.page(selector, after, limit).await
    }

    async fn open_calls(
        &self,
        states: &[CallState],
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, LedgerError> {
        self.sqlite.open_calls(states, after, limit).await
    }

    async fn due(&self, vendor: &str, by: Timestamp, limit: usize) -> Result<Due, LedgerError> {
        self.sqlite.due(vendor, by, limit).await
    }

    async fn take_up(
        &self,
        vendor: &str,
        by: Timestamp,
        limit: usize,
        ticket: u32,
    ) -> Result<Held, LedgerError> {
        self.begin("take_up").await?;
        self.make("take_up", self.sqlite.take_up(vendor, by, limit, ticket)).await
    }

    async fn let_go(&self, until: Timestamp, limit: usize) -> Result<usize, LedgerError> {
        self.sqlite.let_go(until, limit).await
    }

    async fn waited_for(&self) -> Result<Vec<String>, LedgerError> {
        self.sqlite.waited_for().await
    }

    async fn looked_after(&self) -> Result<Vec<String>, LedgerError> {
        self.sqlite.looked_after().await
    }

    async fn suppress(&self, numbers: Vec<Suppression>) -> Result<Vec<Suppression>, LedgerError> {
        self.begin("suppress").await?;
        self.make("suppress", self.sqlite.suppress(numbers)).await
    }

    async fn unsuppress(&self, numbers: Vec<E164>) -> Result<Vec<E164>, LedgerError> {
        self.begin("unsuppress").await?;
        self.sqlite.unsuppress(numbers).await
    }

    async fn suppressed(&self, numbers: Vec<E164>) -> Result<Vec<Suppression>, LedgerError> {
        // No change: nobody waits for it, and nobody counts it.
        if *self.failing.lock().unwrap() == Some("suppressed") {
            return Err(LedgerError::Failed("the disk is gone".into()));
        }
        self.sqlite.suppressed(numbers).await
    }

    async fn suppressions(
        &self,
        after: Option<E164>,
        limit: usize,
    ) -> Result<(Vec<Suppression>, bool), LedgerError> {
        self.sqlite.suppressions(after, limit).await
    }

    async fn changes(
        &self,
        selection: &Selection,
        after: u64,
        limit: usize,
    ) -> Result<Changes, LedgerError> {
        self.sqlite.changes(selection, after, limit).await
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.sqlite.newest()
    }

    fn identity(&self) -> [u8; 8] {
        self.sqlite.identity()
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        self.probing.pass().await;
        self.sqlite.ready().await
    }

    async fn close(&self) {
        self.sqlite.close().await;
    }
}
