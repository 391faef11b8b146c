//! Vendors' ids of calls, and news of calls that have none yet.

use std::sync::Arc;

use dialplane::{
    call::Call,
    ledger::{Kept, Ledger, Stray},
};
use serde_json::{Value, json};

use crate::{
    contract::Shared,
    samples::{accepted, at, news, request},
};

const VENDOR: &str = "phonon-in";

fn stray(ids: &[&str], said: Value, second: i64) -> Stray {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    Stray { vendor: VENDOR.to_owned(), ids, said, at: at(second) }
}

async fn kept(ledger: &dyn Ledger, ids: &[&str]) -> Vec<Kept> {
    ledger.kept(VENDOR, ids.iter().map(|id| (*id).to_owned()).collect()).await.unwrap()
}

async fn said(ledger: &dyn Ledger, ids: &[&str]) -> Vec<Value> {
    kept(ledger, ids).await.into_iter().map(|kept| kept.said).collect()
}

pub async fn calls_are_found_by_their_vendors_ids(ledger: Shared) {
    let mut recorded = request(4);
    for (call, id) in recorded.calls.iter_mut().zip(["v-1", "v-2", "V-2", "v-1"]) {
        call.vendor_call_id = Some(id.to_owned());
    }
    recorded.calls[3].vendor = "other".to_owned();
    ledger.record(recorded.clone()).await.unwrap();
    let [one, two, capital, other] = &recorded.calls[..] else { panic!("four calls") };
    let lists = |lists: &[&[&str]]| {
        let owned = |list: &&[&str]| list.iter().map(|id| (*id).to_owned()).collect();
        lists.iter().map(owned).collect::<Vec<Vec<String>>>()
    };
    let asked =
        lists(&[&["v-1"], &["none"], &["V-2", "v-2"], &["v-2", "none"], &[], &["v-2", "V-2"]]);
    let found = ledger.find(VENDOR, asked).await.unwrap();
    let expected = [Some(one), None, Some(capital), Some(two), None, Some(capital)];
    assert_eq!(found, expected.map(Option::<&Call>::cloned));
    let found = ledger.find("other", lists(&[&["v-1"], &["v-2"]])).await.unwrap();
    assert_eq!(found, [Some(other.clone()), None]);
    assert_eq!(ledger.find(VENDOR, Vec::new()).await.unwrap(), []);

    // The newest of several, and as soon as it has the id.
    let later = request(1);
    ledger.record(later.clone()).await.unwrap();
    let after = ledger.observe(vec![news(later.calls[0].id, accepted("v-1"), 1)]).await.unwrap();
    let found = ledger.find(VENDOR, lists(&[&["v-1"], &["v-2", "v-1"]])).await.unwrap();
    assert_eq!(found, [Some(after[0].clone()), Some(after[0].clone())]);
}

pub async fn news_is_kept_until_it_is_dealt_with(ledger: Shared) {
    assert_eq!(kept(&*ledger, &["v-1"]).await, []);
    assert_eq!(ledger.keep(Vec::new()).await.unwrap(), []);
    ledger.forget(Vec::new()).await.unwrap();
    let odd = json!({"big": u64::MAX, "tiny": 5e-324, "text": "\"\n\0ü", "list": [null]});
    let strays = vec![
        stray(&["v-1", "V-1"], odd.clone(), 1),
        stray(&["V-1"], json!(2), 0),
        stray(&["v-2"], json!(3), 3),
    ];
    assert_eq!(ledger.keep(strays).await.unwrap(), [None, None, None]);
    ledger.keep(vec![stray(&["v-1"], json!(4), 4)]).await.unwrap();
    // Kept under the first of its ids, in the order in which it was kept.
    assert_eq!(said(&*ledger, &["V-1"]).await, [json!(2)]);
    assert_eq!(said(&*ledger, &["V-1", "v-1"]).await, [odd, json!(2), json!(4)]);
    let all = kept(&*ledger, &["v-1", "V-1", "v-1"]).await;
    assert_eq!(all.iter().map(|kept| kept.at).collect::<Vec<_>>(), [at(1), at(0), at(4)]);
    assert_eq!(ledger.kept("other", vec!["v-1".to_owned()]).await.unwrap(), []);

    ledger.forget(vec![all[0].key, all[1].key, i64::MAX]).await.unwrap();
    assert_eq!(said(&*ledger, &["V-1", "v-1"]).await, [json!(4)]);
    ledger.forget(vec![all[0].key, all[2].key]).await.unwrap();
    // A place is not given again: whoever forgets twice forgets nobody else's.
    ledger.keep(vec![stray(&["v-9"], json!(9), 9)]).await.unwrap();
    ledger.forget(all.iter().map(|kept| kept.key).collect()).await.unwrap();
    assert_eq!(said(&*ledger, &["v-9"]).await, [json!(9)]);
    assert_eq!(said(&*ledger, &["v-2"]).await, [json!(3)]);
}

pub async fn what_is_known_by_now_is_not_kept(ledger: Shared) {
    let recorded = request(1);
    ledger.record(recorded.clone()).await.unwrap();
    let call = ledger.observe(vec![news(recorded.calls[0].id, accepted("v-1"), 1)]).await.unwrap();
    let strays = vec![stray(&["V-1", "v-1"], json!(1), 1), stray(&["v-2"], json!(2), 2)];
    assert_eq!(ledger.keep(strays).await.unwrap(), [Some(call[0].clone()), None]);
    assert_eq!(said(&*ledger, &["V-1", "v-1"]).await, [] as [Value; 0]);
    assert_eq!(said(&*ledger, &["v-2"]).await, [json!(2)]);
}

/// A push and the vendor's answer at the same time: either the push finds the call, or
/// who wrote the answer down finds the push.
pub async fn no_news_falls_between_two_stools(ledger: Shared) {
    let tasks: Vec<_> = (0..64)
        .map(|index| {
            let (answer, push) = (Arc::clone(&ledger), Arc::clone(&ledger));
            let id = format!("v-{index}");
            let strays = vec![stray(&[&id], json!(index), 1)];
            tokio::spawn(async move {
                let recorded = request(1);
                answer.record(recorded.clone()).await.unwrap();
                let answer = tokio::spawn(async move {
                    let accepted = news(recorded.calls[0].id, accepted(&id), 1);
                    answer.observe(vec![accepted]).await.unwrap();
                    answer.kept(VENDOR, vec![id]).await.unwrap().len()
                });
                let push = tokio::spawn(async move { push.keep(strays).await.unwrap() });
                let (found_push, found_call) = (answer.await.unwrap(), push.await.unwrap());
                assert_eq!(found_push, usize::from(found_call[0].is_none()));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

pub async fn old_news_is_dropped_and_counted(ledger: Shared) {
    assert_eq!(ledger.drop_kept(at(100)).await.unwrap(), 0);
    let strays = (0..5).map(|second| stray(&["v-1"], json!(second), second));
    ledger.keep(strays.collect()).await.unwrap();
    assert_eq!(ledger.drop_kept(at(2)).await.unwrap(), 2);
    assert_eq!(said(&*ledger, &["v-1"]).await, [json!(2), json!(3), json!(4)]);
    assert_eq!(ledger.drop_kept(at(2)).await.unwrap(), 0);
    // What can't be kept at all: nobody's, or far too long.
    let long = json!("x".repeat(1 << 20));
    let hopeless = vec![stray(&[], json!(0), 9), stray(&["v-1"], long, 9)];
    assert_eq!(ledger.keep(hopeless).await.unwrap(), [None, None]);
    assert_eq!(said(&*ledger, &["v-1"]).await.len(), 3);
    assert_eq!(ledger.drop_kept(at(3)).await.unwrap(), 3);
    assert_eq!(ledger.drop_kept(at(100)).await.unwrap(), 2);
    assert_eq!(kept(&*ledger, &["v-1"]).await, []);
}
