//! Calls of many callers in one exchange: each has its own answer, and none spoils another's.

use std::{collections::BTreeMap, time::Duration};

use dialplane::{
    call::{Call, CallState, RequestId, Script},
    gateway::GatewayError,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    harness::FAST,
    pace::within,
    placing::{order, place_all, place_as},
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

fn number(n: usize) -> dialplane::call::Order {
    order(&format!("9199{n:08}"), None)
}

fn house(keys: &str, line: &std::sync::Arc<Canned>) -> Still {
    let keys = format!("{FAST}\n{keys}");
    Still::new(&text(&[("phonon-multicast", "one", &keys)]), &[("one", line)])
}

/// The numbers in a request.
fn numbers(body: &str) -> Vec<String> {
    let asked: Value = serde_json::from_str(body).unwrap();
    let calls = asked["calls"].as_array().unwrap().iter();
    calls.map(|call| call["contact-numbers"][0].as_str().unwrap().to_owned()).collect()
}

/// Takes each call under its own number as the id, unless one of them is wrong.
fn takes_if(body: &str, is_wrong: impl Fn(&str) -> bool) -> Outcome {
    if numbers(body).iter().any(|number| is_wrong(number)) {
        let no =
            json!({ "api-response-code": 205, "api-response-message": "Invalid Contact Number" });
        return Outcome::Says(200, no.to_string());
    }
    let asked: Value = serde_json::from_str(body).unwrap();
    let calls = asked["calls"].as_array().unwrap().iter();
    let list = calls.map(|call| {
        let (id, number) = (&call["client-identifier"], &call["contact-numbers"][0]);
        json!({ "client-identifier": id, "phonon-uuid": format!("v-{}", number.as_str().unwrap()) })
    });
    let answer = json!({
        "api-response-code": 200, "request-id": "r-1", "call-details": list.collect::<Vec<_>>(),
    });
    Outcome::Says(200, answer.to_string())
}

/// Each call is another caller's; they come within three milliseconds.
async fn place_each(house: &Still, count: usize) -> Vec<Call> {
    let mut callers = Vec::new();
    for n in 0..count {
        let gateway = house.gateway.clone();
        callers.push(tokio::spawn(async move {
            sleep(Duration::from_micros(n as u64 * 3_000 / count as u64)).await;
            place_all(&gateway, vec![number(n)]).await.remove(0)
        }));
    }
    let mut calls = Vec::new();
    for caller in callers {
        calls.push(caller.await.unwrap());
    }
    calls
}

#[tokio::test(start_paused = true)]
async fn calls_of_many_callers_leave_together_and_each_has_its_own_answer() {
    let line = Canned::taking(|_| Duration::from_millis(50), |_, body| takes_if(body, |_| false));
    let house = house("", &line);
    let calls = place_each(&house, 1_200).await;
    for (n, call) in calls.iter().enumerate() {
        assert_eq!(call.vendor_call_id, Some(format!("v-9199{n:08}")));
        assert_eq!(call.state, CallState::Accepted);
    }
    let sizes = sizes(&line.bodies());
    assert_eq!(sizes.iter().sum::<usize>(), 1_200);
    assert!(sizes.len() <= 6 && sizes.iter().all(|size| *size <= 500), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_goes_at_once_and_the_others_wait_five_milliseconds_at_most() {
    let line = Canned::taking(|_| Duration::from_millis(200), |_, body| takes_all(body));
    let house = house("", &line);
    let begun = Instant::now();
    let place = |n, after| {
        let gateway = house.gateway.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(after)).await;
            place_all(&gateway, vec![number(n)]).await
        })
    };
    let callers = [place(0, 0), place(1, 10), place(2, 13), place(3, 20)];
    for caller in callers {
        caller.await.unwrap();
    }
    let at: Vec<_> = line.times().iter().map(|time| (*time - begun).as_millis()).collect();
    assert_eq!((at, sizes(&line.bodies())), (vec![0, 15, 25], vec![1, 2, 1]));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_together_where_that_is_turned_off() {
    let line = Canned::taking(|_| Duration::from_millis(20), |_, body| takes_all(body));
    let house = house("batch.max_delay = 0\nmax_in_flight = 2", &line);
    let calls = place_each(&house, 50).await;
    assert!(calls.iter().all(|call| call.state == CallState::Accepted));
    assert_eq!(sizes(&line.bodies()), [1; 50]);
}

#[tokio::test(start_paused = true)]
async fn each_flow_goes_by_itself() {
    let line = Canned::taking(|_| Duration::from_millis(20), |_, body| takes_all(body));
    let house = house("", &line);
    let mut callers = Vec::new();
    for n in 0..60 {
        let gateway = house.gateway.clone();
        callers.push(tokio::spawn(async move {
            let mut order = number(n);
            order.script = Some(Script::Flow(format!("Flow{:04}", n % 3)));
            place_all(&gateway, vec![order]).await
        }));
    }
    for caller in callers {
        assert_eq!(caller.await.unwrap()[0].state, CallState::Accepted);
    }
    let mut by_flow = BTreeMap::<String, usize>::new();
    for body in line.bodies() {
        let asked: Value = serde_json::from_str(&body).unwrap();
        let flow = asked["flow-id"].as_str().unwrap().to_owned();
        *by_flow.entry(flow).or_default() += asked["calls"].as_array().unwrap().len();
    }
    assert_eq!(by_flow.into_values().collect::<Vec<_>>(), [20, 20, 20]);
    assert!(line.count() <= 6, "{}", line.count());
}

#[tokio::test(start_paused = true)]
async fn one_wrong_call_does_not_spoil_those_of_other_callers() {
    let wrong = format!("9199{:08}", 321);
    let is_wrong = wrong.clone();
    let line = Canned::taking(
        |_| Duration::from_millis(20),
        move |_, body| takes_if(body, |number| number == is_wrong),
    );
    let house = house("", &line);
    let calls = place_each(&house, 500).await;
    for (n, call) in calls.iter().enumerate() {
        let expected = if n == 321 { CallState::Failed } else { CallState::Accepted };
        assert_eq!(call.state, expected, "{n}: {call:?}");
    }
    let error = calls[321].error.as_ref().unwrap();
    assert_eq!((error.reason.as_ref(), error.violations.len()), ("INVALID_CONTACT_NUMBER", 1));
    // Each of the others is in one request only that was not refused.
    let mut taken = BTreeMap::<String, usize>::new();
    for body in line.bodies() {
        let numbers = numbers(&body);
        if !numbers.contains(&wrong) {
            numbers.into_iter().for_each(|number| *taken.entry(number).or_default() += 1);
        }
    }
    assert_eq!((taken.len(), taken.values().max()), (499, Some(&1)));
    assert!(line.count() <= 24, "{}", line.count());
}

#[tokio::test(start_paused = true)]
async fn where_all_are_wrong_the_search_ends() {
    let line = Canned::taking(|_| Duration::from_millis(20), |_, body| takes_if(body, |_| true));
    let house = house("", &line);
    let orders = (0..500).map(number).collect();
    let calls = place_all(&house.gateway, orders).await;
    assert!(calls.iter().all(|call| call.state == CallState::Failed));
    assert!(line.count() <= 67, "{}", line.count());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_meant_for_all_is_told_to_all() {
    let no = json!({ "api-response-code": 212, "api-response-message": "Insufficient Balance" });
    let line = Canned::new(move |_, _| Outcome::Says(200, no.to_string()));
    let house = house("", &line);
    let calls = place_all(&house.gateway, (0..300).map(number).collect()).await;
    assert!(calls.iter().all(|call| call.state == CallState::Failed));
    assert_eq!(line.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_there_before_keeps_nobody_else_back() {
    let line = Canned::taking(|_| Duration::from_millis(100), |_, body| takes_all(body));
    let house = house("", &line);
    let known = RequestId::generate();
    let first = place_as(&house.gateway, &known, vec![number(0)]).await.unwrap();
    let gateway = house.gateway.clone();
    let ahead = tokio::spawn(async move { place_all(&gateway, vec![number(1)]).await });
    tokio::task::yield_now().await;
    // The three wait for each other, and the ledger says of one that it was there.
    let (one, two) = (RequestId::generate(), RequestId::generate());
    let (new, again, other) = tokio::join!(
        place_as(&house.gateway, &one, vec![number(2)]),
        place_as(&house.gateway, &known, vec![number(0)]),
        place_as(&house.gateway, &two, vec![number(3)]),
    );
    let again = again.unwrap();
    assert!(again.replayed && again.calls == first.calls);
    assert_eq!(new.unwrap().calls[0].state, CallState::Accepted);
    assert_eq!(other.unwrap().calls[0].state, CallState::Accepted);
    ahead.await.unwrap();
    assert_eq!(sizes(&line.bodies()), [1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_the_gateway_stops_is_told_that_nothing_was_sent() {
    let line = Canned::taking(|_| Duration::from_secs(1), |_, body| takes_all(body));
    let house = house("max_in_flight = 1", &line);
    let place = |n| {
        let gateway = house.gateway.clone();
        let deadline = Some(Duration::from_secs(60));
        tokio::spawn(async move {
            within(&gateway, &RequestId::generate(), vec![number(n)], deadline).await
        })
    };
    let first = place(0);
    sleep(Duration::from_millis(10)).await;
    let second = place(1);
    sleep(Duration::from_millis(10)).await;
    house.gateway.stop();
    let second = second.await.unwrap();
    assert!(matches!(second, Err(GatewayError::Stopping)), "{second:?}");
    assert_eq!(first.await.unwrap().unwrap().calls[0].state, CallState::Accepted);
    house.gateway.drained().await;
    assert_eq!(line.count(), 1);
}
