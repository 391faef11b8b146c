//! What changes, strays and due times cost at most, and what becomes of an older file.

use rusqlite::Connection;

use super::*;
use crate::{
    call::ClientReference,
    ledger::{Changes, Stray},
};

/// A ledger as the first version left it: its schema, and calls in each state.
fn first_version(path: &std::path::Path, calls: &[Call]) {
    let mut old = Connection::open(path).unwrap();
    old.execute_batch(include_str!("../migrations/0001_calls.sql")).unwrap();
    old.pragma_update(None, "application_id", 0x4469_616C).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let tx = old.transaction().unwrap();
    tx.execute(
        "INSERT INTO requests (request_id, payload_hash, create_time, calls) \
         VALUES (?1, ?2, '2026-03-01T10:00:00Z', ?3)",
        (calls[0].request_id.as_str(), [7_u8; 32], i64::try_from(calls.len()).unwrap()),
    )
    .unwrap();
    for call in calls {
        tx.execute(
            "INSERT INTO calls (call_id, request, position, client_reference, vendor, \
             vendor_call_id, state, document) VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                call.id.as_bytes(),
                call.position,
                call.order.client_reference.as_ref().map(ClientReference::as_str),
                &call.vendor,
                &call.vendor_call_id,
                state::code(call.state),
                first_document(call),
            ),
        )
        .unwrap();
    }
    tx.commit().unwrap();
}

/// As the versions before wrote it: all but the columns, with times as text.
fn first_document(call: &Call) -> String {
    let mut document = serde_json::to_value(call).unwrap();
    let fields = document.as_object_mut().unwrap();
    let columns =
        ["id", "request_id", "position", "vendor", "vendor_call_id", "state", "due", "held_until"];
    for column in columns {
        fields.remove(column);
    }
    document.to_string()
}

#[tokio::test]
async fn a_file_of_the_first_version_is_taken_over() {
    let (directory, url) = file();
    let mut request = sample(16);
    for (call, state) in request.calls.iter_mut().zip(CallState::ALL) {
        call.state = state;
        call.revision = 4;
        call.vendor_call_id = (call.position % 2 == 0).then(|| format!("v-{}\"\0ü", call.position));
        call.vendor_data = serde_json::from_str(
            r#"{"tiny": 5e-324, "big": 18446744073709551615, "t": "\u0000ü\n"}"#,
        )
        .unwrap();
        call.asked_time = Some(call.create_time);
    }
    let path = directory.path().join("ledger.db");
    first_version(&path, &request.calls);
    // One that can't be read must not keep the others from being used.
    let spoilt = request.calls[15].id;
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE calls SET document = '{' WHERE call_id = ?1", [spoilt.as_bytes()])
        .unwrap();

    let ledger = SqliteLedger::open(&url).unwrap();
    let page = ledger.changes(&Selection::All, 0, 100).await.unwrap();
    let mut expected = request.calls[..15].to_vec();
    for call in &mut expected {
        call.due = call.state.is_with_vendor().then_some(Timestamp::UNIX_EPOCH);
    }
    let numbers: Vec<_> = page.changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (1..=15).collect::<Vec<u64>>());
    let calls: Vec<_> = page.changes.into_iter().map(|change| change.call).collect();
    assert_eq!(calls, expected);
    assert_eq!((*ledger.newest().borrow(), page.through, page.more), (15, 15, false));
    let due = ledger.due("phonon-in", Timestamp::UNIX_EPOCH, 100).await.unwrap();
    let mut with_vendor: Vec<_> = due.calls.iter().map(|call| call.state.name()).collect();
    with_vendor.sort_unstable();
    assert_eq!(with_vendor, ["ACCEPTED", "IN_PROGRESS", "RINGING", "UNCONFIRMED"]);
    // And goes on.
    let after = ledger.observe(vec![dispatching(request.calls[0].id)]).await.unwrap();
    let page = ledger.changes(&Selection::All, 15, 100).await.unwrap();
    assert_eq!((page.changes[0].number, &page.changes[0].call), (16, &after[0]));
    // Nothing of it is thought to be older than it is.
    let look = with_writer(&ledger, |connection| -> i64 {
        connection.query_row("SELECT look FROM requests", (), |row| row.get(0)).unwrap()
    });
    assert_eq!(look.await, 1_772_359_201_000);
    let identity = ledger.identity();
    ledger.close().await;
    assert_eq!(SqliteLedger::open(&url).unwrap().identity(), identity);
}

async fn pages(ledger: &SqliteLedger, selection: &Selection, limit: usize) -> Vec<Changes> {
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let page = ledger.changes(selection, after, limit).await.unwrap();
        let more = page.more;
        after = page.through;
        pages.push(page);
        if !more {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_walk_past_others_ends_after_a_while() {
    let ledger = SqliteLedger::open("sqlite::memory:").unwrap();
    let most = u32::try_from(history::MAX_VISITED).unwrap();
    let mut many = sample(most + 7);
    let reference: ClientReference = "monthly".parse().unwrap();
    for call in &mut many.calls {
        std::sync::Arc::make_mut(&mut call.order).client_reference = Some(reference.clone());
    }
    let last = many.calls.last_mut().unwrap();
    last.route = "night".to_owned();
    std::sync::Arc::make_mut(&mut last.order).client_reference = Some("last".parse().unwrap());
    let last = last.id;
    ledger.record(many.clone()).await.unwrap();

    let night = pages(&ledger, &Selection::Route("night".to_owned()), 100).await;
    let shape: Vec<_> = night.iter().map(|page| (page.changes.len(), page.through)).collect();
    assert_eq!(shape, [(0, 10_000), (1, 10_007)]);
    assert_eq!(night[1].changes[0].call.id, last);
    // A reference of more calls than are looked up one by one is found by walking as well,
    // and one call among many by looking.
    let by = |names: &[&str]| {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        Selection::Named(Selector::References(names))
    };
    let monthly = ledger.changes(&by(&["monthly"]), 10_000, 100).await.unwrap();
    assert_eq!((monthly.changes.len(), monthly.through, monthly.more), (6, 10_007, false));
    let monthly = ledger.changes(&by(&["last", "monthly"]), 0, 2).await.unwrap();
    assert_eq!((monthly.changes.len(), monthly.through, monthly.more), (2, 2, true));
    let one = pages(&ledger, &by(&["last"]), 100).await;
    assert_eq!((one.len(), one[0].changes[0].call.id), (1, last));
    ledger.close().await;
}

#[tokio::test]
async fn a_page_of_long_documents_ends_early() {
    let ledger = SqliteLedger::open("sqlite::memory:").unwrap();
    let mut long = sample(12);
    for call in &mut long.calls {
        call.vendor_data.insert("note".to_owned(), "x".repeat(history::MAX_BYTES / 8).into());
    }
    ledger.record(long.clone()).await.unwrap();
    for selection in [Selection::All, Selection::Named(Selector::Request(long.id.clone()))] {
        let pages = pages(&ledger, &selection, 100).await;
        let shape: Vec<_> = pages.iter().map(|page| (page.changes.len(), page.through)).collect();
        assert_eq!(shape, [(8, 8), (4, 12)]);
        assert!(pages[0].open.is_none());
        assert_eq!(pages[1].open.is_some(), selection != Selection::All);
    }
    ledger.close().await;
}

#[tokio::test]
async fn numbers_are_never_given_again() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    ledger.record(sample(3)).await.unwrap();
    with_writer(&ledger, |connection| {
        connection.execute_batch("DELETE FROM changes").unwrap();
    })
    .await;
    ledger.close().await;
    let ledger = SqliteLedger::open(&url).unwrap();
    assert_eq!(*ledger.newest().borrow(), 3);
    assert_eq!(ledger.changes(&Selection::All, 0, 9).await.unwrap().through, 3);
    ledger.record(sample(1)).await.unwrap();
    assert_eq!(ledger.changes(&Selection::All, 0, 9).await.unwrap().changes[0].number, 4);
    ledger.close().await;
}

fn stray(id: String) -> Stray {
    let at = "2026-03-01T10:00:01Z".parse().unwrap();
    Stray {
        vendor: "phonon-in".to_owned(),
        said: serde_json::json!({ "id": id }),
        ids: vec![id],
        at,
    }
}

#[tokio::test]
async fn what_was_kept_longest_makes_room() {
    let ledger = SqliteLedger::open("sqlite::memory:").unwrap();
    let kept = |id: usize| ledger.kept("phonon-in", vec![format!("v-{id}")]);
    let full = usize::try_from(strays::MAX_KEPT).unwrap();
    ledger.keep((0..full).map(|id| stray(format!("v-{id}"))).collect()).await.unwrap();
    assert_eq!(kept(0).await.unwrap().len(), 1);
    ledger.keep((full..full + 3).map(|id| stray(format!("v-{id}"))).collect()).await.unwrap();
    for (id, there) in [(0, 0), (2, 0), (3, 1), (full, 1), (full + 2, 1)] {
        assert_eq!(kept(id).await.unwrap().len(), there, "{id}");
    }
    let rows = with_writer(&ledger, |connection| -> i64 {
        connection.query_row("SELECT count(*) FROM strays", (), |row| row.get(0)).unwrap()
    });
    assert_eq!(rows.await, i64::try_from(full).unwrap());
    assert_eq!(ledger.drop_kept(Timestamp::UNIX_EPOCH).await.unwrap(), 3);
    assert_eq!(ledger.drop_kept(Timestamp::MAX).await.unwrap(), strays::MAX_KEPT);
    assert!(ledger.told.nothing_kept());
    ledger.close().await;
}

#[tokio::test]
async fn much_news_of_one_call_is_given_in_parts() {
    let ledger = SqliteLedger::open("sqlite::memory:").unwrap();
    let mut strays: Vec<_> = (0..1_500).map(|_| stray("v-1".to_owned())).collect();
    for stray in strays.iter_mut().take(200) {
        stray.said = "x".repeat(strays::MAX_SAID - 2).into();
    }
    ledger.keep(strays).await.unwrap();
    let mut parts = Vec::new();
    loop {
        let kept = ledger.kept("phonon-in", vec!["v-1".to_owned()]).await.unwrap();
        if kept.is_empty() {
            break;
        }
        parts.push(kept.len());
        ledger.forget(kept.into_iter().map(|kept| kept.key).collect()).await.unwrap();
    }
    assert_eq!(parts, [64, 64, 64, 1_000, 308]);
    ledger.close().await;
}

#[tokio::test]
async fn nothing_kept_is_nothing_read() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let release = hold_writer(&ledger).await;
    let all_reads = ledger.reads.clone().acquire_many_owned(256).await.unwrap();
    assert_eq!(ledger.kept("phonon-in", vec!["v-1".to_owned()]).await.unwrap(), []);
    drop((release, all_reads));
    // What was not kept after all is not looked for either, nor is it missed.
    let (first, second) = (stray("v-1".to_owned()), stray("v-2".to_owned()));
    let set = |value: bool| {
        move |connection: &mut Connection| {
            connection.pragma_update(None, "query_only", value).unwrap();
        }
    };
    with_writer(&ledger, set(true)).await;
    ledger.keep(vec![first]).await.unwrap_err();
    assert!(ledger.told.nothing_kept());
    with_writer(&ledger, set(false)).await;
    ledger.keep(vec![second]).await.unwrap();
    assert_eq!(ledger.kept("phonon-in", vec!["v-2".to_owned()]).await.unwrap().len(), 1);
    ledger.close().await;
}
