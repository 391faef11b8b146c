//! A call that waits has one owner at a time, whatever is kept though it failed, comes late or
//! comes twice: two would dial it twice, and none would never dial it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dialplane::{
    call::{CallId, CallState, Observation, Order, ReportedState, Retry, Selector},
    gateway::Delivered,
    http::Delivery,
    ledger::{Ledger, News},
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    placing::{order, place, place_all},
    raw::yes,
    still::{Canned, Outcome, Still, takes_all, text},
};

const PUSHED: &str = "callback = { user = \"phonon\", password = \"phonon-push-password\" }\n\
                      poll_interval = \"1h\"";

/// Phonon posts that nobody answered.
async fn busy(house: &Still, uuid: &str, ours: Option<CallId>) {
    let leg = json!({
        "startTime": "2024-07-01T10:15:00+05:30", "endTime": "2024-07-01T10:17:00+05:30",
        "calleeNumber": "919900000100", "calleeType": "VISITOR", "incoming": false,
        "hangupCause": "17",
    });
    let mut said = json!({ "callDetails": [leg], "phonon-uuid": uuid });
    if let Some(id) = ours {
        said["dialplane_call_id"] = json!(id);
    }
    let login = STANDARD.encode("phonon:phonon-push-password");
    let delivery = Delivery {
        content_type: "application/json".to_owned(),
        authorization: Some(format!("Basic {login}")),
        body: said.to_string().into(),
        ..Delivery::default()
    };
    assert!(matches!(house.gateway.deliver("one", delivery).await, Delivered::Taken));
}

/// Phonon, taking so many milliseconds for each request; its calls are `v-0`, `v-1`, ...
fn phonon(takes: impl Fn(usize) -> u64 + Send + Sync + 'static) -> Arc<Canned> {
    Canned::taking(
        move |number| Duration::from_millis(takes(number)),
        |number, _| {
            let details = json!([{ "phonon-uuid": format!("v-{number}") }]);
            let answer = json!({ "api-response-code": 200, "call-details": details });
            Outcome::Says(200, answer.to_string())
        },
    )
}

fn mobtexting(seconds: u64) -> Arc<Canned> {
    Canned::taking(
        move |_| Duration::from_secs(seconds),
        |_, body| match body {
            "" => Outcome::NotSent,
            _ => Outcome::Says(200, yes("mobtexting").to_owned()),
        },
    )
}

fn twice() -> Order {
    let retry = Retry { interval: Duration::from_secs(5), max_attempts: 2 };
    Order { retry: Some(retry), ..order("919900000100", None) }
}

/// How often this number was dialled.
fn dials(line: &Canned, number: &str) -> usize {
    line.bodies().iter().filter(|body| body.contains(number)).count()
}

#[tokio::test(start_paused = true)]
async fn what_is_held_and_gone_since_is_not_held_once_more() {
    for outage in [true, false] {
        let refuses = Canned::new(|_, _| Outcome::NotSent);
        let line = mobtexting(4);
        let vendors =
            [("phonon-outbound", "first", ""), ("mobtexting", "one", "poll_interval = \"24h\"")];
        let config =
            text(&vendors).replace("[routes.both]\n", "[routes.both]\nschedule = \"vendor\"\n");
        let house = Still::new(&config, &[("first", &refuses), ("one", &line)]);
        house.gateway.attend();
        let soon = SignedDuration::from_millis(if outage { 2_000 } else { 30 });
        let order = Order { start_time: Some(house.now() + soon), ..order("919900000100", None) };
        // That it is held for the second vendor is kept, though it is said to have failed.
        *house.ledger.uncertain.lock().unwrap() = Some(("hold", true));
        let gateway = house.gateway.clone();
        let placing = tokio::spawn(async move { place(&gateway, order).await });
        sleep(Duration::from_millis(10)).await;
        assert!(house.ledger.uncertain.lock().unwrap().is_none());
        if outage {
            house.break_ledger();
            sleep(Duration::from_millis(2_100)).await;
            house.mend_ledger();
        }
        let call = placing.await.unwrap();
        let call = house.reaches(call.id, CallState::Accepted).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!((dials(&line, "919900000100"), call.holds), (1, 1), "outage: {outage}");
        house.gateway.stop();
        house.gateway.drained().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_dial_makes_nobody_the_owner_of_the_next() {
    // The first dial's answer comes after its end was told. All lines are taken then, so that
    // the second one waits for its turn.
    let line = phonon(|number| [15_000, 13_500, 5_000, 5_000][number.min(3)]);
    let config = text(&[("phonon-multicast", "one", &format!("{PUSHED}\nmax_in_flight = 2"))]);
    let house = Still::new(&config, &[("one", &line)]);
    house.gateway.attend();
    let gateway = house.gateway.clone();
    tokio::spawn(async move { place(&gateway, twice()).await });
    sleep(Duration::from_secs(1)).await;
    let body: Value = serde_json::from_str(&line.bodies()[0]).unwrap();
    let id = body["calls"][0]["client-identifier"].as_str().unwrap().parse().unwrap();
    busy(&house, "v-0", Some(id)).await;
    assert_eq!(house.recorded(id).await.state, CallState::Scheduled);
    sleep(Duration::from_secs(1)).await;
    let gateway = house.gateway.clone();
    tokio::spawn(async move { place(&gateway, order("919900000200", None)).await });
    sleep(Duration::from_millis(13_200)).await;
    // Whoever claims it next does not know whether that was kept.
    *house.ledger.uncertain.lock().unwrap() = Some(("claim", false));
    sleep(Duration::from_secs(60)).await;
    let call = house.recorded(id).await;
    assert_eq!((call.state, call.dials.len()), (CallState::Accepted, 1));
    assert_eq!(dials(&line, "919900000100"), 2);
}

#[tokio::test(start_paused = true)]
async fn news_of_an_earlier_dial_leaves_the_ticket_of_who_took_up_the_next() {
    let line = phonon(|_| 0);
    let house = Still::new(&text(&[("phonon-multicast", "one", PUSHED)]), &[("one", &line)]);
    house.gateway.attend();
    let call = place(&house.gateway, twice()).await;
    busy(&house, "v-0", None).await;
    *house.ledger.uncertain.lock().unwrap() = Some(("take_up", true));
    sleep(Duration::from_millis(5_100)).await;
    assert!(house.ledger.uncertain.lock().unwrap().is_none());
    // Before it asks again whether it has taken it up.
    let mut report = ReportedState::default();
    report.data.insert("billed".into(), json!("1"));
    let observation = Observation::Reported { report, asked: false };
    let (at, dial) = (house.now(), Some(0));
    let late = News { call: call.id, observation, at, due: None, vendor: None, dial };
    let late = house.ledger.observe(vec![late]).await.unwrap();
    assert_eq!(late[0].vendor_data["billed"], "1");
    house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(line.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_vendor_takes_no_places_of_another_vendors_calls() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let fast = Canned::new(move |_, _| match is_well.load(SeqCst) {
        true => Outcome::Says(200, yes("knovvu").to_owned()),
        false => Outcome::NotSent,
    });
    let slow = mobtexting(2);
    let config = text(&[
        ("knovvu", "fast", "poll_interval = \"24h\"\nmax_in_flight = 64"),
        ("mobtexting", "slow", "poll_interval = \"24h\"\nmax_in_flight = 1"),
    ]);
    let house = Still::new(&config, &[("fast", &fast), ("slow", &slow)]);
    house.gateway.attend();
    let start = Some(house.now() + SignedDuration::from_secs(10));
    for chunk in 0..2_u64 {
        let order = |n: u64| order(&(919_900_000_000 + chunk * 5_000 + n).to_string(), None);
        let orders = (0..5_000).map(|n| Order { start_time: start, ..order(n) });
        place_all(&house.gateway, orders.collect()).await;
    }
    let start = Some(house.now() + SignedDuration::from_secs(60));
    let alone = Order { start_time: start, ..order("919911111111", None) };
    let alone = place(&house.gateway, alone).await;
    sleep(Duration::from_secs(30)).await;
    well.store(true, SeqCst);
    sleep(Duration::from_secs(31)).await;
    let alone = house.recorded(alone.id).await;
    assert_eq!((alone.state, alone.vendor.as_str()), (CallState::Accepted, "fast"));
    assert!(dials(&slow, "9199") < 60, "the others wait");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_after_it_was_claimed_is_not_looked_after() {
    let line = Canned::new(|_, _| Outcome::Says(200, yes("mobtexting").to_owned()));
    let window = "[routes.both]\n\
                  window = { from = \"09:00\", to = \"10:01\", zone = \"Europe/London\" }\n";
    let config = text(&[("mobtexting", "one", "poll_interval = \"10s\"")])
        .replace("[routes.both]\n", window);
    let house = Still::new(&config, &[("one", &line)]);
    house.gateway.attend();
    // Recorded while it is open, and sent when it is not: the ledger takes its time.
    let until = "2026-03-01T10:00:59Z".parse().unwrap();
    sleep(Duration::try_from(house.now().duration_until(until)).unwrap()).await;
    house.ledger.recording.open.send_replace(false);
    let gateway = house.gateway.clone();
    let placing = tokio::spawn(async move { place(&gateway, order("919900000100", None)).await });
    sleep(Duration::from_secs(2)).await;
    house.ledger.recording.open.send_replace(true);
    let call = placing.await.unwrap();
    assert_eq!((call.state, call.due), (CallState::Scheduled, None));
    let begun = Instant::now();
    let looked =
        || house.ledger.due.lock().unwrap().iter().filter(|(id, _)| *id == call.id).count();
    sleep(Duration::from_secs(22 * 3_600)).await;
    assert_eq!(looked(), 0);
    sleep(Duration::from_secs(3_530)).await;
    house.reaches(call.id, CallState::Accepted).await;
    assert!(begun.elapsed() < Duration::from_secs(23 * 3_600));
    assert_eq!(dials(&line, "919900000100"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_gone_does_not_keep_those_that_wait_with_it() {
    let line = Canned::taking(
        |number| Duration::from_secs(if number == 0 { 3 * 3_600 } else { 0 }),
        |_, body| takes_all(body),
    );
    let config = "[ledger]\nretain = \"1d\"\n".to_owned()
        + &text(&[("phonon-multicast", "one", "max_in_flight = 1\npoll_interval = \"1h\"")]);
    let house = Still::new(&config, &[("one", &line)]);
    house.gateway.attend();
    let gateway = house.gateway.clone();
    tokio::spawn(async move { place(&gateway, order("919900000001", None)).await });
    sleep(Duration::from_secs(1)).await;
    // Both wait for the one line, together. One is taken back, and removed as the clock jumps.
    let start_time = Some(house.now() + SignedDuration::from_secs(10));
    let at = |number| Order { start_time, ..order(number, None) };
    let gone = place(&house.gateway, at("919900000002")).await;
    let other = place(&house.gateway, at("919900000003")).await;
    sleep(Duration::from_secs(20)).await;
    let canceled = house.gateway.cancel(Selector::Calls(vec![gone.id])).await.unwrap();
    assert_eq!(canceled.calls[0].state, CallState::Canceled);
    house.ahead.store(3 * 86_400, SeqCst);
    sleep(Duration::from_secs(6 * 3_600)).await;
    let found = house.gateway.cancel(Selector::Calls(vec![gone.id])).await.unwrap();
    assert_eq!(found.not_found.len(), 1, "it was removed");
    assert_eq!(house.recorded(other.id).await.state, CallState::Accepted);
    assert_eq!((dials(&line, "919900000002"), dials(&line, "919900000003")), (0, 1));
}
