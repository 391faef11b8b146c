use std::time::Duration;

use proptest::{prelude::*, sample::select};
use serde_json::Map;

use super::{
    super::tests::{accepted, at, error, scheduled},
    *,
};
use crate::call::{Fallback, Retry};

const PAUSE: i64 = 60;

/// A call that asks for so many dials, at a vendor that has to be told of each.
fn asking(max_attempts: u32) -> Call {
    let mut call = scheduled();
    let interval = Duration::from_secs(PAUSE.unsigned_abs());
    std::sync::Arc::make_mut(&mut call.order).retry = Some(Retry { interval, max_attempts });
    call.redials = true;
    call
}

/// The same while a vendor has it, after some dials.
fn dialled(max_attempts: u32, dials: u32) -> Call {
    let mut call = asking(max_attempts);
    for dial in 0..dials {
        take(&mut call, dial);
        assert!(call.apply(ended(CallState::Busy), at(2)));
    }
    take(&mut call, dials);
    call
}

fn take(call: &mut Call, dial: u32) {
    assert!(call.apply(Observation::Dispatching, at(1)));
    assert!(call.apply(accepted(&format!("v-{dial}")), at(1)));
}

fn ended(state: CallState) -> Observation {
    told(state, Vec::new())
}

fn told(state: CallState, attempts: Vec<Attempt>) -> Observation {
    let fault = (state == CallState::Failed).then(|| error(Cause::Operator));
    let report =
        ReportedState { state: Some(state), attempts, error: fault, ..ReportedState::default() };
    Observation::Reported { report, asked: false }
}

#[test]
fn only_busy_and_no_answer_are_followed_by_another_dial() {
    for end in CallState::ALL.into_iter().filter(|state| state.is_final()) {
        let mut call = dialled(3, 0);
        assert!(call.apply(ended(end), at(5)));
        if !matches!(end, CallState::Busy | CallState::NoAnswer) {
            assert_eq!((call.state, call.held_until), (end, None));
            continue;
        }
        assert_eq!((call.state, call.held_until), (CallState::Scheduled, Some(at(5 + PAUSE))));
        let dial = Dial {
            vendor_call_id: "v-0".to_owned(),
            vendor_request_id: Some("exchange-1".to_owned()),
            state: end,
            at: at(5),
        };
        assert_eq!((call.dials.as_slice(), call.dial()), ([dial].as_slice(), 1));
        assert_eq!((call.vendor_call_id.as_ref(), call.due, call.handed_over), (None, None, false));
        assert_eq!((call.error.as_ref(), call.end_time), (None, None));
        let attempts: Vec<_> = call.attempts.iter().map(|a| (a.dial, a.state)).collect();
        assert_eq!(attempts, [(0, end)], "every dial is an attempt");
    }
}

#[test]
fn what_was_not_certainly_taken_is_not_dialled_again() {
    for state in CallState::ALL {
        let mut call = dialled(3, 0);
        call.state = state;
        call.apply(ended(CallState::Busy), at(5));
        let expected = matches!(
            state,
            CallState::Dispatching
                | CallState::Accepted
                | CallState::Ringing
                | CallState::InProgress
        );
        assert_eq!(!call.dials.is_empty(), expected, "{state:?}");
    }
    // Once in doubt, never again, though the vendor has it after all.
    let mut call = asking(3);
    call.apply(Observation::Dispatching, at(1));
    call.apply(Observation::Failed(error(Cause::InDoubt)), at(2));
    call.apply(accepted("v-0"), at(3));
    call.apply(ended(CallState::Busy), at(4));
    assert_eq!(call.state, CallState::Busy);
}

#[test]
fn who_is_given_up_on_is_not_dialled_again() {
    for ends in [CallState::NoAnswer, CallState::Busy] {
        let mut call = dialled(3, 0);
        call.attempts = vec![Attempt::new(ends)];
        call.apply(Observation::GivenUp, at(9));
        assert_eq!((call.state, call.dial()), (ends, 0));
    }
    // What the first dial came to is not what became of the second.
    let mut call = dialled(3, 1);
    call.apply(Observation::GivenUp, at(9));
    let reason = call.error.map(|error| error.reason.into_owned());
    assert_eq!((call.state, reason.as_deref()), (CallState::Unknown, Some("NO_RESULT")));
}

#[test]
fn each_condition_stops_it() {
    type Change = fn(&mut Call);
    let cases: [(&str, Change); 9] = [
        ("not asked for", |call| std::sync::Arc::make_mut(&mut call.order).retry = None),
        ("once", |call| {
            std::sync::Arc::make_mut(&mut call.order).retry =
                Some(Retry { max_attempts: 1, ..call.order.retry.unwrap() });
        }),
        ("by the vendor", |call| call.redials = false),
        ("nameless", |call| call.vendor_call_id = None),
        ("empty", |call| call.vendor_call_id = Some(String::new())),
        ("expires", |call| {
            std::sync::Arc::make_mut(&mut call.order).expire_time = Some(at(5 + PAUSE));
        }),
        ("reached", |call| call.attempts = vec![Attempt::new(CallState::Answered)]),
        ("being reached", |call| call.attempts = vec![Attempt::new(CallState::InProgress)]),
        ("talked", |call| {
            let attempt = Attempt::new(CallState::NoAnswer);
            call.attempts = vec![Attempt { answer_time: Some(at(3)), ..attempt }];
        }),
    ];
    for (why, change) in cases {
        let mut call = dialled(3, 0);
        change(&mut call);
        call.apply(ended(CallState::NoAnswer), at(5));
        assert_eq!((call.state, call.dial()), (CallState::NoAnswer, 0), "{why}");
    }
    let mut call = dialled(3, 0);
    std::sync::Arc::make_mut(&mut call.order).expire_time = Some(at(5 + PAUSE + 1));
    call.apply(ended(CallState::NoAnswer), at(5));
    assert_eq!((call.state, call.dial()), (CallState::Scheduled, 1));
}

#[test]
fn it_is_dialled_as_often_as_asked_and_twice_where_that_is_left_open() {
    for (max_attempts, dials) in [(0, 2), (2, 2), (5, 5)] {
        let mut call = asking(max_attempts);
        let mut count = 0;
        while call.state == CallState::Scheduled {
            take(&mut call, count);
            count += 1;
            call.apply(ended(CallState::NoAnswer), at(2));
        }
        assert_eq!((call.state, count), (CallState::NoAnswer, dials));
        assert!(call.handed_over && call.held_until.is_none());
    }
}

#[test]
fn pauses_are_sane() {
    let pause = |interval| Retry { interval, max_attempts: 2 }.pause();
    assert_eq!(pause(Duration::ZERO), Duration::from_secs(300));
    assert_eq!(pause(Duration::from_nanos(1)), Duration::from_secs(1));
    assert_eq!(pause(Duration::from_secs(90)), Duration::from_secs(90));
}

#[test]
fn what_rang_never_ends_as_if_it_had_not() {
    let refused = || Observation::Failed(error(Cause::Operator));
    let ways = [
        Observation::Canceled,
        Observation::Expired,
        refused(),
        ended(CallState::Canceled),
        ended(CallState::Expired),
    ];
    for way in ways {
        let mut call = dialled(3, 1);
        // As far as the way is possible there.
        call.state = match &way {
            Observation::Canceled => CallState::Scheduled,
            Observation::Reported { .. } => CallState::Accepted,
            _ => CallState::Dispatching,
        };
        assert!(call.apply(way.clone(), at(9)), "{way:?}");
        assert_eq!((call.state, call.end_time), (CallState::Busy, Some(at(9))), "{way:?}");
        assert!(call.handed_over);
        let dialed = call.error.map(|error| error.dialed);
        assert_eq!(dialed, (way == refused()).then_some(Dialed::Maybe), "{way:?}");
    }
    // While it waits it may be refused as well.
    let mut call = dialled(3, 0);
    call.apply(ended(CallState::NoAnswer), at(2));
    call.apply(refused(), at(9));
    assert_eq!((call.state, call.error.unwrap().dialed), (CallState::NoAnswer, Dialed::Maybe));
    // What the vendor tells of a dial that it took is told, but for what it can't know.
    let mut call = dialled(3, 1);
    call.apply(ended(CallState::Failed), at(9));
    assert_eq!((call.state, call.error.unwrap().dialed), (CallState::Failed, Dialed::Maybe));
    // In doubt as any other.
    let mut call = dialled(3, 0);
    call.apply(ended(CallState::NoAnswer), at(2));
    call.apply(Observation::Dispatching, at(3));
    call.apply(Observation::Failed(error(Cause::InDoubt)), at(9));
    assert_eq!(call.state, CallState::Unconfirmed);
    assert!(!call.redials);
}

#[test]
fn a_second_dial_goes_to_no_other_vendor() {
    let mut call = asking(3);
    call.fallbacks = vec![Fallback { vendor: "b".to_owned(), caller_id: None, redials: true }];
    call.apply(Observation::Dispatching, at(1));
    // A push that overtakes the answer to the order.
    call.vendor_call_id = Some("v-0".to_owned());
    call.apply(ended(CallState::Busy), at(2));
    assert_eq!((call.state, call.fallbacks.len()), (CallState::Scheduled, 0));
    let before = call.clone();
    // Whatever came of the handover: it was of the first dial.
    for late in [
        accepted("v-9"),
        Observation::PutBack,
        Observation::Held { until: at(3), holds: 1 },
        Observation::Expired,
        Observation::GivenUp,
        Observation::Failed(error(Cause::InDoubt)),
        Observation::FailedOver { error: error(Cause::Exhausted), to: "b".to_owned() },
    ] {
        assert!(!call.apply_to(Some(0), late.clone(), at(3)), "{late:?}");
        assert_eq!(call, before, "{late:?}");
    }
}

#[test]
fn the_next_vendor_may_have_to_be_told() {
    for redials in [false, true] {
        let mut call = asking(3);
        call.redials = !redials;
        call.fallbacks = vec![Fallback { vendor: "b".to_owned(), caller_id: None, redials }];
        call.apply(Observation::Dispatching, at(1));
        let to = "b".to_owned();
        call.apply(Observation::FailedOver { error: error(Cause::Exhausted), to }, at(1));
        assert_eq!(call.redials, redials);
    }
}

#[test]
fn late_news_of_an_earlier_dial_moves_nothing_but_an_answer_ends_it_all() {
    for under_way in [CallState::Scheduled, CallState::Dispatching, CallState::Accepted] {
        let mut call = dialled(3, 1);
        if under_way != CallState::Accepted {
            call.state = under_way;
            call.vendor_call_id = None;
        }
        let before = call.clone();
        for state in CallState::ALL.into_iter().filter(|state| *state != CallState::Answered) {
            assert!(!call.apply_to(Some(0), ended(state), at(3)), "{state:?}");
            assert_eq!(call, before, "{state:?}");
        }
        assert!(call.apply_to(Some(0), ended(CallState::Answered), at(4)));
        assert!(!call.redials);
        if under_way == CallState::Scheduled {
            assert_eq!((call.state, call.end_time), (CallState::Answered, Some(at(4))));
            assert_eq!(call.held_until, None);
        } else {
            assert_eq!(call.state, under_way, "it is on its way");
            assert!(call.apply(ended(CallState::Busy), at(5)));
            assert_eq!((call.state, call.dial()), (CallState::Answered, 1));
        }
        let before = call.clone();
        assert!(!call.apply_to(Some(0), ended(CallState::Answered), at(6)));
        assert_eq!(call, before);
    }
    // When all is over it is news as well.
    let mut call = dialled(2, 1);
    call.apply(ended(CallState::NoAnswer), at(3));
    assert_eq!(call.state, CallState::NoAnswer);
    assert!(call.apply_to(Some(0), ended(CallState::Answered), at(4)));
    assert_eq!(call.state, CallState::Answered);
}

#[test]
fn an_earlier_dial_that_may_have_been_answered_is_the_last() {
    let mut call = dialled(3, 0);
    call.apply(ended(CallState::NoAnswer), at(2));
    let talking = Attempt { key: "leg".to_owned(), ..Attempt::new(CallState::InProgress) };
    call.apply_to(Some(0), told(CallState::NoAnswer, vec![talking]), at(3));
    assert_eq!((call.state, call.redials), (CallState::NoAnswer, false));
}

#[test]
fn an_id_of_an_earlier_dial_names_no_other() {
    let mut call = dialled(3, 0);
    call.apply(ended(CallState::Busy), at(2));
    call.apply(Observation::Dispatching, at(3));
    call.apply(accepted("v-0"), at(4));
    assert_eq!((call.state, call.vendor_call_id.as_ref()), (CallState::Accepted, None));
    assert_eq!(call.dial_of(&["x", "v-0"]), Some(0));
}

#[test]
fn attempts_of_different_dials_stay_apart() {
    let attempt = |key: &str, state| Attempt { key: key.to_owned(), ..Attempt::new(state) };
    let mut call = dialled(3, 0);
    call.apply(told(CallState::Busy, vec![attempt("leg", CallState::Busy)]), at(2));
    take(&mut call, 1);
    call.apply(told(CallState::NoAnswer, vec![attempt("", CallState::NoAnswer)]), at(3));
    take(&mut call, 2);
    call.apply(told(CallState::Answered, vec![attempt("leg", CallState::Answered)]), at(4));
    let seen = |call: &Call| -> Vec<_> {
        call.attempts.iter().map(|a| (a.dial, a.key.clone(), a.state)).collect()
    };
    let expected = [
        (0, "leg".to_owned(), CallState::Busy),
        (1, String::new(), CallState::NoAnswer),
        (2, "leg".to_owned(), CallState::Answered),
    ];
    assert_eq!(seen(&call), expected);
    // Told again, with more of it.
    let again = Attempt { end_time: Some(at(1)), ..attempt("leg", CallState::Busy) };
    assert!(call.apply_to(Some(0), told(CallState::Busy, vec![again]), at(5)));
    assert_eq!((seen(&call).len(), call.attempts[0].end_time), (3, Some(at(1))));
}

#[test]
fn what_is_told_late_replaces_what_nobody_told() {
    let mut call = dialled(2, 1);
    call.apply(ended(CallState::NoAnswer), at(3));
    assert_eq!(call.attempts.len(), 1, "of the dial that the gateway followed");
    let late = Attempt { vendor_state: "busy".to_owned(), ..Attempt::new(CallState::Busy) };
    assert!(call.apply_to(Some(0), told(CallState::Busy, vec![late]), at(4)));
    assert_eq!((call.attempts.len(), call.attempts[0].vendor_state.as_str()), (1, "busy"));
}

fn any_end() -> impl Strategy<Value = CallState> {
    select(vec![
        CallState::Answered,
        CallState::Busy,
        CallState::NoAnswer,
        CallState::Rejected,
        CallState::InvalidNumber,
        CallState::Unreachable,
        CallState::Failed,
    ])
}

/// News of dials, each any number of times and in any order, as a ledger takes it in: what
/// is of a dial that nobody made yet comes once somebody made it.
fn live(max_attempts: u32, ends: &[Vec<CallState>], order: &[usize]) -> (Call, u32) {
    let mut call = asking(max_attempts);
    let mut made = 0;
    let mut second = 10;
    loop {
        let dial = call.dial();
        if call.state == CallState::Scheduled {
            take(&mut call, dial);
            made += 1;
        }
        let news: Vec<_> = ends
            .iter()
            .enumerate()
            .take(made as usize)
            .flat_map(|(dial, ends)| ends.iter().map(move |end| (dial, *end)))
            .collect();
        for at_place in order {
            let (dial, end) = news[at_place % news.len()];
            second += 1;
            let dial = u32::try_from(dial).unwrap();
            call.apply_to(Some(dial), ended(end), at(second));
            // Nobody dials while it is told.
        }
        // And each at least once.
        for (dial, end) in news {
            call.apply_to(Some(u32::try_from(dial).unwrap()), ended(end), at(second));
        }
        if call.state != CallState::Scheduled {
            return (call, made);
        }
    }
}

proptest! {
    #[test]
    fn the_order_of_news_changes_no_end(
        ends in prop::collection::vec(prop::collection::vec(any_end(), 1..2), 2..4),
        answered in prop::option::of(0_usize..2),
        max_attempts in 0_u32..4,
        one in prop::collection::vec(0_usize..9, 0..12),
        two in prop::collection::vec(0_usize..9, 0..12),
    ) {
        let mut ends = ends;
        // Some dial was answered after all, though it was told otherwise before.
        if let Some(dial) = answered {
            ends[dial].push(CallState::Answered);
        }
        let limit = Retry { interval: Duration::ZERO, max_attempts }.dials();
        let ends = &ends[..ends.len().min(limit as usize)];
        // As many as may be made are told of.
        let ends: Vec<_> = (0..limit as usize).map(|at| ends[at % ends.len()].clone()).collect();
        let mut results = Vec::new();
        for order in [&one, &two] {
            let (call, made) = live(max_attempts, &ends, order);
            prop_assert!(call.state.is_final());
            prop_assert!(made <= limit, "{made} dials");
            // An answer that is told late may come before the next dial.
            prop_assert!([call.dial(), call.dial() + 1].contains(&made), "each is kept");
            let told = &ends[..made as usize];
            let reached = told.iter().flatten().any(|end| *end == CallState::Answered);
            prop_assert_eq!(call.state == CallState::Answered, reached, "an answer wins");
            // Whatever ends a call for good was told of the last dial only.
            for end in told[..made as usize - 1].iter().flatten() {
                let again = matches!(end, CallState::Busy | CallState::NoAnswer);
                prop_assert!(again, "{end:?} was followed by another dial");
            }
            results.push((call.state, made));
        }
        prop_assert_eq!(results[0], results[1]);
    }

    #[test]
    fn news_of_earlier_dials_is_never_of_this_one(
        ends in prop::collection::vec((0_u32..2, any_end()), 0..9),
        vendor_call_id in prop::option::of("v-[0-3]"),
    ) {
        let mut call = dialled(4, 2);
        let before = call.clone();
        for (dial, end) in ends {
            call.apply_to(Some(dial), ended(end), at(20));
            let vendor_call_id = vendor_call_id.clone();
            let news = Observation::Accepted {
                vendor_call_id, vendor_request_id: None, data: Map::new(),
            };
            call.apply_to(Some(dial), news, at(20));
            prop_assert_eq!((call.state, call.dial()), (before.state, 2));
            prop_assert_eq!(&call.vendor_call_id, &before.vendor_call_id);
            prop_assert_eq!(call.held_until, None);
        }
    }
}
