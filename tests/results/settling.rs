//! What the gateway does by itself about calls whose end it is not told.

use std::time::{Duration, Instant};

use dialplane::proto::{CallSpec, CallState, RetryPolicy};

use crate::{
    harness::{Explained, to},
    setup::{Town, Ways},
};

/// A call that only an answer ends, to a number that does not answer.
fn endless(number: &str) -> CallSpec {
    let interval = Some(prost_types::Duration { seconds: 300, nanos: 0 });
    CallSpec { retry: Some(RetryPolicy { interval, ..Default::default() }), ..to(number) }
}

fn questions(town: &Town) -> usize {
    town.sandbox.log().iter().filter(|exchange| exchange.path.contains("callstatus")).count()
}

#[tokio::test]
async fn what_never_ends_is_given_up_on() {
    let ways = Ways { push: false, give_up_after: "1s", ..Ways::default() };
    let mut town = Town::start(ways).await;
    let taken = town.gateway.call("phonon-bulk", "+919900000000").await.unwrap();
    let lost = town.gateway.call("phonon-bulk", "+919900000015").await.unwrap();
    assert_eq!((taken.state(), lost.state()), (CallState::Accepted, CallState::Unconfirmed));
    let (_, end) = town.follow(&taken).await;
    assert_eq!(end.state(), CallState::Unknown);
    let error = Explained::of_call(&end);
    assert_eq!((error.info.reason.as_str(), error.meta("dialed")), ("NO_RESULT", "maybe"));
    let (_, end) = town.follow(&lost).await;
    assert_eq!(end.state(), CallState::Unknown);
    assert_eq!(end.error, lost.error, "why it was in doubt is still what there is to say");
    town.stop().await;
}

#[tokio::test]
async fn a_call_whose_vendor_may_dial_again_ends_as_its_last_attempt_did() {
    let ways = Ways { give_up_after: "2s", ..Ways::pull() };
    let mut town = Town::start(ways).await;
    let spec = endless("+919900000002");
    let call = town.gateway.create("mobtexting", vec![spec]).await.unwrap().calls.remove(0);
    let (states, end) = town.follow(&call).await;
    assert_eq!(end.state(), CallState::NoAnswer, "{states:?}");
    town.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_asking_and_giving_up() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = format!("sqlite:{}", directory.path().join("ledger.db").display());
    // Asked about for the first time after the restart, and not before.
    let ways = Ways { poll_interval: "700ms", give_up_after: "1500ms", ledger, ..Ways::pull() };
    let mut town = Town::start(ways).await;
    let asked = town.gateway.call("knovvu", "+919900000003").await.unwrap();
    let given_up = town.gateway.call("phonon-bulk", "+919900000003").await.unwrap();
    let mut town = town.restart().await;
    assert_eq!(town.follow(&asked).await.1.state(), CallState::Rejected);
    assert_eq!(town.follow(&given_up).await.1.state(), CallState::Unknown);
    town.stop().await;
}

#[tokio::test]
async fn nothing_is_asked_when_there_is_nothing_to_ask_and_questions_are_shared() {
    let mut town = Town::start(Ways::pull()).await;
    let of_knovvu =
        |town: &Town| town.sandbox.log().iter().filter(|e| e.path.contains("callresult")).count();
    // While another vendor is asked again and again.
    let other = vec![endless("+919900000002")];
    town.gateway.create("mobtexting", other).await.unwrap();
    town.until("three rounds", |town| questions(town) >= 3).await;
    assert_eq!(of_knovvu(&town), 0);
    let calls = (0..100).map(|n| to(&format!("+9199000{n:03}00"))).collect();
    let created = town.gateway.create("knovvu", calls).await.unwrap();
    for call in &created.calls {
        town.follow(call).await;
    }
    // A hundred calls, fifty in a question; they were placed over a little while.
    let asked = of_knovvu(&town);
    assert!(asked <= 20, "{asked} questions");
    let before = questions(&town);
    town.until("three more rounds", |town| questions(town) >= before + 3).await;
    assert_eq!(of_knovvu(&town), asked, "all is over");
    town.stop().await;
}

#[tokio::test]
async fn questions_stay_within_what_the_vendor_takes() {
    let ways = Ways { rate: "{ requests = 3, per = \"1s\" }", ..Ways::pull() };
    let mut town = Town::start(ways).await;
    let calls = (0..7).map(|n| to(&format!("+9199000{n:03}00"))).collect();
    let created = town.gateway.create("mobtexting", calls).await.unwrap();
    for call in &created.calls {
        assert_eq!(town.follow(call).await.1.state(), CallState::Answered);
    }
    let log = town.sandbox.log();
    let asked: Vec<_> =
        log.iter().filter(|e| e.path.contains("callstatus")).map(|e| e.time).collect();
    assert!(asked.len() >= 7);
    for window in asked.windows(4) {
        // As the vendor sees it: the way there takes its time, too.
        let took = window[3].duration_since(window[0]).as_millis();
        assert!(took >= 900, "four questions in {took} ms");
    }
    town.stop().await;
}

#[tokio::test]
async fn the_last_moments_of_a_call_are_no_flood_of_questions() {
    let ways = Ways { give_up_after: "1500ms", poll_interval: "1h", ..Ways::pull() };
    let mut town = Town::start(ways).await;
    // The end of the second lies within what is looked at together with the first.
    let mut calls = Vec::new();
    for number in ["+919900000002", "+919900001002"] {
        let created = town.gateway.create("mobtexting", vec![endless(number)]).await.unwrap();
        calls.extend(created.calls);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    for call in &calls {
        assert_eq!(town.follow(call).await.1.state(), CallState::NoAnswer);
    }
    assert!(questions(&town) <= 4, "{} questions about two calls", questions(&town));
    town.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_turn_of_questions() {
    // Ten for the calls, and one for the first question.
    let ways = Ways { rate: "{ requests = 11, per = \"1m\" }", ..Ways::pull() };
    let mut town = Town::start(ways).await;
    let calls = (0..10).map(|n| endless(&format!("+9199000{n:03}02"))).collect();
    town.gateway.create("mobtexting", calls).await.unwrap();
    town.until("something is asked", |town| questions(town) > 0).await;
    let begun = Instant::now();
    town.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_was_kept_of_a_call_is_found_after_a_crash_right_before_it_was_looked_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = format!("sqlite:{}", path.display());
    let mut town = Town::start(Ways { push: false, ledger, ..Ways::default() }).await;
    let call = town.gateway.call("knovvu", "+919900000001").await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let stray =
        "INSERT INTO strays (vendor, vendor_call_id, at, said) VALUES ('knovvu', ?1, ?2, ?3)";
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    let said = format!("{{\"UniqueId\":\"{}\"}}", call.vendor_call_id);
    file.execute(stray, (&call.vendor_call_id, now, said)).unwrap();
    file.execute("UPDATE ledger SET kept = 1", ()).unwrap();
    let mut town = town.restart().await;
    assert_eq!(town.follow(&call).await.1.state(), CallState::Busy);
    let kept: i64 = file.query_row("SELECT count(*) FROM strays", (), |row| row.get(0)).unwrap();
    assert_eq!(kept, 0);
    town.stop().await;
}
