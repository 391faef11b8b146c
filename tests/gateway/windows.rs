//! Calling windows: nobody is called outside of them, however long a call waited for its turn.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use dialplane::call::{Call, CallState, Cause, Order};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::{
    placing::{order, place, place_all},
    raw::yes,
    still::{Canned, Outcome, Still, text},
};

const HOUR: i64 = 3_600;

/// It begins on a Sunday at 10:00 in London, which is 15:30 in India.
fn hours(hours: i64) -> Timestamp {
    let begun: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
    begun + SignedDuration::from_secs(hours * HOUR)
}

fn vendor(system: &'static str) -> Arc<Canned> {
    Canned::new(move |_, _| Outcome::Says(200, yes(system).to_owned()))
}

/// How many calls a vendor got; what it is asked is empty.
fn dials(line: &Canned) -> usize {
    line.bodies().iter().filter(|body| !body.is_empty()).count()
}

/// A route with these keys to a vendor that is hardly ever asked.
fn with(system: &str, vendor_keys: &str, route_keys: &str) -> String {
    let vendors = text(&[(system, "one", &format!("poll_interval = \"24h\"\n{vendor_keys}"))]);
    vendors.replace("[routes.both]\n", &format!("[routes.both]\n{route_keys}\n"))
}

/// Takes fifty minutes to take a call.
fn slow() -> Arc<Canned> {
    Canned::taking(
        |_| Duration::from_secs(3_000),
        |_, body| match body {
            "" => Outcome::NotSent,
            _ => Outcome::Says(200, yes("mobtexting").to_owned()),
        },
    )
}

const LONDON: &str = r#"window = { from = "12:00", to = "14:00", zone = "Europe/London" }"#;

async fn dialled_at(house: &Still, line: &Canned, call: &Call, expected: Timestamp) {
    let wait = expected.duration_since(house.now());
    let wait = Duration::try_from(wait).unwrap();
    let before = dials(line);
    sleep(wait - Duration::from_millis(1)).await;
    assert_eq!(dials(line), before, "not before {expected}");
    sleep(Duration::from_millis(101)).await;
    assert_eq!(house.recorded(call.id).await.state, CallState::Accepted, "{expected}");
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_until_its_window_opens() {
    let line = vendor("mobtexting");
    let house = Still::new(&with("mobtexting", "", LONDON), &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house.gateway, order("919900000100", None)).await;
    assert_eq!((call.state, call.held_until), (CallState::Scheduled, Some(hours(2))));
    dialled_at(&house, &line, &call, hours(2)).await;
    // Open: at once. Closed: the next day. Asked for when it is closed: when it opens then.
    let now = place(&house.gateway, order("919900000200", None)).await;
    assert_eq!(now.state, CallState::Accepted);
    sleep(Duration::from_secs(2 * HOUR as u64)).await;
    let late = place(&house.gateway, order("919900000300", None)).await;
    assert_eq!(late.held_until, Some(hours(26)));
    let start = Order { start_time: Some(hours(20)), ..order("919900000400", None) };
    assert_eq!(place(&house.gateway, start).await.held_until, Some(hours(26)));
    let start = Order { start_time: Some(hours(27)), ..order("919900000500", None) };
    assert_eq!(place(&house.gateway, start).await.held_until, Some(hours(27)));
    dialled_at(&house, &line, &late, hours(26)).await;
}

#[tokio::test(start_paused = true)]
async fn whose_clock_is_the_callees() {
    let line = vendor("mobtexting");
    let window = r#"window = { from = "09:00", to = "16:00", zone = "callee" }"#;
    let house = Still::new(&with("mobtexting", "", window), &[("one", &line)]);
    let of = |number| order(number, None);
    let orders = vec![of("919900000100"), of("12125550100"), of("442079460000"), of("88210000100")];
    let calls = place_all(&house.gateway, orders).await;
    let held: Vec<_> = calls.iter().map(|call| (call.state, call.held_until)).collect();
    assert_eq!(held[0], (CallState::Accepted, None), "15:30 in India");
    assert_eq!(held[1], (CallState::Scheduled, Some(hours(4))), "05:00 in New York");
    assert_eq!(held[2], (CallState::Accepted, None), "10:00 in London");
    assert_eq!(calls[3].state, CallState::Failed);
    let error = calls[3].error.as_ref().unwrap();
    assert_eq!((error.cause, &*error.reason), (Cause::NotNow, "CALLEE_ZONE_UNKNOWN"));
    assert_eq!(error.violations[0].field, "to[0]");
    assert_eq!(dials(&line), 2);
}

#[tokio::test(start_paused = true)]
async fn a_route_may_refuse_instead_and_says_when_it_opens() {
    let line = vendor("mobtexting");
    let keys = format!("{LONDON}\noutside_window = \"refuse\"");
    let house = Still::new(&with("mobtexting", "", &keys), &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house.gateway, order("919900000100", None)).await;
    let error = call.error.as_ref().unwrap();
    assert_eq!((call.state, call.held_until), (CallState::Failed, None));
    assert_eq!((error.cause, &*error.reason), (Cause::NotNow, "OUTSIDE_CALLING_WINDOW"));
    assert_eq!(error.retry_after, Some(Duration::from_secs(2 * HOUR as u64)));
    // At a time at which it is open.
    let start = Order { start_time: Some(hours(3)), ..order("919900000400", None) };
    let call = place(&house.gateway, start).await;
    assert_eq!(call.held_until, Some(hours(3)));
    dialled_at(&house, &line, &call, hours(3)).await;
}

#[tokio::test(start_paused = true)]
async fn what_no_moment_suits_is_refused_at_once() {
    let line = vendor("mobtexting");
    let house = Still::new(&with("mobtexting", "", LONDON), &[("one", &line)]);
    let call = place(&house.gateway, order("919900000100", Some(hours(1)))).await;
    assert_eq!(&*call.error.unwrap().reason, "OUTSIDE_CALLING_WINDOW");
    let window = r#"window = { from = "12:00", to = "13:00", zone = "callee" }"#;
    let house = Still::new(&with("mobtexting", "", window), &[("one", &line)]);
    let call = place(&house.gateway, order("18005550100", None)).await;
    assert_eq!(&*call.error.unwrap().reason, "NEVER_IN_CALLING_WINDOW");
    assert_eq!(dials(&line), 0);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_closes_while_a_call_waits_for_its_turn_holds_it() {
    let line = slow();
    let house = Still::new(&with("mobtexting", "max_in_flight = 1", LONDON), &[("one", &line)]);
    house.gateway.attend();
    let orders =
        ["919900000100", "919900000200", "919900000300", "919900000400"].map(|n| order(n, None));
    let calls = place_all(&house.gateway, orders.to_vec()).await;
    sleep(Duration::from_secs(6 * HOUR as u64)).await;
    assert_eq!(dials(&line), 3, "at 12:00, 12:50 and 13:40");
    let last = house.recorded(calls[3].id).await;
    assert_eq!((last.state, last.held_until), (CallState::Scheduled, Some(hours(26))));
    sleep(Duration::from_secs(21 * HOUR as u64)).await;
    assert_eq!(house.recorded(calls[3].id).await.state, CallState::Accepted);
    assert_eq!(dials(&line), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_held_beyond_its_expiry_expires_on_time() {
    let line = slow();
    let house = Still::new(&with("mobtexting", "max_in_flight = 1", LONDON), &[("one", &line)]);
    house.gateway.attend();
    let numbers = ["919900000100", "919900000200", "919900000300", "919900000400"];
    let orders = numbers.map(|number| order(number, Some(hours(8))));
    let calls = place_all(&house.gateway, orders.to_vec()).await;
    sleep(Duration::from_secs(8 * HOUR as u64 - 1)).await;
    assert_eq!(house.recorded(calls[3].id).await.state, CallState::Scheduled);
    sleep(Duration::from_secs(2)).await;
    let last = house.recorded(calls[3].id).await;
    assert_eq!((last.state, dials(&line)), (CallState::Expired, 3));
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_put_forward_or_back_are_followed() {
    // In Berlin clocks are put forward on 2026-03-29 at 01:00 UTC, and back on 2026-10-25.
    for (day, opens) in [
        ("2026-03-28T08:00:00Z", "2026-03-28T08:00:00Z"),
        ("2026-03-28T18:00:00Z", "2026-03-29T07:00:00Z"),
        ("2026-10-24T18:00:00Z", "2026-10-25T08:00:00Z"),
    ] {
        let (day, opens): (Timestamp, Timestamp) = (day.parse().unwrap(), opens.parse().unwrap());
        let line = vendor("mobtexting");
        let window = r#"window = { from = "09:00", to = "18:00", zone = "callee" }"#;
        let config = with("mobtexting", "", window);
        let house = Still::new(&config, &[("one", &line)]);
        house.ahead.store(day.duration_since(house.now()).as_secs(), SeqCst);
        house.gateway.attend();
        let call = place(&house.gateway, order("493012345678", None)).await;
        if day == opens {
            assert_eq!(call.state, CallState::Accepted, "{day}");
            continue;
        }
        assert_eq!(call.held_until, Some(opens), "{day}");
        dialled_at(&house, &line, &call, opens).await;
        house.gateway.stop();
        house.gateway.drained().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_schedules_gets_the_time_if_the_route_says_so() {
    let line = vendor("phonon-outbound");
    let keys = format!("{LONDON}\nschedule = \"vendor\"");
    let house = Still::new(&with("phonon-outbound", "", &keys), &[("one", &line)]);
    let at = |start| Order { start_time: Some(start), ..order("919900000100", None) };
    let call = place(&house.gateway, at(hours(3))).await;
    assert_eq!((call.state, dials(&line)), (CallState::Accepted, 1));
    assert!(line.bodies()[0].contains("\"start-time\":\"2026-03-01T18:30:00+05:30\""));
    // The vendor would dial when nobody is to be called.
    let call = place(&house.gateway, at(hours(5))).await;
    assert_eq!((call.state, call.held_until), (CallState::Scheduled, Some(hours(26))));
    assert_eq!(dials(&line), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_moves_on_from_a_vendor_that_schedules_is_held_for_the_next() {
    let refuses = Canned::new(|_, _| Outcome::NotSent);
    let line = vendor("mobtexting");
    let config =
        text(&[("phonon-outbound", "first", ""), ("mobtexting", "one", "poll_interval = \"24h\"")])
            .replace("[routes.both]\n", "[routes.both]\nschedule = \"vendor\"\n");
    let house = Still::new(&config, &[("first", &refuses), ("one", &line)]);
    house.gateway.attend();
    let start = Order { start_time: Some(hours(3)), ..order("919900000100", None) };
    let call = place(&house.gateway, start).await;
    assert_eq!((call.state, call.vendor.as_str()), (CallState::Scheduled, "one"));
    assert_eq!((call.held_until, refuses.count()), (Some(hours(3)), 1));
    dialled_at(&house, &line, &call, hours(3)).await;
}

#[tokio::test(start_paused = true)]
async fn what_may_have_got_lost_is_not_sent_again_outside_the_window() {
    let line = Canned::new(|number, _| match number {
        0 => Outcome::Lost,
        _ => Outcome::Says(200, yes("phonon-outbound").to_owned()),
    });
    let config = text(&[("phonon-outbound", "one", "poll_interval = \"10s\"")])
        .replace("[routes.both]\n", &format!("[routes.both]\n{LONDON}\n"));
    let house = Still::new(&config, &[("one", &line)]);
    // Five seconds before it closes.
    house.ahead.store(4 * HOUR - 5, SeqCst);
    house.gateway.attend();
    let call = place(&house.gateway, order("919900000100", None)).await;
    assert_eq!(call.state, CallState::Unconfirmed);
    sleep(Duration::from_secs(1_200)).await;
    assert_eq!(dials(&line), 1, "it would be the first that the vendor gets");
    assert_eq!(house.recorded(call.id).await.state, CallState::Unconfirmed);
}
