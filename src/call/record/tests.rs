use std::borrow::Cow;

use proptest::{prelude::*, sample::select};
use serde_json::json;

use super::*;
use crate::call::{VendorFault, testing};

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_000_000 + second).unwrap()
}

pub(super) fn scheduled() -> Call {
    Call {
        id: CallId::from_bytes([1; 16]),
        request_id: "request-1".parse().unwrap(),
        create_time: at(0),
        update_time: at(0),
        ..testing::call(CallState::Scheduled)
    }
}

pub(super) fn in_state(state: CallState) -> Call {
    let mut call = scheduled();
    call.state = state;
    call
}

fn data(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(super) fn accepted(id: &str) -> Observation {
    Observation::Accepted {
        vendor_call_id: Some(id.to_owned()),
        vendor_request_id: Some("exchange-1".to_owned()),
        data: data(json!({"queue": 3})),
    }
}

pub(super) fn error(cause: Cause) -> CallError {
    CallError::new(cause, "REASON", "it says so")
}

fn attempts(states: &[CallState]) -> Vec<Attempt> {
    states.iter().copied().map(Attempt::new).collect()
}

/// What a vendor tells when it is at `state`, in the last of some attempts.
pub(super) fn reported(state: CallState, told: &[CallState]) -> Observation {
    Observation::Reported {
        report: ReportedState {
            state: Some(state),
            attempts: attempts(told),
            data: data(json!({"status": state.name()})),
            error: (state == CallState::Failed).then(|| error(Cause::NotAllowed)),
        },
        asked: false,
    }
}

fn asked(report: ReportedState) -> Observation {
    Observation::Reported { report, asked: true }
}

#[test]
fn an_ordinary_call() {
    let mut call = scheduled();
    assert!(call.apply(Observation::Dispatching, at(1)));
    assert!(call.apply(accepted("v-1"), at(2)));
    assert!(call.apply(reported(CallState::Ringing, &[CallState::Ringing]), at(3)));
    assert_eq!((call.end_time, call.revision), (None, 4));
    assert!(call.apply(reported(CallState::Answered, &[CallState::Answered]), at(9)));
    assert_eq!(call.state, CallState::Answered);
    assert_eq!(call.vendor_call_id.as_deref(), Some("v-1"));
    assert_eq!(call.vendor_request_id.as_deref(), Some("exchange-1"));
    assert_eq!(call.attempts, attempts(&[CallState::Answered]));
    assert_eq!(Value::from(call.vendor_data), json!({"queue": 3, "status": "ANSWERED"}));
    assert_eq!((call.update_time, call.end_time, call.revision), (at(9), Some(at(9)), 5));
}

#[test]
fn a_push_overtakes_the_answer_and_the_ids_are_still_learned() {
    let mut call = in_state(CallState::Dispatching);
    assert!(call.apply(reported(CallState::Busy, &[]), at(1)));
    assert!(call.apply(accepted("v-1"), at(2)));
    assert_eq!((call.state, call.revision), (CallState::Busy, 3));
    assert_eq!(call.vendor_call_id.as_deref(), Some("v-1"));
    assert!(!call.apply(accepted("v-2"), at(3)));
    assert_eq!(call.vendor_call_id.as_deref(), Some("v-1"), "the first id stays");
}

#[test]
fn doubt_is_settled_by_an_acceptance_a_refusal_or_a_result() {
    let doubtful = || {
        let mut call = in_state(CallState::Dispatching);
        assert!(call.apply(Observation::Failed(error(Cause::InDoubt)), at(1)));
        assert_eq!((call.state, call.end_time), (CallState::Unconfirmed, None));
        assert_eq!(call.error, Some(error(Cause::InDoubt)));
        call
    };
    let mut call = doubtful();
    assert!(call.apply(accepted("v-1"), at(2)));
    assert_eq!((call.state, call.error), (CallState::Accepted, None));

    let mut call = doubtful();
    assert!(call.apply(Observation::Failed(error(Cause::NotAllowed)), at(2)));
    assert_eq!((call.state, call.error), (CallState::Failed, Some(error(Cause::NotAllowed))));

    let mut call = doubtful();
    assert!(call.apply(reported(CallState::NoAnswer, &[]), at(2)));
    assert_eq!((call.state, call.error), (CallState::NoAnswer, None));
}

#[test]
fn who_gave_up_still_knows_why_it_was_in_doubt() {
    let mut call = in_state(CallState::Dispatching);
    call.apply(Observation::Failed(error(Cause::InDoubt)), at(1));
    assert!(call.apply(reported(CallState::Unknown, &[]), at(2)));
    assert_eq!((call.state, &call.error), (CallState::Unknown, &Some(error(Cause::InDoubt))));
    assert!(call.apply(reported(CallState::Answered, &[]), at(3)));
    assert_eq!((call.state, call.error), (CallState::Answered, None));
}

#[test]
fn the_exchange_is_learned_from_a_refusal_too() {
    let mut call = in_state(CallState::Dispatching);
    let mut refused = error(Cause::Exhausted);
    refused.vendor = Some(VendorFault {
        vendor: "phonon-in".to_owned(),
        domain: Cow::Borrowed("phonon.io"),
        code: None,
        message: String::new(),
        http_status: Some(200),
        request_id: Some("exchange-7".to_owned()),
    });
    assert!(call.apply(Observation::Failed(refused), at(1)));
    assert_eq!(call.vendor_request_id.as_deref(), Some("exchange-7"));
}

#[test]
fn only_what_no_vendor_has_expires() {
    for state in CallState::ALL {
        let mut call = in_state(state);
        let before_handover = matches!(state, CallState::Scheduled | CallState::Dispatching);
        assert_eq!(call.apply(Observation::Expired, at(1)), before_handover, "{state:?}");
        assert_eq!(
            call.state == CallState::Expired,
            before_handover || state == CallState::Expired
        );
    }
}

#[test]
fn what_rang_or_was_given_up_on_is_not_refused_any_more() {
    for state in [CallState::Ringing, CallState::InProgress, CallState::Unknown] {
        for cause in Cause::ALL {
            let mut call = in_state(state);
            assert!(!call.apply(Observation::Failed(error(cause)), at(1)), "{state:?} {cause:?}");
            assert_eq!(call, in_state(state));
        }
    }
}

#[test]
fn late_news_adds_and_takes_nothing_back() {
    let mut call = in_state(CallState::InProgress);
    call.attempts = attempts(&[CallState::InProgress]);
    call.vendor_data = data(json!({"status": "IN_PROGRESS"}));
    let before = call.clone();
    assert!(!call.apply(reported(CallState::Ringing, &[CallState::Ringing]), at(1)));
    assert_eq!(call, before);

    // The second attempt rings: the call is no further, but there is more to tell.
    let second = [CallState::Busy, CallState::Ringing];
    assert!(call.apply(reported(CallState::Ringing, &second), at(2)));
    assert_eq!((call.state, &call.attempts), (CallState::InProgress, &attempts(&second)));
}

#[test]
fn news_that_contradicts_the_end_is_passed_over_whole() {
    let mut call = in_state(CallState::Answered);
    call.attempts = attempts(&[CallState::Answered]);
    let before = call.clone();
    assert!(!call.apply(reported(CallState::Busy, &[CallState::Busy, CallState::Busy]), at(1)));
    assert_eq!(call, before);
    let more = reported(CallState::Answered, &[CallState::Busy, CallState::Answered]);
    assert!(call.apply(more, at(2)), "more of the same is news");
    assert_eq!((call.attempts.len(), call.end_time), (2, before.end_time));
}

#[test]
fn an_answer_without_news_is_fresh_and_no_revision() {
    let mut call = in_state(CallState::Accepted);
    assert!(call.apply(asked(ReportedState::default()), at(5)));
    assert_eq!((call.asked_time, call.revision, call.update_time), (Some(at(5)), 1, at(0)));
    assert!(!call.apply(asked(ReportedState::default()), at(5)));
    assert!(!call.apply(asked(ReportedState::default()), at(3)), "an older answer came late");
    assert_eq!(call.asked_time, Some(at(5)));
}

#[test]
fn a_clock_that_goes_back_does_not_take_the_call_with_it() {
    let mut call = scheduled();
    call.apply(Observation::Dispatching, at(9));
    call.apply(accepted("v-1"), at(4));
    assert_eq!((call.update_time, call.revision), (at(9), 3));
}

fn any_data() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[ab]", 0..3_i64, 0..3)
        .prop_map(|data| data.into_iter().map(|(key, value)| (key, value.into())).collect())
}

/// A call that may go on to other vendors.
pub(super) fn with_fallbacks() -> Call {
    let mut call = scheduled();
    std::sync::Arc::make_mut(&mut call.order).caller_id = Some("+918000000001".parse().unwrap());
    call.fallbacks = ["second", "third"]
        .map(|vendor| Fallback {
            vendor: vendor.to_owned(),
            redials: false,
            caller_id: (vendor == "third").then(|| "200".parse().unwrap()),
        })
        .to_vec();
    call
}

pub(super) fn failed_over(cause: Cause, to: &str) -> Observation {
    Observation::FailedOver { error: error(cause), to: to.to_owned() }
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let id = || prop::option::of("[12]");
    let cause = || select(&Cause::ALL[..]);
    let state = || select(&CallState::ALL[..]);
    let report = (
        prop::option::of(state()),
        prop::collection::vec(state(), 0..3),
        any_data(),
        prop::option::of(cause()),
        any::<bool>(),
    );
    prop_oneof![
        Just(Observation::Dispatching),
        Just(Observation::Expired),
        (id(), id(), any_data()).prop_map(|(vendor_call_id, vendor_request_id, data)| {
            Observation::Accepted { vendor_call_id, vendor_request_id, data }
        }),
        Just(Observation::PutBack),
        (cause(), any::<bool>()).prop_map(|(cause, unanswered)| {
            Observation::Failed(CallError { unanswered, ..error(cause) })
        }),
        (cause(), select(&["second", "third", "nobody"][..]))
            .prop_map(|(cause, to)| failed_over(cause, to)),
        report.prop_map(|(state, told, data, cause, asked)| Observation::Reported {
            report: ReportedState {
                state,
                attempts: attempts(&told),
                data,
                error: cause.map(error)
            },
            asked,
        }),
    ]
}

fn any_history() -> impl Strategy<Value = Vec<(Observation, i64)>> {
    prop::collection::vec((any_observation(), 0..20_i64), 0..12)
}

/// Everything a caller can see.
fn seen(call: &Call) -> Call {
    Call { asked_time: None, due: None, ..call.clone() }
}

proptest! {
    #[test]
    fn every_step_is_one_a_caller_can_rely_on(history in any_history()) {
        let mut call = with_fallbacks();
        for (news, second) in history {
            let before = call.clone();
            let changed = call.apply(news.clone(), at(second));
            prop_assert_eq!(changed, call != before);
            let visible = seen(&call) != seen(&before);
            prop_assert_eq!(call.revision, before.revision + u64::from(visible));
            prop_assert!(call.update_time >= before.update_time);
            prop_assert!(call.asked_time >= before.asked_time);
            let back = (before.state, call.state) == (CallState::Dispatching, CallState::Scheduled);
            let may_go_back = matches!(news, Observation::PutBack | Observation::FailedOver { .. });
            prop_assert!(
                call.state == before.state
                    || before.state.moves_to(call.state)
                    || back && may_go_back
            );
            let moved = matches!(news, Observation::FailedOver { .. }) && back;
            prop_assert_eq!(call.vendor != before.vendor, moved);
            prop_assert_eq!(call.failovers.len(), before.failovers.len() + usize::from(moved));
            prop_assert!(call.failovers.starts_with(&before.failovers));
            prop_assert!(call.failovers.iter().all(|failed| failed.error.dialed == Dialed::No));
            prop_assert!(call.failovers.iter().all(|failed| failed.vendor != call.vendor));
            prop_assert!(before.fallbacks.ends_with(&call.fallbacks));
            prop_assert!(!call.handed_over || call.fallbacks.is_empty());
            prop_assert!(!back || !before.handed_over, "what a vendor may have stays");
            prop_assert!(call.attempts.len() >= before.attempts.len());
            prop_assert_eq!(call.end_time.is_some(), call.state.is_final());
            prop_assert!(before.vendor_call_id.is_none() || call.vendor_call_id == before.vendor_call_id);
            let may_have_error = matches!(
                call.state,
                CallState::Failed | CallState::Unconfirmed | CallState::Unknown
            );
            prop_assert!(call.error.is_none() || may_have_error);

            let after = call.clone();
            prop_assert!(!call.apply(news, at(second)), "the same twice");
            prop_assert_eq!(&call, &after);
        }
    }

    #[test]
    fn a_history_told_again_moves_nothing(mut history in any_history()) {
        // There are two ways back, and whoever was there goes ahead again.
        history.retain(|(news, _)| {
            !matches!(news, Observation::PutBack | Observation::FailedOver { .. })
        });
        let mut call = scheduled();
        for (news, second) in &history {
            call.apply(news.clone(), at(*second));
        }
        let state = call.state;
        for (news, second) in history {
            call.apply(news, at(second));
            prop_assert_eq!(call.state, state);
        }
    }

    #[test]
    fn news_of_one_call_may_come_in_any_order_and_twice(
        order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
        doubt in any::<bool>(),
    ) {
        let handover = if doubt {
            Observation::Failed(error(Cause::InDoubt))
        } else {
            reported(CallState::InProgress, &[CallState::NoAnswer, CallState::InProgress])
        };
        let news = [
            Observation::Dispatching,
            accepted("v-1"),
            handover,
            reported(CallState::Ringing, &[CallState::Ringing]),
            reported(CallState::Answered, &[CallState::NoAnswer, CallState::Answered]),
        ];
        let mut call = scheduled();
        for index in order {
            call.apply(news[index % news.len()].clone(), at(1));
        }
        prop_assert_eq!(call.state, CallState::Answered);
        prop_assert_eq!(call.vendor_call_id.as_deref(), Some("v-1"));
        prop_assert_eq!(call.attempts, attempts(&[CallState::NoAnswer, CallState::Answered]));
        prop_assert_eq!(Value::from(call.vendor_data), json!({"queue": 3, "status": "ANSWERED"}));
        prop_assert_eq!(call.error, None);
    }

    #[test]
    fn up_to_six_observations_end_in_the_same_state_in_any_order_and_repeated(
        told in any_life().prop_flat_map(|life| {
            let many = life.iter().flat_map(|news| [news.clone(), news.clone()]).collect::<Vec<_>>();
            (Just(life), Just(many).prop_shuffle())
        }),
    ) {
        let (life, shuffled) = told;
        let end = |news: &[Observation]| {
            let mut call = scheduled();
            for (second, news) in (0..).zip(news) {
                call.apply(news.clone(), at(second));
            }
            call
        };
        let (straight, other) = (end(&life), end(&shuffled));
        prop_assert_eq!(straight.state, other.state);
        prop_assert_eq!(straight.vendor_call_id, other.vendor_call_id);
        prop_assert_eq!(straight.attempts.len(), other.attempts.len());
    }
}

/// What may be learned of one call: at most one way in which it was not answered, and an
/// answer, among whatever else is told on the way.
fn any_life() -> impl Strategy<Value = Vec<Observation>> {
    let tell = |state: CallState, key: &str, second: i64| {
        let mut attempt = Attempt::new(state);
        attempt.key = key.to_owned();
        attempt.ring_time = Some(at(second));
        Observation::Reported {
            report: ReportedState {
                state: Some(state),
                attempts: vec![attempt],
                data: Map::new(),
                error: (state == CallState::Failed).then(|| error(Cause::Unreadable)),
            },
            asked: false,
        }
    };
    let ends: Vec<_> = CallState::ALL
        .into_iter()
        .filter(|state| state.is_not_answered() || *state == CallState::Failed)
        .collect();
    select(ends).prop_flat_map(move |end| {
        let all = vec![
            Observation::Dispatching,
            accepted("v-1"),
            Observation::Failed(error(Cause::InDoubt)),
            asked(ReportedState::default()),
            tell(CallState::Ringing, "leg-1", 1),
            tell(CallState::InProgress, "leg-1", 1),
            tell(end, "leg-1", 1),
            tell(CallState::Answered, "leg-2", 2),
            asked(ReportedState { state: Some(CallState::Unknown), ..ReportedState::default() }),
        ];
        prop::sample::subsequence(all, 0..=6)
    })
}

#[test]
fn attempts_with_a_key_are_told_one_by_one_in_any_order() {
    let attempt = |key: &str, state, ring| {
        let mut attempt = Attempt::new(state);
        attempt.key = key.to_owned();
        attempt.ring_time = Some(at(ring));
        attempt
    };
    let tell = |state, attempt: &Attempt| Observation::Reported {
        report: ReportedState {
            state,
            attempts: vec![attempt.clone()],
            ..ReportedState::default()
        },
        asked: false,
    };
    let first = attempt("a", CallState::NoAnswer, 1);
    let second = attempt("b", CallState::Answered, 9);
    let news = [
        tell(None, &first),
        tell(Some(CallState::Ringing), &attempt("b", CallState::Ringing, 9)),
        tell(Some(CallState::Answered), &second),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0]] {
        let mut call = in_state(CallState::Accepted);
        for index in order {
            call.apply(news[index].clone(), at(10));
        }
        // What comes after an answer and says less is passed over with all it says.
        let told: Vec<_> = call.attempts.iter().map(|a| (a.key.as_str(), a.state)).collect();
        assert!(told.contains(&("b", CallState::Answered)), "{order:?}: {told:?}");
        assert!(told.contains(&("a", CallState::NoAnswer)), "{order:?}: {told:?}");
        assert_eq!(call.state, CallState::Answered);
    }
}

#[test]
fn what_is_over_is_not_looked_at_again() {
    let mut call = in_state(CallState::Accepted);
    assert!(call.look_again(at(10)));
    assert!(!call.look_again(at(10)));
    call.apply(reported(CallState::Busy, &[]), at(3));
    assert_eq!(call.due, None);
    assert!(!call.look_again(at(10)), "it is over");
}
