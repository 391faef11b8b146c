//! Calls that move on go to the next vendor together, where it takes many at a time, and alone
//! without delay.

use std::time::Duration;

use dialplane::call::CallState;
use tokio::time::Instant;

use crate::{
    placing::{order, place, place_all},
    raw::yes,
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

/// Every call is tried, however many fail.
fn both() -> String {
    text(&[("mobtexting", "one", "breaker = false"), ("phonon-multicast", "two", "")])
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_move_on_in_a_few_requests() {
    // As at a port where nobody listens, each in its own time.
    let first = Canned::taking(
        |number| Duration::from_millis(1 + number as u64 % 5),
        |_, _| Outcome::NotSent,
    );
    let second = Canned::new(|_, body| takes_all(body));
    let house = Still::new(&both(), &[("one", &first), ("two", &second)]);
    let orders = (0..1_000_u64).map(|n| order(&(919_900_000_000 + n).to_string(), None));
    let calls = place_all(&house.gateway, orders.collect()).await;
    for call in &calls {
        assert_eq!((call.state, call.vendor.as_str()), (CallState::Accepted, "two"));
        assert_eq!(call.failovers.len(), 1);
    }
    let sizes = sizes(&second.bodies());
    assert!(sizes.len() <= 20, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 500), "{sizes:?}");
    assert_eq!((first.count(), sizes.iter().sum()), (1_000, 1_000));
}

#[tokio::test(start_paused = true)]
async fn all_that_move_at_once_fill_the_requests() {
    let first = Canned::new(|_, _| Outcome::NotSent);
    let second = Canned::new(|_, body| takes_all(body));
    let config = both().replace("[vendors.one]\n", "[vendors.one]\nmax_in_flight = 1000\n");
    let house = Still::new(&config, &[("one", &first), ("two", &second)]);
    let orders = (0..1_000_u64).map(|n| order(&(919_900_000_000 + n).to_string(), None));
    place_all(&house.gateway, orders.collect()).await;
    let sizes = sizes(&second.bodies());
    assert_eq!((sizes.len() <= 3, sizes.iter().sum()), (true, 1_000), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_moves_on_alone_does_not_wait_for_others() {
    let first = Canned::new(|_, _| Outcome::NotSent);
    let second = Canned::new(|_, body| takes_all(body));
    let house = Still::new(&both(), &[("one", &first), ("two", &second)]);
    let begun = Instant::now();
    let call = place(&house.gateway, order("919900000100", None)).await;
    assert_eq!((call.state, call.vendor.as_str()), (CallState::Accepted, "two"));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_others_that_may_not_come() {
    let slow = Duration::from_secs(10);
    let first = Canned::taking(
        move |number| if number == 0 { Duration::ZERO } else { slow },
        |number, _| match number {
            0 => Outcome::NotSent,
            _ => Outcome::Says(200, yes("mobtexting").to_owned()),
        },
    );
    let second = Canned::new(|_, body| takes_all(body));
    let house = Still::new(&both(), &[("one", &first), ("two", &second)]);
    let begun = Instant::now();
    let orders = ["919900000100", "919900000200"].map(|number| order(number, None));
    let calls = place_all(&house.gateway, orders.to_vec()).await;
    assert_eq!(begun.elapsed(), slow);
    let vendors: Vec<_> = calls.iter().map(|call| call.vendor.as_str()).collect();
    assert!(vendors.contains(&"one") && vendors.contains(&"two"), "{vendors:?}");
    let waited = second.times()[0] - begun;
    assert!(waited <= Duration::from_millis(60), "{waited:?}");
}
