//! What every ledger promises. Each behaviour gets one that is new and empty.

use std::sync::Arc;

use dialplane::{
    call::{CallId, CallState, Observation, Position, Selection, Selector},
    ledger::{Ledger, LedgerError, Recorded, RequestRecord},
};

use crate::samples::{
    START, accepted, at, call, calls, calls_of, fingerprint, full_call, news, reported, request,
    request_of,
};

pub use crate::{
    dials::*, due::*, held::*, history::*, outbox::*, removal::*, sources::*, strays::*,
    suppressions::*,
};

/// A ledger as the gateway holds it.
pub type Shared = Arc<dyn Ledger>;

/// Makes a test of each behaviour. `$open` is an async function that gives a new ledger
/// and something to keep until the test is over.
macro_rules! behaviours {
    ($open:path: $($behaviour:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                let (ledger, _keep) = $open().await;
                $crate::contract::$behaviour(ledger.clone()).await;
                ledger.close().await;
            }
        )*
    };
    ($open:path) => {
        behaviours! { $open:
            a_request_is_recorded_once,
            requests_are_recorded_together_or_not_at_all,
            a_request_without_calls_is_one,
            everything_known_of_a_call_comes_back,
            of_many_at_once_one_records,
            a_request_whose_calls_clash_leaves_nothing,
            news_is_applied_in_its_order,
            news_of_nobody_changes_nothing,
            many_observers_lose_nothing,
            a_large_request_is_one_request,
            what_is_not_there_is_named,
            ids_and_references_keep_their_order,
            references_are_shared,
            open_calls_are_those_not_over,
            open_calls_come_in_pages,
            reads_see_what_was_acknowledged,
            closes_for_good,
            what_waits_is_taken_up_in_its_order,
            who_took_up_something_gets_it_again_with_the_same_ticket,
            a_start_lets_go_what_somebody_had,
            what_is_held_again_is_taken_up_again,
            times_at_the_ends_of_time_are_times,
            who_is_not_there_keeps_nobody_from_being_claimed,
            every_revision_is_a_change,
            a_change_has_everything_of_its_call,
            changes_come_in_pages_of_any_size,
            a_selection_tells_what_of_it_is_open,
            what_was_not_kept_has_no_number,
            the_newest_rises_before_the_answer,
            who_follows_the_newest_misses_nothing,
            a_large_request_is_followed,
            calls_are_found_by_their_vendors_ids,
            news_is_kept_until_it_is_dealt_with,
            what_is_known_by_now_is_not_kept,
            no_news_falls_between_two_stools,
            old_news_is_dropped_and_counted,
            what_is_due_comes_in_its_order,
            news_says_when_to_look_again,
            nothing_is_due_too_early,
            an_entry_is_kept_with_its_request,
            an_entry_is_kept_with_a_claim,
            a_claim_with_an_entry_is_all_or_none,
            an_entry_goes_when_its_last_call_leaves,
            news_that_changes_nothing_leaves_entries_alone,
            a_request_that_is_not_recorded_keeps_no_entry,
            an_entry_of_many_calls_is_one,
            entries_are_kept_for_what_is_about_to_be_sent_only,
            a_call_named_twice_is_claimed_once,
            news_of_a_vendor_is_of_its_own_calls,
            news_of_a_vendor_is_judged_within_the_transaction,
            what_is_over_for_long_is_removed,
            what_is_open_or_fresh_stays_whole,
            a_removed_request_is_as_if_never_seen,
            a_large_request_vanishes_at_once,
            watchers_go_on_past_what_was_removed,
            steps_are_bounded_and_come_to_an_end,
            a_number_stays_on_the_list_as_it_came,
            the_list_comes_in_pages,
            a_claim_refuses_who_must_not_be_called,
            a_suppressed_call_keeps_an_entry_from_being_kept,
            the_list_outlives_the_calls,
            many_who_change_the_list_lose_nothing,
            a_call_that_is_dialled_again_waits_and_is_found_by_all_its_ids,
            news_of_a_dial_is_judged_within_the_transaction,
            earlier_ids_go_with_their_call,
        }
    };
}
pub(crate) use behaviours;

pub async fn a_request_is_recorded_once(ledger: Shared) {
    let first = request(2);
    let mut other = request(3);
    other.id = first.id.clone();
    other.fingerprint = fingerprint(9);
    assert_eq!(ledger.request(&first.id).await.unwrap(), None);
    assert_eq!(ledger.record(first.clone()).await.unwrap(), Recorded::New);
    let known = RequestRecord { fingerprint: fingerprint(7), create_time: at(0), calls: 2 };
    assert_eq!(ledger.request(&first.id).await.unwrap(), Some(known.clone()));
    assert_eq!(ledger.record(first.clone()).await.unwrap(), Recorded::Before(known.clone()));
    assert_eq!(ledger.record(other.clone()).await.unwrap(), Recorded::Before(known));
    assert_eq!(calls_of(&*ledger, &first.id).await, first.calls);
    let others = Selector::Calls(other.calls.iter().map(|call| call.id).collect());
    let page = ledger.page(&others, START, 10).await.unwrap();
    assert_eq!((page.calls.len(), page.not_found.len()), (0, 3));
}

pub async fn requests_are_recorded_together_or_not_at_all(ledger: Shared) {
    assert_eq!(ledger.record_all(Vec::new()).await.unwrap(), []);
    let known = request(1);
    ledger.record(known.clone()).await.unwrap();
    let mut pair: Vec<_> = (0..2).map(|_| dispatching(2, 2)).collect();
    // One exchange for the calls of both.
    let calls: Vec<_> = pair.iter().flat_map(|request| request.calls.clone()).collect();
    let both = entry(&calls, "to both");
    pair[0].outbox = Vec::new();
    pair[1].outbox = vec![both.clone()];
    let mut again = request(3);
    again.id = known.id.clone();
    let three = vec![pair[0].clone(), again, pair[1].clone()];
    let recorded = ledger.record_all(three).await.unwrap();
    let before = RequestRecord { fingerprint: fingerprint(7), create_time: at(0), calls: 1 };
    assert_eq!(recorded, [Recorded::Left, Recorded::Before(before), Recorded::Left]);
    assert_eq!(ledger.request(&pair[0].id).await.unwrap(), None);
    assert_eq!(ledger.request(&pair[1].id).await.unwrap(), None);
    assert!(ledger.outbox(vec![calls[0].id]).await.unwrap().is_empty());
    assert_eq!(calls_of(&*ledger, &known.id).await, known.calls);
    // Without it they are.
    assert_eq!(ledger.record_all(pair.clone()).await.unwrap(), [Recorded::New, Recorded::New]);
    for request in &pair {
        assert_eq!(calls_of(&*ledger, &request.id).await, request.calls);
    }
    assert_eq!(ledger.outbox(vec![calls[3].id, calls[0].id]).await.unwrap(), [both]);
}

pub async fn a_request_without_calls_is_one(ledger: Shared) {
    let empty = request(0);
    assert_eq!(ledger.record(empty.clone()).await.unwrap(), Recorded::New);
    let page = ledger.page(&Selector::Request(empty.id), START, 1).await.unwrap();
    assert!(page.calls.is_empty() && page.not_found.is_empty() && page.next.is_none());
}

pub async fn everything_known_of_a_call_comes_back(ledger: Shared) {
    let mut full = request(1);
    full.calls.push(full_call(&full.id, 1));
    ledger.record(full.clone()).await.unwrap();
    assert_eq!(calls_of(&*ledger, &full.id).await, full.calls);
    for state in CallState::ALL {
        let mut one = request(1);
        one.calls[0].state = state;
        ledger.record(one.clone()).await.unwrap();
        assert_eq!(calls_of(&*ledger, &one.id).await, one.calls);
    }
}

pub async fn of_many_at_once_one_records(ledger: Shared) {
    let id = request(0).id;
    let tasks: Vec<_> = (0..32_u8)
        .map(|hash| {
            let (ledger, id) = (Arc::clone(&ledger), id.clone());
            tokio::spawn(async move {
                let mut request = request_of(vec![call(&id, 0, None)], id);
                request.fingerprint = fingerprint(hash);
                let recorded = ledger.record(request.clone()).await.unwrap();
                (request, recorded)
            })
        })
        .collect();
    let mut winners = Vec::new();
    let mut losers = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (request, Recorded::New) => winners.push(request),
            (_, Recorded::Before(record)) => losers.push(record),
            (_, Recorded::Left) => panic!("it was alone"),
        }
    }
    assert_eq!((winners.len(), losers.len()), (1, 31));
    assert!(losers.iter().all(|record| record.fingerprint == winners[0].fingerprint));
    assert_eq!(calls_of(&*ledger, &id).await, winners[0].calls);
}

pub async fn a_request_whose_calls_clash_leaves_nothing(ledger: Shared) {
    let known = request(1);
    ledger.record(known.clone()).await.unwrap();
    let mut same_id = request(3);
    same_id.calls[2].id = known.calls[0].id;
    let mut same_position = request(3);
    same_position.calls[2].position = 0;
    for clash in [same_id, same_position] {
        let error = ledger.record(clash.clone()).await.unwrap_err();
        assert!(matches!(error, LedgerError::Failed(_)), "{error}");
        assert_eq!(ledger.request(&clash.id).await.unwrap(), None);
        let first = Selector::Calls(vec![clash.calls[0].id]);
        assert_eq!(ledger.page(&first, START, 1).await.unwrap().not_found.len(), 1);
    }
    assert_eq!(calls_of(&*ledger, &known.id).await, known.calls);
}

pub async fn news_is_applied_in_its_order(ledger: Shared) {
    let recorded = request(2);
    ledger.record(recorded.clone()).await.unwrap();
    let [first, second] = [recorded.calls[0].id, recorded.calls[1].id];
    assert_eq!(ledger.observe(Vec::new()).await.unwrap(), []);
    let all = vec![
        news(first, Observation::Dispatching, 1),
        news(second, Observation::Dispatching, 1),
        news(first, accepted("v-1"), 2),
        news(first, reported(CallState::Answered), 3),
        news(first, reported(CallState::Busy), 4),
    ];
    let after = ledger.observe(all.clone()).await.unwrap();
    let mut expected = recorded.calls.clone();
    for (news, after) in all.iter().zip(&after) {
        let call = expected.iter_mut().find(|call| call.id == news.call).unwrap();
        call.apply(news.observation.clone(), news.at);
        assert_eq!(call, after);
    }
    assert_eq!(after.len(), all.len());
    assert_eq!(calls_of(&*ledger, &recorded.id).await, expected);
    // Once more changes nothing: what is behind is passed over.
    ledger.observe(all).await.unwrap();
    assert_eq!(calls_of(&*ledger, &recorded.id).await, expected);
}

pub async fn news_of_nobody_changes_nothing(ledger: Shared) {
    let recorded = request(1);
    ledger.record(recorded.clone()).await.unwrap();
    let nobody = CallId::generate();
    let all = vec![
        news(recorded.calls[0].id, Observation::Dispatching, 1),
        news(nobody, Observation::Dispatching, 1),
    ];
    let error = ledger.observe(all).await.unwrap_err();
    assert!(matches!(error, LedgerError::NoSuchCall(id) if id == nobody), "{error}");
    assert_eq!(calls_of(&*ledger, &recorded.id).await, recorded.calls);
}

pub async fn many_observers_lose_nothing(ledger: Shared) {
    const OBSERVERS: usize = 64;
    let recorded = request(1);
    let id = recorded.calls[0].id;
    ledger.record(recorded.clone()).await.unwrap();
    let tasks: Vec<_> = (0..OBSERVERS)
        .map(|observer| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let mut observation = accepted("v-1");
                if let Observation::Accepted { data, .. } = &mut observation {
                    data.insert(format!("observer-{observer}"), observer.into());
                }
                ledger.observe(vec![news(id, observation, 1)]).await.unwrap()[0].revision
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.push(task.await.unwrap());
    }
    revisions.sort_unstable();
    let expected: Vec<u64> = (2..).take(OBSERVERS).collect();
    assert_eq!(revisions, expected, "each observer has a revision of its own");
    assert_eq!(calls_of(&*ledger, &recorded.id).await[0].vendor_data.len(), OBSERVERS);
}

pub async fn a_large_request_is_one_request(ledger: Shared) {
    let large = request(5_000);
    ledger.record(large.clone()).await.unwrap();
    let all = large.calls.iter().map(|call| news(call.id, Observation::Dispatching, 1)).collect();
    let after = ledger.observe(all).await.unwrap();
    assert_eq!(after.len(), 5_000);
    assert!(after.iter().all(|call| call.state == CallState::Dispatching && call.revision == 2));
    assert_eq!(calls_of(&*ledger, &large.id).await, after);
}

pub async fn what_is_not_there_is_named(ledger: Shared) {
    let nobody = request(1);
    let selectors = [
        (Selector::Request(nobody.id.clone()), nobody.id.to_string()),
        (Selector::Calls(vec![nobody.calls[0].id]), nobody.calls[0].id.to_string()),
        (Selector::References(vec!["ref-x".parse().unwrap()]), "ref-x".to_owned()),
    ];
    for (selector, name) in selectors {
        let page = ledger.page(&selector, START, 1).await.unwrap();
        assert_eq!(page.not_found, [name]);
        assert!(page.calls.is_empty() && page.next.is_none());
    }
    for nothing in [Selector::Calls(Vec::new()), Selector::References(Vec::new())] {
        let page = ledger.page(&nothing, START, 1).await.unwrap();
        assert!(page.calls.is_empty() && page.not_found.is_empty() && page.next.is_none());
    }
}

pub async fn ids_and_references_keep_their_order(ledger: Shared) {
    let id = request(0).id;
    let all = (0..3).map(|position| call(&id, position, Some(&format!("ref-{position}"))));
    let recorded = request_of(all.collect(), id);
    ledger.record(recorded.clone()).await.unwrap();
    let [zero, one, two] = &recorded.calls[..] else { panic!("three calls") };
    let nobody = CallId::generate();
    let by_id = Selector::Calls(vec![two.id, nobody, zero.id, one.id]);
    let page = ledger.page(&by_id, START, 2).await.unwrap();
    assert_eq!(page.next, Some(Position { entries: 3, within: None }));
    assert_eq!(page.not_found, [nobody.to_string()]);
    assert_eq!(calls(page), [two.clone(), zero.clone()]);

    let names = ["ref-1", "gone", "ref-2"].map(|text| text.parse().unwrap());
    let page = ledger.page(&Selector::References(names.into()), START, 9).await.unwrap();
    assert_eq!((page.next, &page.not_found), (None, &vec!["gone".to_owned()]));
    assert_eq!(calls(page), [one.clone(), two.clone()]);
}

pub async fn references_are_shared(ledger: Shared) {
    let mut recorded = Vec::new();
    for _ in 0..3 {
        let id = request(0).id;
        let two = vec![call(&id, 0, Some("monthly")), call(&id, 1, Some("Monthly"))];
        ledger.record(request_of(two.clone(), id)).await.unwrap();
        recorded.push(two[0].clone());
    }
    let selector = Selector::References(vec!["monthly".parse().unwrap()]);
    let page = ledger.page(&selector, START, 2).await.unwrap();
    let next = Position { entries: 0, within: Some(recorded[1].id) };
    assert_eq!(page.next, Some(next));
    assert_eq!(page.calls[0].1, Position { entries: 0, within: Some(recorded[0].id) });
    assert_eq!(calls(page), recorded[..2]);
    let page = ledger.page(&selector, next, 2).await.unwrap();
    assert_eq!(page.next, None);
    assert_eq!(page.calls[0].1, Position { entries: 1, within: None });
    assert_eq!(calls(page), recorded[2..]);
    // Right after the last one there is nothing, and nothing that was not found.
    let end = Position { entries: 0, within: Some(recorded[2].id) };
    let page = ledger.page(&selector, end, 2).await.unwrap();
    assert!(page.calls.is_empty() && page.not_found.is_empty() && page.next.is_none());
}

pub async fn open_calls_are_those_not_over(ledger: Shared) {
    let mut every = request(16);
    for (call, state) in every.calls.iter_mut().zip(CallState::ALL) {
        call.state = state;
    }
    every.calls.sort_by_key(|call| call.id);
    ledger.record(every.clone()).await.unwrap();
    let open = |states: &'static [CallState]| {
        let ledger = Arc::clone(&ledger);
        async move { ledger.open_calls(states, None, 100).await.unwrap() }
    };
    let with = |states: &[CallState]| -> Vec<_> {
        every.calls.iter().filter(|call| states.contains(&call.state)).cloned().collect()
    };
    for state in CallState::ALL.into_iter().filter(|state| !state.is_final()) {
        let found = ledger.open_calls(&[state], None, 100).await.unwrap();
        assert_eq!(found, with(&[state]));
    }
    let some = &[CallState::Unconfirmed, CallState::Scheduled, CallState::Unconfirmed];
    assert_eq!(open(some).await, with(some));
    assert_eq!(open(&[]).await, []);
    assert_eq!(open(&[CallState::Answered, CallState::Unknown]).await, []);

    // It leaves when it is over, and moves when it goes on.
    let scheduled = with(&[CallState::Scheduled])[0].id;
    ledger.observe(vec![news(scheduled, Observation::Dispatching, 1)]).await.unwrap();
    assert_eq!(open(&[CallState::Scheduled]).await, []);
    assert_eq!(open(&[CallState::Dispatching]).await.len(), 2);
    ledger.observe(vec![news(scheduled, reported(CallState::Busy), 2)]).await.unwrap();
    assert_eq!(open(&[CallState::Dispatching]).await.len(), 1);
}

pub async fn open_calls_come_in_pages(ledger: Shared) {
    let mut many = request(23);
    for (call, state) in many
        .calls
        .iter_mut()
        .zip([CallState::Scheduled, CallState::Accepted, CallState::Answered].into_iter().cycle())
    {
        call.state = state;
    }
    ledger.record(many.clone()).await.unwrap();
    let states = [CallState::Accepted, CallState::Scheduled];
    let mut expected: Vec<_> =
        many.calls.iter().filter(|call| !call.state.is_final()).map(|call| call.id).collect();
    expected.sort_unstable();
    for limit in [1, 2, 5, 16, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.open_calls(&states, after, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            found.extend(page.iter().map(|call| call.id));
        }
        assert_eq!(found, expected, "{limit} at a time");
    }
}

pub async fn reads_see_what_was_acknowledged(ledger: Shared) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                for _ in 0..8 {
                    let one = request(1);
                    ledger.record(one.clone()).await.unwrap();
                    assert_eq!(calls_of(&*ledger, &one.id).await, one.calls);
                    let dispatching = news(one.calls[0].id, Observation::Dispatching, 1);
                    let after = ledger.observe(vec![dispatching]).await.unwrap();
                    assert_eq!(calls_of(&*ledger, &one.id).await, after);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

pub async fn closes_for_good(ledger: Shared) {
    ledger.ready().await.unwrap();
    let one = request(1);
    ledger.record(one.clone()).await.unwrap();
    ledger.close().await;
    let id = one.calls[0].id;
    let closed = [
        ledger.ready().await,
        ledger.record(request(1)).await.map(drop),
        ledger.request(&one.id).await.map(drop),
        ledger.observe(vec![news(id, Observation::Dispatching, 1)]).await.map(drop),
        ledger.page(&Selector::Calls(vec![id]), START, 1).await.map(drop),
        ledger.open_calls(&[CallState::Scheduled], None, 1).await.map(drop),
        ledger.find("phonon-in", Vec::new()).await.map(drop),
        ledger.kept("phonon-in", Vec::new()).await.map(drop),
        ledger.forget(vec![1]).await,
        ledger.drop_kept(at(0)).await.map(drop),
        ledger.due("phonon-in", at(0), 1).await.map(drop),
        ledger.outbox(vec![id]).await.map(drop),
        ledger.remove_old(at(0), 1).await.map(drop),
        ledger.suppress(Vec::new()).await.map(drop),
        ledger.unsuppress(Vec::new()).await.map(drop),
        ledger.suppressed(Vec::new()).await.map(drop),
        ledger.suppressions(None, 1).await.map(drop),
        ledger.changes(&Selection::All, 0, 1).await.map(drop),
    ];
    for outcome in closed {
        assert!(matches!(outcome, Err(LedgerError::Closed)), "{outcome:?}");
    }
    ledger.close().await;
}
