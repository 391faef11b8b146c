//! Calls that are dialled again, and news of their dials.

use std::time::Duration;

use dialplane::{
    call::{Attempt, Call, CallState, Observation, Retry, Selector},
    ledger::{Ledger, NewRequest, News, Stray},
};
use serde_json::json;

use crate::{
    contract::Shared,
    history::{ALL, follow},
    outbox::entry,
    samples::{accepted, at, calls_of, news, reported, request},
};

const VENDOR: &str = "phonon-in";

/// A call that asks to be dialled three times by the gateway.
fn retried() -> NewRequest {
    let mut request = request(1);
    let interval = Duration::from_millis(60_000);
    std::sync::Arc::make_mut(&mut request.calls[0].order).retry =
        Some(Retry { interval, max_attempts: 3 });
    request.calls[0].redials = true;
    request
}

async fn find(ledger: &dyn Ledger, id: &str) -> Option<Call> {
    ledger.find(VENDOR, vec![vec![id.to_owned()]]).await.unwrap().remove(0)
}

/// The next dial is handed over, and ends as busy.
async fn dial(ledger: &dyn Ledger, call: &Call, id: &str, second: i64) -> Call {
    let mine = ledger.claim(vec![call.id], at(second), None).await.unwrap().mine;
    assert_eq!(mine.len(), 1);
    let dial = Some(mine[0].dial());
    let taken = News { dial, ..news(call.id, accepted(id), second) };
    let due = Some(at(second + 600));
    let busy = News { dial, due, ..news(call.id, reported(CallState::Busy), second) };
    ledger.observe(vec![taken, busy]).await.unwrap().remove(1)
}

pub async fn a_call_that_is_dialled_again_waits_and_is_found_by_all_its_ids(ledger: Shared) {
    let request = retried();
    let id = request.calls[0].id;
    ledger.record(request.clone()).await.unwrap();
    let waits = dial(&*ledger, &request.calls[0], "v-0", 1).await;
    assert_eq!((waits.state, waits.dials.len(), waits.due), (CallState::Scheduled, 1, None));
    let until = waits.held_until.unwrap();
    assert!(until >= at(61) && until.subsec_nanosecond() % 1_000_000 == 0);
    assert_eq!(calls_of(&*ledger, &request.id).await, std::slice::from_ref(&waits));
    assert_eq!(find(&*ledger, "v-0").await.as_ref(), Some(&waits));
    assert_eq!(find(&*ledger, "v-1").await, None);
    assert!(ledger.due(VENDOR, at(9_999), 9).await.unwrap().calls.is_empty());
    // It is nobody's until it is taken up.
    let claim = ledger.claim(vec![id], at(100), None).await.unwrap();
    assert_eq!((claim.mine.len(), claim.others), (0, vec![waits.clone()]));
    assert!(ledger.take_up(VENDOR, at(60), 9, 1).await.unwrap().calls.is_empty());
    let held = ledger.take_up(VENDOR, at(62), 9, 2).await.unwrap();
    assert_eq!(held.calls.len(), 1);
    let waits = dial(&*ledger, &held.calls[0], "v-1", 70).await;
    assert_eq!((waits.dials.len(), waits.dispatch_time), (2, Some(at(70))));
    for name in ["v-0", "v-1"] {
        assert_eq!(find(&*ledger, name).await.as_ref(), Some(&waits), "{name}");
    }
    let held = ledger.take_up(VENDOR, at(200), 9, 3).await.unwrap();
    let over = dial(&*ledger, &held.calls[0], "v-2", 200).await;
    assert_eq!((over.state, over.attempts.len()), (CallState::Busy, 2));
    for name in ["v-0", "v-1", "v-2"] {
        assert_eq!(find(&*ledger, name).await.as_ref(), Some(&over), "{name}");
    }
    // Each of its revisions was told of.
    let changes = follow(&*ledger, &ALL, 0, 9).await.changes;
    let changes: Vec<_> = changes.into_iter().filter(|change| change.call.id == id).collect();
    assert_eq!(changes.len() as u64, over.revision);
    let last = &changes[changes.len() - 1].call;
    assert_eq!(Call { due: None, holds: over.holds, ..last.clone() }, over);
}

pub async fn news_of_a_dial_is_judged_within_the_transaction(ledger: Shared) {
    let request = retried();
    let call = &request.calls[0];
    ledger.record(request.clone()).await.unwrap();
    let sent = entry(&request.calls, "the first dial");
    ledger.claim(vec![call.id], at(1), Some(sent)).await.unwrap();
    let of = |dial, observation, second| News {
        dial: Some(dial),
        due: Some(at(second + 600)),
        ..news(call.id, observation, second)
    };
    let calls = ledger
        .observe(vec![
            of(0, accepted("v-0"), 1),
            of(0, reported(CallState::NoAnswer), 2),
            // The same again, and what was behind.
            of(0, reported(CallState::NoAnswer), 3),
            of(0, reported(CallState::Busy), 3),
            of(0, accepted("v-9"), 3),
            of(0, Observation::PutBack, 3),
            of(0, Observation::GivenUp, 3),
            // Of a dial that nobody made.
            of(1, reported(CallState::Answered), 4),
            of(2, reported(CallState::Answered), 4),
        ])
        .await
        .unwrap();
    let waits = calls[1].clone();
    assert_eq!((waits.state, waits.due), (CallState::Scheduled, None));
    for call in &calls[2..] {
        assert_eq!(call, &waits);
    }
    assert!(ledger.outbox(vec![call.id]).await.unwrap().is_empty(), "nothing is sent again");
    let told = Attempt { key: "leg".to_owned(), ..Attempt::new(CallState::Answered) };
    let mut answered = reported(CallState::Answered);
    if let Observation::Reported { report, .. } = &mut answered {
        report.attempts.push(told);
    }
    let over = ledger.observe(vec![of(0, answered, 9)]).await.unwrap().remove(0);
    assert_eq!((over.state, over.held_until, over.due), (CallState::Answered, None, None));
    assert!(ledger.take_up(VENDOR, at(999), 9, 1).await.unwrap().calls.is_empty());
    let claim = ledger.claim(vec![call.id], at(999), None).await.unwrap();
    assert_eq!((claim.mine.len(), claim.others), (0, vec![over]));
}

pub async fn earlier_ids_go_with_their_call(ledger: Shared) {
    let request = retried();
    ledger.record(request.clone()).await.unwrap();
    let waits = dial(&*ledger, &request.calls[0], "v-0", 1).await;
    let stray = || Stray {
        vendor: VENDOR.to_owned(),
        ids: vec!["V-0".to_owned(), "v-0".to_owned()],
        said: json!({}),
        at: at(2),
    };
    assert_eq!(ledger.keep(vec![stray()]).await.unwrap(), [Some(waits.clone())]);
    ledger.observe(vec![news(waits.id, Observation::Canceled, 3)]).await.unwrap();
    assert_eq!(find(&*ledger, "v-0").await.map(|call| call.state), Some(CallState::Busy));
    let removed = ledger.remove_old(at(90_000), 1_000).await.unwrap();
    assert_eq!((removed.requests, removed.calls), (1, 1));
    assert_eq!(find(&*ledger, "v-0").await, None);
    assert_eq!(ledger.keep(vec![stray()]).await.unwrap(), [None]);
    let page = ledger.page(&Selector::Calls(vec![waits.id]), crate::samples::START, 1).await;
    assert!(page.unwrap().calls.is_empty());
}
