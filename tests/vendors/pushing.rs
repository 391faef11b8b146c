//! What a vendor posts by itself: taken only with proof, and then worth as much as the
//! answer to a question.

use std::time::Duration;

use dialplane::{
    call::{CallId, CallState, E164, Report},
    http::Delivery,
    vendors::{MAX_PUSHED, Placed, Push, Told, bounds::MAX_ID_BYTES},
};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::{
    bodies::{GARBAGE, cases, json, noise, spoilt},
    posters::{About, OUTCOMES, Outcome, POSTERS, PROOF, Poster, Weight},
    subjects::{SUBJECTS, number, registry},
};

const VENDOR_CALL_ID: &str = "66666666-7777-4888-8999-aaaaaaaaaaaa";

fn call(to: &[E164]) -> Placed<'_> {
    Placed {
        vendor_call_id: Some(VENDOR_CALL_ID),
        to,
        script: None,
        create_time: Timestamp::UNIX_EPOCH,
        retries: false,
    }
}

/// Reads a delivery, as a gateway does that believes it.
fn read(poster: &Poster, delivery: &Delivery) -> Option<Push> {
    poster.vendor.callback().unwrap().read(delivery).ok()
}

fn is_authentic(poster: &Poster, delivery: &Delivery) -> bool {
    let callback = poster.vendor.callback().unwrap();
    let push = callback.read(delivery).ok();
    callback.is_authentic(delivery, push.as_ref())
}

fn pulled(poster: &Poster, about: &About<'_>, outcome: Outcome, to: &[E164]) -> Report {
    let reply = (poster.pulled)(about, outcome);
    poster.vendor.read_answer(&[call(to)], &reply).unwrap().remove(0)
}

#[test]
fn every_registered_kind_is_a_poster() {
    for registration in registry() {
        assert!(POSTERS.iter().any(|p| p.vendor.kind() == registration.kind), "{registration:?}");
    }
}

#[test]
fn without_a_proof_to_ask_for_nothing_is_taken() {
    for poster in POSTERS.iter() {
        assert!(poster.silent.callback().is_none(), "{}", poster.name);
        assert!(!poster.silent.capabilities().push_results, "{}", poster.name);
        assert!(poster.vendor.callback().is_some(), "{}", poster.name);
        assert!(!format!("{:?}", poster.vendor).contains(PROOF), "{}", poster.name);
    }
    for subject in SUBJECTS.iter() {
        let pushes = subject.vendor.capabilities().push_results;
        assert_eq!(subject.vendor.callback().is_some(), pushes, "{}", subject.name);
    }
}

#[test]
fn every_form_says_what_an_answer_says() {
    let to = [number(1)];
    let call_id = CallId::generate();
    let about = About { vendor_call_id: VENDOR_CALL_ID, call_id, number: to[0].digits() };
    for poster in POSTERS.iter() {
        let callback = poster.vendor.callback().unwrap();
        for (form, outcome) in poster.forms.iter().flat_map(|f| OUTCOMES.map(|o| (f, o))) {
            let name = format!("{}, {}, {outcome:?}", poster.name, form.name);
            let delivery = (poster.prove)((form.write)(&about, outcome), PROOF);
            assert!(is_authentic(poster, &delivery), "{name}");
            let Some(Push::News(pieces)) = read(poster, &delivery) else { panic!("{name}") };
            let [pushed] = pieces.as_slice() else { panic!("{name}: {pieces:?}") };
            match (&pushed.vendor_call_id, pushed.call_id) {
                (Some(id), _) => assert_eq!(id, VENDOR_CALL_ID, "{name}"),
                (None, id) => assert_eq!(id, Some(call_id), "{name}"),
            }
            let asked = pulled(poster, &about, outcome, &to);
            assert_eq!(asked.state == Some(CallState::Answered), outcome == Outcome::Answered);
            match (callback.told(&pushed.said, &call(&to)), form.weight) {
                (Told::Ask, Weight::Hint) => {}
                (Told::Result(report), Weight::Result) => {
                    assert_eq!(report.state, asked.state, "{name}");
                    // Nor is an attempt another one because it is told of again.
                    let told = |report: &Report| -> Vec<_> {
                        report.attempts.iter().map(|a| (a.key.clone(), a.state)).collect()
                    };
                    assert_eq!(told(&report), told(&asked), "{name}");
                    for attempt in report.attempts.iter().chain(&asked.attempts) {
                        let length = Duration::from_secs(7);
                        let length = (outcome == Outcome::Answered).then_some(length);
                        assert_eq!(attempt.talk_duration, length, "{name}");
                        assert!(!attempt.key.is_empty(), "{name}");
                    }
                }
                (told, weight) => panic!("{name}: {told:?}, {weight:?}"),
            }
        }
    }
}

#[test]
fn a_wrong_proof_is_none() {
    let to = number(1);
    let call_id = CallId::generate();
    let about = About { vendor_call_id: VENDOR_CALL_ID, call_id, number: to.digits() };
    for poster in POSTERS.iter() {
        for form in &poster.forms {
            let bare = (form.write)(&about, Outcome::Answered);
            assert!(!is_authentic(poster, &bare), "{} {}", poster.name, form.name);
            let wrong =
                ["", " ", "x", &PROOF[1..], &PROOF[..PROOF.len() - 1], &PROOF.to_uppercase()];
            for wrong in wrong {
                let delivery = (poster.prove)(bare.clone(), wrong);
                assert!(!is_authentic(poster, &delivery), "{} {wrong}", poster.name);
            }
            // The proof of one kind is none of another.
            for other in POSTERS.iter() {
                let delivery = (other.prove)(bare.clone(), PROOF);
                let is_same = delivery.token == (poster.prove)(bare.clone(), PROOF).token
                    && delivery.authorization == (poster.prove)(bare.clone(), PROOF).authorization;
                assert_eq!(is_authentic(poster, &delivery), is_same, "{}", poster.name);
            }
        }
    }
}

#[test]
fn garbage_is_malformed_or_about_nothing() {
    for poster in POSTERS.iter() {
        for body in GARBAGE {
            for content_type in ["", "application/json", "application/x-www-form-urlencoded"] {
                let delivery = Delivery {
                    content_type: content_type.to_owned(),
                    body: body.to_vec().into(),
                    ..Delivery::default()
                };
                assert!(!is_authentic(poster, &delivery), "{}", poster.name);
                let Some(push) = read(poster, &delivery) else { continue };
                let Push::News(pieces) = push else { panic!("{} {body:?}", poster.name) };
                // Knovvu may post nothing but an id, so a lone word may be one.
                assert!(pieces.is_empty() || poster.name == "knovvu", "{} {body:?}", poster.name);
            }
        }
    }
}

#[test]
fn the_given_id_comes_first_among_its_aliases() {
    for poster in POSTERS.iter() {
        for id in ["", ":", ":1", "v-0", "v-0:1", "v-0:1:1", "ä", VENDOR_CALL_ID] {
            let aliases = poster.vendor.aliases(id);
            assert_eq!(aliases.first().map(String::as_str), Some(id), "{}", poster.name);
            assert!(aliases.len() <= 3, "{} {aliases:?}", poster.name);
        }
    }
}

fn assert_bounded(poster: &Poster, delivery: &Delivery, to: &[E164]) {
    assert!(!is_authentic(poster, delivery), "{}", poster.name);
    let Some(Push::News(pieces)) = read(poster, delivery) else { return };
    assert!(pieces.len() <= MAX_PUSHED, "{}", poster.name);
    for pushed in pieces {
        assert!(pushed.vendor_call_id.is_some() || pushed.call_id.is_some(), "{}", poster.name);
        let id = pushed.vendor_call_id.unwrap_or_default();
        assert!(id.len() <= MAX_ID_BYTES, "{}", poster.name);
        let _ = poster.vendor.callback().unwrap().told(&pushed.said, &call(to));
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn any_delivery_is_read_and_none_is_believed(
        body in noise(), json in json(), place in 0..40_usize, name in "\\PC{0,12}",
        text in "\\PC{0,24}", token in proptest::option::of("\\PC{0,24}"),
    ) {
        let to = [number(1)];
        let call_id = CallId::generate();
        let about = About { vendor_call_id: VENDOR_CALL_ID, call_id, number: to[0].digits() };
        for poster in POSTERS.iter() {
            let with = |body: Vec<u8>, content_type: &str| Delivery {
                token: token.clone(),
                query: vec![(name.clone(), text.clone()), ("token".to_owned(), text.clone())],
                content_type: content_type.to_owned(),
                authorization: Some(text.clone()),
                body: body.into(),
            };
            for content_type in ["application/json", "application/x-www-form-urlencoded"] {
                assert_bounded(poster, &with(body.clone(), content_type), &to);
                assert_bounded(poster, &with(json.to_string().into_bytes(), content_type), &to);
            }
            for form in &poster.forms {
                let whole = (form.write)(&about, Outcome::Answered).body;
                if serde_json::from_slice::<serde_json::Value>(&whole).is_ok() {
                    let spoilt = spoilt(&whole, place, json.clone());
                    assert_bounded(poster, &with(spoilt.into_bytes(), ""), &to);
                }
            }
            let _ = poster.vendor.aliases(&text);
            let callback = poster.vendor.callback().unwrap();
            let _ = callback.told(&json, &call(&to));
        }
    }
}
