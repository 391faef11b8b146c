//! What is sent to vendors is kept from before it is sent until it is not needed any more.

use dialplane::{
    call::{Call, CallError, CallId, CallState, Cause, Dialed, Fallback, Observation},
    ledger::{Ledger, NewRequest, OutboxEntry, Recorded},
};

use crate::{
    contract::Shared,
    samples::{accepted, at, calls_of, news, reported, request},
};

pub fn entry(calls: &[Call], letter: &str) -> OutboxEntry {
    OutboxEntry {
        vendor: "phonon-in".to_owned(),
        calls: ids(calls),
        written: at(1),
        letter: letter.as_bytes().to_vec(),
    }
}

fn ids(calls: &[Call]) -> Vec<CallId> {
    calls.iter().map(|call| call.id).collect()
}

/// A request whose calls are dispatching, in entries of so many calls each.
pub fn dispatching(calls: u32, together: usize) -> NewRequest {
    let mut request = request(calls);
    for call in &mut request.calls {
        call.state = CallState::Dispatching;
    }
    let parts = request.calls.chunks(together).enumerate();
    request.outbox = parts.map(|(i, part)| entry(part, &format!("letter {i}"))).collect();
    request
}

/// The entries of some calls.
async fn outbox(ledger: &dyn Ledger, calls: &[Call]) -> Vec<OutboxEntry> {
    ledger.outbox(ids(calls)).await.unwrap()
}

fn in_doubt() -> Observation {
    Observation::Failed(CallError::new(Cause::InDoubt, "VENDOR_ANSWER_LOST", "it is"))
}

fn refused() -> Observation {
    Observation::Failed(CallError::new(Cause::NotFound, "UNKNOWN_FLOW", "there is no flow f"))
}

pub async fn an_entry_is_kept_with_its_request(ledger: Shared) {
    let mut sent = dispatching(5, 2);
    sent.outbox[1].letter = vec![0, 255, b'"', 10];
    sent.outbox[2].vendor = "knovvu".to_owned();
    let mut waiting = request(1);
    waiting.outbox = Vec::new();
    assert_eq!(ledger.record(sent.clone()).await.unwrap(), Recorded::New);
    ledger.record(waiting.clone()).await.unwrap();
    assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox);
    assert_eq!(calls_of(&*ledger, &sent.id).await, sent.calls, "nobody sees it in a call");
    // In the order of the calls asked for, each once.
    let order = [&sent.calls[4], &sent.calls[1], &waiting.calls[0], &sent.calls[0], &sent.calls[4]];
    let found = ledger.outbox(order.map(|call| call.id).to_vec()).await.unwrap();
    assert_eq!(found, [sent.outbox[2].clone(), sent.outbox[0].clone()]);
    assert_eq!(outbox(&*ledger, &waiting.calls).await, []);
    assert_eq!(ledger.outbox(vec![CallId::generate()]).await.unwrap(), []);
    assert_eq!(ledger.outbox(Vec::new()).await.unwrap(), []);
}

pub async fn an_entry_is_kept_with_a_claim(ledger: Shared) {
    let recorded = request(3);
    ledger.record(recorded.clone()).await.unwrap();
    let entry = entry(&recorded.calls[..2], "letter");
    let claim = ledger.claim(entry.calls.clone(), at(2), Some(entry.clone())).await.unwrap();
    assert_eq!(
        (ids(&claim.mine), claim.others.len(), claim.left.len()),
        (entry.calls.clone(), 0, 0)
    );
    assert!(claim.mine.iter().all(|c| (c.state, c.revision) == (CallState::Dispatching, 2)));
    assert_eq!(calls_of(&*ledger, &recorded.id).await[..2], claim.mine);
    assert_eq!(outbox(&*ledger, &recorded.calls).await, [entry]);
    let alone = ledger.claim(vec![recorded.calls[2].id], at(2), None).await.unwrap();
    assert_eq!(alone.mine.len(), 1);
    assert_eq!(outbox(&*ledger, &alone.mine).await, []);
}

pub async fn a_claim_with_an_entry_is_all_or_none(ledger: Shared) {
    let mut recorded = request(5);
    std::sync::Arc::make_mut(&mut recorded.calls[1].order).expire_time = Some(at(5));
    recorded.calls[3].state = CallState::Dispatching;
    ledger.record(recorded.clone()).await.unwrap();
    let whole = entry(&recorded.calls, "whole");
    let claim = ledger.claim(whole.calls.clone(), at(5), Some(whole.clone())).await.unwrap();
    assert!(claim.mine.is_empty());
    let others: Vec<_> = claim.others.iter().map(|call| (call.id, call.state)).collect();
    let [_, expired, _, taken, _] = &ids(&recorded.calls)[..] else { panic!("five") };
    assert_eq!(others, [(*expired, CallState::Expired), (*taken, CallState::Dispatching)]);
    let left = [0, 2, 4].map(|i| recorded.calls[i].clone());
    assert_eq!(claim.left, left, "as they were");
    assert_eq!(outbox(&*ledger, &recorded.calls).await, []);
    let after = calls_of(&*ledger, &recorded.id).await;
    assert_eq!([0, 2, 4].map(|i| after[i].clone()), left);
    assert_eq!(after[1].state, CallState::Expired);

    let rest = entry(&claim.left, "rest");
    let claim = ledger.claim(rest.calls.clone(), at(6), Some(rest.clone())).await.unwrap();
    assert_eq!(ids(&claim.mine), rest.calls);
    assert_eq!((claim.others.len(), claim.left.len()), (0, 0));
    let kept = outbox(&*ledger, &recorded.calls).await;
    assert_eq!(kept, std::slice::from_ref(&rest));
    // Nobody else gets them, and the entry stays that of who has them.
    let again = ledger.claim(rest.calls.clone(), at(7), Some(whole)).await.unwrap();
    assert_eq!((again.mine.len(), again.others.len(), again.left.len()), (0, 3, 0));
    assert_eq!(outbox(&*ledger, &recorded.calls).await, [rest]);
}

pub async fn an_entry_goes_when_its_last_call_leaves(ledger: Shared) {
    let mut moves_on = dispatching(1, 1);
    moves_on.calls[0].fallbacks =
        vec![Fallback { vendor: "knovvu".to_owned(), caller_id: None, redials: false }];
    ledger.record(moves_on.clone()).await.unwrap();
    let error = CallError { dialed: Dialed::No, ..CallError::new(Cause::Unreachable, "X", "x") };
    let failed_over = Observation::FailedOver { error, to: "knovvu".to_owned() };
    // Each of these ends the need for one call.
    let ends = [
        accepted("v-1"),
        refused(),
        reported(CallState::Answered),
        reported(CallState::Canceled),
        reported(CallState::Ringing),
        Observation::PutBack,
    ];
    let sent = dispatching(7, 7);
    ledger.record(sent.clone()).await.unwrap();
    for (call, end) in sent.calls.iter().zip(ends) {
        ledger.observe(vec![news(call.id, end, 3)]).await.unwrap();
        assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox, "one still needs it");
        assert_eq!(outbox(&*ledger, std::slice::from_ref(call)).await, []);
    }
    let last = &sent.calls[6];
    let doubtful = ledger.observe(vec![news(last.id, in_doubt(), 3)]).await.unwrap();
    assert_eq!(doubtful[0].state, CallState::Unconfirmed);
    assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox, "doubt is what it is for");
    ledger.observe(vec![news(last.id, reported(CallState::Unknown), 4)]).await.unwrap();
    assert_eq!(outbox(&*ledger, &sent.calls).await, []);

    // One that moves on to another vendor goes with another letter.
    let after = ledger.observe(vec![news(moves_on.calls[0].id, failed_over, 3)]).await.unwrap();
    assert_eq!((after[0].state, &*after[0].vendor), (CallState::Scheduled, "knovvu"));
    assert_eq!(outbox(&*ledger, &moves_on.calls).await, []);
    let other = OutboxEntry { vendor: "knovvu".to_owned(), ..entry(&moves_on.calls, "other") };
    ledger.claim(other.calls.clone(), at(4), Some(other.clone())).await.unwrap();
    assert_eq!(outbox(&*ledger, &moves_on.calls).await, [other]);
}

pub async fn news_that_changes_nothing_leaves_entries_alone(ledger: Shared) {
    let sent = dispatching(4, 2);
    ledger.record(sent.clone()).await.unwrap();
    let [first, second, third, _] = &ids(&sent.calls)[..] else { panic!("four") };
    // More than once, and more than one piece of one call at a time.
    for _ in 0..3 {
        let nothing = vec![
            news(*first, Observation::Dispatching, 2),
            news(*second, accepted("v-2"), 2),
            news(*second, accepted("v-2"), 2),
            news(*second, reported(CallState::Ringing), 3),
        ];
        ledger.observe(nothing).await.unwrap();
        assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox);
    }
    // Learned, but still being handed over.
    let due = dialplane::ledger::News {
        due: Some(at(9)),
        ..news(*third, reported(CallState::Scheduled), 2)
    };
    ledger.observe(vec![due]).await.unwrap();
    assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox);
    // What is not applied takes nothing away.
    let nobody = CallId::generate();
    let both = vec![news(*first, accepted("v-1"), 4), news(nobody, accepted("v-9"), 4)];
    ledger.observe(both).await.unwrap_err();
    assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox);
    ledger.observe(vec![news(*first, accepted("v-1"), 4)]).await.unwrap();
    assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox[1..]);
}

pub async fn a_request_that_is_not_recorded_keeps_no_entry(ledger: Shared) {
    let first = dispatching(1, 1);
    ledger.record(first.clone()).await.unwrap();
    let mut again = dispatching(2, 1);
    again.id = first.id.clone();
    assert!(matches!(ledger.record(again.clone()).await.unwrap(), Recorded::Before(_)));
    assert_eq!(outbox(&*ledger, &again.calls).await, []);
    assert_eq!(outbox(&*ledger, &first.calls).await, first.outbox);
    let mut clash = dispatching(2, 1);
    clash.calls[1].id = first.calls[0].id;
    ledger.record(clash.clone()).await.unwrap_err();
    assert_eq!(outbox(&*ledger, &clash.calls).await, first.outbox);
    // All that was kept goes with the one call there is.
    ledger.observe(vec![news(first.calls[0].id, accepted("v-1"), 2)]).await.unwrap();
    assert_eq!(outbox(&*ledger, &first.calls).await, []);
}

pub async fn an_entry_of_many_calls_is_one(ledger: Shared) {
    let mut sent = dispatching(500, 500);
    sent.outbox[0].letter = vec![b'x'; 1_000_000];
    ledger.record(sent.clone()).await.unwrap();
    assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox);
    let waiting = request(500);
    ledger.record(waiting.clone()).await.unwrap();
    let claimed = entry(&waiting.calls, "claimed");
    let claim = ledger.claim(claimed.calls.clone(), at(2), Some(claimed.clone())).await.unwrap();
    assert_eq!(claim.mine.len(), 500);
    let both = [&sent.calls[..], &waiting.calls[..]].concat();
    assert_eq!(outbox(&*ledger, &both).await, [sent.outbox[0].clone(), claimed]);
    let all = both.iter().skip(1).map(|call| news(call.id, accepted("v-1"), 3)).collect();
    ledger.observe(all).await.unwrap();
    assert_eq!(outbox(&*ledger, &both).await, sent.outbox, "the first still needs it");
    ledger.observe(vec![news(both[0].id, refused(), 3)]).await.unwrap();
    assert_eq!(outbox(&*ledger, &both).await, []);
}

pub async fn entries_are_kept_for_what_is_about_to_be_sent_only(ledger: Shared) {
    // Of others, or of the same once more, an entry would wait for ever.
    let mut sent = dispatching(3, 3);
    sent.calls[1].state = CallState::Scheduled;
    sent.calls[2].state = CallState::Failed;
    sent.outbox[0].calls.push(CallId::generate());
    sent.outbox[0].calls.push(sent.calls[0].id);
    sent.outbox.push(entry(&sent.calls[1..], "of nobody"));
    ledger.record(sent.clone()).await.unwrap();
    assert_eq!(outbox(&*ledger, &sent.calls).await, sent.outbox[..1]);
    assert_eq!(outbox(&*ledger, &sent.calls[1..]).await, []);
    ledger.observe(vec![news(sent.calls[0].id, accepted("v-1"), 2)]).await.unwrap();

    let other = dispatching(1, 1);
    ledger.record(other.clone()).await.unwrap();
    let both = entry(&[&sent.calls[1..2], &other.calls[..]].concat(), "both");
    let claim = ledger.claim(vec![sent.calls[1].id], at(3), Some(both.clone())).await.unwrap();
    assert_eq!(claim.mine.len(), 1);
    assert_eq!(outbox(&*ledger, &sent.calls).await, [both]);
    assert_eq!(outbox(&*ledger, &other.calls).await, other.outbox, "it is not taken over");
    ledger.observe(vec![news(sent.calls[1].id, accepted("v-2"), 4)]).await.unwrap();
    assert_eq!(outbox(&*ledger, &sent.calls).await, []);
}

pub async fn a_call_named_twice_is_claimed_once(ledger: Shared) {
    let recorded = request(2);
    ledger.record(recorded.clone()).await.unwrap();
    let [first, second] = [recorded.calls[0].id, recorded.calls[1].id];
    let claim = ledger.claim(vec![first, second, first], at(2), None).await.unwrap();
    assert_eq!(ids(&claim.mine), [first, second]);
    assert_eq!((claim.others.len(), claim.left.len()), (0, 0));
}
