//! The file, its connections and its statements.

use std::{collections::BTreeSet, fs};

use jiff::SignedDuration;
use rusqlite::{Connection, StatementStatus};

use super::*;
use crate::call::ReportedState;

/// How SQLite goes about a statement. Its parameters stay NULL: the plan does not depend
/// on them.
fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let mut rows = explain.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get(3).unwrap());
    }
    plan
}

/// Makes a change as the writer does, each in a transaction of its own.
fn in_session<T>(
    connection: &Connection,
    make: impl FnOnce(&mut session::Session<'_>) -> Result<T, Trouble>,
) -> T {
    let transaction = connection.unchecked_transaction().unwrap();
    let mut cache = cache::Cache::default();
    let mut session = session::Session::begin(&transaction, &mut cache).unwrap();
    let made = make(&mut session).unwrap();
    session.finish().unwrap();
    transaction.commit().unwrap();
    made
}

/// Of a stretch of keys that is looked up by its first and its last one.
const BOTH_ENDS: &str = " AND rowid<?)";

#[test]
fn no_statement_walks_through_a_table() {
    let connection = open::memory().unwrap();
    for mut sample in [sample(3), sample(1)] {
        sample.calls[0].state = CallState::Dispatching;
        sample.outbox = vec![entry(&sample)];
        in_session(&connection, |session| change::record_all(session, &[sample]).map(drop));
    }
    // The second time with what SQLite makes of two small tables.
    for prepare in ["", "ANALYZE"] {
        connection.execute_batch(prepare).unwrap();
        for statement in sql::ALL {
            for line in plan(&connection, statement) {
                let of_a_subquery = line.contains("SCALAR SUBQUERY ");
                assert!(line.starts_with("SEARCH") || of_a_subquery, "{statement}: {line}");
            }
        }
        for (statement, index) in [
            (sql::CALLS_OF_REQUEST, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (sql::OPEN_CALLS, "COVERING INDEX calls_begun "),
            (sql::CALLS_WITH_VENDOR, "INDEX calls_due"),
            (sql::STATES_WITH_VENDOR, "INDEX calls_due"),
            (sql::VENDORS_OF_BEGUN, "INDEX calls_begun"),
            (sql::VENDOR_WITH_CALLS, "COVERING INDEX calls_due"),
            (sql::OPEN_OF_REQUEST, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (sql::KEYS_OF_REQUEST, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (sql::KEYS_OF_REFERENCE, "COVERING INDEX calls_by_reference"),
            (sql::KEY_OF_VENDOR_CALL, "COVERING INDEX calls_by_vendor_call"),
            (sql::KEY_OF_EARLIER_DIAL, "COVERING INDEX dials_by_vendor_call"),
            (sql::DELETE_DIALS, "INDEX dials_by_call"),
            (sql::CALLS_DUE, "INDEX calls_due"),
            (sql::CALLS_HELD, "INDEX calls_held"),
            (sql::CALLS_TAKEN, "INDEX calls_held"),
            (sql::WAITED_FOR, "COVERING INDEX calls_held"),
            (sql::CALLS_IN_HANDS, "COVERING INDEX calls_held"),
            (sql::SET_HELD, "INTEGER PRIMARY KEY"),
            (sql::CHANGES_AFTER, "INTEGER PRIMARY KEY"),
            (sql::CHANGE_BEFORE, "INTEGER PRIMARY KEY"),
            (sql::CHANGE, "INTEGER PRIMARY KEY"),
            (sql::RECORDED_CALL, "INTEGER PRIMARY KEY"),
            (sql::STRAYS_OF_CALL, "INDEX strays_by_vendor_call"),
            (sql::OUTBOX_OF_CALL, "INDEX sqlite_autoindex_calls_1"),
            (sql::OUTBOX, "INTEGER PRIMARY KEY"),
            (sql::RELEASE_OUTBOX, "INTEGER PRIMARY KEY"),
            (sql::DELETE_OUTBOX, "INTEGER PRIMARY KEY"),
            (sql::UPDATE_CALL, "INTEGER PRIMARY KEY"),
            (sql::UPDATE_PLACED_CALL, "INTEGER PRIMARY KEY"),
            (sql::LEAVING_REQUEST, "COVERING INDEX requests_by_look"),
            (sql::OLDEST_REQUEST, "COVERING INDEX requests_by_look"),
            (sql::PUT_OFF_REQUEST, "INTEGER PRIMARY KEY"),
            (sql::LEAVE_REQUEST, "INTEGER PRIMARY KEY"),
            (sql::DELETE_REQUEST, "INTEGER PRIMARY KEY"),
            (sql::DOCUMENTS_OF_REQUEST, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (sql::SOME_CALLS_OF_REQUEST, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (sql::DELETE_CHANGE, "INTEGER PRIMARY KEY"),
            (sql::DELETE_FIRST_CHANGES, "INTEGER PRIMARY KEY"),
            (sql::DELETE_CALL, "INTEGER PRIMARY KEY"),
            (sql::SUPPRESSION, "PRIMARY KEY"),
            (sql::DELETE_SUPPRESSION, "PRIMARY KEY"),
            (sql::SUPPRESSIONS_AFTER, "PRIMARY KEY"),
            (sql::FIRST_SUPPRESSION, "SEARCH suppressions"),
        ] {
            let plan = &plan(&connection, statement)[0];
            // Of three rows SQLite says that one end is enough.
            let index = if prepare.is_empty() { index } else { index.trim_end_matches(BOTH_ENDS) };
            assert!(plan.contains(index), "{statement}: {plan}");
        }
    }
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
    let schema = format!("Integer({})", open::known_schema());
    for (name, value) in [
        ("journal_mode", "Text(\"wal\")"),
        ("synchronous", "Integer(2)"),
        ("foreign_keys", "Integer(1)"),
        ("user_version", schema.as_str()),
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
    let LedgerError::Newer { found: 99, known } = error else { panic!("{error}") };
    assert_eq!(known, open::known_schema());

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

#[test]
fn a_statement_is_planned_once() {
    let connection = open::memory().unwrap();
    for sample in [sample(1), sample(1), sample(1)] {
        in_session(&connection, |session| {
            change::record_all(session, std::slice::from_ref(&sample)).map(drop)
        });
        let start = Position { entries: 0, within: None };
        let reference = sample.calls[0].order.client_reference.clone().unwrap();
        for selector in [
            Selector::Calls(vec![sample.calls[0].id]),
            Selector::Request(sample.id.clone()),
            Selector::References(vec![reference]),
        ] {
            read::page(&connection, &selector, start, 9).unwrap();
            let named = Selection::Named(selector);
            for after in [0, 2] {
                history::changes(&connection, &named, after, 9).unwrap();
            }
        }
        let (vendor, id) = ("phonon-in".to_owned(), "v-1".to_owned());
        let at = sample.create_time;
        let stray = || Stray { vendor: vendor.clone(), ids: vec![id.clone()], said: 1.into(), at };
        strays::keep(&connection, &[stray(), stray()]).unwrap();
        let kept = strays::kept(&connection, &vendor, std::slice::from_ref(&id)).unwrap();
        strays::forget(&connection, &[kept[0].key]).unwrap();
        strays::drop_kept(&connection, Timestamp::MAX).unwrap();
        due::due(&connection, &vendor, at, 9).unwrap();
        read::open_calls(&connection, &CallState::ALL, None, 9).unwrap();
        let id = sample.calls[0].id;
        let claim = in_session(&connection, |session| {
            change::claim(session, &[id], at, Some(&entry(&sample)))
        });
        assert_eq!(outbox::entries(&connection, &[claim.mine[0].id]).unwrap().len(), 1);
        let report = ReportedState { state: Some(CallState::Busy), ..ReportedState::default() };
        let over = Observation::Reported { report, asked: false };
        let over = News { observation: over, ..dispatching(id) };
        in_session(&connection, |session| change::observe(session, std::slice::from_ref(&over)));
        // Once it is put off, then removed.
        for before in [at + SignedDuration::from_millis(1), Timestamp::MAX] {
            in_session(&connection, |session| removal::remove_old(session, before, 9));
        }
    }
    for statement in sql::ALL {
        let planned = connection.prepare_cached(statement).unwrap();
        assert_eq!(planned.get_status(StatementStatus::RePrepare), 0, "{statement}");
    }
}
