//! What only SQLite's ledger promises, and what needs its insides to be brought about.
//! What every ledger promises is in `tests/ledger`.

use std::sync::mpsc::{Sender, channel};

use rusqlite::Connection;
use tempfile::TempDir;

use jiff::Timestamp;

use super::*;
use crate::{
    call::{
        Call, CallId, CallState, Fingerprint, Observation, Position, RequestId, Selection,
        Selector, testing::call,
    },
    ledger::{Ledger, NewRequest, News, OutboxEntry, Recorded, Stray},
};

fn sample_call(request: &RequestId, position: u32) -> Call {
    let now = "2026-03-01T10:00:00.123456789Z".parse().unwrap();
    let mut call = call(CallState::Scheduled);
    call.request_id = request.clone();
    call.position = position;
    std::sync::Arc::make_mut(&mut call.order).client_reference =
        Some(format!("ref-{position}").parse().unwrap());
    std::sync::Arc::make_mut(&mut call.order).variables =
        [("name".to_owned(), "Asha".to_owned())].into();
    (call.create_time, call.update_time) = (now, now);
    call
}

fn sample(calls: u32) -> NewRequest {
    let id = RequestId::generate();
    NewRequest {
        fingerprint: Fingerprint { digest: [7; 32], fields: Vec::new() },
        outbox: Vec::new(),
        create_time: "2026-03-01T10:00:00Z".parse().unwrap(),
        calls: (0..calls).map(|position| sample_call(&id, position)).collect(),
        id,
    }
}

fn dispatching(call: CallId) -> News {
    let at = "2026-03-01T10:00:01Z".parse().unwrap();
    News { call, observation: Observation::Dispatching, at, due: None, vendor: None, dial: None }
}

/// What is about to be sent of a request: all of it.
fn entry(request: &NewRequest) -> OutboxEntry {
    OutboxEntry {
        vendor: "phonon-in".to_owned(),
        calls: request.calls.iter().map(|call| call.id).collect(),
        written: request.create_time,
        letter: b"letter".to_vec(),
    }
}

fn file() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("ledger.db").display());
    (directory, url)
}

fn refusal(url: &str) -> String {
    SqliteLedger::open(url).unwrap_err().to_string()
}

/// Does something with the writer's connection, between two transactions.
async fn with_writer<T: Send + 'static>(
    ledger: &SqliteLedger,
    act: impl FnOnce(&mut Connection) -> T + Send + 'static,
) -> T {
    let (reply, answer) = oneshot::channel();
    let act = Box::new(move |connection: &mut Connection| {
        let _ = reply.send(act(connection));
    });
    ledger.tell_writer(writer::Message::Between(act)).unwrap();
    answer.await.unwrap()
}

/// Keeps the writer from its queue until the answer is dropped.
async fn hold_writer(ledger: &SqliteLedger) -> Sender<()> {
    let (release, released) = channel::<()>();
    let (reply, held) = oneshot::channel();
    let act = Box::new(move |_: &mut Connection| {
        let _ = reply.send(());
        let _ = released.recv();
    });
    ledger.tell_writer(writer::Message::Between(act)).unwrap();
    held.await.unwrap();
    release
}

/// Polls a change once, which queues it.
macro_rules! queued {
    ($change:expr) => {{
        let mut change = Box::pin($change);
        assert!(futures_util::poll!(change.as_mut()).is_pending());
        change
    }};
}

async fn exists(ledger: &SqliteLedger, request: &NewRequest) -> usize {
    let selector = Selector::Request(request.id.clone());
    let start = Position { entries: 0, within: None };
    let page = ledger.page(&selector, start, usize::MAX).await.unwrap();
    assert_eq!(page.calls.is_empty(), !page.not_found.is_empty());
    page.calls.len()
}

// After the macro they use.
mod bounds;
mod commits;
mod knowing;
mod opening;
mod writing;
