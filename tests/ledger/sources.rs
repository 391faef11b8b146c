//! News of a vendor counts as long as the call is at that vendor.

use dialplane::{
    call::{Call, CallError, CallState, Cause, Dialed, Fallback, Observation, Selection, Selector},
    ledger::{LedgerError, NewRequest, News},
};

use crate::{
    contract::Shared,
    outbox::{dispatching, entry},
    samples::{accepted, at, call, news, reported},
};

/// A call that is being handed over to the first of two vendors.
fn with_a_second() -> NewRequest {
    let mut request = dispatching(1, 1);
    request.calls[0].fallbacks =
        vec![Fallback { vendor: "knovvu".to_owned(), caller_id: None, redials: false }];
    request
}

fn moves_on() -> Observation {
    let error = CallError { dialed: Dialed::No, ..CallError::new(Cause::Unreachable, "X", "x") };
    Observation::FailedOver { error, to: "knovvu".to_owned() }
}

fn said_by(vendor: &str, call: &Call, observation: Observation, second: i64) -> News {
    let news = news(call.id, observation, second);
    News { due: Some(at(second + 60)), vendor: Some(vendor.to_owned()), ..news }
}

pub async fn news_of_a_vendor_is_of_its_own_calls(ledger: Shared) {
    let request = with_a_second();
    let first = &request.calls[0];
    ledger.record(request.clone()).await.unwrap();
    ledger.observe(vec![news(first.id, moves_on(), 1)]).await.unwrap();
    let sent = entry(&request.calls, "to the second");
    let claim = ledger.claim(vec![first.id], at(2), Some(sent.clone())).await.unwrap();
    let moved = claim.mine[0].clone();
    assert_eq!((moved.vendor.as_str(), moved.state), ("knovvu", CallState::Dispatching));
    let newest = *ledger.newest().borrow();
    for late in [accepted("v-1"), reported(CallState::Answered), Observation::PutBack] {
        let calls = ledger.observe(vec![said_by("phonon-in", first, late, 3)]).await.unwrap();
        assert_eq!(calls, std::slice::from_ref(&moved), "as it was, and when it is looked at");
    }
    assert_eq!(ledger.find("phonon-in", vec![vec!["v-1".to_owned()]]).await.unwrap(), [None]);
    assert_eq!(ledger.find("knovvu", vec![vec!["v-1".to_owned()]]).await.unwrap(), [None]);
    assert!(ledger.due("knovvu", at(999), 9).await.unwrap().calls.is_empty());
    let all = Selection::Named(Selector::Calls(vec![first.id]));
    let changes = ledger.changes(&all, newest, 9).await.unwrap();
    assert_eq!((changes.changes.len(), *ledger.newest().borrow()), (0, newest), "nobody sees it");
    assert_eq!(ledger.outbox(vec![first.id]).await.unwrap(), [sent], "it is needed yet");
    // What its own vendor says is news, and so is what nobody in particular says.
    let own = said_by("knovvu", first, accepted("v-2"), 4);
    let rings = news(first.id, reported(CallState::Ringing), 5);
    let calls = ledger.observe(vec![own, rings]).await.unwrap();
    assert_eq!(calls[0].vendor_call_id.as_deref(), Some("v-2"));
    assert_eq!((calls[1].state, calls[1].due.is_some()), (CallState::Ringing, true));
    // A call that is not there is not there, whoever speaks of it.
    let nobody = call(&request.id, 0, None);
    let error = ledger.observe(vec![said_by("knovvu", &nobody, accepted("v-9"), 6)]).await;
    assert!(matches!(error, Err(LedgerError::NoSuchCall(id)) if id == nobody.id));
}

pub async fn news_of_a_vendor_is_judged_within_the_transaction(ledger: Shared) {
    let request = with_a_second();
    let first = &request.calls[0];
    ledger.record(request.clone()).await.unwrap();
    let news = vec![
        said_by("knovvu", first, reported(CallState::Ringing), 1),
        said_by("phonon-in", first, moves_on(), 2),
        said_by("phonon-in", first, accepted("v-1"), 3),
        said_by("knovvu", first, Observation::Dispatching, 4),
    ];
    let calls = ledger.observe(news).await.unwrap();
    let seen: Vec<_> = calls.iter().map(|c| (c.vendor.as_str(), c.state)).collect();
    let expected = [
        ("phonon-in", CallState::Dispatching),
        ("knovvu", CallState::Scheduled),
        ("knovvu", CallState::Scheduled),
        ("knovvu", CallState::Dispatching),
    ];
    assert_eq!(seen, expected);
    assert_eq!(calls[3].vendor_call_id, None);
}
