//! What shares a transaction, and what happens when one fails.

use rusqlite::Connection;

use super::*;

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

    // Whoever follows all changes, or looks after all that is due, is not held up by it.
    with_writer(&ledger, move |connection| {
        connection.execute("UPDATE calls SET due = 1", ()).unwrap();
    })
    .await;
    let changes = ledger.changes(&Selection::All, 0, 100).await.unwrap();
    let seen: Vec<_> = changes.changes.iter().map(|change| change.call.id).collect();
    assert_eq!(seen, [request.calls[1].id; 2]);
    assert_eq!((changes.through, changes.more), (3, false));
    with_writer(&ledger, move |connection| {
        let sql = "UPDATE calls SET document = CAST(x'ff' AS TEXT) WHERE call_id = ?1";
        assert_eq!(connection.execute(sql, [spoilt.as_bytes()]).unwrap(), 1);
    })
    .await;
    let changes = ledger.changes(&Selection::All, 0, 100).await.unwrap();
    assert_eq!((changes.changes.len(), changes.through), (2, 3));
    let due = ledger.due("phonon-in", Timestamp::now(), 100).await.unwrap();
    assert_eq!(due.calls.iter().map(|call| call.id).collect::<Vec<_>>(), [request.calls[1].id]);
    assert_eq!(due.next, None);
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
