//! What callers are told of calls whose outcome the ledger does not take, and what becomes of
//! them once it does.

use std::{sync::Arc, time::Duration};

use dialplane::call::{Call, CallError, CallState, Dialed};
use tokio::time::{Instant, sleep};

use crate::{
    placing::{order, place},
    raw::yes,
    still::{Canned, Outcome, Still, text},
};

const REFUSED: &str = r#"{"api-response-code":212}"#;

/// Places a call while the ledger takes nothing but new requests.
async fn told(house: &Still) -> Call {
    house.break_ledger();
    let begun = Instant::now();
    let call = place(&house.gateway, order("919900000100", None)).await;
    let waited = begun.elapsed();
    assert!((10..20).contains(&waited.as_secs()), "{waited:?}");
    // It is not looked at again before the ledger is back: that would have another revision.
    assert_eq!(call.revision, house.recorded(call.id).await.revision);
    call
}

fn reason(call: &Call) -> Option<(&str, Dialed)> {
    call.error.as_ref().map(|error: &CallError| (&*error.reason, error.dialed))
}

#[tokio::test(start_paused = true)]
async fn who_certainly_was_not_dialled_is_still_being_handed_over() {
    let cases = [
        (Outcome::NotSent, "VENDOR_UNREACHABLE"),
        (Outcome::Says(200, REFUSED.to_owned()), "INSUFFICIENT_BALANCE"),
    ];
    for (outcome, expected) in cases {
        let vendor = Canned::new(move |_, _| outcome.clone());
        let house = Still::new(&text(&[("phonon-outbound", "one", "")]), &[("one", &vendor)]);
        let call = told(&house).await;
        assert_eq!((call.state, reason(&call)), (CallState::Dispatching, None));
        house.mend_ledger();
        let end = house.reaches(call.id, CallState::Failed).await;
        assert!(reason(&end).is_some_and(|(_, dialed)| dialed == Dialed::No));
        assert_eq!(reason(&end).map(|(reason, _)| reason), Some(expected));
        assert_eq!(vendor.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_moves_on_does_so_once_that_can_be_recorded() {
    let first = Canned::new(|_, _| Outcome::NotSent);
    let second = Canned::new(|_, _| Outcome::Says(200, yes("knovvu").to_owned()));
    let config = text(&[("phonon-outbound", "one", ""), ("knovvu", "two", "")]);
    let house = Still::new(&config, &[("one", &first), ("two", &second)]);
    let call = told(&house).await;
    assert_eq!((call.state, call.vendor.as_str()), (CallState::Dispatching, "one"));
    assert!(call.failovers.is_empty() && call.error.is_none());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(second.count(), 0, "not before it is on disk");
    house.mend_ledger();
    let end = house.reaches(call.id, CallState::Accepted).await;
    assert_eq!((end.vendor.as_str(), end.failovers.len()), ("two", 1));
    assert_eq!((first.count(), second.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_may_have_been_dialled_is_unconfirmed() {
    let cases = [
        (Outcome::Says(200, yes("phonon-bulk").to_owned()), CallState::Accepted, None),
        (Outcome::Lost, CallState::Unconfirmed, Some("VENDOR_ANSWER_LOST")),
    ];
    for (outcome, state, expected) in cases {
        let vendor: Arc<Canned> = Canned::new(move |_, _| outcome.clone());
        let house = Still::new(&text(&[("phonon-bulk", "one", "")]), &[("one", &vendor)]);
        let call = told(&house).await;
        assert_eq!(call.state, CallState::Unconfirmed);
        assert_eq!(reason(&call), Some(("LEDGER_UNAVAILABLE", Dialed::Maybe)));
        house.mend_ledger();
        let end = house.reaches(call.id, state).await;
        assert_eq!(reason(&end).map(|(reason, _)| reason), expected);
        assert_eq!(vendor.count(), 1);
    }
}
