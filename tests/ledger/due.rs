//! When calls are looked at again.

use dialplane::{
    call::{Call, CallState, Observation},
    ledger::{Due, News},
};
use jiff::Timestamp;

use crate::{
    contract::Shared,
    history::{ALL, follow},
    samples::{accepted, at, calls_of, news, reported, request},
};

const VENDOR: &str = "phonon-in";

/// A time that is kept exactly.
fn time(second: i64) -> Timestamp {
    Timestamp::new(1_772_000_000 + second, 5_000_000).unwrap()
}

fn again(call: &Call, observation: Observation, second: i64) -> News {
    News { due: Some(time(second)), ..news(call.id, observation, 1) }
}

fn ids(due: &Due) -> Vec<u32> {
    due.calls.iter().map(|call| call.position).collect()
}

pub async fn what_is_due_comes_in_its_order(ledger: Shared) {
    let mut recorded = request(6);
    let times = [Some(30), Some(10), None, Some(20), Some(10), Some(40)];
    for (call, second) in recorded.calls.iter_mut().zip(times) {
        call.due = second.map(time);
    }
    recorded.calls[5].vendor = "other".to_owned();
    ledger.record(recorded.clone()).await.unwrap();
    assert_eq!(calls_of(&*ledger, &recorded.id).await, recorded.calls, "it is a part of a call");

    let early = ledger.due(VENDOR, time(9), 10).await.unwrap();
    assert_eq!((ids(&early), early.next), (vec![], Some(time(10))));
    let some = ledger.due(VENDOR, time(20), 10).await.unwrap();
    assert_eq!((ids(&some), some.next), (vec![1, 4, 3], Some(time(30))));
    assert_eq!(some.calls[0], recorded.calls[1]);
    let first = ledger.due(VENDOR, time(20), 1).await.unwrap();
    assert_eq!((ids(&first), first.next), (vec![1], Some(time(10))), "it has come");
    let none = ledger.due(VENDOR, time(20), 0).await.unwrap();
    assert_eq!((ids(&none), none.next), (vec![], Some(time(10))));
    let all = ledger.due(VENDOR, time(99), 4).await.unwrap();
    assert_eq!((ids(&all), all.next), (vec![1, 4, 3, 0], None));
    let other = ledger.due("other", time(99), 4).await.unwrap();
    assert_eq!((ids(&other), other.next), (vec![5], None));
    let nobody = ledger.due("nobody", time(99), 4).await.unwrap();
    assert_eq!((ids(&nobody), nobody.next), (vec![], None));
}

pub async fn news_says_when_to_look_again(ledger: Shared) {
    let recorded = request(2);
    let call = &recorded.calls[0];
    ledger.record(recorded.clone()).await.unwrap();
    assert_eq!(ledger.due(VENDOR, Timestamp::MAX, 9).await.unwrap().calls, []);

    let after = ledger.observe(vec![again(call, accepted("v-1"), 10)]).await.unwrap();
    assert_eq!(after[0].due, Some(time(10)));
    assert_eq!(ledger.due(VENDOR, time(10), 9).await.unwrap().calls, after);
    // Nothing else is news: no change that anybody sees.
    let newest = *ledger.newest().borrow();
    let moved = ledger.observe(vec![again(call, accepted("v-1"), 20)]).await.unwrap();
    assert_eq!((moved[0].due, moved[0].revision), (Some(time(20)), after[0].revision));
    assert_eq!(*ledger.newest().borrow(), newest);
    assert_eq!(follow(&*ledger, &ALL, 0, 9).await.changes.len(), 3);
    let due = ledger.due(VENDOR, time(19), 9).await.unwrap();
    assert_eq!((due.calls.len(), due.next), (0, Some(time(20))));
    // News without a time leaves it.
    let ringing = news(call.id, reported(CallState::Ringing), 2);
    assert_eq!(ledger.observe(vec![ringing]).await.unwrap()[0].due, Some(time(20)));
    assert_eq!(ledger.due(VENDOR, time(20), 9).await.unwrap().calls.len(), 1);
    // Over is over, whatever it says.
    let busy = ledger.observe(vec![again(call, reported(CallState::Busy), 30)]).await.unwrap();
    assert_eq!(busy[0].due, None);
    ledger.observe(vec![again(call, reported(CallState::Answered), 40)]).await.unwrap();
    let due = ledger.due(VENDOR, Timestamp::MAX, 9).await.unwrap();
    assert_eq!((due.calls.len(), due.next), (0, None));
    let mut over = request(1);
    (over.calls[0].state, over.calls[0].due) = (CallState::Answered, Some(time(0)));
    ledger.record(over).await.unwrap();
    assert_eq!(ledger.due(VENDOR, Timestamp::MAX, 9).await.unwrap().calls, []);
}

pub async fn nothing_is_due_too_early(ledger: Shared) {
    let recorded = request(1);
    ledger.record(recorded.clone()).await.unwrap();
    // Finer than what is kept.
    let due = at(10);
    let news = News { due: Some(due), ..news(recorded.calls[0].id, accepted("v-1"), 1) };
    let after = ledger.observe(vec![news.clone()]).await.unwrap();
    let kept = after[0].due.unwrap();
    assert!(due <= kept && kept.duration_since(due).as_millis() < 1);
    assert_eq!(calls_of(&*ledger, &recorded.id).await, after);
    assert_eq!(ledger.observe(vec![news]).await.unwrap(), after);
    let early = ledger.due(VENDOR, due, 9).await.unwrap();
    assert_eq!((early.calls.len(), early.next), (0, Some(kept)));
    assert_eq!(ledger.due(VENDOR, kept, 9).await.unwrap().calls, after);
}
