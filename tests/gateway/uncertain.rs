//! Changes that were made though the ledger could not say so, and others that were not: in
//! either case each call is sent once, or not at all.

use std::time::Duration;

use dialplane::{
    call::{CallState, RequestId},
    gateway::{Created, GatewayError},
    ledger::{Ledger, LedgerError},
};
use tokio::time::sleep;

use crate::{
    placing::{order, place_all, place_as},
    raw::yes,
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

fn orders(count: u64) -> Vec<dialplane::call::Order> {
    (0..count).map(|n| order(&(919_900_000_000 + n).to_string(), None)).collect()
}

#[tokio::test(start_paused = true)]
async fn calls_whose_claim_was_kept_though_it_failed_are_sent_once() {
    for is_kept in [true, false] {
        let vendor = Canned::new(|_, _| Outcome::Says(200, yes("mobtexting").to_owned()));
        let config = text(&[("mobtexting", "one", "max_in_flight = 1")]);
        let house = Still::new(&config, &[("one", &vendor)]);
        *house.ledger.uncertain.lock().unwrap() = Some(("claim", is_kept));
        let calls = place_all(&house.gateway, orders(3)).await;
        assert!(calls.iter().all(|call| call.state == CallState::Accepted), "{calls:?}");
        assert_eq!(*house.ledger.uncertain.lock().unwrap(), None, "it came to that");
        let mut bodies = vendor.bodies();
        bodies.sort();
        bodies.dedup();
        assert_eq!((vendor.count(), bodies.len()), (3, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn so_are_those_of_which_the_bytes_were_kept_with_the_claim() {
    for is_kept in [true, false] {
        let vendor = Canned::new(|_, body| takes_all(body));
        let config = text(&[("phonon-multicast", "one", "max_in_flight = 1")]);
        let house = Still::new(&config, &[("one", &vendor)]);
        *house.ledger.uncertain.lock().unwrap() = Some(("claim", is_kept));
        let calls = place_all(&house.gateway, orders(510)).await;
        assert!(calls.iter().all(|call| call.state == CallState::Accepted));
        assert_eq!(*house.ledger.uncertain.lock().unwrap(), None, "it came to that");
        assert_eq!(sizes(&vendor.bodies()), [500, 10]);
        let ids = calls.iter().map(|call| call.id).collect();
        assert_eq!(house.ledger.outbox(ids).await.unwrap(), []);
    }
}

/// Two calls, one after the other: the claim of the second is kept though it fails, and
/// whatever changes are named fail from then on, for longer than a caller waits.
async fn long_after(failing: Option<&'static str>) {
    let vendor = Canned::taking(
        |_| Duration::from_secs(1),
        |_, _| Outcome::Says(200, yes("mobtexting").to_owned()),
    );
    let config = text(&[("mobtexting", "one", "max_in_flight = 1")]);
    let house = Still::new(&config, &[("one", &vendor)]);
    *house.ledger.uncertain.lock().unwrap() = Some(("claim", true));
    *house.ledger.failing.lock().unwrap() = failing;
    let gateway = house.gateway.clone();
    let placed = tokio::spawn(async move { place_all(&gateway, orders(2)).await });
    while house.ledger.uncertain.lock().unwrap().is_some() {
        sleep(Duration::from_millis(10)).await;
    }
    if failing.is_none() {
        house.break_ledger();
    }
    let calls = placed.await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(vendor.count(), 1, "the second is claimed, and nobody knows");
    house.mend_ledger();
    *house.ledger.failing.lock().unwrap() = None;
    for call in calls {
        house.reaches(call.id, CallState::Accepted).await;
    }
    assert_eq!(vendor.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn so_are_those_that_cannot_be_claimed_for_long_after_that() {
    long_after(None).await;
}

#[tokio::test(start_paused = true)]
async fn so_are_those_that_cannot_be_put_back_for_long() {
    long_after(Some("observe")).await;
}

fn is_uncertain(answer: &Result<Created, GatewayError>) -> bool {
    matches!(answer, Err(GatewayError::Ledger(LedgerError::Uncertain(_))))
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_kept_though_it_failed_is_placed_once() {
    for system in ["mobtexting", "phonon-outbound"] {
        for broken in [false, true] {
            let vendor = Canned::new(move |_, _| Outcome::Says(200, yes(system).to_owned()));
            let config = text(&[(system, "one", "max_in_flight = 1")]);
            let house = Still::new(&config, &[("one", &vendor)]);
            let id = RequestId::generate();
            *house.ledger.uncertain.lock().unwrap() = Some(("record", true));
            if broken {
                house.break_ledger();
            }
            let order = orders(1);
            let first = place_as(&house.gateway, &id, order.clone()).await;
            assert!(is_uncertain(&first), "{first:?}");
            let again = place_as(&house.gateway, &id, order.clone()).await.unwrap();
            assert!(again.replayed);
            sleep(Duration::from_secs(60)).await;
            assert_eq!(vendor.count(), usize::from(!broken), "{system}");
            house.mend_ledger();
            let call = house.reaches(again.calls[0].id, CallState::Accepted).await;
            let later = place_as(&house.gateway, &id, order).await.unwrap();
            assert!(later.replayed);
            assert_eq!((later.calls.as_slice(), vendor.count()), (&[call][..], 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn so_is_each_of_several_calls_whether_or_not_it_had_its_turn() {
    let vendor = Canned::new(|_, _| Outcome::Says(200, yes("mobtexting").to_owned()));
    let config = text(&[("mobtexting", "one", "max_in_flight = 1")]);
    let house = Still::new(&config, &[("one", &vendor)]);
    let id = RequestId::generate();
    *house.ledger.uncertain.lock().unwrap() = Some(("record", true));
    assert!(is_uncertain(&place_as(&house.gateway, &id, orders(4)).await));
    sleep(Duration::from_secs(1)).await;
    let again = place_as(&house.gateway, &id, orders(4)).await.unwrap();
    assert!(again.replayed && again.calls.iter().all(|call| call.state == CallState::Accepted));
    let mut bodies = vendor.bodies();
    bodies.sort();
    bodies.dedup();
    assert_eq!((again.calls.len(), vendor.count(), bodies.len()), (4, 4, 4));
}

#[tokio::test(start_paused = true)]
async fn of_a_request_that_was_not_kept_nothing_is_sent() {
    let vendor = Canned::new(|_, _| Outcome::Says(200, yes("phonon-outbound").to_owned()));
    let house = Still::new(&text(&[("phonon-outbound", "one", "")]), &[("one", &vendor)]);
    let id = RequestId::generate();
    *house.ledger.uncertain.lock().unwrap() = Some(("record", false));
    assert!(is_uncertain(&place_as(&house.gateway, &id, orders(1)).await));
    sleep(Duration::from_secs(60)).await;
    assert_eq!((vendor.count(), house.ledger.request(&id).await.unwrap()), (0, None));
    // The same again is the first then.
    let again = place_as(&house.gateway, &id, orders(1)).await.unwrap();
    assert_eq!((again.replayed, again.calls[0].state), (false, CallState::Accepted));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(vendor.count(), 1);
}
