//! Numbers that must not be called.

use std::sync::Arc;

use dialplane::{
    call::{CallState, E164, Observation, Suppression},
    ledger::Ledger,
};
use jiff::Timestamp;

use crate::{
    contract::Shared,
    outbox::entry,
    samples::{at, calls_of, news, reported, request},
};

fn number(last: u64) -> E164 {
    (919_800_000_000 + last).to_string().parse().unwrap()
}

fn entry_of(last: u64, reason: &str, second: i64) -> Suppression {
    Suppression { number: number(last), reason: reason.parse().unwrap(), create_time: at(second) }
}

async fn all(ledger: &dyn Ledger) -> Vec<Suppression> {
    let (all, more) = ledger.suppressions(None, usize::MAX - 1).await.unwrap();
    assert!(!more);
    all
}

pub async fn a_number_stays_on_the_list_as_it_came(ledger: Shared) {
    assert_eq!(ledger.suppressed(vec![number(1)]).await.unwrap(), []);
    assert_eq!(all(&*ledger).await, []);
    let first = vec![entry_of(2, "", 1), entry_of(1, "asked – ü", 1)];
    assert_eq!(ledger.suppress(first.clone()).await.unwrap(), first, "in their order");
    // The same again, and later: nothing new but a reason where one is given.
    let again = vec![entry_of(1, "", 9), entry_of(2, "law", 9), entry_of(3, "law", 9)];
    let now = vec![entry_of(1, "asked – ü", 1), entry_of(2, "law", 1), entry_of(3, "law", 9)];
    assert_eq!(ledger.suppress(again.clone()).await.unwrap(), now);
    assert_eq!(ledger.suppress(again).await.unwrap(), now);
    assert_eq!(all(&*ledger).await, now);
    let asked = vec![number(3), number(7), number(1)];
    assert_eq!(ledger.suppressed(asked).await.unwrap(), [now[2].clone(), now[0].clone()]);
    assert_eq!(ledger.suppress(Vec::new()).await.unwrap(), []);

    let off = vec![number(7), number(2), number(1), number(2)];
    assert_eq!(ledger.unsuppress(off.clone()).await.unwrap(), [number(2), number(1)]);
    assert_eq!(ledger.unsuppress(off).await.unwrap(), []);
    assert_eq!(all(&*ledger).await, now[2..]);
    ledger.unsuppress(vec![number(3)]).await.unwrap();
    assert_eq!(ledger.suppressed(vec![number(3)]).await.unwrap(), []);
}

pub async fn the_list_comes_in_pages(ledger: Shared) {
    let mut texts: Vec<E164> = (0..20).map(|n| number(n * 7)).collect();
    texts.extend(["1234567", "12345678", "999999999999999"].map(|text| text.parse().unwrap()));
    let each = |number: &E164| Suppression { number: number.clone(), ..entry_of(0, "r", 1) };
    ledger.suppress(texts.iter().rev().map(each).collect()).await.unwrap();
    texts.sort_unstable();
    for limit in [0, 1, 2, 22, 23, 24, usize::MAX] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (page, more) = ledger.suppressions(after.clone(), limit).await.unwrap();
            assert!(page.len() <= limit.max(1) && !page.is_empty());
            found.extend(page.into_iter().map(|suppression| suppression.number));
            after = found.last().cloned();
            if !more {
                break;
            }
        }
        assert_eq!(found, texts, "{limit} at a time");
    }
    // After a number that is not on the list, and after the last one.
    let (page, more) = ledger.suppressions(Some(number(1)), 1).await.unwrap();
    assert_eq!((page[0].number.clone(), more), (number(7), true));
    let end = ledger.suppressions(texts.last().cloned(), 5).await.unwrap();
    assert_eq!(end, (Vec::new(), false));
}

pub async fn a_claim_refuses_who_must_not_be_called(ledger: Shared) {
    let mut recorded = request(4);
    for (call, last) in recorded.calls.iter_mut().zip(0..) {
        Arc::make_mut(&mut call.order).to = vec![number(last), number(last + 100)];
    }
    ledger.record(recorded.clone()).await.unwrap();
    // The number of one, and another's alternate.
    ledger.suppress(vec![entry_of(1, "", 1), entry_of(102, "", 1)]).await.unwrap();
    let ids: Vec<_> = recorded.calls.iter().map(|call| call.id).collect();
    let claim = ledger.claim(ids.clone(), at(2), None).await.unwrap();
    let mine: Vec<_> = claim.mine.iter().map(|call| call.id).collect();
    assert_eq!((mine, claim.left.len()), (vec![ids[0], ids[3]], 0));
    for (call, field) in claim.others.iter().zip(["to[0]", "to[1]"]) {
        let error = call.error.as_ref().unwrap();
        assert_eq!((call.state, &*error.reason), (CallState::Failed, "SUPPRESSED"));
        assert_eq!((error.violations.len(), error.violations[0].field.as_str()), (1, field));
        assert_eq!((call.end_time, call.revision, call.handed_over), (Some(at(2)), 2, false));
    }
    assert_eq!(calls_of(&*ledger, &recorded.id).await[1..3], claim.others);
    // Off the list again: what was refused stays so, and what comes is placed.
    ledger.unsuppress(vec![number(1), number(102)]).await.unwrap();
    let again = ledger.claim(vec![ids[1]], at(3), None).await.unwrap();
    assert_eq!((again.mine.len(), again.others[0].state), (0, CallState::Failed));
    let mut fresh = request(1);
    Arc::make_mut(&mut fresh.calls[0].order).to = vec![number(1)];
    ledger.record(fresh.clone()).await.unwrap();
    assert_eq!(ledger.claim(vec![fresh.calls[0].id], at(4), None).await.unwrap().mine.len(), 1);
}

pub async fn a_suppressed_call_keeps_an_entry_from_being_kept(ledger: Shared) {
    let mut recorded = request(3);
    Arc::make_mut(&mut recorded.calls[1].order).to = vec![number(1)];
    ledger.record(recorded.clone()).await.unwrap();
    ledger.suppress(vec![entry_of(1, "", 1)]).await.unwrap();
    let whole = entry(&recorded.calls, "whole");
    let claim = ledger.claim(whole.calls.clone(), at(2), Some(whole)).await.unwrap();
    assert_eq!((claim.mine.len(), claim.others.len()), (0, 1));
    assert_eq!(claim.others[0].state, CallState::Failed);
    assert_eq!(claim.left, [recorded.calls[0].clone(), recorded.calls[2].clone()]);
    let ids: Vec<_> = recorded.calls.iter().map(|call| call.id).collect();
    assert_eq!(ledger.outbox(ids).await.unwrap(), []);
    let rest = entry(&claim.left, "rest");
    let claim = ledger.claim(rest.calls.clone(), at(3), Some(rest)).await.unwrap();
    assert_eq!((claim.mine.len(), claim.others.len(), claim.left.len()), (2, 0, 0));
}

pub async fn the_list_outlives_the_calls(ledger: Shared) {
    let recorded = request(1);
    let call = recorded.calls[0].id;
    ledger.record(recorded).await.unwrap();
    ledger.suppress(vec![entry_of(1, "law", 1)]).await.unwrap();
    ledger.observe(vec![news(call, Observation::Dispatching, 1)]).await.unwrap();
    ledger.observe(vec![news(call, reported(CallState::Busy), 1)]).await.unwrap();
    let removed = ledger.remove_old(Timestamp::MAX, 100).await.unwrap();
    assert_eq!((removed.requests, removed.calls), (1, 1));
    assert_eq!(all(&*ledger).await, [entry_of(1, "law", 1)]);
}

pub async fn many_who_change_the_list_lose_nothing(ledger: Shared) {
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let mine: Vec<_> = (0..50).map(|i| entry_of(n * 50 + i, "", 1)).collect();
                ledger.suppress(mine.clone()).await.unwrap();
                let numbers: Vec<_> = mine.iter().map(|one| one.number.clone()).collect();
                assert_eq!(ledger.suppressed(numbers.clone()).await.unwrap(), mine);
                ledger.unsuppress(numbers[..25].to_vec()).await.unwrap();
                assert_eq!(ledger.suppressed(numbers).await.unwrap(), mine[25..]);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(all(&*ledger).await.len(), 16 * 25);
}
