//! Paging against a naive model: with any page size, from any call on, the pages put
//! together are the whole answer.

use std::collections::BTreeSet;

use dialplane::{
    call::{Call, CallId, Position, Selector},
    ledger::{Ledger, NewRequest},
};
use proptest::{prelude::*, sample::Index};

use crate::samples::{START, call, request, request_of};

/// Requests whose calls have a reference out of a few, or none.
pub fn any_requests() -> impl Strategy<Value = Vec<NewRequest>> {
    let reference = prop::option::of("[a-d]");
    prop::collection::vec(prop::collection::vec(reference, 0..7), 0..5).prop_map(|requests| {
        requests
            .into_iter()
            .map(|references| {
                let id = request(0).id;
                let calls = (0..)
                    .zip(references)
                    .map(|(position, reference)| call(&id, position, reference.as_deref()))
                    .collect();
                request_of(calls, id)
            })
            .collect()
    })
}

/// What of the recorded calls, and of what was not recorded, is asked for.
pub fn any_question() -> impl Strategy<Value = Question> {
    prop_oneof![
        prop::collection::vec(prop::option::weighted(0.7, any::<Index>()), 0..12)
            .prop_map(Question::Calls),
        prop::option::weighted(0.8, any::<Index>()).prop_map(Question::Request),
        Just(["a", "b", "c", "d", "none", "nobody"].to_vec())
            .prop_shuffle()
            .prop_flat_map(|all| prop::sample::subsequence(all, 0..6).prop_shuffle())
            .prop_map(Question::References),
    ]
}

#[derive(Debug, Clone)]
pub enum Question {
    /// None is an id nobody has.
    Calls(Vec<Option<Index>>),
    Request(Option<Index>),
    References(Vec<&'static str>),
}

impl Question {
    fn selector(&self, requests: &[NewRequest]) -> Selector {
        let all: Vec<&Call> = requests.iter().flat_map(|request| &request.calls).collect();
        match self {
            Self::Calls(picks) => {
                let mut seen = BTreeSet::new();
                let pick = |pick: &Option<Index>| match pick {
                    Some(index) if !all.is_empty() => index.get(&all).id,
                    _ => CallId::generate(),
                };
                Selector::Calls(picks.iter().map(pick).filter(|id| seen.insert(*id)).collect())
            }
            Self::Request(Some(index)) if !requests.is_empty() => {
                Selector::Request(index.get(requests).id.clone())
            }
            Self::Request(_) => Selector::Request(request(0).id),
            Self::References(names) => {
                Selector::References(names.iter().map(|name| name.parse().unwrap()).collect())
            }
        }
    }
}

/// One thing the answer tells, in its order.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Call(CallId),
    Missing(String),
}

/// The whole answer, found by looking at every call.
fn model(requests: &[NewRequest], selector: &Selector) -> Vec<Told> {
    let all: Vec<&Call> = requests.iter().flat_map(|request| &request.calls).collect();
    let found = |mut calls: Vec<&Call>, name: String, sort: bool| {
        if calls.is_empty() {
            return vec![Told::Missing(name)];
        }
        if sort {
            calls.sort_by_key(|call| call.id);
        }
        calls.into_iter().map(|call| Told::Call(call.id)).collect()
    };
    match selector {
        Selector::Calls(ids) => ids
            .iter()
            .flat_map(|id| {
                let calls = all.iter().copied().filter(|call| call.id == *id).collect();
                found(calls, id.to_string(), false)
            })
            .collect(),
        Selector::Request(id) => match requests.iter().find(|request| request.id == *id) {
            Some(request) => request.calls.iter().map(|call| Told::Call(call.id)).collect(),
            None => vec![Told::Missing(id.to_string())],
        },
        Selector::References(names) => names
            .iter()
            .flat_map(|name| {
                let has = |call: &&Call| call.order.client_reference.as_ref() == Some(name);
                found(all.iter().copied().filter(has).collect(), name.as_str().to_owned(), true)
            })
            .collect(),
    }
}

fn split(told: &[Told]) -> (Vec<CallId>, Vec<String>) {
    let (mut calls, mut missing) = (Vec::new(), Vec::new());
    for told in told {
        match told {
            Told::Call(id) => calls.push(*id),
            Told::Missing(name) => missing.push(name.clone()),
        }
    }
    (calls, missing)
}

/// Follows the pages to the end, checking each on the way.
async fn follow(
    ledger: &dyn Ledger,
    selector: &Selector,
    start: Position,
    limit: usize,
) -> (Vec<(CallId, Position)>, Vec<String>) {
    let (mut calls, mut missing) = (Vec::new(), Vec::new());
    let mut after = start;
    loop {
        let page = ledger.page(selector, after, limit).await.unwrap();
        assert!(page.calls.len() <= limit.max(1));
        if page.next.is_some() {
            assert_eq!(page.calls.len(), limit.max(1), "a page that is not the last is full");
        }
        calls.extend(page.calls.iter().map(|(call, position)| (call.id, *position)));
        missing.extend(page.not_found);
        match page.next {
            Some(next) => after = next,
            None => return (calls, missing),
        }
    }
}

/// Records everything and asks with every page size, and from every call on.
pub async fn every_page_size(ledger: &dyn Ledger, requests: &[NewRequest], questions: &[Question]) {
    for request in requests {
        ledger.record(request.clone()).await.unwrap();
    }
    for question in questions {
        let selector = question.selector(requests);
        let whole = model(requests, &selector);
        let (expected, missing) = split(&whole);
        for limit in 0..=expected.len() + 1 {
            let (calls, not_found) = follow(ledger, &selector, START, limit).await;
            let ids: Vec<_> = calls.iter().map(|(id, _)| *id).collect();
            assert_eq!((&ids, &not_found), (&expected, &missing), "{limit} at a time");
            if limit == 1 {
                for (id, position) in calls {
                    let rest = whole.iter().position(|told| *told == Told::Call(id)).unwrap() + 1;
                    let (calls, not_found) = follow(ledger, &selector, position, 2).await;
                    let ids: Vec<_> = calls.into_iter().map(|(id, _)| id).collect();
                    assert_eq!((ids, not_found), split(&whole[rest..]), "after {id}");
                }
            }
        }
    }
}
