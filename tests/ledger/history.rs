//! Changes and their numbers: each revision of each call, once, in order.

use std::sync::Arc;

use dialplane::{
    call::{Call, CallId, CallState, ClientReference, Observation, Selection, Selector},
    ledger::{Change, Changes, Ledger},
};

use crate::{
    contract::Shared,
    samples::{accepted, at, call, full_call, news, reported, request, request_of},
};

pub const ALL: Selection = Selection::All;

/// Follows the changes to the end, checking each page on the way. Gives the last one with
/// all changes in it.
pub async fn follow(
    ledger: &dyn Ledger,
    selection: &Selection,
    after: u64,
    limit: usize,
) -> Changes {
    let (mut all, mut through) = (Vec::new(), after);
    loop {
        let page = ledger.changes(selection, through, limit).await.unwrap();
        assert!(page.changes.len() <= limit.max(1));
        assert!(page.changes.iter().all(|change| change.number > through));
        assert!(page.changes.iter().all(|change| change.number <= page.through));
        assert!(!page.more || (page.through > through && page.open.is_none()), "it gets on");
        all.extend(page.changes);
        through = page.through;
        if !page.more {
            assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
            return Changes { changes: all, through, more: false, open: page.open };
        }
    }
}

async fn everything(ledger: &dyn Ledger) -> Vec<Change> {
    follow(ledger, &ALL, 0, 1_000).await.changes
}

fn named(calls: &[Call]) -> Selection {
    Selection::Named(Selector::Calls(calls.iter().map(|call| call.id).collect()))
}

/// What a call was after each of its changes.
fn revisions(changes: &[Change], id: CallId) -> Vec<(u64, CallState)> {
    let of_call = changes.iter().filter(|change| change.call.id == id);
    of_call.map(|change| (change.call.revision, change.call.state)).collect()
}

pub async fn every_revision_is_a_change(ledger: Shared) {
    assert_eq!(*ledger.newest().borrow(), 0);
    let empty = ledger.changes(&ALL, 0, 10).await.unwrap();
    assert!(empty.changes.is_empty() && empty.through == 0 && !empty.more && empty.open.is_none());
    let recorded = request(2);
    ledger.record(recorded.clone()).await.unwrap();
    let [first, second] = [recorded.calls[0].id, recorded.calls[1].id];
    let dispatched = ledger.claim(vec![first], at(1), None).await.unwrap().mine;
    let all = vec![
        news(second, Observation::Dispatching, 1),
        news(first, accepted("v-1"), 2),
        news(first, accepted("v-1"), 2),
        news(first, reported(CallState::Answered), 3),
        // Behind, but an answer to a question: only the time of asking is new.
        news(first, reported(CallState::Busy), 4),
    ];
    let after = ledger.observe(all).await.unwrap();
    // None of these is seen by anybody.
    ledger.observe(vec![news(second, Observation::Dispatching, 5)]).await.unwrap();
    ledger.claim(vec![first, second], at(6), None).await.unwrap();
    ledger.record(recorded.clone()).await.unwrap();

    let seen = everything(&*ledger).await;
    let numbers: Vec<_> = seen.iter().map(|change| change.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "without a gap");
    assert_eq!(*ledger.newest().borrow(), 6);
    let calls: Vec<_> = seen.into_iter().map(|change| visible(change.call)).collect();
    let expected =
        [&recorded.calls[0], &recorded.calls[1], &dispatched[0], &after[0], &after[1], &after[3]];
    assert_eq!(calls, expected.map(|call| visible(call.clone())));
}

fn visible(call: Call) -> Call {
    Call { asked_time: None, due: None, ..call }
}

pub async fn a_change_has_everything_of_its_call(ledger: Shared) {
    let mut full = request(1);
    full.calls.push(full_call(&full.id, 1));
    ledger.record(full.clone()).await.unwrap();
    let seen: Vec<_> = everything(&*ledger).await.into_iter().map(|change| change.call).collect();
    assert_eq!(seen, full.calls);
}

pub async fn changes_come_in_pages_of_any_size(ledger: Shared) {
    let mut requests = Vec::new();
    for index in 0..4 {
        let id = request(0).id;
        let references = [Some("shared"), Some(["a", "b", "c", "d"][index]), None];
        let calls = (0..).zip(references).map(|(position, name)| {
            let route = if index % 2 == 0 { "default" } else { "night" }.to_owned();
            Call { route, ..call(&id, position, name) }
        });
        requests.push(request_of(calls.collect(), id));
    }
    for request in &requests {
        ledger.record(request.clone()).await.unwrap();
    }
    // Calls change in another order than they came.
    for (second, state) in (1..).zip([CallState::Dispatching, CallState::Busy, CallState::Answered])
    {
        for request in requests.iter().rev() {
            let all = request.calls.iter().skip(usize::from(state == CallState::Answered));
            let all = all.map(|call| news(call.id, reported(state), second)).collect();
            ledger.observe(all).await.unwrap();
        }
    }
    let whole = everything(&*ledger).await;
    assert_eq!(whole.len(), 12 * 3 + 8);
    let newest = *ledger.newest().borrow();
    let few = [requests[2].calls[1].clone(), requests[0].calls[2].clone()];
    let references = |names: &[&str]| {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        Selection::Named(Selector::References(names))
    };
    type Wanted<'a> = Box<dyn Fn(&Call) -> bool + 'a>;
    let selections: Vec<(Selection, Wanted<'_>)> = vec![
        (ALL, Box::new(|_| true)),
        (Selection::Route("night".to_owned()), Box::new(|call| call.route == "night")),
        (Selection::Route("none".to_owned()), Box::new(|_| false)),
        (named(&few), Box::new(|call| few.iter().any(|one| one.id == call.id))),
        (
            Selection::Named(Selector::Request(requests[1].id.clone())),
            Box::new(|call| call.request_id == requests[1].id),
        ),
        (
            references(&["shared", "c", "gone"]),
            Box::new(|call| {
                let reference = call.order.client_reference.as_ref().map(ClientReference::as_str);
                matches!(reference, Some("shared" | "c"))
            }),
        ),
    ];
    for (selection, wanted) in &selections {
        for after in [0, 1, 7, 20, newest - 1, newest] {
            let of_selection = whole.iter().filter(|change| wanted(&change.call));
            let expected: Vec<_> =
                of_selection.filter(|change| change.number > after).cloned().collect();
            for limit in [0, 1, 2, 5, 1_000] {
                let found = follow(&*ledger, selection, after, limit).await;
                assert_eq!(found.changes, expected, "{selection:?} after {after} by {limit}");
                assert_eq!(found.through, newest, "nothing is read twice");
            }
        }
    }
    let beyond = ledger.changes(&ALL, newest + 5, 1).await.unwrap();
    assert!(beyond.changes.is_empty() && !beyond.more && beyond.through == newest + 5);
    let beyond = ledger.changes(&named(&few), u64::MAX, usize::MAX).await.unwrap();
    assert!(beyond.changes.is_empty() && !beyond.more);
}

pub async fn a_selection_tells_what_of_it_is_open(ledger: Shared) {
    let recorded = request(3);
    let unknown = CallId::generate();
    let by_request = Selection::Named(Selector::Request(recorded.id.clone()));
    let before = ledger.changes(&by_request, 0, 10).await.unwrap();
    assert!(before.changes.is_empty() && before.open.is_none(), "it may come yet");

    ledger.record(recorded.clone()).await.unwrap();
    let mut ids: Vec<_> = recorded.calls.iter().map(|call| call.id).collect();
    let found = ledger.changes(&by_request, before.through, 10).await.unwrap();
    assert_eq!((found.changes.len(), found.open), (3, Some(ids.clone())));
    let reversed = Selector::Calls(vec![ids[2], unknown, ids[0]]);
    let by_ids = Selection::Named(reversed);
    let first = ledger.changes(&by_ids, 0, 1).await.unwrap();
    assert!(first.more && first.open.is_none());
    let found = follow(&*ledger, &by_ids, 0, 1).await;
    assert_eq!(found.open, Some(vec![ids[2], ids[0]]));

    ledger.observe(vec![news(ids[0], reported(CallState::Busy), 1)]).await.unwrap();
    let found = ledger.changes(&by_request, found.through, 10).await.unwrap();
    assert_eq!((found.changes.len(), found.open), (1, Some(ids.split_off(1))));
    let last = [recorded.calls[1].id, recorded.calls[2].id]
        .map(|id| news(id, reported(CallState::Answered), 2));
    ledger.observe(last.into()).await.unwrap();
    for selection in [&by_request, &by_ids] {
        let done = follow(&*ledger, selection, 0, 2).await;
        assert_eq!(done.open, Some(Vec::new()));
        // An answer that comes late is a change all the same.
        let answered = done.changes.iter().filter(|c| c.call.state == CallState::Answered);
        assert_eq!(answered.count(), if *selection == by_request { 2 } else { 1 });
    }
    let nobody = Selection::Named(Selector::Calls(vec![unknown]));
    assert_eq!(ledger.changes(&nobody, 0, 1).await.unwrap().open, Some(Vec::new()));
    let empty = request(0);
    ledger.record(empty.clone()).await.unwrap();
    let empty = Selection::Named(Selector::Request(empty.id));
    assert_eq!(ledger.changes(&empty, 0, 1).await.unwrap().open, Some(Vec::new()));
    for endless in [
        ALL,
        Selection::Route("default".to_owned()),
        Selection::Named(Selector::References(vec!["x".parse().unwrap()])),
    ] {
        assert_eq!(ledger.changes(&endless, 0, 1_000).await.unwrap().open, None);
    }
}

pub async fn what_was_not_kept_has_no_number(ledger: Shared) {
    let known = request(2);
    ledger.record(known.clone()).await.unwrap();
    let mut clash = request(3);
    clash.calls[2].id = known.calls[0].id;
    let half = vec![
        news(known.calls[1].id, Observation::Dispatching, 1),
        news(CallId::generate(), Observation::Dispatching, 1),
    ];
    let (clashed, missed, observed) = tokio::join!(
        ledger.record(clash),
        ledger.observe(half),
        ledger.observe(vec![news(known.calls[0].id, Observation::Dispatching, 1)]),
    );
    assert!(clashed.is_err() && missed.is_err() && observed.is_ok());
    let seen = everything(&*ledger).await;
    let numbers: Vec<_> = seen.iter().map(|change| change.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(seen[2].call, observed.unwrap()[0]);
    assert_eq!(*ledger.newest().borrow(), 3);
}

pub async fn the_newest_rises_before_the_answer(ledger: Shared) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                for _ in 0..8 {
                    let one = request(1);
                    let mut newest = ledger.newest();
                    let before = *newest.borrow_and_update();
                    ledger.record(one.clone()).await.unwrap();
                    assert!(newest.has_changed().unwrap() && *newest.borrow_and_update() > before);
                    let news = news(one.calls[0].id, Observation::Dispatching, 1);
                    ledger.observe(vec![news]).await.unwrap();
                    let newest = *newest.borrow_and_update();
                    let found = ledger.changes(&named(&one.calls), 0, 9).await.unwrap();
                    assert_eq!(found.changes.len(), 2);
                    assert!(found.changes[1].number <= newest && newest <= found.through);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

pub async fn who_follows_the_newest_misses_nothing(ledger: Shared) {
    const WRITERS: u32 = 8;
    let follower = {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            let (mut newest, mut through, mut seen) = (ledger.newest(), 0, Vec::new());
            while seen.len() < 3 * WRITERS as usize * 4 {
                newest.wait_for(|number| *number > through).await.unwrap();
                let page = ledger.changes(&ALL, through, 5).await.unwrap();
                seen.extend(page.changes);
                through = page.through;
            }
            seen
        })
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let one = request(4);
                ledger.record(one.clone()).await.unwrap();
                for state in [CallState::Ringing, CallState::Answered] {
                    let all = one.calls.iter().map(|call| news(call.id, reported(state), 1));
                    ledger.observe(all.collect()).await.unwrap();
                }
                one
            })
        })
        .collect();
    let seen = follower.await.unwrap();
    let numbers: Vec<_> = seen.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (1..=96).collect::<Vec<u64>>());
    for writer in writers {
        for call in writer.await.unwrap().calls {
            let [scheduled, ringing, answered] =
                [CallState::Scheduled, CallState::Ringing, CallState::Answered];
            assert_eq!(revisions(&seen, call.id), [(1, scheduled), (2, ringing), (3, answered)]);
        }
    }
}

pub async fn a_large_request_is_followed(ledger: Shared) {
    let large = request(5_000);
    ledger.record(request(3)).await.unwrap();
    ledger.record(large.clone()).await.unwrap();
    let all: Vec<_> =
        large.calls.iter().rev().map(|call| news(call.id, reported(CallState::Busy), 1)).collect();
    ledger.observe(all).await.unwrap();
    let selection = Selection::Named(Selector::Request(large.id));
    let found = follow(&*ledger, &selection, 0, 1_000).await;
    let numbers: Vec<_> = found.changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (4..10_004).collect::<Vec<u64>>());
    assert_eq!(found.open, Some(Vec::new()));
}
