//! What is over for long enough is removed, and nothing else.

use dialplane::{
    call::{Call, CallId, CallState, Observation, Position, Selection, Selector},
    ledger::{Ledger, NewRequest, Recorded, Removed},
};
use jiff::Timestamp;

use crate::{
    contract::Shared,
    history::{ALL, follow},
    samples::{START, accepted, at, calls_of, fingerprint, news, reported, request},
};

const DAY: i64 = 86_400;

/// A request of this second whose calls are over.
fn over(calls: u32, second: i64) -> NewRequest {
    let mut request = request(calls);
    request.create_time = at(second);
    for call in &mut request.calls {
        call.state = CallState::Answered;
        std::sync::Arc::make_mut(&mut call.order).client_reference =
            Some("monthly".parse().unwrap());
        call.vendor_call_id = Some(format!("v-{}", call.id));
        (call.create_time, call.update_time, call.end_time) =
            (at(second), at(second), Some(at(second)));
    }
    request
}

/// All the steps of a pass, and how many there were.
async fn remove(ledger: &dyn Ledger, before: Timestamp, limit: usize) -> (u64, u64, usize) {
    let (mut requests, mut calls) = (0, 0);
    for steps in 1..10_000 {
        let step = ledger.remove_old(before, limit).await.unwrap();
        (requests, calls) = (requests + step.requests, calls + step.calls);
        if !step.more {
            return (requests, calls, steps);
        }
    }
    panic!("there is no end to it");
}

async fn there(ledger: &dyn Ledger, request: &NewRequest) -> bool {
    let calls = calls_of(ledger, &request.id).await;
    let known = ledger.request(&request.id).await.unwrap();
    assert_eq!(known.map(|r| r.calls as usize), (!calls.is_empty()).then_some(calls.len()));
    assert!(calls.is_empty() || calls.len() == request.calls.len(), "half of it is there");
    !calls.is_empty()
}

pub async fn what_is_over_for_long_is_removed(ledger: Shared) {
    assert_eq!(ledger.remove_old(at(0), 1_000).await.unwrap(), Removed::default());
    let mut all = Vec::new();
    // Not in the order of their time.
    for second in [30, 10, 20, 50, 40] {
        all.push(over(2, second));
        ledger.record(all[all.len() - 1].clone()).await.unwrap();
    }
    let empty = request(0);
    ledger.record(empty.clone()).await.unwrap();
    // Not even what is as old as that.
    assert_eq!(remove(&*ledger, at(0), 1_000).await, (0, 0, 1));
    assert_eq!(remove(&*ledger, at(10), 1_000).await, (1, 0, 1), "the empty one");
    assert_eq!(ledger.request(&empty.id).await.unwrap(), None);
    assert_eq!(remove(&*ledger, at(31), 1_000).await, (3, 6, 1));
    for request in &all {
        assert_eq!(there(&*ledger, request).await, request.create_time > at(31));
    }
    assert_eq!(remove(&*ledger, at(31), 1_000).await, (0, 0, 1));
    assert_eq!(remove(&*ledger, Timestamp::MAX, 1_000).await, (2, 4, 1));
    assert_eq!(remove(&*ledger, Timestamp::MAX, 1_000).await, (0, 0, 1));
}

pub async fn what_is_open_or_fresh_stays_whole(ledger: Shared) {
    let mut open = over(3, 0);
    (open.calls[2].state, open.calls[2].end_time) = (CallState::Accepted, None);
    let mut changed = over(3, 0);
    changed.calls[1].update_time = at(100);
    let mut scheduled = over(1, 0);
    (scheduled.calls[0].state, scheduled.calls[0].end_time) = (CallState::Scheduled, None);
    for request in [&open, &changed, &scheduled] {
        ledger.record(request.clone()).await.unwrap();
    }
    assert_eq!(remove(&*ledger, at(100), 1_000).await, (0, 0, 1));
    for request in [&open, &changed, &scheduled] {
        assert!(there(&*ledger, request).await);
    }
    // What has changed since is old once that is.
    assert_eq!(remove(&*ledger, at(101), 1_000).await.0, 1);
    assert!(!there(&*ledger, &changed).await);
    // What was open is looked at again when another day has passed.
    let end = reported(CallState::Answered);
    ledger.observe(vec![news(open.calls[2].id, end, 200)]).await.unwrap();
    assert_eq!(remove(&*ledger, at(101 + DAY), 1_000).await, (1, 3, 1));
    assert!(there(&*ledger, &scheduled).await && !there(&*ledger, &open).await);
    assert_eq!(remove(&*ledger, at(9 * DAY), 1_000).await, (0, 0, 1));
    // News of a call that is over counts as well.
    let scheduled_call = scheduled.calls[0].id;
    let last = [Observation::Dispatching, accepted("v-1"), reported(CallState::Busy)];
    let last = last.map(|observation| news(scheduled_call, observation, 10 * DAY));
    ledger.observe(last.into()).await.unwrap();
    assert_eq!(remove(&*ledger, at(10 * DAY), 1_000).await, (0, 0, 1));
    assert_eq!(remove(&*ledger, at(10 * DAY + 1), 1_000).await, (1, 1, 1));
}

pub async fn a_removed_request_is_as_if_never_seen(ledger: Shared) {
    let old = over(2, 0);
    ledger.record(old.clone()).await.unwrap();
    remove(&*ledger, at(1), 1_000).await;
    let ids: Vec<CallId> = old.calls.iter().map(|call| call.id).collect();
    let references = Selector::References(vec!["monthly".parse().unwrap()]);
    let within = Position { entries: 1, within: None };
    for (selector, missing) in
        [(Selector::Request(old.id.clone()), 1), (Selector::Calls(ids.clone()), 2), (references, 1)]
    {
        let page = ledger.page(&selector, START, 9).await.unwrap();
        assert_eq!((page.calls.len(), page.not_found.len(), page.next), (0, missing, None));
        // As for whoever was in the middle of it.
        let page = ledger.page(&selector, within, 9).await.unwrap();
        assert_eq!((page.calls.len(), page.next), (0, None));
        let changes = ledger.changes(&Selection::Named(selector), 0, 9).await.unwrap();
        assert_eq!((changes.changes.len(), changes.more, changes.through), (0, false, 2));
        assert!(changes.open.is_none_or(|open| open.is_empty()));
    }
    let vendor_ids = vec![vec![old.calls[0].vendor_call_id.clone().unwrap()]];
    assert_eq!(ledger.find("phonon-in", vendor_ids).await.unwrap(), [None]);
    ledger.observe(vec![news(ids[0], reported(CallState::Busy), 9)]).await.unwrap_err();
    // The same again is new, with another payload as well.
    let mut again = over(1, 50);
    (again.id, again.fingerprint) = (old.id.clone(), fingerprint(9));
    again.calls[0].request_id = old.id.clone();
    assert_eq!(ledger.record(again.clone()).await.unwrap(), Recorded::New);
    assert_eq!(calls_of(&*ledger, &old.id).await, again.calls);
}

pub async fn a_large_request_vanishes_at_once(ledger: Shared) {
    let (large, young) = (over(2_500, 0), over(1, 500));
    ledger.record(large.clone()).await.unwrap();
    let some = large.calls.iter().map(|call| news(call.id, accepted("v-x"), 1)).collect();
    ledger.observe(some).await.unwrap();
    ledger.record(young.clone()).await.unwrap();
    let step = ledger.remove_old(at(2), usize::MAX).await.unwrap();
    assert!(step.requests == 1 && step.calls < 1_000 && step.more, "{step:?}");
    // Whichever calls are gone already, none is found.
    assert!(!there(&*ledger, &large).await && there(&*ledger, &young).await);
    let ids: Vec<_> = large.calls.iter().map(|call| call.id).collect();
    let page = ledger.page(&Selector::Calls(ids.clone()), START, 9).await.unwrap();
    assert_eq!((page.calls.len(), page.not_found.len()), (0, 2_500));
    let monthly = Selector::References(vec!["monthly".parse().unwrap()]);
    let page = ledger.page(&monthly, START, 9).await.unwrap();
    assert_eq!(page.calls.len(), 1, "the young one");
    let vendor_ids = large.calls.iter().map(|c| vec![c.vendor_call_id.clone().unwrap()]).collect();
    assert!(ledger.find("phonon-in", vendor_ids).await.unwrap().iter().all(Option::is_none));
    ledger.observe(vec![news(ids[2_499], reported(CallState::Busy), 9)]).await.unwrap_err();
    let seen = follow(&*ledger, &ALL, 0, 100).await;
    assert_eq!(seen.changes.len(), 1);
    let named = Selection::Named(Selector::Calls(ids));
    assert_eq!(follow(&*ledger, &named, 0, 100).await.changes.len(), 0);
    // Its id is free while its calls still go.
    let again = NewRequest { id: large.id.clone(), ..over(1, 500) };
    assert_eq!(ledger.record(again).await.unwrap(), Recorded::New);
    let (requests, calls, _) = remove(&*ledger, at(2), 1_000).await;
    assert_eq!((requests, calls + step.calls), (0, 2_500));
    assert!(there(&*ledger, &young).await);
    assert_eq!(ledger.request(&large.id).await.unwrap().map(|known| known.calls), Some(1));
}

pub async fn watchers_go_on_past_what_was_removed(ledger: Shared) {
    let (old, between, young) = (over(3, 0), over(2, 500), over(2, 0));
    for request in [&old, &between, &young] {
        ledger.record(request.clone()).await.unwrap();
    }
    let mut newest = ledger.newest();
    newest.mark_unchanged();
    remove(&*ledger, at(1), 2).await;
    assert!(!newest.has_changed().unwrap() && *newest.borrow() == 7, "it tells nobody anything");
    for (after, left) in [(0, 2), (1, 2), (3, 2), (4, 1), (5, 0), (7, 0), (99, 0)] {
        let seen = follow(&*ledger, &ALL, after, 1).await;
        assert_eq!((seen.changes.len(), seen.through), (left, after.max(7)), "after {after}");
    }
    // Numbers are not given again, not even the last ones.
    let next = over(1, 500);
    ledger.record(next.clone()).await.unwrap();
    let seen = follow(&*ledger, &ALL, 7, 9).await;
    let seen: Vec<_> = seen.changes.iter().map(|c| (c.number, c.call.id)).collect();
    assert_eq!(seen, [(8, next.calls[0].id)]);
    let ids: Vec<_> = [&old, &between, &next].iter().flat_map(|r| &r.calls).map(|c| c.id).collect();
    let named = follow(&*ledger, &Selection::Named(Selector::Calls(ids)), 0, 1).await;
    let calls: Vec<Call> = named.changes.into_iter().map(|change| change.call).collect();
    assert_eq!(calls, [&between.calls[..], &next.calls[..]].concat());
}

pub async fn steps_are_bounded_and_come_to_an_end(ledger: Shared) {
    for second in 0..20 {
        let mut request = over(3, second);
        if second % 4 == 0 {
            request.calls[1].state = CallState::Ringing;
        }
        if second % 4 == 1 {
            request.calls[1].update_time = at(5_000 + second);
        }
        ledger.record(request).await.unwrap();
    }
    let step = ledger.remove_old(at(1_000), 0).await.unwrap();
    assert!(step.calls <= 1 && step.more, "{step:?}");
    let (requests, calls, steps) = remove(&*ledger, at(1_000), 4).await;
    assert_eq!((requests + step.requests, calls + step.calls), (10, 30));
    assert!((8..40).contains(&steps), "{steps}");
    // What is in the way is not looked at in each step, nor in the next pass.
    assert_eq!(remove(&*ledger, at(1_000), 1).await, (0, 0, 1));
    assert_eq!(remove(&*ledger, at(6_000), 1_000).await, (5, 15, 1));
    assert_eq!(remove(&*ledger, at(6_000), 1).await, (0, 0, 1));
}
