//! What only SQLite's ledger promises, and what needs its insides to be brought about.
//! What every ledger promises is in `tests/ledger`.

use std::{
    collections::BTreeSet,
    fs,
    sync::mpsc::{Sender, channel},
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::call::{Observation, Order, Recipient};

fn sample_call(request: &RequestId, position: u32) -> Call {
    let now = "2026-03-01T10:00:00.123456789Z".parse().unwrap();
    Call {
        id: CallId::generate(),
        request_id: request.clone(),
        position,
        order: Order {
            client_reference: Some(format!("ref-{position}").parse().unwrap()),
            to: vec!["+919812345001".parse().unwrap()],
            caller_id: None,
            script: None,
            variables: [("name".to_owned(), "Asha".to_owned())].into(),
            start_time: None,
            expire_time: None,
            recipient: Recipient::default(),
            locale: None,
            retry: None,
            labels: Default::default(),
        },
        route: "default".to_owned(),
        vendor: "phonon-in".to_owned(),
        vendor_call_id: None,
        vendor_request_id: None,
        state: CallState::Scheduled,
        error: None,
        attempts: Vec::new(),
        vendor_data: serde_json::Map::new(),
        create_time: now,
        update_time: now,
        end_time: None,
        asked_time: None,
        revision: 1,
    }
}

fn sample(calls: u32) -> NewRequest {
    let id = RequestId::generate();
    NewRequest {
        payload_hash: [7; 32],
        create_time: "2026-03-01T10:00:00Z".parse().unwrap(),
        calls: (0..calls).map(|position| sample_call(&id, position)).collect(),
        id,
    }
}

fn dispatching(call: CallId) -> News {
    let at = "2026-03-01T10:00:01Z".parse().unwrap();
    News { call, observation: Observation::Dispatching, at }
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

#[test]
fn no_statement_walks_through_a_table() {
    let connection = open::memory().unwrap();
    for sample in [sample(3), sample(1)] {
        change::record(&connection, &sample).unwrap();
    }
    for analyzed in [false, true] {
        if analyzed {
            connection.execute_batch("ANALYZE").unwrap();
        }
        for statement in sql::ALL {
            let plan: Vec<String> = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
                .unwrap()
                .raw_query_plan();
            for line in plan {
                assert!(line.starts_with("SEARCH"), "{statement}: {line}");
            }
        }
    }
}

trait QueryPlan {
    fn raw_query_plan(self) -> Vec<String>;
}

impl QueryPlan for rusqlite::Statement<'_> {
    /// Parameters stay NULL: the plan does not depend on them.
    fn raw_query_plan(mut self) -> Vec<String> {
        let mut rows = self.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get(3).unwrap());
        }
        plan
    }
}

#[test]
fn open_calls_use_the_index_of_open_calls() {
    let connection = open::memory().unwrap();
    let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql::OPEN_CALLS)).unwrap();
    let plan: String = plan.query_row((1, [0_u8; 16], 1), |row| row.get(3)).unwrap();
    assert!(plan.contains("calls_open"), "{plan}");
}

#[tokio::test]
async fn every_connection_is_as_safe_as_promised() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let pragma = |name: &'static str| {
        move |connection: &mut Connection| -> String {
            connection
                .query_row(&format!("PRAGMA {name}"), (), |row| {
                    row.get::<_, rusqlite::types::Value>(0)
                })
                .map(|value| format!("{value:?}"))
                .unwrap()
        }
    };
    for (name, value) in [
        ("journal_mode", "Text(\"wal\")"),
        ("synchronous", "Integer(2)"),
        ("foreign_keys", "Integer(1)"),
        ("user_version", "Integer(1)"),
        ("query_only", "Integer(0)"),
    ] {
        assert_eq!(with_writer(&ledger, pragma(name)).await, value, "{name}");
    }
    let read_only = ledger
        .read(|connection| Ok(connection.execute_batch("DELETE FROM calls").is_err()))
        .await
        .unwrap();
    assert!(read_only);
    ledger.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    ledger.record(sample(1)).await.unwrap();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.insert(entry.file_name().into_string().unwrap());
    }
    assert_eq!(names, ["ledger.db", "ledger.db-shm", "ledger.db-wal"].map(str::to_owned).into());
    ledger.close().await;
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "the log was put away");
}

#[test]
fn says_why_a_file_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let url = |name: &str| format!("sqlite:{}", at(name).display());

    assert!(
        refusal(&url("none/ledger.db"))
            .ends_with(&format!("there is no directory {}", at("none").display()))
    );
    assert!(
        refusal(&format!("sqlite:{}", directory.path().display())).ends_with("it is a directory")
    );

    fs::write(at("letter.txt"), "Dear ledger, ".repeat(100)).unwrap();
    assert!(refusal(&url("letter.txt")).ends_with("it is not an SQLite database"));
    assert!(fs::read_to_string(at("letter.txt")).unwrap().starts_with("Dear"));

    let foreign = Connection::open(at("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    assert!(refusal(&url("foreign.db")).ends_with("it is another program's database"));
    let mode: String = foreign.query_row("PRAGMA journal_mode", (), |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete", "it is left as it was");

    let named = Connection::open(at("named.db")).unwrap();
    named.execute_batch("PRAGMA application_id = 42").unwrap();
    assert!(refusal(&url("named.db")).ends_with("it is another program's database"));

    drop(SqliteLedger::open(&url("newer.db")).unwrap());
    Connection::open(at("newer.db")).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = SqliteLedger::open(&url("newer.db")).unwrap_err();
    assert!(matches!(error, LedgerError::Newer { found: 99, known: 1 }), "{error}");

    // As an empty file is what a first start that was cut short leaves behind.
    fs::write(at("empty.db"), "").unwrap();
    drop(SqliteLedger::open(&url("empty.db")).unwrap());
    drop(SqliteLedger::open(&url("empty.db")).unwrap());
}

#[test]
fn a_name_is_only_ever_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("file:memory&cache=shared");
    drop(SqliteLedger::open(&format!("sqlite:{}", odd.display())).unwrap());
    assert!(odd.is_file());
}

#[tokio::test]
async fn what_waits_shares_a_commit_and_a_wrong_one_spoils_no_other() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let known = sample(2);
    ledger.record(known.clone()).await.unwrap();
    let before = ledger.commits();

    let (first, last) = (sample(3), sample(2));
    let mut clash = sample(3);
    clash.calls[2].id = known.calls[0].id;
    let nobody = CallId::generate();
    let release = hold_writer(&ledger).await;
    let recorded_first = queued!(ledger.record(first.clone()));
    let clashed = queued!(ledger.record(clash.clone()));
    let missed = queued!(ledger.observe(vec![dispatching(known.calls[1].id), dispatching(nobody)]));
    let observed = queued!(ledger.observe(vec![dispatching(known.calls[0].id)]));
    let again = queued!(ledger.record(first.clone()));
    let recorded_last = queued!(ledger.record(last.clone()));
    drop(release);

    assert_eq!(recorded_first.await.unwrap(), Recorded::New);
    assert!(matches!(clashed.await, Err(LedgerError::Failed(_))));
    assert!(matches!(missed.await, Err(LedgerError::NoSuchCall(id)) if id == nobody));
    assert_eq!(observed.await.unwrap()[0].state, CallState::Dispatching);
    assert!(matches!(again.await.unwrap(), Recorded::Before(record) if record.calls == 3));
    assert_eq!(recorded_last.await.unwrap(), Recorded::New);
    let after = ledger.commits();
    assert_eq!((after.commits - before.commits, after.changes - before.changes), (1, 6));

    assert_eq!(exists(&ledger, &first).await, 3);
    assert_eq!(exists(&ledger, &clash).await, 0, "half a request was left");
    assert_eq!(exists(&ledger, &last).await, 2);
    // The news before the one that failed went with it.
    let untouched = Selector::Calls(vec![known.calls[1].id]);
    let page = ledger.page(&untouched, Position { entries: 0, within: None }, 1).await.unwrap();
    assert_eq!(page.calls[0].0, known.calls[1]);
    ledger.close().await;
}

#[tokio::test]
async fn a_full_disk_fails_everybody_and_leaves_nothing_half_done() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let known = sample(1);
    ledger.record(known.clone()).await.unwrap();
    with_writer(&ledger, |connection| {
        let pages: i64 = connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
        connection
            .query_row(&format!("PRAGMA max_page_count = {}", pages + 20), (), |row| {
                row.get::<_, i64>(0)
            })
            .unwrap();
    })
    .await;

    let (small, big) = (sample(1), sample(1_000));
    let release = hold_writer(&ledger).await;
    let first = queued!(ledger.record(small.clone()));
    let second = queued!(ledger.record(big.clone()));
    let third = queued!(ledger.observe(vec![dispatching(known.calls[0].id)]));
    drop(release);
    for outcome in [first.await.map(drop), second.await.map(drop), third.await.map(drop)] {
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, LedgerError::Failed(reason) if reason.contains("full")),
            "{error}"
        );
    }
    assert_eq!(exists(&ledger, &small).await, 0);
    assert_eq!(exists(&ledger, &big).await, 0);

    // What still fits is taken, and all of it once there is room.
    assert_eq!(ledger.record(small.clone()).await.unwrap(), Recorded::New);
    with_writer(&ledger, |connection| {
        connection
            .query_row("PRAGMA max_page_count = 1000000", (), |row| row.get::<_, i64>(0))
            .unwrap();
    })
    .await;
    assert_eq!(ledger.record(big.clone()).await.unwrap(), Recorded::New);
    assert_eq!(exists(&ledger, &big).await, 1_000);
    ledger.ready().await.unwrap();
    ledger.close().await;
}

#[tokio::test]
async fn is_not_ready_until_the_disk_takes_writes_again() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    ledger.ready().await.unwrap();
    let set = |value: bool| {
        move |connection: &mut Connection| {
            connection.pragma_update(None, "query_only", value).unwrap();
        }
    };
    with_writer(&ledger, set(true)).await;
    let request = sample(1);
    assert!(matches!(ledger.record(request.clone()).await, Err(LedgerError::Failed(_))));
    assert!(matches!(ledger.ready().await, Err(LedgerError::Failed(_))));
    assert_eq!(exists(&ledger, &request).await, 0, "reads go on");
    with_writer(&ledger, set(false)).await;
    ledger.ready().await.unwrap();
    assert_eq!(ledger.record(request).await.unwrap(), Recorded::New);
    ledger.close().await;
}

#[tokio::test]
async fn too_many_new_calls_are_refused_and_news_still_find_their_place() {
    let ledger = SqliteLedger::open("sqlite::memory:").unwrap();
    let known = sample(1);
    ledger.record(known.clone()).await.unwrap();
    let release = hold_writer(&ledger).await;
    let mut waiting = Vec::new();
    for _ in 0..MAX_NEW_CALLS / 5_000 {
        waiting.push(queued!(ledger.record(sample(5_000))));
    }
    let refused = sample(1);
    let error = ledger.record(refused.clone()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Overloaded(MAX_NEW_CALLS)), "{error}");
    let observed = queued!(ledger.observe(vec![dispatching(known.calls[0].id)]));
    drop(release);
    observed.await.unwrap();
    for recorded in waiting {
        assert_eq!(recorded.await.unwrap(), Recorded::New);
    }
    assert_eq!(ledger.record(refused).await.unwrap(), Recorded::New);
    ledger.close().await;
}

#[tokio::test]
async fn a_caller_that_leaves_changes_nothing() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let request = sample(2);
    let release = hold_writer(&ledger).await;
    drop(queued!(ledger.record(request.clone())));
    drop(release);
    ledger.ready().await.unwrap();
    assert_eq!(exists(&ledger, &request).await, 2);
    ledger.close().await;
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let request = sample(2);
    let release = hold_writer(&ledger).await;
    let recorded = queued!(ledger.record(request.clone()));
    let closed = queued!(ledger.close());
    drop(release);
    tokio::join!(closed, ledger.close());
    assert_eq!(recorded.await.unwrap(), Recorded::New);
    assert!(matches!(ledger.record(sample(1)).await, Err(LedgerError::Closed)));
    assert!(matches!(ledger.request(&request.id).await, Err(LedgerError::Closed)));
    assert!(matches!(ledger.ready().await, Err(LedgerError::Closed)));
    let reopened = SqliteLedger::open(&url).unwrap();
    assert_eq!(exists(&reopened, &request).await, 2);
}

#[tokio::test]
async fn a_spoilt_record_is_named_and_not_quoted() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let request = sample(2);
    ledger.record(request.clone()).await.unwrap();
    let spoilt = request.calls[0].id;
    with_writer(&ledger, move |connection| {
        let sql = "UPDATE calls SET document = json_set(document, '$.order.to', '+919812345001') WHERE call_id = ?1";
        assert_eq!(connection.execute(sql, [spoilt.as_bytes()]).unwrap(), 1);
    })
    .await;
    let error = ledger.observe(vec![dispatching(spoilt)]).await.unwrap_err().to_string();
    assert!(error.contains(&spoilt.to_string()), "{error}");
    assert!(!error.contains("12345"), "{error}");
    let neighbour = ledger.observe(vec![dispatching(request.calls[1].id)]).await.unwrap();
    assert_eq!(neighbour[0].revision, 2);
    ledger.close().await;
}

#[tokio::test]
async fn news_that_says_nothing_new_writes_nothing() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let request = sample(1);
    ledger.record(request.clone()).await.unwrap();
    let news = || vec![dispatching(request.calls[0].id)];
    let total = |connection: &mut Connection| connection.total_changes();
    ledger.observe(news()).await.unwrap();
    let before = with_writer(&ledger, total).await;
    assert_eq!(ledger.observe(news()).await.unwrap()[0].revision, 2);
    assert_eq!(with_writer(&ledger, total).await, before);
    ledger.close().await;
}
