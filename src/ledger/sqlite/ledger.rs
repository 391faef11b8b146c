//! What every ledger does, done with SQLite: which of it is queued for the writer, and which
//! is read beside it.

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use super::{
    MAX_NEW_CALLS, SqliteLedger, change, due, ended, held, history, outbox, read, reader, removal,
    strays, suppressions, writer,
};
use crate::{
    call::{Call, CallId, CallState, E164, Position, RequestId, Selection, Selector, Suppression},
    ledger::{
        Changes, Claim, Due, Held, Kept, Ledger, LedgerError, NewRequest, News, OutboxEntry, Page,
        Recorded, Removed, RequestRecord, Stray, StrayName,
    },
};

#[async_trait]
impl Ledger for SqliteLedger {
    async fn record_all(&self, requests: Vec<NewRequest>) -> Result<Vec<Recorded>, LedgerError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let weight = requests.iter().map(|request| request.calls.len()).sum();
        let recording = change::Recording::new(requests);
        self.change(&self.new_calls, MAX_NEW_CALLS, weight, recording).await
    }

    async fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, LedgerError> {
        let id = id.clone();
        self.read(move |connection| Ok(read::request(connection, &id)?.map(|(_, record)| record)))
            .await
    }

    async fn observe(&self, news: Vec<News>) -> Result<Vec<Call>, LedgerError> {
        if news.is_empty() {
            return Ok(Vec::new());
        }
        self.news(news.len(), move |session| change::observe(session, &news)).await
    }

    async fn claim(
        &self,
        calls: Vec<CallId>,
        at: Timestamp,
        outbox: Option<OutboxEntry>,
    ) -> Result<Claim, LedgerError> {
        if calls.is_empty() {
            return Ok(Claim::default());
        }
        self.news(calls.len(), move |session| change::claim(session, &calls, at, outbox.as_ref()))
            .await
    }

    async fn outbox(&self, calls: Vec<CallId>) -> Result<Vec<OutboxEntry>, LedgerError> {
        self.read(move |connection| outbox::entries(connection, &calls)).await
    }

    async fn remove_old(&self, before: Timestamp, limit: usize) -> Result<Removed, LedgerError> {
        // Counted as little: it is to wait for nobody's room, and nobody for its.
        self.news(1, move |session| removal::remove_old(session, before, limit)).await
    }

    async fn page(
        &self,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, LedgerError> {
        let selector = selector.clone();
        self.read(move |connection| read::page(connection, &selector, after, limit)).await
    }

    async fn open_calls(
        &self,
        states: &[CallState],
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, LedgerError> {
        let states = states.to_vec();
        self.read(move |connection| read::open_calls(connection, &states, after, limit)).await
    }

    async fn find(
        &self,
        vendor: &str,
        ids: Vec<Vec<String>>,
    ) -> Result<Vec<Option<Call>>, LedgerError> {
        let vendor = vendor.to_owned();
        self.read(move |connection| {
            ids.iter().map(|ids| read::find(connection, &vendor, ids)).collect()
        })
        .await
    }

    async fn keep(&self, strays: Vec<Stray>) -> Result<Vec<Option<Call>>, LedgerError> {
        if strays.is_empty() {
            return Ok(Vec::new());
        }
        self.news(strays.len(), move |session| strays::keep(session.connection, &strays)).await
    }

    async fn kept(&self, vendor: &str, ids: Vec<String>) -> Result<Vec<Kept>, LedgerError> {
        if self.writer.is_closed() {
            return Err(LedgerError::Closed);
        }
        if self.told.nothing_kept() {
            return Ok(Vec::new());
        }
        let vendor = vendor.to_owned();
        self.read(move |connection| strays::kept(connection, &vendor, &ids)).await
    }

    async fn strays(&self, after: i64, limit: usize) -> Result<Vec<StrayName>, LedgerError> {
        if self.told.nothing_kept() {
            return Ok(Vec::new());
        }
        self.read(move |connection| strays::names(connection, after, limit)).await
    }

    async fn forget(&self, keys: Vec<i64>) -> Result<(), LedgerError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.news(keys.len(), move |session| strays::forget(session.connection, &keys)).await
    }

    async fn drop_kept(&self, before: Timestamp) -> Result<u64, LedgerError> {
        self.news(1, move |session| strays::drop_kept(session.connection, before)).await
    }

    async fn due(&self, vendor: &str, by: Timestamp, limit: usize) -> Result<Due, LedgerError> {
        let vendor = vendor.to_owned();
        self.read(move |connection| due::due(connection, &vendor, by, limit)).await
    }

    async fn take_up(
        &self,
        vendor: &str,
        by: Timestamp,
        limit: usize,
        ticket: u32,
    ) -> Result<Held, LedgerError> {
        let vendor = vendor.to_owned();
        self.news(limit, move |session| held::take_up(session, &vendor, by, limit, ticket)).await
    }

    async fn let_go(&self, until: Timestamp, limit: usize) -> Result<usize, LedgerError> {
        self.news(limit, move |session| held::let_go(session, until, limit)).await
    }

    async fn waited_for(&self) -> Result<Vec<String>, LedgerError> {
        self.read(held::waited_for).await
    }

    async fn looked_after(&self) -> Result<Vec<String>, LedgerError> {
        self.read(due::vendors).await
    }

    async fn suppress(&self, numbers: Vec<Suppression>) -> Result<Vec<Suppression>, LedgerError> {
        self.news(numbers.len(), move |s| suppressions::add(s.connection, &numbers)).await
    }

    async fn unsuppress(&self, numbers: Vec<E164>) -> Result<Vec<E164>, LedgerError> {
        self.news(numbers.len(), move |s| suppressions::remove(s.connection, &numbers)).await
    }

    fn may_suppress(&self) -> bool {
        self.writer.is_closed() || !self.told.nothing_suppressed()
    }

    async fn suppressed(&self, numbers: Vec<E164>) -> Result<Vec<Suppression>, LedgerError> {
        if self.writer.is_closed() {
            return Err(LedgerError::Closed);
        }
        if numbers.is_empty() || self.told.nothing_suppressed() {
            return Ok(Vec::new());
        }
        self.read(move |connection| suppressions::of(connection, &numbers)).await
    }

    async fn suppressions(
        &self,
        after: Option<E164>,
        limit: usize,
    ) -> Result<(Vec<Suppression>, bool), LedgerError> {
        self.read(move |c| suppressions::page(c, after.as_ref(), limit)).await
    }

    async fn changes(
        &self,
        selection: &Selection,
        after: u64,
        limit: usize,
    ) -> Result<Changes, LedgerError> {
        let selection = selection.clone();
        self.read(move |connection| history::changes(connection, &selection, after, limit)).await
    }

    fn newest(&self) -> watch::Receiver<u64> {
        self.told.newest()
    }

    fn identity(&self) -> [u8; 8] {
        self.identity
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.tell_writer(writer::Message::Ready(reply))?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    fn measure(&self, known: &[(&str, &str)], snapshot: &mut crate::telemetry::metrics::Snapshot) {
        self.add_to(known, snapshot);
    }

    async fn close(&self) {
        self.meter.close();
        // The readers first: the last connection to go puts the log away, and only
        // the writer's may.
        if let Some(readers) = &self.readers {
            let _ = readers.send(reader::Message::Close);
        }
        ended(&self.readers_ended).await;
        let _ = self.tell_writer(writer::Message::Close);
        ended(&self.writer_ended).await;
    }
}
