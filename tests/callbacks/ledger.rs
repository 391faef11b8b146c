//! A ledger that fails and waits when a test says so. What vendors post is found and kept
//! in memory; all else is SQLite's.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use dialplane::{
    call::{Call, CallId, CallState, Position, RequestId, Selection, Selector},
    ledger::{
        Changes, Claim, Due, Kept, Ledger, LedgerError, NewRequest, News, Page, Recorded,
        RequestRecord, Stray, sqlite::SqliteLedger,
    },
};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};

#[derive(Debug)]
pub struct Watched {
    sqlite: SqliteLedger,
    /// Calls by vendor and the vendor's id.
    known: Mutex<HashMap<(String, String), CallId>>,
    kept: Mutex<Vec<(i64, Stray)>>,
    /// When calls are to be looked at again.
    pub due: Mutex<Vec<(CallId, Timestamp)>>,
    /// So many changes fail.
    pub failures: AtomicUsize,
    /// Changes wait while it is shut.
    pub open: watch::Sender<bool>,
    /// One permit for each change that was begun.
    pub begun: Semaphore,
}

impl Watched {
    pub fn new() -> Self {
        Self {
            sqlite: SqliteLedger::open("sqlite::memory:").unwrap(),
            known: Mutex::default(),
            kept: Mutex::default(),
            due: Mutex::default(),
            failures: AtomicUsize::new(0),
            open: watch::channel(true).0,
            begun: Semaphore::new(0),
        }
    }

    pub fn kept_count(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    async fn begin(&self) -> Result<(), LedgerError> {
        self.begun.add_permits(1);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        let left =
            self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if left.is_ok() { Err(LedgerError::Failed("the disk is full".into())) } else { Ok(()) }
    }

    fn id_of(&self, vendor: &str, ids: &[String]) -> Option<CallId> {
        let known = self.known.lock().unwrap();
        ids.iter().find_map(|id| known.get(&(vendor.to_owned(), id.clone())).copied())
    }

    async fn call(&self, id: Option<CallId>) -> Result<Option<Call>, LedgerError> {
        let Some(id) = id else { return Ok(None) };
        let start = Position { entries: 0, within: None };
        let page = self.sqlite.page(&Selector::Calls(vec![id]), start, 1).await?;
        Ok(page.calls.into_iter().next().map(|(call, _)| call))
    }
}

#[async_trait]
impl Ledger for Watched {
    async fn observe(&self, news: Vec<News>) -> Result<Vec<Call>, LedgerError> {
        self.begin().await?;
        let due: Vec<_> = news.iter().filter_map(|news| Some((news.call, news.due?))).collect();
        let calls = self.sqlite.observe(news).await?;
        self.due.lock().unwrap().extend(due);
        let mut known = self.known.lock().unwrap();
        for call in &calls {
            if let Some(id) = &call.vendor_call_id {
                known.insert((call.vendor.clone(), id.clone()), call.id);
            }
        }
        Ok(calls)
    }

    async fn find(
        &self,
        vendor: &str,
        ids: Vec<Vec<String>>,
    ) -> Result<Vec<Option<Call>>, LedgerError> {
        let mut calls = Vec::new();
        for ids in ids {
            calls.push(self.call(self.id_of(vendor, &ids)).await?);
        }
        Ok(calls)
    }

    async fn keep(&self, strays: Vec<Stray>) -> Result<Vec<Option<Call>>, LedgerError> {
        self.begin().await?;
        let mut calls = Vec::new();
        for stray in strays {
            let call = self.call(self.id_of(&stray.vendor, &stray.ids)).await?;
            if call.is_none() {
                let mut kept = self.kept.lock().unwrap();
                let key = kept.last().map_or(0, |(key, _)| key + 1);
                kept.push((key, stray));
            }
            calls.push(call);
        }
        Ok(calls)
    }

    async fn kept(&self, vendor: &str, ids: Vec<String>) -> Result<Vec<Kept>, LedgerError> {
        let kept = self.kept.lock().unwrap();
        let is_meant = |stray: &Stray| stray.vendor == vendor && ids.contains(&stray.ids[0]);
        let meant = kept.iter().filter(|(_, stray)| is_meant(stray));
        Ok(meant
            .map(|(key, stray)| Kept { key: *key, said: stray.said.clone(), at: stray.at })
            .collect())
    }

    async fn forget(&self, keys: Vec<i64>) -> Result<(), LedgerError> {
        self.kept.lock().unwrap().retain(|(key, _)| !keys.contains(key));
        Ok(())
    }

    async fn drop_kept(&self, before: Timestamp) -> Result<u64, LedgerError> {
        let mut kept = self.kept.lock().unwrap();
        let all = kept.len();
        kept.retain(|(_, stray)| stray.at >= before);
        Ok((all - kept.len()) as u64)
    }

    async fn record(&self, request: NewRequest) -> Result<Recorded, LedgerError> {
        self.sqlite.record(request).await
    }

    async fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, LedgerError> {
        self.sqlite.request(id).await
    }

    async fn claim(&self, calls: Vec<CallId>, at: Timestamp) -> Result<Claim, LedgerError> {
        self.sqlite.claim(calls, at).await
    }

    async fn page(
        &self,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, LedgerError> {
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
        self.sqlite.ready().await
    }

    async fn close(&self) {
        self.sqlite.close().await;
    }
}
