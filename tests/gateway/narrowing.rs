//! A refusal of many that only one is to blame for, in a lane that many share.

use std::{collections::BTreeSet, time::Duration};

use dialplane::call::CallState;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    harness::FAST,
    lanes::{SECOND, number, takes_unless},
    placing::{place, place_all},
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

async fn spoiled(wrong: usize) -> (usize, usize) {
    let numbers: BTreeSet<_> = (0..wrong).map(|n| format!("9199{:08}", n * 500 / wrong)).collect();
    let is_wrong = numbers.clone();
    let line =
        Canned::taking(|_| Duration::from_millis(20), move |_, body| takes_unless(body, &is_wrong));
    let house = Still::new(&text(&[("phonon-multicast", "one", FAST)]), &[("one", &line)]);
    let callers: Vec<_> = (0..500)
        .map(|n| {
            let gateway = house.gateway.clone();
            tokio::spawn(async move { place(&gateway, number(n)).await })
        })
        .collect();
    let mut failed = 0;
    for (n, caller) in callers.into_iter().enumerate() {
        let call = caller.await.unwrap();
        let is_wrong = numbers.contains(&format!("9199{n:08}"));
        failed += usize::from(call.state == CallState::Failed && !is_wrong);
    }
    (failed, line.count())
}

#[tokio::test(start_paused = true)]
async fn a_few_wrong_calls_do_not_spoil_those_of_other_callers() {
    let mut all = Vec::new();
    for wrong in [2, 4, 5, 8, 16] {
        all.push((wrong, spoiled(wrong).await));
    }
    assert!(
        all.iter().all(|(_, (failed, _))| *failed == 0),
        "(wrong, (innocent, requests)): {all:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_have_the_innocent_fail() {
    let wrong = BTreeSet::from([format!("9199{:08}", 3)]);
    let line = Canned::taking(|_| SECOND, move |_, body| takes_unless(body, &wrong));
    let house = Still::new(&text(&[("phonon-multicast", "one", FAST)]), &[("one", &line)]);
    let gateway = house.gateway.clone();
    let calls =
        tokio::spawn(async move { place_all(&gateway, (0..8).map(number).collect()).await });
    sleep(Duration::from_millis(500)).await;
    house.gateway.stop();
    let calls = calls.await.unwrap();
    let failed = calls.iter().filter(|call| call.state == CallState::Failed).count();
    assert!(failed <= 1, "{failed} failed: {:?}", calls[0].error.as_ref().map(|e| &e.message));
    house.gateway.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn halves_stay_together_on_many_threads() {
    let wrong = BTreeSet::from([format!("9199{:08}", 321)]);
    let line =
        Canned::taking(|_| Duration::from_millis(5), move |_, body| takes_unless(body, &wrong));
    let keys = format!("{FAST}\nbatch.max_delay = \"20ms\"");
    let house = Still::new(&text(&[("phonon-multicast", "one", &keys)]), &[("one", &line)]);
    let callers: Vec<_> = (0..500)
        .map(|n| {
            let gateway = house.gateway.clone();
            tokio::spawn(async move { place(&gateway, number(n)).await })
        })
        .collect();
    let mut failed = 0;
    for caller in callers {
        failed += usize::from(caller.await.unwrap().state == CallState::Failed);
    }
    assert_eq!(failed, 1);
    assert!(line.count() <= 30, "{} requests: {:?}", line.count(), sizes(&line.bodies()));
}

/// Its time came, and it was refused beside another one: it waits as before.
#[tokio::test(start_paused = true)]
async fn who_waited_for_his_time_waits_on_after_a_refusal_of_many() {
    let no = json!({ "api-response-code": 205, "api-response-message": "Invalid Contact Number" });
    let line = Canned::taking(
        |_| Duration::from_millis(20),
        move |n, body| match n {
            0 => Outcome::Says(200, no.to_string()),
            1 => Outcome::NotSent,
            _ => takes_all(body),
        },
    );
    let keys = format!("{FAST}\nmax_in_flight = 1\nbreaker = {{ failures = 1, pause = \"30s\" }}");
    let house = Still::new(&text(&[("phonon-multicast", "one", &keys)]), &[("one", &line)]);
    house.gateway.attend();
    let orders = (0..2).map(|n| {
        let mut order = number(n);
        order.start_time = Some(house.now() + SECOND);
        order
    });
    let calls = place_all(&house.gateway, orders.collect()).await;
    assert!(calls.iter().all(|call| call.state == CallState::Scheduled));
    sleep(60 * SECOND).await;
    assert!(line.count() >= 2, "{}", line.count());
    let call = house.recorded(calls[1].id).await;
    assert_eq!(call.state, CallState::Accepted, "{:?}", call.error.map(|error| error.reason));
}
