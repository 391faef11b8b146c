//! SQLite's ledger, in a file and in memory.

use std::{collections::BTreeSet, sync::Arc};

use dialplane::{
    call::{CallState, Observation},
    ledger::{Stray, sqlite::SqliteLedger},
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::{
    contract::{Shared, behaviours},
    history::{ALL, follow},
    outbox::{dispatching, entry},
    paging,
    samples::{accepted, at, calls_of, news, request},
};

/// The address of a ledger that is not there yet.
pub fn address() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("ledger.db").display());
    (directory, url)
}

pub fn open(url: &str) -> Shared {
    Arc::new(SqliteLedger::open(url).unwrap())
}

mod file {
    use super::*;

    async fn new() -> (Shared, TempDir) {
        let (directory, url) = address();
        (open(&url), directory)
    }

    behaviours!(new);
}

mod memory {
    use super::*;

    async fn new() -> (Shared, ()) {
        (open("sqlite::memory:"), ())
    }

    behaviours!(new);
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_in_memory_are_the_whole_answer(
        requests in paging::any_requests(),
        questions in prop::collection::vec(paging::any_question(), 1..4),
    ) {
        block_on(paging::every_page_size(&*open("sqlite::memory:"), &requests, &questions));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn pages_in_a_file_are_the_whole_answer(
        requests in paging::any_requests(),
        questions in prop::collection::vec(paging::any_question(), 1..4),
    ) {
        let (_directory, url) = address();
        block_on(paging::every_page_size(&*open(&url), &requests, &questions));
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    for close in [true, false] {
        let (_directory, url) = address();
        let ledger = open(&url);
        let recorded = request(3);
        ledger.record(recorded.clone()).await.unwrap();
        let dispatching = news(recorded.calls[1].id, Observation::Dispatching, 1);
        let after = ledger.observe(vec![dispatching]).await.unwrap();
        let mut expected = recorded.calls.clone();
        expected[1] = after[0].clone();
        if close {
            ledger.close().await;
        }
        drop(ledger);
        let reopened = open(&url);
        assert_eq!(calls_of(&*reopened, &recorded.id).await, expected, "closed: {close}");
        reopened.close().await;
    }
}

#[tokio::test]
async fn what_was_sent_is_there_after_reopening() {
    let (_directory, url) = address();
    let ledger = open(&url);
    let (sent, waiting) = (dispatching(3, 2), request(1));
    ledger.record(sent.clone()).await.unwrap();
    ledger.record(waiting.clone()).await.unwrap();
    let claimed = entry(&waiting.calls, "claimed");
    ledger.claim(claimed.calls.clone(), at(2), Some(claimed.clone())).await.unwrap();
    // As a kill leaves it.
    drop(ledger);
    let ledger = open(&url);
    let all: Vec<_> = sent.calls.iter().chain(&waiting.calls).map(|call| call.id).collect();
    let mut left = [&sent.outbox[..], &[claimed]].concat();
    assert_eq!(ledger.outbox(all.clone()).await.unwrap(), left);
    // How many of its calls need it is known as well.
    for (gone, call) in all.iter().enumerate() {
        ledger.observe(vec![news(*call, accepted("v-1"), 3)]).await.unwrap();
        if gone != 0 {
            left.remove(0);
        }
        assert_eq!(ledger.outbox(all.clone()).await.unwrap(), left);
    }
    ledger.close().await;
}

#[tokio::test]
async fn a_removal_goes_on_after_reopening() {
    let (_directory, url) = address();
    let ledger = open(&url);
    let mut large = request(1_500);
    for call in &mut large.calls {
        call.state = CallState::Answered;
    }
    ledger.record(large.clone()).await.unwrap();
    let begun = ledger.remove_old(at(1), 1_000).await.unwrap();
    assert!(begun.more && begun.requests == 1 && begun.calls < 1_500, "{begun:?}");
    drop(ledger);
    let ledger = open(&url);
    assert_eq!(calls_of(&*ledger, &large.id).await, []);
    let mut gone = begun.calls;
    loop {
        // Whatever is old by now: what was begun is ended.
        let step = ledger.remove_old(at(-9), 1_000).await.unwrap();
        assert_eq!(step.requests, 0);
        gone += step.calls;
        if !step.more {
            break;
        }
    }
    assert_eq!(gone, 1_500);
    assert_eq!(*ledger.newest().borrow(), 1_500);
    ledger.close().await;
}

#[tokio::test]
async fn numbers_and_kept_news_go_on_after_reopening() {
    let (_directory, url) = address();
    let recorded = request(2);
    let stray = Stray {
        vendor: "phonon-in".to_owned(),
        ids: vec!["v-1".to_owned()],
        said: 1.into(),
        at: at(0),
    };
    let hopeless = Stray { ids: Vec::new(), ..stray.clone() };
    let mut identities = Vec::new();
    for turn in 0..3_u64 {
        let ledger = open(&url);
        identities.push(ledger.identity());
        assert_eq!(*ledger.newest().borrow(), turn * 2);
        let kept = ledger.kept("phonon-in", vec!["v-1".to_owned()]).await.unwrap();
        assert_eq!(kept.len() as u64, turn);
        let one = request(2);
        ledger.record(if turn == 0 { recorded.clone() } else { one }).await.unwrap();
        ledger.keep(vec![stray.clone(), hopeless.clone()]).await.unwrap();
        assert_eq!(*ledger.newest().borrow(), turn * 2 + 2);
        ledger.close().await;
    }
    assert!(identities.iter().all(|identity| *identity == identities[0]));
    let ledger = open(&url);
    let all = follow(&*ledger, &ALL, 0, 4).await;
    let numbers: Vec<_> = all.changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(all.changes[1].call, recorded.calls[1]);
    assert_eq!(ledger.drop_kept(at(0)).await.unwrap(), 3, "what had no room before");
    ledger.close().await;
}

#[tokio::test]
async fn every_ledger_is_another() {
    let (_directory, url) = address();
    let (_other_directory, other_url) = address();
    let memory = "sqlite::memory:";
    let identities: BTreeSet<_> =
        [&url, &other_url, memory, memory].map(|url| open(url).identity()).into();
    assert_eq!(identities.len(), 4);
}

#[tokio::test]
async fn each_in_memory_is_its_own() {
    let (one, other) = (open("sqlite::memory:"), open("sqlite::memory:"));
    let recorded = request(1);
    one.record(recorded.clone()).await.unwrap();
    assert_eq!(other.request(&recorded.id).await.unwrap(), None);
}

#[tokio::test]
async fn two_on_one_file_see_each_other() {
    let (_directory, url) = address();
    let (one, other) = (open(&url), open(&url));
    let recorded = request(2);
    one.record(recorded.clone()).await.unwrap();
    assert_eq!(calls_of(&*other, &recorded.id).await, recorded.calls);
    let [first, second] = [recorded.calls[0].id, recorded.calls[1].id];
    let (left, right) = tokio::join!(
        one.observe(vec![news(first, Observation::Dispatching, 1)]),
        other.observe(vec![news(second, Observation::Dispatching, 1)]),
    );
    assert_eq!(calls_of(&*one, &recorded.id).await, [left.unwrap(), right.unwrap()].concat());
}
