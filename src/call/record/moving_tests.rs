//! The two ways back of a call, and what an answer to a second try changes.

use super::{
    tests::{accepted, at, error, failed_over, in_state, reported, with_fallbacks},
    *,
};

#[test]
fn a_call_goes_on_to_the_next_vendor_and_says_why() {
    let mut call = with_fallbacks();
    call.apply(Observation::Dispatching, at(1));
    call.look_again(at(50));
    assert!(call.apply(failed_over(Cause::Exhausted, "second"), at(2)));
    assert_eq!((call.state, call.vendor.as_str()), (CallState::Scheduled, "second"));
    let first =
        Failover { vendor: "phonon-in".to_owned(), error: error(Cause::Exhausted), at: at(2) };
    assert_eq!(call.failovers, std::slice::from_ref(&first));
    assert_eq!((call.fallbacks.len(), call.fallbacks[0].vendor.as_str()), (1, "third"));
    assert_eq!((call.order.caller_id.clone(), call.due), (None, None), "what the second takes");
    assert_eq!((call.error.clone(), call.end_time, call.handed_over), (None, None, false));
    assert_eq!((call.revision, call.update_time), (3, at(2)));

    call.apply(Observation::Dispatching, at(3));
    assert!(call.apply(failed_over(Cause::Unreachable, "third"), at(4)));
    let vendors: Vec<_> = call.failovers.iter().map(|failed| failed.vendor.as_str()).collect();
    assert_eq!((call.vendor.as_str(), vendors), ("third", vec!["phonon-in", "second"]));
    assert_eq!(call.order.caller_id.as_ref().map(CallerId::as_str), Some("200"));
    assert_eq!(call.failovers[0], first);

    call.apply(Observation::Dispatching, at(5));
    assert!(call.apply(accepted("v-1"), at(6)));
    assert_eq!((call.state, call.failovers.len()), (CallState::Accepted, 2));
}

#[test]
fn a_failover_that_is_told_twice_is_one() {
    let mut call = with_fallbacks();
    call.apply(Observation::Dispatching, at(1));
    call.apply(failed_over(Cause::Exhausted, "second"), at(2));
    for state in [CallState::Scheduled, CallState::Dispatching, CallState::Accepted] {
        call.state = state;
        let before = call.clone();
        assert!(!call.apply(failed_over(Cause::Exhausted, "second"), at(3)));
        assert_eq!(call, before);
    }
}

#[test]
fn a_vendor_may_be_passed_over() {
    let mut call = with_fallbacks();
    call.apply(Observation::Dispatching, at(1));
    assert!(call.apply(failed_over(Cause::Operator, "third"), at(2)));
    assert_eq!((call.vendor.as_str(), call.failovers.len()), ("third", 1));
    assert!(call.fallbacks.is_empty(), "nobody goes back");
}

#[test]
fn only_what_is_certainly_not_dialled_goes_on() {
    for cause in Cause::ALL {
        let mut call = with_fallbacks();
        call.apply(Observation::Dispatching, at(1));
        assert!(call.apply(failed_over(cause, "second"), at(2)));
        if cause.dialed() == Dialed::No {
            assert_eq!((call.state, call.vendor.as_str()), (CallState::Scheduled, "second"));
        } else {
            assert!(matches!(call.state, CallState::Unconfirmed | CallState::Failed), "{cause:?}");
            assert_eq!((call.vendor.as_str(), call.failovers.len()), ("phonon-in", 0));
            assert_eq!(call.error, Some(error(cause)));
        }
    }
    let mut call = with_fallbacks();
    call.apply(Observation::Dispatching, at(1));
    call.apply(failed_over(Cause::Exhausted, "elsewhere"), at(2));
    assert_eq!((call.state, call.vendor.as_str()), (CallState::Failed, "phonon-in"));
}

#[test]
fn a_call_of_which_there_was_news_stays_with_its_vendor() {
    for state in CallState::ALL.into_iter().filter(|state| *state != CallState::Dispatching) {
        let mut call = with_fallbacks();
        call.state = state;
        let before = call.clone();
        call.apply(failed_over(Cause::Exhausted, "second"), at(1));
        assert_eq!((&call.vendor, call.failovers.len()), (&before.vendor, 0), "{state:?}");
        assert!(call.state == before.state || call.state == CallState::Failed, "{state:?}");
    }
}

#[test]
fn a_refusal_takes_back_nothing_that_the_vendor_said_itself() {
    let told = [
        accepted("v-1"),
        reported(CallState::Accepted, &[]),
        reported(CallState::Ringing, &[CallState::Ringing]),
        reported(CallState::InProgress, &[CallState::InProgress]),
        reported(CallState::Answered, &[CallState::Answered]),
    ];
    for (told, cause) in told.iter().flat_map(|told| Cause::ALL.map(|cause| (told, cause))) {
        let mut call = with_fallbacks();
        call.apply(Observation::Dispatching, at(1));
        call.apply(told.clone(), at(2));
        let before = call.clone();
        for refusal in [Observation::Failed(error(cause)), failed_over(cause, "second")] {
            assert!(!call.apply(refusal, at(3)), "{cause:?} after {told:?}");
            assert_eq!(call, before);
        }
    }
}

#[test]
fn who_took_a_call_or_may_have_is_the_last_vendor() {
    for news in [
        accepted("v-1"),
        Observation::Failed(error(Cause::InDoubt)),
        Observation::Failed(error(Cause::InvalidCall)),
        Observation::Expired,
        reported(CallState::Ringing, &[]),
        reported(CallState::Busy, &[]),
    ] {
        let mut call = with_fallbacks();
        call.apply(Observation::Dispatching, at(1));
        assert_eq!(call.fallbacks.len(), 2, "it may still go on");
        call.apply(news.clone(), at(2));
        assert!(call.fallbacks.is_empty(), "{news:?}");
    }
}

#[test]
fn only_what_is_being_handed_over_is_put_back() {
    for state in CallState::ALL {
        let mut call = with_fallbacks();
        call.state = state;
        let back = call.apply(Observation::PutBack, at(1));
        assert_eq!(back, state == CallState::Dispatching);
        assert_eq!(call.state, if back { CallState::Scheduled } else { state });
        assert_eq!((call.fallbacks.len(), call.failovers.len()), (2, 0));
        assert_eq!(call.revision, 1 + u64::from(back));
    }
}

#[test]
fn what_a_vendor_speaks_of_does_not_go_back() {
    for back in [
        Observation::PutBack,
        Observation::FailedOver { error: error(Cause::Unreachable), to: "second".to_owned() },
    ] {
        let mut call = with_fallbacks();
        call.apply(reported(CallState::Dispatching, &[]), at(1));
        call.apply(back, at(2));
        assert_ne!(call.state, CallState::Scheduled);
    }
}

#[test]
fn an_answer_replaces_a_missing_one_once() {
    let missing = CallError { unanswered: true, ..error(Cause::InDoubt) };
    let mut call = in_state(CallState::Dispatching);
    call.apply(Observation::Failed(missing.clone()), at(1));
    assert!(!call.apply(Observation::Failed(missing.clone()), at(2)), "nothing new");
    let said = CallError { reason: "SAID".into(), ..error(Cause::InDoubt) };
    assert!(call.apply(Observation::Failed(said.clone()), at(3)));
    assert_eq!((call.state, call.revision), (CallState::Unconfirmed, 3));
    assert_eq!((call.error.as_ref(), call.update_time), (Some(&said), at(3)));
    for later in [missing, error(Cause::InDoubt)] {
        assert!(!call.apply(Observation::Failed(later), at(4)));
        assert_eq!(call.error.as_ref(), Some(&said));
    }
    assert!(call.apply(accepted("v-1"), at(5)));
    assert_eq!((call.state, call.error), (CallState::Accepted, None));
}
