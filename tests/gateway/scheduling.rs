//! Calls that are held until their time: never dialled before, and as soon as can be after,
//! whatever happens meanwhile.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use dialplane::{
    call::{Call, CallState, Observation, Order, Selector},
    gateway::Gateway,
    ledger::{Ledger, News, sqlite::Disk},
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use crate::{
    harness::FAST,
    placing::{order, place, place_all},
    raw::yes,
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

/// When every test begins.
fn begun() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn second(second: i64) -> Timestamp {
    begun() + SignedDuration::from_secs(second)
}

fn at(start_time: Timestamp) -> Order {
    Order { start_time: Some(start_time), ..order("919900000100", None) }
}

fn number(n: u64, start_time: Timestamp) -> Order {
    Order { start_time: Some(start_time), ..order(&(919_900_000_000 + n).to_string(), None) }
}

fn vendor(system: &'static str) -> Arc<Canned> {
    Canned::new(move |_, _| Outcome::Says(200, yes(system).to_owned()))
}

fn multicast() -> Arc<Canned> {
    Canned::new(|_, body| takes_all(body))
}

/// Nobody asks what became of the calls: every request is an order.
fn one(system: &str, keys: &str) -> String {
    text(&[(system, "one", &format!("poll_interval = \"1h\"\n{keys}"))])
}

/// How long after its time each request was sent.
fn late(vendor: &Canned, start: Instant, times: &[i64]) -> Vec<Duration> {
    let sent = vendor.times();
    assert_eq!(sent.len(), times.len());
    let pairs = sent.into_iter().zip(times);
    pairs.map(|(sent, time)| sent - start - Duration::from_secs(*time as u64)).collect()
}

const LATEST: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn a_call_is_held_until_its_time_for_every_vendor() {
    for system in ["mobtexting", "knovvu", "phonon-outbound", "phonon-multicast", "phonon-bulk"] {
        let line = if system == "phonon-bulk" {
            Canned::new(|_, _| {
                let answer = r#"{"api-response-code":202,"api-response-message":"Accepted","request-id":"r-1"}"#;
                Outcome::Says(202, answer.to_owned())
            })
        } else {
            vendor(system)
        };
        let house = Still::new(&one(system, ""), &[("one", &line)]);
        house.gateway.attend();
        // The time of day goes on from one to the next.
        let wait = SignedDuration::from_secs(1_000);
        let probe = place(&house.gateway, order("919900000200", None)).await;
        assert_eq!(probe.state, CallState::Accepted, "{system}: {probe:?}");
        let start = probe.create_time + wait;
        let begun = Instant::now();
        let call = place(&house.gateway, at(start)).await;
        assert_eq!((call.state, call.held_until), (CallState::Scheduled, Some(start)), "{system}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits for it");
        sleep(Duration::from_millis(999_999)).await;
        assert_eq!(line.count(), 1, "{system}: not before");
        let call = house.reaches(call.id, CallState::Accepted).await;
        assert!(line.times()[1] - begun < Duration::from_secs(1_000) + LATEST, "{system}");
        assert_eq!(line.count(), 2, "{system}");
        assert_eq!(call.held_until, None);
        assert!(call.dispatch_time.unwrap() >= start);
        house.gateway.stop();
        house.gateway.drained().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_together_goes_together() {
    let line = multicast();
    let house = Still::new(&one("phonon-multicast", FAST), &[("one", &line)]);
    house.gateway.attend();
    let start = Instant::now();
    // Of as many requests.
    for n in 0..700 {
        place(&house.gateway, number(n, second(60))).await;
    }
    for n in 700..1_000 {
        place(&house.gateway, number(n, second(60) + SignedDuration::from_millis(3))).await;
    }
    sleep(Duration::from_secs(61)).await;
    let sizes = sizes(&line.bodies());
    assert_eq!(sizes.iter().sum::<usize>(), 1_000);
    assert!(sizes.len() <= 4, "{sizes:?}");
    let last = line.times().into_iter().max().unwrap();
    assert!(last - start <= Duration::from_secs(60) + LATEST, "{:?}", last - start);
}

#[tokio::test(start_paused = true)]
async fn each_goes_at_its_own_time_in_whatever_order_they_came() {
    let line = vendor("mobtexting");
    let house = Still::new(&one("mobtexting", ""), &[("one", &line)]);
    house.gateway.attend();
    let start = Instant::now();
    for time in [2_000, 30, 3_000, 31, 90] {
        sleep(Duration::from_millis(20)).await;
        place(&house.gateway, at(second(time))).await;
    }
    sleep(Duration::from_secs(3_001)).await;
    for late in late(&line, start, &[30, 31, 90, 2_000, 3_000]) {
        assert!(late < LATEST, "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_is_noticed() {
    let line = vendor("mobtexting");
    let house = Still::new(&one("mobtexting", ""), &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house.gateway, at(second(7_200))).await;
    sleep(Duration::from_secs(1)).await;
    house.ahead.store(7_200, SeqCst);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(house.recorded(call.id).await.state, CallState::Accepted);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_expires_while_it_waits_is_never_dialled() {
    // Nobody else gets a turn for a minute.
    let line = Canned::taking(
        |_| Duration::from_secs(60),
        |_, _| Outcome::Says(200, yes("mobtexting").to_owned()),
    );
    let config = one("mobtexting", "max_in_flight = 1\ntimeout = \"2m\"");
    let house = Still::new(&config, &[("one", &line)]);
    house.gateway.attend();
    let [first, second, third] = [
        Order { start_time: Some(second(10)), ..order("919900000100", None) },
        Order { start_time: Some(second(11)), ..order("919900000200", Some(second(50))) },
        Order { start_time: Some(second(11)), ..order("919900000300", Some(second(80))) },
    ];
    let calls = place_all(&house.gateway, vec![first, second, third]).await;
    sleep(Duration::from_secs(200)).await;
    let mut states = Vec::new();
    for call in &calls {
        states.push(house.recorded(call.id).await.state);
    }
    assert_eq!(states, [CallState::Accepted, CallState::Expired, CallState::Accepted]);
    assert_eq!(line.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_taken_back_while_it_waits_is_never_dialled() {
    let line = vendor("mobtexting");
    let house = Still::new(&one("mobtexting", ""), &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house.gateway, at(second(60))).await;
    let other = place(&house.gateway, at(second(60))).await;
    let selector = Selector::Calls(vec![call.id]);
    let canceled = house.gateway.cancel(selector.clone()).await.unwrap();
    let taken_back = &canceled.calls[0];
    assert_eq!((taken_back.state, taken_back.held_until), (CallState::Canceled, None));
    sleep(Duration::from_secs(61)).await;
    assert_eq!(line.count(), 1, "only the other one");
    assert_eq!(house.recorded(other.id).await.state, CallState::Accepted);
    let again = house.gateway.cancel(selector).await.unwrap();
    assert_eq!(again.calls[0], *taken_back);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_suppressed_while_its_call_waits_is_never_dialled() {
    let line = vendor("mobtexting");
    let house = Still::new(&one("mobtexting", ""), &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house.gateway, at(second(60))).await;
    let other = place(&house.gateway, number(7, second(60))).await;
    let numbers = vec![call.order.to[0].clone()];
    house.gateway.suppress(numbers, "asked us to".parse().unwrap()).await.unwrap();
    sleep(Duration::from_secs(61)).await;
    let call = house.recorded(call.id).await;
    assert_eq!((call.state, call.held_until), (CallState::Failed, None));
    assert_eq!(call.error.unwrap().reason, "SUPPRESSED");
    assert_eq!(house.recorded(other.id).await.state, CallState::Accepted);
    assert_eq!(line.count(), 1);
}

async fn stopped(gateway: &Gateway) {
    gateway.stop();
    gateway.drained().await;
}

async fn started(house: &Still) {
    house.gateway.recover().await.unwrap();
    house.gateway.attend();
}

async fn states(house: &Still, calls: &[Call]) -> Vec<CallState> {
    let mut states = Vec::new();
    for call in calls {
        states.push(house.recorded(call.id).await.state);
    }
    states
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_goes_on_where_it_was() {
    let disk = Disk::new().unwrap();
    let (line, start) = (vendor("mobtexting"), Instant::now());
    let config = one("mobtexting", "");
    let house = Still::on(&disk, &config, &[("one", &line)]);
    house.gateway.attend();
    let mut orders: Vec<_> = (0..100).map(|n| number(n, second(10 + n as i64))).collect();
    // One that must not be dialled as late as that.
    orders[55].expire_time = Some(second(66));
    let calls = place_all(&house.gateway, orders).await;
    sleep(Duration::from_millis(59_900)).await;
    assert_eq!(line.count(), 50);
    stopped(&house.gateway).await;
    // Nobody dials for ten seconds.
    sleep(Duration::from_millis(10_100)).await;
    assert_eq!(line.count(), 50);
    let house = Still::on(&disk, &config, &[("one", &line)]);
    started(&house).await;
    sleep(LATEST).await;
    assert_eq!(line.count(), 60, "what was due meanwhile goes at once, but what expired");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(line.count(), 99, "each once");
    let states = states(&house, &calls).await;
    for (n, state) in states.into_iter().enumerate() {
        let expected = if n == 55 { CallState::Expired } else { CallState::Accepted };
        assert_eq!(state, expected, "{n}");
    }
    let last = line.times()[98] - start;
    assert!(last >= Duration::from_secs(109) && last < Duration::from_secs(109) + LATEST);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_up_before_a_crash_is_taken_up_again() {
    let disk = Disk::new().unwrap();
    let never = Canned::new(|_, _| Outcome::Never);
    let config = one("mobtexting", "max_in_flight = 1");
    let house = Still::on(&disk, &config, &[("one", &never)]);
    house.gateway.attend();
    let orders = (0..10).map(|n| number(n, second(10))).collect();
    let calls = place_all(&house.gateway, orders).await;
    sleep(Duration::from_secs(11)).await;
    assert_eq!(never.count(), 1);
    // As good as dead: it waits for an answer that never comes.
    house.gateway.stop();
    let line = vendor("mobtexting");
    let house = Still::on(&disk, &config, &[("one", &line)]);
    let found = house.gateway.recover().await.unwrap();
    assert_eq!((found.unconfirmed, found.resumed), (1, 9));
    house.gateway.attend();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(line.count(), 9);
    let states = states(&house, &calls).await;
    assert_eq!(states.iter().filter(|state| **state == CallState::Accepted).count(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_fails_costs_time_and_no_call() {
    let line = vendor("mobtexting");
    let house = Still::new(&one("mobtexting", ""), &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house.gateway, at(second(10))).await;
    house.break_ledger();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(line.count(), 0);
    house.mend_ledger();
    house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(line.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_may_have_been_taken_up_are_sent_once() {
    for is_kept in [true, false] {
        let line = multicast();
        let house = Still::new(&one("phonon-multicast", ""), &[("one", &line)]);
        let start = place(&house.gateway, order("919900000200", None)).await.create_time;
        let time = start + SignedDuration::from_secs(10);
        house.gateway.attend();
        let calls = place_all(&house.gateway, (0..3).map(|n| number(n, time)).collect()).await;
        sleep(Duration::from_secs(9)).await;
        *house.ledger.uncertain.lock().unwrap() = Some(("take_up", is_kept));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(states(&house, &calls).await, [CallState::Accepted; 3], "kept: {is_kept}");
        assert_eq!(sizes(&line.bodies()), [1, 3], "kept: {is_kept}");
        stopped(&house.gateway).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_vendor_that_is_no_more_goes_to_the_next() {
    let disk = Disk::new().unwrap();
    let (gone, line) = (vendor("mobtexting"), vendor("knovvu"));
    let both = text(&[("mobtexting", "gone", ""), ("knovvu", "one", "")]);
    let house = Still::on(&disk, &both, &[("gone", &gone), ("one", &line)]);
    let call = place(&house.gateway, at(second(60))).await;
    assert_eq!(call.vendor, "gone");
    stopped(&house.gateway).await;
    let house = Still::on(&disk, &one("knovvu", ""), &[("one", &line)]);
    started(&house).await;
    let moved = house.recorded(call.id).await;
    assert_eq!((moved.vendor.as_str(), moved.held_until), ("one", Some(second(60))));
    assert_eq!(moved.failovers[0].error.reason, "VENDOR_NOT_CONFIGURED");
    sleep(Duration::from_secs(59)).await;
    assert_eq!(line.count(), 0);
    house.reaches(call.id, CallState::Accepted).await;
    assert_eq!((line.count(), gone.count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_route_is_no_more_waits_until_it_is_back() {
    let disk = Disk::new().unwrap();
    let line = vendor("mobtexting");
    let config = one("mobtexting", "");
    let house = Still::on(&disk, &config, &[("one", &line)]);
    let lasting = place(&house.gateway, at(second(60))).await;
    let brief = Order { expire_time: Some(second(1_000)), ..number(7, second(60)) };
    let brief = place(&house.gateway, brief).await;
    stopped(&house.gateway).await;
    // Nobody knows whether it had a calling window.
    let renamed = config.replace("[routes.both]", "[routes.other]");
    let house = Still::on(&disk, &renamed, &[("one", &line)]);
    started(&house).await;
    sleep(Duration::from_secs(3_000)).await;
    assert_eq!(line.count(), 0);
    let states = states(&house, &[lasting.clone(), brief]).await;
    assert_eq!(states, [CallState::Scheduled, CallState::Expired]);
    stopped(&house.gateway).await;
    let house = Still::on(&disk, &config, &[("one", &line)]);
    started(&house).await;
    sleep(Duration::from_secs(900)).await;
    assert_eq!(house.recorded(lasting.id).await.state, CallState::Accepted);
    assert_eq!(line.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_held_while_it_has_its_turn_is_not_sent() {
    let line = vendor("mobtexting");
    let house = Still::new(&one("mobtexting", ""), &[("one", &line)]);
    let call = place(&house.gateway, at(second(10))).await;
    // As by whoever finds that it must not be dialled after all.
    let until = second(30);
    let held = Observation::Held { until, holds: 0 };
    let news = |observation| News {
        call: call.id,
        observation,
        at: begun(),
        due: None,
        vendor: None,
        dial: None,
    };
    house.ledger.observe(vec![news(held)]).await.unwrap();
    house.gateway.attend();
    sleep(Duration::from_secs(29)).await;
    assert_eq!(line.count(), 0);
    house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(line.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_more_than_may_be_in_hand_go_one_after_the_other() {
    let line = Canned::taking(|_| Duration::from_millis(20), |_, body| takes_all(body));
    let config = one("phonon-multicast", &format!("max_in_flight = 1\n{FAST}"));
    let house = Still::new(&config, &[("one", &line)]);
    house.gateway.attend();
    for chunk in 0..5_u64 {
        let orders = (0..5_000).map(|n| number(chunk * 5_000 + n, second(60))).collect();
        place_all(&house.gateway, orders).await;
    }
    sleep(Duration::from_secs(62)).await;
    let sizes = sizes(&line.bodies());
    assert_eq!(sizes, [500; 50]);
}
