//! Calls that wait, and who takes them up.

use dialplane::{
    call::{Call, CallState, Observation},
    ledger::{Held, LedgerError, NewRequest},
};
use jiff::Timestamp;

use crate::{
    contract::Shared,
    history::{ALL, follow},
    samples::{at, calls_of, news, request},
};

const VENDOR: &str = "phonon-in";

/// A time that is kept exactly.
fn time(second: i64) -> Timestamp {
    Timestamp::new(1_772_000_000 + second, 5_000_000).unwrap()
}

fn positions(held: &Held) -> Vec<u32> {
    held.calls.iter().map(|call| call.position).collect()
}

/// Calls that are held until these seconds; none is in somebody's hands.
fn held(seconds: &[Option<i64>]) -> NewRequest {
    let mut request = request(u32::try_from(seconds.len()).unwrap());
    for (call, second) in request.calls.iter_mut().zip(seconds) {
        call.held_until = second.map(time);
    }
    request
}

pub async fn what_waits_is_taken_up_in_its_order(ledger: Shared) {
    let mut recorded = held(&[Some(30), Some(10), None, Some(20), Some(10), Some(40)]);
    recorded.calls[5].vendor = "other".to_owned();
    ledger.record(recorded.clone()).await.unwrap();
    assert_eq!(calls_of(&*ledger, &recorded.id).await, recorded.calls, "it is a part of a call");

    let early = ledger.take_up(VENDOR, time(9), 10, 0).await.unwrap();
    assert_eq!((positions(&early), early.next), (vec![], Some(time(10))));
    let first = ledger.take_up(VENDOR, time(20), 1, 1).await.unwrap();
    assert_eq!((positions(&first), first.next), (vec![1], Some(time(10))), "it has come");
    assert_eq!(first.calls, [Call { held_until: None, ..recorded.calls[1].clone() }]);
    let newest = *ledger.newest().borrow();
    let some = ledger.take_up(VENDOR, time(20), 10, 2).await.unwrap();
    assert_eq!((positions(&some), some.next), (vec![4, 3], Some(time(30))));
    assert_eq!(*ledger.newest().borrow(), newest, "nobody sees it");
    let none = ledger.take_up(VENDOR, time(20), 10, 3).await.unwrap();
    assert_eq!((positions(&none), none.next), (vec![], Some(time(30))), "each once");
    let last = ledger.take_up(VENDOR, Timestamp::MAX, 10, 4).await.unwrap();
    assert_eq!((positions(&last), last.next), (vec![0], None), "what somebody has is not held");
    let other = ledger.take_up("other", time(99), 4, 5).await.unwrap();
    assert_eq!((positions(&other), other.next), (vec![5], None));
    let nobody = ledger.take_up("nobody", time(99), 4, 6).await.unwrap();
    assert_eq!((positions(&nobody), nobody.next), (vec![], None));
}

pub async fn who_took_up_something_gets_it_again_with_the_same_ticket(ledger: Shared) {
    let recorded = held(&[Some(10), Some(10), Some(10), Some(20)]);
    ledger.record(recorded.clone()).await.unwrap();
    let some = ledger.take_up(VENDOR, time(10), 2, 7).await.unwrap();
    assert_eq!(positions(&some), [0, 1]);
    // One of them is claimed meanwhile.
    ledger.claim(vec![recorded.calls[0].id], at(11), None).await.unwrap();
    let again = ledger.take_up(VENDOR, time(10), 2, 7).await.unwrap();
    assert_eq!((positions(&again), again.next), (vec![1, 2], Some(time(20))));
    let others = ledger.take_up(VENDOR, time(10), 9, 8).await.unwrap();
    assert_eq!((positions(&others), others.next), (vec![], Some(time(20))));
    // Whose ticket it is makes a difference.
    assert!(ledger.take_up("other", time(99), 9, 7).await.unwrap().calls.is_empty());
}

pub async fn a_start_lets_go_what_somebody_had(ledger: Shared) {
    let mut recorded = held(&[Some(10), None, None, Some(90), None, Some(10)]);
    recorded.calls[4].vendor = "other".to_owned();
    recorded.calls[5].vendor = "third".to_owned();
    ledger.record(recorded.clone()).await.unwrap();
    ledger.take_up(VENDOR, time(10), 9, 0).await.unwrap();
    assert_eq!(ledger.waited_for().await.unwrap(), ["other", VENDOR, "third"]);
    let mut gone = 0;
    loop {
        let some = ledger.let_go(time(50), 2).await.unwrap();
        gone += some;
        if some < 2 {
            break;
        }
    }
    assert_eq!(gone, 4);
    assert_eq!(ledger.let_go(time(60), 1).await.unwrap(), 0, "once");
    let early = ledger.take_up(VENDOR, time(49), 9, 1).await.unwrap();
    assert_eq!((positions(&early), early.next), (vec![], Some(time(50))));
    let some = ledger.take_up(VENDOR, time(50), 9, 2).await.unwrap();
    assert_eq!((positions(&some), some.next), (vec![0, 1, 2], Some(time(90))));
    assert_eq!(positions(&ledger.take_up("other", time(50), 9, 3).await.unwrap()), [4]);
    // What is not over for all that is waited for.
    ledger.claim(vec![recorded.calls[5].id], at(60), None).await.unwrap();
    assert_eq!(ledger.waited_for().await.unwrap(), ["other", VENDOR]);
}

pub async fn what_is_held_again_is_taken_up_again(ledger: Shared) {
    let recorded = held(&[None, Some(10)]);
    let (first, second) = (recorded.calls[0].id, recorded.calls[1].id);
    ledger.record(recorded.clone()).await.unwrap();
    // Finer than what is kept.
    let hold = |id, until, holds| vec![news(id, Observation::Held { until, holds }, 1)];
    let after = ledger.observe(hold(first, at(20), 0)).await.unwrap();
    let until = after[0].held_until.unwrap();
    assert!(at(20) <= until && until.duration_since(at(20)).as_millis() < 1);
    assert_eq!(
        (after[0].revision, calls_of(&*ledger, &recorded.id).await[0].clone()),
        (2, after[0].clone())
    );
    let early = ledger.take_up(VENDOR, at(20), 9, 0).await.unwrap();
    assert_eq!((positions(&early), early.next), (vec![1], Some(until)));
    // Said once more by who does not know whether it was kept: no news.
    assert_eq!(ledger.observe(hold(first, at(20), 0)).await.unwrap(), after);
    let claimed = ledger.claim(vec![first, second], at(21), None).await.unwrap();
    assert_eq!(claimed.mine.len(), 2, "who has its id may claim it, whatever it is held until");
    assert!(claimed.mine.iter().all(|call| call.held_until.is_none()));
    assert!(ledger.take_up(VENDOR, Timestamp::MAX, 9, 1).await.unwrap().calls.is_empty());
    // Back from there, and handed over it is not.
    let back = ledger.observe(hold(second, time(30), 0)).await.unwrap();
    assert_eq!((back[0].state, back[0].held_until), (CallState::Scheduled, Some(time(30))));
    let accepted = crate::samples::accepted("v-1");
    ledger.observe(vec![news(first, accepted, 2)]).await.unwrap();
    let late = ledger.observe(hold(first, time(30), 1)).await.unwrap();
    assert_eq!((late[0].state, late[0].held_until), (CallState::Accepted, None));
    let found = ledger.take_up(VENDOR, time(30), 9, 2).await.unwrap();
    assert_eq!(positions(&found), [1]);
    // Whoever follows sees until when, as it was at the time.
    let seen = follow(&*ledger, &ALL, 0, 99).await.changes;
    let of_first: Vec<_> =
        seen.iter().filter(|c| c.call.id == first).map(|c| c.call.held_until).collect();
    assert_eq!(of_first, [None, Some(until), None, None]);
    let nobody = Observation::Held { until: time(1), holds: 0 };
    let error = ledger.observe(vec![news(dialplane::call::CallId::generate(), nobody, 1)]).await;
    assert!(matches!(error, Err(LedgerError::NoSuchCall(_))));
}

pub async fn times_at_the_ends_of_time_are_times(ledger: Shared) {
    let mut recorded = held(&[None, None]);
    recorded.calls[0].held_until = Some(Timestamp::MIN);
    recorded.calls[1].held_until = Some(Timestamp::MAX);
    ledger.record(recorded).await.unwrap();
    let some = ledger.take_up(VENDOR, time(0), 9, u32::MAX).await.unwrap();
    assert_eq!(positions(&some), [0]);
    let last = ledger.take_up(VENDOR, Timestamp::MAX, 9, 0).await.unwrap();
    assert_eq!(positions(&last), [1]);
}

pub async fn who_is_not_there_keeps_nobody_from_being_claimed(ledger: Shared) {
    let request = held(&[None, None, None]);
    ledger.record(request.clone()).await.unwrap();
    let ids: Vec<_> = request.calls.iter().map(|call| call.id).collect();
    let nobody = dialplane::call::CallId::generate();
    let claim = ledger.claim(vec![nobody, ids[0]], at(1), None).await.unwrap();
    assert_eq!((claim.mine.len(), claim.others.len(), claim.left.len()), (1, 0, 0));
    assert_eq!(claim.mine[0].id, ids[0]);
    // What was written for all of them is not written for some.
    let entry = crate::outbox::entry(&request.calls[1..], "to both");
    let claim = ledger.claim(vec![ids[1], nobody, ids[2]], at(1), Some(entry)).await.unwrap();
    let left: Vec<_> = claim.left.iter().map(|call| (call.id, call.state)).collect();
    assert_eq!(left, [(ids[1], CallState::Scheduled), (ids[2], CallState::Scheduled)]);
    assert!(claim.mine.is_empty() && ledger.outbox(ids).await.unwrap().is_empty());
}
