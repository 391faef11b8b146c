//! Questions name calls the vendor knows, and answers tell of the calls asked about and
//! of no others.

use dialplane::{
    call::{Cause, E164, Report, Script},
    http::HttpReply,
    vendors::Placed,
};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::{
    bodies::{GARBAGE, cases, json, noise, spoilt},
    placing::assert_sendable,
    subjects::{SUBJECTS, Subject, at, context, number},
};

/// Calls as the ledger gives them: every third without an id of the vendor's.
struct Known {
    ids: Vec<Option<String>>,
    to: Vec<[E164; 1]>,
    script: Script,
}

impl Known {
    fn calls(count: usize) -> Self {
        let id = |index: usize| (index % 3 != 2).then(|| format!("u-{index}"));
        Self {
            ids: (0..count).map(id).collect(),
            to: (0..count).map(|index| [number(index)]).collect(),
            script: Script::Flow("WxYz5678".to_owned()),
        }
    }

    fn placed(&self) -> Vec<Placed<'_>> {
        let placed = |(index, id): (usize, &'_ Option<String>)| Placed {
            vendor_call_id: self.ids[index].as_deref().filter(|_| id.is_some()),
            to: &self.to[index],
            script: (index % 2 == 1).then_some(&self.script),
            create_time: "2026-03-01T09:00:00Z".parse::<Timestamp>().unwrap(),
            retries: false,
        };
        self.ids.iter().enumerate().map(placed).collect()
    }
}

fn read(subject: &Subject, calls: &[Placed<'_>], status: u16, body: &[u8]) -> Vec<Report> {
    match subject.vendor.read_answer(calls, &HttpReply::json(status, body.to_vec())) {
        Ok(reports) => {
            assert_eq!(reports.len(), calls.len(), "{} {status} {body:?}", subject.name);
            reports
        }
        Err(fault) => {
            assert_ne!(fault.cause, Cause::InDoubt, "{}: a question dials nobody", subject.name);
            Vec::new()
        }
    }
}

fn is_final(report: &Report) -> bool {
    report.state.is_some_and(dialplane::call::CallState::is_final)
}

#[test]
fn questions_name_each_call_with_an_id_once() {
    for subject in SUBJECTS.iter() {
        for count in [0, 1, 3, 301] {
            let known = Known::calls(count);
            let placed = known.placed();
            let questions = subject.vendor.questions(&placed);
            assert!(questions.iter().all(|question| !question.is_empty()), "{}", subject.name);
            let mut named: Vec<usize> = questions.into_iter().flatten().collect();
            named.sort_unstable();
            let asks = subject.vendor.capabilities().pull_results;
            let expected: Vec<usize> = (0..count)
                .filter(|index| asks && placed[*index].vendor_call_id.is_some())
                .collect();
            assert_eq!(named, expected, "{}", subject.name);
        }
    }
}

#[test]
fn a_vendor_is_asked_if_it_can_be() {
    let known = Known::calls(9);
    let placed = known.placed();
    for subject in SUBJECTS.iter() {
        let asks = subject.vendor.capabilities().pull_results;
        assert_eq!(
            subject.vendor.ask(&placed[..1], &context()).is_some(),
            asks,
            "{}",
            subject.name
        );
        for question in subject.vendor.questions(&placed) {
            let calls = at(&placed, &question);
            let request = subject.vendor.ask(&calls, &context()).unwrap();
            assert_sendable(subject, &request);
            let body = String::from_utf8(request.body.bytes().to_vec()).unwrap();
            let sent = format!("{} {body}", request.url);
            for id in calls.iter().filter_map(|call| call.vendor_call_id) {
                assert_eq!(sent.matches(id).count(), 1, "{} {sent}", subject.name);
            }
        }
    }
}

#[test]
fn an_answer_ends_the_call_it_names_and_a_cut_one_ends_none() {
    let known = Known::calls(2);
    let placed = known.placed();
    for subject in SUBJECTS.iter().filter(|s| s.vendor.capabilities().pull_results) {
        let over = subject.over(&placed[..1]).body;
        let reports = read(subject, &placed[..1], 200, &over);
        assert!(is_final(&reports[0]), "{}: {reports:?}", subject.name);
        let another = read(subject, &placed[1..], 200, &over);
        assert!(!another.iter().any(is_final), "{}: {another:?}", subject.name);
        for end in 0..over.len() {
            let reports = read(subject, &placed[..1], 200, &over[..end]);
            assert!(!reports.iter().any(is_final), "{} {end}", subject.name);
        }
    }
}

#[test]
fn garbage_ends_no_call_whatever_the_status() {
    let known = Known::calls(2);
    let placed = known.placed();
    for subject in SUBJECTS.iter() {
        for status in 100..600 {
            for body in GARBAGE {
                for calls in [&placed[..1], &placed[..]] {
                    let reports = read(subject, calls, status, body);
                    assert!(!reports.iter().any(is_final), "{} {status} {body:?}", subject.name);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn noise_ends_no_call(status in 100_u16..600, body in noise()) {
        let known = Known::calls(2);
        for subject in SUBJECTS.iter() {
            for status in [status, 200] {
                let reports = read(subject, &known.placed(), status, &body);
                prop_assert!(!reports.iter().any(is_final), "{}", subject.name);
            }
        }
    }

    // The answers name "u-1" and never "u-0".
    #[test]
    fn an_answer_ends_no_call_that_it_does_not_name(
        status in 100_u16..600,
        json in json(),
        place in 0..40_usize,
    ) {
        let known = Known::calls(2);
        let placed = known.placed();
        for subject in SUBJECTS.iter() {
            let spoilt = spoilt(&subject.over(&placed[1..]).body, place, json.clone());
            for text in [json.to_string(), spoilt] {
                for status in [status, 200] {
                    for calls in [&placed[..1], &placed[..]] {
                        let reports = read(subject, calls, status, text.as_bytes());
                        let ended = reports.first().is_some_and(is_final);
                        prop_assert!(!ended, "{} {text}", subject.name);
                    }
                }
            }
        }
    }
}
