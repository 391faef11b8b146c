//! Another configuration while calls go and wait: nobody is dialled twice, nothing is lost, and
//! no vendor gets more than it takes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dialplane::{
    call::{Call, CallState, Order},
    gateway::Named,
    ledger::sqlite::Disk,
};
use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    pace::{most_within, number},
    placing::{order, place_all},
    raw::{account, route, yes},
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

const SECOND: Duration = Duration::from_secs(1);
/// Nobody asks what became of the calls.
const QUIET: &str = "poll_interval = \"1h\"";

fn vendor(system: &'static str) -> Arc<Canned> {
    Canned::new(move |_, _| Outcome::Says(200, yes(system).to_owned()))
}

fn slow(milliseconds: u64) -> Arc<Canned> {
    Canned::taking(move |_| Duration::from_millis(milliseconds), |_, body| takes_all(body))
}

/// Phonon under the name `one`, on the route `both`.
fn one(keys: &str) -> String {
    text(&[("phonon-multicast", "one", &format!("{QUIET}\n{keys}"))])
}

/// The configuration of `text` without its vendor `one`; what it was for goes to another.
fn without_one(others: &[(&str, &str)]) -> String {
    let all: Vec<_> = others.iter().map(|(system, name)| (*system, *name, QUIET)).collect();
    text(&all)
}

fn place(house: &Still, order: Order) -> tokio::task::JoinHandle<Call> {
    let gateway = house.gateway.clone();
    tokio::spawn(async move { place_all(&gateway, vec![order]).await.remove(0) })
}

fn numbers(line: &Canned) -> Vec<String> {
    let of = |body: &String| {
        let asked: Value = serde_json::from_str(body).unwrap();
        let calls = asked["calls"].as_array().unwrap().clone();
        let number = |call: Value| {
            let call = call.to_string();
            let at = call.find("9199").unwrap();
            call[at..at + 12].to_owned()
        };
        calls.into_iter().map(number).collect::<Vec<_>>()
    };
    line.bodies().iter().flat_map(of).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_rate_holds_however_often_the_vendor_is_configured_anew() {
    let line = slow(300);
    let config = |n: usize| {
        let turns = [1, 4, 2][n % 3];
        let delay = [5, 0, 50][n % 3];
        one(&format!(
            "rate = {{ calls = 20, per = \"10s\" }}\nmax_in_flight = {turns}\n\
             batch = {{ max_delay = \"{delay}ms\" }}\ntimeout = \"{}s\"",
            10 + n
        ))
    };
    let house = Still::new(&config(0), &[("one", &line)]);
    let callers: Vec<_> = (0..150).map(|n| place(&house, number(n))).collect();
    for n in 1..30 {
        sleep(Duration::from_millis(700 + 137 * (n as u64 % 7))).await;
        let changes = house.reload(&config(n), &[("one", &line)]).await;
        assert_eq!(changes.vendors.changed, ["one"]);
    }
    for caller in callers {
        assert_eq!(caller.await.unwrap().state, CallState::Accepted);
    }
    let times: Vec<_> = line.times().into_iter().zip(sizes(&line.bodies())).collect();
    assert_eq!(times.iter().map(|(_, calls)| calls).sum::<usize>(), 150);
    assert_eq!(most_within(10 * SECOND, &times), 20);
    let all = numbers(&line);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "nobody twice");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_counts_against_another_rate() {
    let line = slow(0);
    let rate =
        |calls: u32, per: &str| one(&format!("rate = {{ calls = {calls}, per = \"{per}\" }}"));
    let house = Still::new(&rate(20, "10s"), &[("one", &line)]);
    let begun = Instant::now();
    let callers: Vec<_> = (0..40).map(|n| place(&house, number(n))).collect();
    sleep(SECOND).await;
    assert_eq!(sizes(&line.bodies()).iter().sum::<usize>(), 20);
    house.reload(&rate(5, "10s"), &[("one", &line)]).await;
    sleep(10 * SECOND).await;
    assert_eq!(sizes(&line.bodies()).iter().sum::<usize>(), 25);
    // A window that is longer, of which only the ledger knows: the 25 of the last minute.
    house.reload(&rate(30, "60s"), &[("one", &line)]).await;
    sleep(10 * SECOND).await;
    let sent = sizes(&line.bodies()).iter().sum::<usize>();
    assert!(sent <= 30, "{sent}");
    for caller in callers {
        assert_eq!(caller.await.unwrap().state, CallState::Accepted);
    }
    let times: Vec<_> = line.times().into_iter().zip(sizes(&line.bodies())).collect();
    let after: Vec<_> = times.into_iter().filter(|(at, _)| *at > begun + 11 * SECOND).collect();
    assert!(most_within(60 * SECOND, &after) <= 30);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_comes_back_has_not_forgotten_what_it_got() {
    let (line, other) = (slow(0), vendor("mobtexting"));
    let lines = [("one", &line), ("other", &other)];
    let with = one("rate = { calls = 10, per = \"10s\" }");
    let house = Still::new(&with, &lines);
    let first: Vec<_> = (0..10).map(|n| place(&house, number(n))).collect();
    for call in first {
        assert_eq!(call.await.unwrap().state, CallState::Accepted);
    }
    house.reload(&without_one(&[("mobtexting", "other")]), &lines).await;
    sleep(SECOND).await;
    let changes = house.reload(&with, &lines).await;
    assert_eq!(
        (changes.vendors.added, changes.vendors.removed),
        (names(&["one"]), names(&["other"]))
    );
    let second: Vec<_> = (10..20).map(|n| place(&house, number(n))).collect();
    for call in second {
        assert_eq!(call.await.unwrap().state, CallState::Accepted);
    }
    let times: Vec<_> = line.times().into_iter().zip(sizes(&line.bodies())).collect();
    assert_eq!(most_within(10 * SECOND, &times), 10);
}

#[tokio::test(start_paused = true)]
async fn fewer_exchanges_at_a_time_are_fewer_once_those_under_way_are_over() {
    let line = slow(1_000);
    let config = |turns: u32| one(&format!("max_in_flight = {turns}\nbatch = {{ max_delay = 0 }}"));
    let house = Still::new(&config(4), &[("one", &line)]);
    let callers: Vec<_> = (0..8).map(|n| place(&house, number(n))).collect();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(line.count(), 4);
    house.reload(&config(1), &[("one", &line)]).await;
    for (at, count) in [(600, 5), (1_000, 6), (1_000, 7)] {
        sleep(Duration::from_millis(at)).await;
        assert_eq!(line.count(), count);
    }
    house.reload(&config(3), &[("one", &line)]).await;
    for caller in callers {
        assert_eq!(caller.await.unwrap().state, CallState::Accepted);
    }
    assert_eq!(line.count(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_vendor_that_goes_moves_on() {
    let (line, other) = (slow(0), vendor("mobtexting"));
    let lines = [("one", &line), ("other", &other)];
    let both = text(&[
        ("phonon-multicast", "one", &format!("{QUIET}\nrate = {{ calls = 3, per = \"1h\" }}")),
        ("mobtexting", "other", QUIET),
    ]);
    let house = Still::new(&both, &lines);
    let callers: Vec<_> = (0..9).map(|n| place(&house, number(n))).collect();
    // Some wait in memory, and some are recorded by now.
    sleep(SECOND).await;
    let late: Vec<_> = (9..12).map(|n| place(&house, number(n))).collect();
    sleep(Duration::from_millis(1)).await;
    let changes = house.reload(&without_one(&[("mobtexting", "other")]), &lines).await;
    assert_eq!(changes.vendors.removed, ["one"]);
    assert_eq!((changes.routes.changed, changes.settings.len()), (names(&["both"]), 0));
    let mut at = Vec::new();
    for caller in callers.into_iter().chain(late) {
        let call = caller.await.unwrap();
        assert_eq!(call.state, CallState::Accepted);
        at.push(call.vendor);
    }
    assert_eq!(at.iter().filter(|vendor| *vendor == "one").count(), 3);
    assert_eq!((numbers(&line).len(), other.count()), (3, 9));
}

#[tokio::test(start_paused = true)]
async fn what_can_go_nowhere_else_waits_until_the_vendor_is_back_or_it_expires() {
    let (line, other) = (slow(0), vendor("mobtexting"));
    let lines = [("one", &line), ("other", &other)];
    let alone = one("rate = { calls = 1, per = \"10s\" }");
    let house = Still::new(&alone, &lines);
    house.gateway.attend();
    place(&house, number(0)).await.unwrap();
    let waits = |n: usize, expires: Option<i64>| {
        let expire_time = expires.map(|s| house.now() + SignedDuration::from_secs(s));
        let order = Order { expire_time, ..number(n) };
        let gateway = house.gateway.clone();
        tokio::spawn(async move { place_all(&gateway, vec![order, number(n + 50)]).await })
    };
    let (patient, other_one) = (waits(1, None), waits(2, Some(90)));
    sleep(SECOND).await;
    house.reload(&without_one(&[("mobtexting", "other")]), &lines).await;
    // Who waits for an answer is told that the calls wait.
    let (patient, expiring) = (patient.await.unwrap(), other_one.await.unwrap());
    for call in patient.iter().chain(&expiring) {
        assert_eq!(call.state, CallState::Scheduled, "{call:?}");
    }
    sleep(95 * SECOND).await;
    assert_eq!(house.recorded(expiring[0].id).await.state, CallState::Expired);
    assert_eq!(house.recorded(patient[0].id).await.state, CallState::Scheduled);
    assert_eq!(line.count(), 1);
    house.reload(&alone, &lines).await;
    for call in [&patient[0], &patient[1], &expiring[1]] {
        let mut left = 100;
        while house.recorded(call.id).await.state != CallState::Accepted {
            left -= 1;
            assert!(left > 0, "{:?}", house.recorded(call.id).await);
            sleep(10 * SECOND).await;
        }
    }
    assert_eq!(numbers(&line).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn calls_that_a_vendor_has_are_given_up_on_when_it_is_gone() {
    let line = Canned::new(|number, body| match number {
        0 => takes_all(body),
        _ => Outcome::Lost,
    });
    let other = vendor("mobtexting");
    let lines = [("one", &line), ("other", &other)];
    let keys = "poll_interval = \"5s\"\ngive_up_after = \"2m\"";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &lines);
    house.gateway.attend();
    let accepted = place(&house, number(0)).await.unwrap();
    let doubtful = place(&house, number(1)).await.unwrap();
    assert_eq!(doubtful.state, CallState::Unconfirmed);
    house.reload(&without_one(&[("mobtexting", "other")]), &lines).await;
    let sent = line.count();
    sleep(110 * SECOND).await;
    for (call, state) in [(&accepted, CallState::Accepted), (&doubtful, CallState::Unconfirmed)] {
        assert_eq!(house.recorded(call.id).await.state, state);
    }
    sleep(75 * SECOND).await;
    for call in [&accepted, &doubtful] {
        assert_eq!(house.recorded(call.id).await.state, CallState::Unknown);
    }
    assert_eq!(line.count(), sent, "it is neither asked nor sent anything again");
}

#[tokio::test(start_paused = true)]
async fn so_are_those_of_a_vendor_that_was_gone_before_the_start() {
    let disk = Disk::new().unwrap();
    let (line, other) = (slow(0), vendor("mobtexting"));
    let lines = [("one", &line), ("other", &other)];
    let (accepted, expiring) = {
        let house = Still::on(&disk, &one("rate = { calls = 1, per = \"1h\" }"), &lines);
        let accepted = place(&house, number(0)).await.unwrap();
        let expire_time = Some(house.now() + SignedDuration::from_secs(600));
        let start_time = Some(house.now() + SignedDuration::from_secs(300));
        let order = Order { start_time, ..order("919900000777", expire_time) };
        let expiring = place(&house, order).await.unwrap();
        assert_eq!(expiring.state, CallState::Scheduled);
        house.gateway.stop();
        house.gateway.drained().await;
        (accepted, expiring)
    };
    let house = Still::on(&disk, &without_one(&[("mobtexting", "other")]), &lines);
    house.gateway.recover().await.unwrap();
    house.gateway.attend();
    sleep(599 * SECOND).await;
    assert_eq!(house.recorded(expiring.id).await.state, CallState::Scheduled);
    sleep(62 * SECOND).await;
    assert_eq!(house.recorded(expiring.id).await.state, CallState::Expired);
    assert_eq!(house.recorded(accepted.id).await.state, CallState::Accepted);
    sleep(Duration::from_secs(86_400 + 300)).await;
    assert_eq!(house.recorded(accepted.id).await.state, CallState::Unknown);
    assert_eq!(line.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_by_the_configuration_that_it_began_with_or_not_at_all() {
    let (line, other) = (slow(200), vendor("mobtexting"));
    let lines = [("one", &line), ("other", &other)];
    let house = Still::new(&one("max_in_flight = 1"), &lines);
    let first = place(&house, number(0));
    sleep(Duration::from_millis(50)).await;
    // Whole and unrecorded it waits for a vendor that takes one call at a time by now.
    let gateway = house.gateway.clone();
    let many = tokio::spawn(async move { place_all(&gateway, (1..6).map(number).collect()).await });
    sleep(Duration::from_millis(50)).await;
    let single = account("mobtexting", "one", "http://127.0.0.1:9", QUIET);
    let singles = vendor("mobtexting");
    let text = single + &route("both", &["one"]);
    house.reload(&text, &[("one", &singles), ("other", &other)]).await;
    assert_eq!(first.await.unwrap().state, CallState::Accepted);
    for call in many.await.unwrap() {
        assert_eq!(call.state, CallState::Accepted, "{call:?}");
    }
    assert_eq!((numbers(&line).len(), singles.count()), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn what_is_as_it_was_is_left_alone_and_what_is_not_is_named() {
    let (line, other) = (slow(0), vendor("mobtexting"));
    let lines = [("one", &line), ("other", &other)];
    let text = one("");
    let house = Still::new(&text, &lines);
    assert!(house.reload(&text, &lines).await.is_empty());
    let spaced = text.replace(" = ", "   =   ");
    assert!(house.reload(&spaced, &lines).await.is_empty(), "it says the same");
    let more = format!(
        "{}[server]\nrequire_request_id = true\n[ledger]\nretain = \"2d\"\n{}{}",
        "",
        one("max_in_flight = 2"),
        account("mobtexting", "other", "http://127.0.0.1:9", QUIET) + &route("third", &["other"])
    );
    let changes = house.reload(&more, &lines).await;
    let vendors = Named { added: names(&["other"]), changed: names(&["one"]), removed: vec![] };
    assert_eq!((changes.vendors.to_string(), changes.vendors), ("+other ~one".to_owned(), vendors));
    assert_eq!(changes.routes.added, ["third"]);
    assert_eq!(changes.settings, ["ledger.retain", "server.require_request_id"]);
    assert!(house.gateway.configured().requires_request_id());
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_leaves_breakers_as_they_were() {
    use dialplane::{
        config::{Config, VendorConfig},
        gateway::BreakerState,
        http::Line,
    };
    let line = Canned::new(|_, _| Outcome::NotSent);
    let breaker = |failures: u32| format!("breaker = {{ failures = {failures}, pause = \"1m\" }}");
    let house = Still::new(&one(&breaker(100)), &[("one", &line)]);
    let next = text(&[
        ("phonon-multicast", "one", &format!("{QUIET}\n{}", breaker(1))),
        ("knovvu", "two", QUIET),
    ]);
    let next = Config::parse(&next, std::path::Path::new("."), &|_| None).unwrap();
    let only_one = |vendor: &VendorConfig| match vendor.name.as_str() {
        "one" => Ok(Arc::clone(&line) as Arc<dyn Line>),
        _ => Err("no client can be built"),
    };
    house.gateway.reload_with_lines(&next, only_one).await.unwrap_err();
    place(&house, number(1)).await.unwrap();
    let configured = house.gateway.configured();
    let account = configured.accounts().next().unwrap();
    assert_eq!(account.breaker(), Some(BreakerState::Closed), "one failure of a hundred");
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_sent_again_or_asked_is_not_once_the_vendor_is_gone() {
    let (line, two) = (Canned::new(|_, _| Outcome::Lost), vendor("knovvu"));
    let rate = "rate = { requests = 1, per = \"5m\" }\npoll_interval = \"10s\"";
    let before = text(&[("phonon-multicast", "one", rate)]);
    let house = Still::new(&before, &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house, number(1)).await.unwrap();
    assert_eq!(call.state, CallState::Unconfirmed);
    // The second try waits for its turn.
    sleep(60 * SECOND).await;
    assert_eq!(line.times().len(), 1);
    house.reload(&without_one(&[("knovvu", "two")]), &[("two", &two)]).await;
    sleep(540 * SECOND).await;
    assert_eq!(line.times().len(), 1, "a vendor that is gone gets nothing more");
}
