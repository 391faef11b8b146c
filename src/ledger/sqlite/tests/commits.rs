//! A commit that breaks: what is certainly not on disk is told from what may be.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

use rusqlite::Connection;

use super::*;

/// From now on so many commits fail.
async fn fail_commits(ledger: &SqliteLedger, mut count: u32) {
    with_writer(ledger, move |connection| {
        let fails = move || {
            let fails = count > 0;
            count = count.saturating_sub(1);
            fails
        };
        connection.commit_hook(Some(fails)).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_failed_is_certain_once_another_succeeds() {
    let (_directory, url) = file();
    for url in [url.as_str(), "sqlite::memory:"] {
        let ledger = SqliteLedger::open(url).unwrap();
        let known = sample(1);
        ledger.record(known.clone()).await.unwrap();
        fail_commits(&ledger, 1).await;
        let request = sample(2);
        let error = ledger.record(request.clone()).await.unwrap_err();
        assert!(matches!(error, LedgerError::Failed(_)), "{error:?}");
        assert_eq!(exists(&ledger, &request).await, 0);
        assert_eq!(ledger.meter.open_now().into_values().sum::<u64>(), 1, "the one before");
        assert_eq!(*ledger.newest().borrow(), 1);
        ledger.ready().await.unwrap();
        assert_eq!(ledger.record(request).await.unwrap(), Recorded::New);
        ledger.close().await;
    }
}

#[tokio::test]
async fn a_commit_that_failed_is_in_doubt_while_all_others_fail() {
    let (_directory, url) = file();
    for url in [url.as_str(), "sqlite::memory:"] {
        let ledger = SqliteLedger::open(url).unwrap();
        let known = sample(1);
        ledger.record(known.clone()).await.unwrap();
        let ids: Vec<_> = known.calls.iter().map(|call| call.id).collect();
        fail_commits(&ledger, u32::MAX).await;

        let request = sample(2);
        let at = known.create_time;
        let claim = || ledger.claim(ids.clone(), at, Some(entry(&known)));
        let release = hold_writer(&ledger).await;
        let (recorded, claimed) = (queued!(ledger.record(request.clone())), queued!(claim()));
        drop(release);
        for outcome in [recorded.await.map(drop), claimed.await.map(drop)] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, LedgerError::Uncertain(_)), "{error:?}");
        }
        assert!(matches!(ledger.ready().await, Err(LedgerError::Failed(_))));
        assert!(matches!(ledger.ready().await, Err(LedgerError::Failed(_))));
        assert_eq!(exists(&ledger, &request).await, 0);

        // The very same again, once it can.
        fail_commits(&ledger, 0).await;
        ledger.ready().await.unwrap();
        assert_eq!(ledger.record(request.clone()).await.unwrap(), Recorded::New);
        assert_eq!(claim().await.unwrap().mine.len(), 1);
        assert_eq!(ledger.outbox(ids).await.unwrap(), [entry(&known)]);
        ledger.close().await;
    }
}

#[tokio::test]
async fn a_commit_that_can_be_seen_is_not_called_failed() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    // Called when it is in the log already; what it gives is what COMMIT gives.
    with_writer(&ledger, |connection| {
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let hook =
            move |_: &mut rusqlite::hooks::Wal, _| Err(rusqlite::Error::SqliteFailure(full, None));
        connection.wal_hook(Some(hook)).unwrap();
    })
    .await;
    let request = sample(2);
    let error = ledger.record(request.clone()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Uncertain(_)), "{error:?}");
    assert_eq!(exists(&ledger, &request).await, 2);
    assert_eq!(*ledger.newest().borrow(), 2);
    assert_eq!(ledger.meter.open_now().into_values().collect::<Vec<_>>(), [2], "counted");
    let none: Option<fn(&mut rusqlite::hooks::Wal, _) -> _> = None;
    with_writer(&ledger, move |connection| connection.wal_hook(none).unwrap()).await;
    assert!(matches!(ledger.record(request).await, Ok(Recorded::Before(_))));
    ledger.close().await;
}

/// What a kill leaves.
async fn after_a_kill(directory: &Path) -> (TempDir, SqliteLedger) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["ledger.db", "ledger.db-wal"] {
        fs::copy(directory.join(name), copy.path().join(name)).unwrap();
    }
    let url = format!("sqlite:{}", copy.path().join("ledger.db").display());
    let ledger = SqliteLedger::open(&url).unwrap();
    (copy, ledger)
}

#[tokio::test]
async fn another_commit_is_written_over_a_broken_one() {
    let (directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let (known, broken, other) = (sample(2), sample(300), sample(3));
    ledger.record(known.clone()).await.unwrap();
    // The frames of a commit whose sync failed lie in the log, and its process does not see
    // them. They are made by a twin, for no disk fails when it should.
    let (copy, twin) = after_a_kill(directory.path()).await;
    twin.record(broken.clone()).await.unwrap();
    let whole = fs::read(copy.path().join("ledger.db-wal")).unwrap();
    let path = directory.path().join("ledger.db-wal");
    let log = fs::read(&path).unwrap();
    let frames = whole.strip_prefix(&log[..]).unwrap();
    assert!(frames.len() > 10 * 4_096);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(frames).unwrap();
    twin.close().await;
    assert_eq!(exists(&ledger, &broken).await, 0);
    let (_copy, next) = after_a_kill(directory.path()).await;
    assert_eq!(exists(&next, &broken).await, 300, "the next start would find it");
    next.close().await;

    // The other one fails as well, and what makes that certain does it for both.
    fail_commits(&ledger, 1).await;
    let error = ledger.record(other.clone()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Failed(_)), "{error:?}");
    let (_copy, next) = after_a_kill(directory.path()).await;
    let sizes = [exists(&next, &known).await, exists(&next, &broken).await];
    assert_eq!((sizes, exists(&next, &other).await), ([2, 0], 0));
    let sound = with_writer(&next, |connection: &mut Connection| -> String {
        connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap()
    });
    assert_eq!(sound.await, "ok");
    next.close().await;
    ledger.close().await;
}

#[tokio::test]
async fn what_was_open_before_is_counted_beside_what_changes() {
    let (_directory, url) = file();
    let ledger = SqliteLedger::open(&url).unwrap();
    let before = sample(500);
    ledger.record(before.clone()).await.unwrap();
    ledger.close().await;
    let ledger = SqliteLedger::open(&url).unwrap();
    ledger.record(sample(3)).await.unwrap();
    ledger.observe(vec![dispatching(before.calls[7].id)]).await.unwrap();
    let open = loop {
        let open = ledger.meter.open_now();
        if !open.is_empty() {
            break open;
        }
        tokio::task::yield_now().await;
    };
    let counts: Vec<_> = open.into_iter().map(|((_, state), count)| (state, count)).collect();
    assert_eq!(counts, [("DISPATCHING", 1), ("SCHEDULED", 502)]);
    ledger.close().await;
    // Whoever stops at once does not wait for a count.
    SqliteLedger::open(&url).unwrap().close().await;
}
