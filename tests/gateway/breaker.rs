//! A vendor that fails again and again is left alone for a while: its calls go elsewhere, fail
//! at once or wait, and none of them is dialled for it that would not have been before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use dialplane::{
    call::{Call, CallState, Cause, Dialed, Order, Retry},
    gateway::{self, BreakerState},
    proto::{self, ListVendorsRequest},
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;
use tonic::Code;
use tonic_types::pb;

use crate::{
    harness::{Explained, Gateway},
    placing::{order, place, place_all, request},
    raw::{Does, Raw, account, answer, closed_port, route, yes},
    still::{Canned, Outcome, Still, text},
};

/// Nobody asks what became of the calls: every request is an order.
const QUIET: &str = "poll_interval = \"1h\"";
const NUMBER: &str = "919900000100";

fn takes(system: &'static str) -> Outcome {
    Outcome::Says(200, yes(system).to_owned())
}

fn taker(system: &'static str) -> Arc<Canned> {
    Canned::new(move |_, _| takes(system))
}

/// MobTexting, down for as long as the flag says so.
fn flaky(is_down: &Arc<AtomicBool>) -> Arc<Canned> {
    let is_down = Arc::clone(is_down);
    Canned::new(
        move |_, _| {
            if is_down.load(SeqCst) { Outcome::NotSent } else { takes("mobtexting") }
        },
    )
}

fn one(keys: &str) -> String {
    text(&[("mobtexting", "one", &format!("{QUIET}\n{keys}"))])
}

fn two(keys: &str) -> String {
    text(&[("mobtexting", "one", &format!("{QUIET}\n{keys}")), ("knovvu", "two", QUIET)])
}

fn breaker(house: &Still, vendor: &str) -> Option<BreakerState> {
    let configured = house.gateway.configured();
    configured.accounts().find(|account| account.name() == vendor).unwrap().breaker()
}

async fn place_some(gateway: &gateway::Gateway, count: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    for _ in 0..count {
        calls.push(place(gateway, order(NUMBER, None)).await);
    }
    calls
}

/// Why each vendor before this one did not dial.
fn tries(call: &Call) -> Vec<(&str, &str)> {
    call.failovers.iter().map(|f| (f.vendor.as_str(), f.error.reason.as_ref())).collect()
}

fn in_seconds(house: &Still, seconds: i64) -> Timestamp {
    house.now() + SignedDuration::from_secs(seconds)
}

fn at(start_time: Timestamp, expire_time: Option<Timestamp>) -> Order {
    Order { start_time: Some(start_time), ..order(NUMBER, expire_time) }
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_in_a_row_calls_go_elsewhere_without_a_detour() {
    let (down, up) = (Canned::new(|_, _| Outcome::NotSent), taker("knovvu"));
    let house = Still::new(&two(""), &[("one", &down), ("two", &up)]);
    for call in place_some(&house.gateway, 5).await {
        assert_eq!((call.state, call.vendor.as_str()), (CallState::Accepted, "two"));
        assert_eq!(tries(&call), [("one", "VENDOR_UNREACHABLE")]);
    }
    assert_eq!(breaker(&house, "one"), Some(BreakerState::Open));
    for call in place_some(&house.gateway, 5).await {
        assert_eq!((call.state, call.vendor.as_str()), (CallState::Accepted, "two"));
        assert_eq!(tries(&call), []);
    }
    assert_eq!((down.count(), up.count()), (5, 10));
    assert_eq!(breaker(&house, "two"), Some(BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_when_it_opens_moves_on_at_once() {
    let (down, up) = (Canned::new(|_, _| Outcome::NotSent), taker("knovvu"));
    let house = Still::new(&two("max_in_flight = 1"), &[("one", &down), ("two", &up)]);
    let calls = place_all(&house.gateway, vec![order(NUMBER, None); 8]).await;
    let count = |reason| calls.iter().filter(|call| tries(call) == [("one", reason)]).count();
    assert_eq!((count("VENDOR_UNREACHABLE"), count("BREAKER_OPEN")), (5, 3));
    assert!(calls.iter().all(|call| call.state == CallState::Accepted && call.vendor == "two"));
    assert_eq!((down.count(), up.count()), (5, 8));
}

#[tokio::test(start_paused = true)]
async fn without_another_vendor_it_is_told_exactly_how_long_to_wait() {
    let is_down = Arc::new(AtomicBool::new(true));
    let line = flaky(&is_down);
    let house = Still::new(&one(""), &[("one", &line)]);
    place_some(&house.gateway, 5).await;
    for (passed, left) in [(0, 30_000), (10_000, 20_000), (19_999, 1)] {
        sleep(Duration::from_millis(passed)).await;
        let call = place(&house.gateway, order(NUMBER, None)).await;
        let error = call.error.unwrap();
        assert_eq!((call.state, error.cause), (CallState::Failed, Cause::Unreachable));
        assert_eq!((error.reason.as_ref(), error.dialed), ("BREAKER_OPEN", Dialed::No));
        assert_eq!(error.retry_after, Some(Duration::from_millis(left)));
    }
    assert_eq!(line.count(), 5);
    is_down.store(false, SeqCst);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(breaker(&house, "one"), Some(BreakerState::HalfOpen));
    assert_eq!(place_some(&house.gateway, 1).await[0].state, CallState::Accepted);
    assert_eq!(breaker(&house, "one"), Some(BreakerState::Closed));
    // An error of the gateway's own is no news of the vendor.
    let health = house.gateway.configured().accounts().next().unwrap().health();
    assert_eq!(health.last_error.unwrap().0.reason, "VENDOR_UNREACHABLE");
}

#[tokio::test(start_paused = true)]
async fn half_open_it_lets_one_through_and_the_others_go_elsewhere() {
    let first = Canned::taking(
        |_| Duration::from_secs(1),
        |number, _| if number < 6 { Outcome::NotSent } else { takes("mobtexting") },
    );
    let up = taker("knovvu");
    let house = Still::new(&two(""), &[("one", &first), ("two", &up)]);
    place_some(&house.gateway, 5).await;
    // The first try fails, and the next one comes after twice the time.
    for (pause, sent) in [(30, 6), (60, 7)] {
        sleep(Duration::from_secs(pause) - Duration::from_millis(1)).await;
        assert_eq!(breaker(&house, "one"), Some(BreakerState::Open));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(breaker(&house, "one"), Some(BreakerState::HalfOpen));
        let calls = place_all(&house.gateway, vec![order(NUMBER, None); 4]).await;
        assert_eq!(first.count(), sent);
        let refused = calls.iter().filter(|call| tries(call) == [("one", "BREAKER_OPEN")]);
        assert_eq!(refused.filter(|call| call.vendor == "two").count(), 3);
        assert!(calls.iter().all(|call| call.state == CallState::Accepted));
    }
    assert_eq!(breaker(&house, "one"), Some(BreakerState::Closed));
    let calls = place_all(&house.gateway, vec![order(NUMBER, None); 4]).await;
    assert!(calls.iter().all(|call| call.state == CallState::Accepted && call.vendor == "one"));
}

#[tokio::test(start_paused = true)]
async fn mistakes_of_callers_and_operators_never_open_it() {
    const STATUSES: [u16; 8] = [400, 401, 402, 403, 404, 405, 422, 429];
    let line = Canned::new(|number, _| {
        let body = r#"{"status":"ERROR","message":"no"}"#;
        Outcome::Says(STATUSES[number % STATUSES.len()], body.to_owned())
    });
    let house = Still::new(&one("breaker = { failures = 1 }"), &[("one", &line)]);
    for call in place_some(&house.gateway, 16).await {
        assert_eq!(call.state, CallState::Failed);
    }
    assert_eq!((line.count(), breaker(&house, "one")), (16, Some(BreakerState::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_a_reason_closes_it_again() {
    let line = Canned::new(|number, _| match number {
        0 => Outcome::NotSent,
        _ => Outcome::Says(402, r#"{"status":"ERROR","code":402}"#.to_owned()),
    });
    let house = Still::new(&one("breaker = { failures = 1 }"), &[("one", &line)]);
    place_some(&house.gateway, 1).await;
    sleep(Duration::from_secs(30)).await;
    let call = place(&house.gateway, order(NUMBER, None)).await;
    assert_eq!(call.error.unwrap().reason, "INSUFFICIENT_BALANCE");
    assert_eq!(breaker(&house, "one"), Some(BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_are_held_and_go_when_it_closes() {
    let is_down = Arc::new(AtomicBool::new(true));
    let line = flaky(&is_down);
    let house = Still::new(&one(""), &[("one", &line)]);
    house.gateway.attend();
    let orders = vec![at(in_seconds(&house, 10), None); 4];
    let calls = place_all(&house.gateway, orders).await;
    let expires = in_seconds(&house, 25);
    let brief = place(&house.gateway, at(in_seconds(&house, 10), Some(expires))).await;
    let opened = house.now();
    place_some(&house.gateway, 5).await;
    sleep(Duration::from_secs(12)).await;
    for call in &calls {
        let call = house.recorded(call.id).await;
        assert_eq!((call.state, call.error), (CallState::Scheduled, None));
        assert_eq!(call.held_until, Some(opened + SignedDuration::from_secs(30)));
    }
    assert_eq!(house.recorded(brief.id).await.held_until, Some(expires));
    house.reaches(brief.id, CallState::Expired).await;
    // The first of them tries at 30 s, in vain: it was not dialled, and has nowhere to go.
    sleep(Duration::from_secs(20)).await;
    assert_eq!(line.count(), 6);
    is_down.store(false, SeqCst);
    sleep(Duration::from_secs(70)).await;
    let mut states = Vec::new();
    for call in &calls {
        states.push(house.recorded(call.id).await.state);
    }
    states.sort_by_key(|state| *state == CallState::Accepted);
    let accepted = CallState::Accepted;
    assert_eq!(states, [CallState::Failed, accepted, accepted, accepted]);
    assert_eq!((line.count(), breaker(&house, "one")), (9, Some(BreakerState::Closed)));
    house.gateway.stop();
    house.gateway.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_and_has_somewhere_to_go_goes_there_on_time() {
    let (down, up) = (Canned::new(|_, _| Outcome::NotSent), taker("knovvu"));
    let house = Still::new(&two(""), &[("one", &down), ("two", &up)]);
    house.gateway.attend();
    place_some(&house.gateway, 5).await;
    // What is wrong now need not be so at its time: it is not passed over yet.
    let [soon, later] = [10, 60].map(|wait| at(in_seconds(&house, wait), None));
    let (soon, later) = (place(&house.gateway, soon).await, place(&house.gateway, later).await);
    assert_eq!((soon.vendor.as_str(), later.vendor.as_str()), ("one", "one"));
    sleep(Duration::from_secs(11)).await;
    let soon = house.recorded(soon.id).await;
    assert_eq!((soon.state, tries(&soon)), (CallState::Accepted, vec![("one", "BREAKER_OPEN")]));
    assert_eq!(down.count(), 5);
    sleep(Duration::from_secs(50)).await;
    let later = house.recorded(later.id).await;
    assert_eq!(tries(&later), [("one", "VENDOR_UNREACHABLE")], "the one that is let through");
    assert_eq!((later.state, down.count()), (CallState::Accepted, 6));
    house.gateway.stop();
    house.gateway.drained().await;
}

#[tokio::test(start_paused = true)]
async fn doubts_open_it_too_and_nobody_in_doubt_is_dialled_again() {
    let (lost, up) = (Canned::new(|_, _| Outcome::Lost), taker("knovvu"));
    let house = Still::new(&two(""), &[("one", &lost), ("two", &up)]);
    house.gateway.attend();
    let doubts = place_some(&house.gateway, 5).await;
    assert!(doubts.iter().all(|call| call.state == CallState::Unconfirmed));
    assert_eq!(breaker(&house, "one"), Some(BreakerState::Open));
    let call = place(&house.gateway, order(NUMBER, None)).await;
    assert_eq!((call.state, call.vendor.as_str()), (CallState::Accepted, "two"));
    sleep(Duration::from_secs(3_000)).await;
    for call in doubts {
        assert_eq!(house.recorded(call.id).await.state, CallState::Unconfirmed);
    }
    assert_eq!((lost.count(), up.count()), (5, 1));
    house.gateway.stop();
    house.gateway.drained().await;
}

#[tokio::test(start_paused = true)]
async fn what_ends_a_doubt_is_sent_all_the_same_and_closes_nothing() {
    let vendor = Canned::new(|number, _| match number {
        0 => Outcome::Lost,
        _ => takes("phonon-outbound"),
    });
    let config = text(&[("phonon-outbound", "one", "breaker = { failures = 1, pause = \"5m\" }")]);
    let house = Still::new(&config, &[("one", &vendor)]);
    house.gateway.attend();
    let doubt = place(&house.gateway, order(NUMBER, None)).await;
    assert_eq!(doubt.state, CallState::Unconfirmed);
    house.reaches(doubt.id, CallState::Accepted).await;
    let bodies = vendor.bodies();
    assert_eq!((bodies.len(), &bodies[0]), (2, &bodies[1]), "the very same, not another order");
    assert_eq!(breaker(&house, "one"), Some(BreakerState::Open));
    house.gateway.stop();
    house.gateway.drained().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dialled_again_waits_for_its_vendor() {
    let vendor = Canned::new(|number, body| match number {
        0 => takes("knovvu"),
        _ if body.contains("UniqueIds") => {
            let rows = r#"{"CallResults":[{"UniqueId":"v-1","CallState":"Busy"}]}"#;
            Outcome::Says(200, rows.to_owned())
        }
        _ => Outcome::NotSent,
    });
    let keys = "poll_interval = \"10s\"\nbreaker = { failures = 1 }";
    let house = Still::new(&text(&[("knovvu", "one", keys)]), &[("one", &vendor)]);
    house.gateway.attend();
    let retry = Some(Retry { interval: Duration::from_secs(10), max_attempts: 2 });
    let call = place(&house.gateway, Order { retry, ..order(NUMBER, None) }).await;
    let call = house.reaches(call.id, CallState::Scheduled).await;
    let opened = house.now();
    place_some(&house.gateway, 1).await;
    assert_eq!(breaker(&house, "one"), Some(BreakerState::Open));
    sleep(Duration::from_secs(29)).await;
    let call = house.recorded(call.id).await;
    let until = opened + SignedDuration::from_secs(30);
    assert_eq!((call.state, call.held_until), (CallState::Scheduled, Some(until)));
    assert_eq!((call.dials.len(), vendor.count()), (1, 3));
    house.gateway.stop();
    house.gateway.drained().await;
}

#[tokio::test(start_paused = true)]
async fn the_vendor_that_was_passed_over_is_the_last_resort() {
    let down = Canned::new(|_, _| Outcome::NotSent);
    let poor = Canned::new(|_, _| Outcome::Says(402, "{}".to_owned()));
    let house = Still::new(&two("breaker = { failures = 1 }"), &[("one", &down), ("two", &poor)]);
    place_some(&house.gateway, 1).await;
    sleep(Duration::from_secs(5)).await;
    let call = place(&house.gateway, order(NUMBER, None)).await;
    assert_eq!((call.vendor.as_str(), tries(&call)), ("one", vec![("two", "PAYMENT_REQUIRED")]));
    let error = call.error.unwrap();
    assert_eq!((error.reason.as_ref(), call.state), ("BREAKER_OPEN", CallState::Failed));
    assert_eq!(error.retry_after, Some(Duration::from_secs(25)));
    assert_eq!((down.count(), poor.count()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_many_wait_for_fails_once() {
    let down = Canned::taking(|_| Duration::from_secs(1), |_, _| Outcome::NotSent);
    let config = text(&[("knovvu", "one", &format!("{QUIET}\nbreaker = {{ failures = 2 }}"))]);
    let oauth = "oauth = { identity_url = \"http://127.0.0.1:9\", client_id = \"c\", \
                 client_secret = \"s\", scope = \"outboundmanager_external\" }";
    let config = config.replace("access_token = \"sandbox-token\"", oauth);
    let house = Still::new(&config, &[("one", &down)]);
    for (requests, state) in [(1, BreakerState::Closed), (2, BreakerState::Open)] {
        for call in place_all(&house.gateway, vec![order(NUMBER, None); 5]).await {
            assert_eq!(call.error.unwrap().reason, "TOKEN_UNAVAILABLE");
        }
        assert_eq!((down.count(), breaker(&house, "one")), (requests, Some(state)));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(
        place(&house.gateway, order(NUMBER, None)).await.error.unwrap().reason,
        "BREAKER_OPEN"
    );
    assert_eq!(down.count(), 2, "nor is a token asked for");
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_everything_is_sent() {
    let down = Canned::new(|_, _| Outcome::NotSent);
    let house = Still::new(&one("breaker = false"), &[("one", &down)]);
    place_some(&house.gateway, 20).await;
    assert_eq!((down.count(), breaker(&house, "one")), (20, None));
}

async fn listed(gateway: &mut Gateway) -> proto::BreakerState {
    let list = gateway.client.list_vendors(ListVendorsRequest {}).await.unwrap().into_inner();
    list.vendors[0].health.clone().unwrap().breaker()
}

#[tokio::test]
async fn callers_are_told_and_so_is_whoever_lists_the_vendors() {
    let keys = "breaker = { failures = 2, pause = \"1h\" }";
    let text = account("mobtexting", "one", &closed_port().await, keys) + &route("both", &["one"]);
    let mut gateway = Gateway::start(&text).await;
    assert_eq!(listed(&mut gateway).await, proto::BreakerState::Closed);
    for (id, reason) in
        [("R1", "VENDOR_UNREACHABLE"), ("R2", "VENDOR_UNREACHABLE"), ("R3", "BREAKER_OPEN")]
    {
        let error = Explained::of(&gateway.send(request(id, "both")).await.unwrap_err());
        assert_eq!((error.code, error.info.reason.as_str()), (Code::Unavailable, reason));
        assert_eq!((error.meta("dialed"), error.meta("vendor")), ("no", "one"));
        let wait: pb::RetryInfo = error.detail("google.rpc.RetryInfo").unwrap();
        let seconds = wait.retry_delay.unwrap().seconds;
        let expected = if id == "R3" { 3_500..=3_600 } else { 4..=5 };
        assert!(expected.contains(&seconds), "{id}: {seconds}");
    }
    assert_eq!(listed(&mut gateway).await, proto::BreakerState::Open);
    gateway.stop().await;
}

#[tokio::test]
async fn it_is_listed_as_half_open_and_closed_again() {
    let vendor = Raw::start(|number| match number {
        0 | 1 => Does::HangsUp,
        _ => answer(200, "", yes("mobtexting")),
    })
    .await;
    let keys = "breaker = { failures = 2, pause = \"100ms\" }";
    let text = account("mobtexting", "one", &vendor.url(), keys) + &route("both", &["one"]);
    let mut gateway = Gateway::start(&text).await;
    for id in ["R1", "R2"] {
        let call = gateway.send(request(id, "both")).await.unwrap().calls.remove(0);
        assert_eq!(call.state(), proto::CallState::Unconfirmed);
    }
    while listed(&mut gateway).await != proto::BreakerState::HalfOpen {}
    let call = gateway.send(request("R3", "both")).await.unwrap().calls.remove(0);
    assert_eq!(call.state(), proto::CallState::Accepted);
    assert_eq!(listed(&mut gateway).await, proto::BreakerState::Closed);
    assert_eq!(vendor.asked(), 3);
    gateway.stop().await;
}
