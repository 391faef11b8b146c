//! Orders become requests: each call once, at the right address, without a leak.

use std::collections::{HashMap, HashSet};

use dialplane::http::{Body, HttpRequest};
use proptest::prelude::*;

use crate::{
    bodies::cases,
    subjects::{BASE, SECRET, SUBJECTS, Subject, at, context, number, orders, outgoing},
};

/// The request goes where the operator said, and shows nothing of what is in it.
pub fn assert_sendable(subject: &Subject, request: &HttpRequest) {
    let (name, base) = (subject.name, url::Url::parse(BASE).unwrap());
    assert_eq!(request.url.origin(), base.origin(), "{name}");
    assert!(request.url.path().starts_with(&format!("{}/", base.path())), "{name} {}", request.url);
    assert!(request.url.username().is_empty() && request.url.password().is_none(), "{name}");
    assert!(!request.url.as_str().contains(SECRET), "{name}: addresses are logged on the way");
    let shown = format!("{request:?} {:?}", request.headers);
    // Longer than any count of bytes.
    assert!(!shown.contains(SECRET) && !shown.contains("91990000"), "{name}: {shown}");
}

/// Runs of digits as long as a number.
fn numbers_in(body: &Body) -> HashSet<String> {
    let text = String::from_utf8_lossy(body.bytes());
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| run.len() == 12).map(str::to_owned).collect()
}

fn assert_partition(subject: &Subject, count: usize, batches: &[Vec<usize>]) {
    let max = subject.vendor.capabilities().max_batch;
    let mut seen = vec![0; count];
    for batch in batches {
        assert!((1..=max).contains(&batch.len()), "{}: {} calls", subject.name, batch.len());
        batch.iter().for_each(|index| seen[*index] += 1);
    }
    assert!(seen.iter().all(|times| *times == 1), "{}: {seen:?}", subject.name);
}

#[test]
fn each_call_is_in_one_request_however_many_there_are() {
    for subject in SUBJECTS.iter() {
        for count in [0, 1, 1_203] {
            let orders = orders(count);
            let outgoing = outgoing(&orders);
            let batches = subject.vendor.batches(&outgoing);
            assert_partition(subject, count, &batches);

            let mut times: HashMap<String, usize> = HashMap::new();
            for batch in &batches {
                let batch = at(&outgoing, batch);
                let request = subject.vendor.place(&batch, &context()).unwrap();
                assert_sendable(subject, &request);
                for number in numbers_in(&request.body) {
                    *times.entry(number).or_default() += 1;
                }
            }
            let expected = usize::from(!subject.encrypted);
            for index in 0..count {
                let found = times.get(number(index).digits()).copied().unwrap_or_default();
                assert_eq!(found, expected, "{}: call {index} of {count}", subject.name);
            }
        }
    }
}

#[test]
fn the_same_batch_is_the_same_bytes() {
    for subject in SUBJECTS.iter() {
        let orders = orders(4);
        let outgoing = outgoing(&orders);
        for batch in subject.vendor.batches(&outgoing) {
            let batch = at(&outgoing, &batch);
            let [one, two] = [(); 2].map(|()| subject.vendor.place(&batch, &context()).unwrap());
            assert_eq!((&one.method, &one.url), (&two.method, &two.url), "{}", subject.name);
            let same = one.body.bytes() == two.body.bytes();
            assert_eq!(same, !subject.encrypted, "{}", subject.name);
        }
    }
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn texts_of_any_kind_and_length_are_cut_into_batches_and_written(
        variables in prop::collection::vec(("[a-z]{1,8}", "\\PC{0,40}", 0..12_000_usize), 1..9),
    ) {
        for subject in SUBJECTS.iter() {
            let mut orders = orders(variables.len());
            for ((_, order), (name, text, more)) in orders.iter_mut().zip(&variables) {
                order.variables.insert(name.clone(), format!("{text}{}", "\"".repeat(*more)));
            }
            let outgoing = outgoing(&orders);
            let fine = outgoing.iter().all(|o| subject.vendor.check(o.order).is_empty());
            prop_assert!(fine, "{}", subject.name);
            let batches = subject.vendor.batches(&outgoing);
            assert_partition(subject, orders.len(), &batches);
            for batch in batches {
                let request = subject.vendor.place(&at(&outgoing, &batch), &context());
                assert_sendable(subject, &request.unwrap());
            }
        }
    }
}
