//! The same is sent again only when it is on disk that it is, by a clock that can be trusted,
//! and while nobody knows of any of its calls.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering::SeqCst},
    time::Duration,
};

use base64::Engine;
use dialplane::{
    call::{Call, CallState, Observation, ReportedState},
    gateway::Delivered,
    http::Delivery,
    ledger::{Ledger, News, sqlite::Disk},
};
use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use crate::{
    doubt::REPEATED,
    failing_ledger::Watched,
    placing::{order, place, place_all},
    raw::yes,
    still::{Canned, Outcome, Still, text},
};

const MINUTE: Duration = Duration::from_secs(60);

fn one(keys: &str) -> String {
    text(&[("phonon-outbound", "one", keys)])
}

/// Loses the first answer, and then does what the script says.
fn forgetful(then: impl Fn(usize) -> Outcome + Send + Sync + 'static) -> Arc<Canned> {
    Canned::new(move |number, _| if number == 0 { Outcome::Lost } else { then(number) })
}

fn repeated() -> Outcome {
    Outcome::Says(200, REPEATED.to_owned())
}

fn taken() -> Outcome {
    Outcome::Says(200, yes("phonon-outbound").to_owned())
}

async fn in_doubt(house: &Still) -> Call {
    let call = place(&house.gateway, order("919900000100", None)).await;
    assert_eq!(call.state, CallState::Unconfirmed);
    call
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_down_is_not_sent_again() {
    let vendor = forgetful(|_| repeated());
    let house = Still::new(&one("poll_interval = \"1s\""), &[("one", &vendor)]);
    let call = in_doubt(&house).await;
    house.break_ledger();
    house.gateway.attend();
    sleep(5 * MINUTE).await;
    assert_eq!(vendor.count(), 1, "it reads that it may, and can't write that it does");
    house.mend_ledger();
    house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(vendor.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_must_not_be_called_by_now_is_not_sent_again() {
    let vendor = forgetful(|_| repeated());
    let house = Still::new(&one("poll_interval = \"1s\""), &[("one", &vendor)]);
    let call = in_doubt(&house).await;
    let number = call.order.to[0].clone();
    house.gateway.suppress(vec![number.clone()], Default::default()).await.unwrap();
    house.gateway.attend();
    sleep(5 * MINUTE).await;
    assert_eq!(vendor.count(), 1, "the first one may be lost, and this one the first");
    assert_eq!(house.recorded(call.id).await.state, CallState::Unconfirmed);
    house.gateway.unsuppress(vec![number]).await.unwrap();
    house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(vendor.count(), 2);
}

/// A vendor whose second answer comes to a ledger that fails so many times then.
fn inopportune(failures: usize) -> (Arc<Canned>, Arc<OnceLock<Arc<Watched>>>) {
    let ledger = Arc::<OnceLock<Arc<Watched>>>::default();
    let theirs = Arc::clone(&ledger);
    let vendor = forgetful(move |number| {
        if number > 1 {
            return repeated();
        }
        theirs.get().unwrap().failures.store(failures, SeqCst);
        taken()
    });
    (vendor, ledger)
}

#[tokio::test(start_paused = true)]
async fn what_the_second_try_brought_survives_a_ledger_that_fails_once() {
    let (vendor, ledger) = inopportune(1);
    let house = Still::new(&one("poll_interval = \"1s\""), &[("one", &vendor)]);
    ledger.set(Arc::clone(&house.ledger)).unwrap();
    let call = in_doubt(&house).await;
    house.gateway.attend();
    let call = house.reaches(call.id, CallState::Accepted).await;
    let ids = (call.vendor_call_id.as_deref(), call.vendor_request_id.as_deref());
    assert_eq!(ids, (Some("v-1"), Some("r-1")));
    assert_eq!(vendor.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_an_answer_is_only_in_memory_nothing_is_sent_again() {
    let (vendor, ledger) = inopportune(usize::MAX);
    let house = Still::new(&one("poll_interval = \"1s\""), &[("one", &vendor)]);
    ledger.set(Arc::clone(&house.ledger)).unwrap();
    let call = in_doubt(&house).await;
    house.gateway.attend();
    sleep(Duration::from_secs(40)).await;
    assert_eq!(house.recorded(call.id).await.state, CallState::Unconfirmed);
    // The ledger is back. Who looks after the calls sees that sooner than who keeps the
    // answer, for whom the pauses have grown.
    house.mend_ledger();
    let call = house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(call.vendor_call_id.as_deref(), Some("v-1"));
    sleep(MINUTE).await;
    assert_eq!(vendor.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_crash_right_after_the_second_try_does_not_hurry_the_third() {
    let disk = Disk::new().unwrap();
    let vendor = Canned::new(|number, _| match number {
        0 => Outcome::Lost,
        1 => Outcome::Never,
        _ => repeated(),
    });
    let text = one("poll_interval = \"10s\"");
    let first = Still::on(&disk, &text, &[("one", &vendor)]);
    let call = in_doubt(&first).await;
    first.gateway.attend();
    while vendor.count() < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    // It waits for that answer for ever, which is as good as dead.
    let second = Still::on(&disk, &text, &[("one", &vendor)]);
    second.gateway.recover().await.unwrap();
    second.gateway.attend();
    second.reaches(call.id, CallState::Accepted).await;
    let times = vendor.times();
    assert_eq!(times.len(), 3);
    assert!(times[2] - times[1] >= Duration::from_secs(9), "{:?}", times[2] - times[1]);
}

#[tokio::test(start_paused = true)]
async fn a_request_of_which_one_call_is_known_to_be_taken_is_not_sent_again() {
    let accepted = Observation::Accepted {
        vendor_call_id: Some("v-1".to_owned()),
        vendor_request_id: None,
        data: Default::default(),
    };
    let rings = ReportedState { state: Some(CallState::Ringing), ..ReportedState::default() };
    let rings = Observation::Reported { report: rings, asked: false };
    for observation in [accepted, rings] {
        let vendor = forgetful(|_| repeated());
        let house = Still::new(&one("poll_interval = \"1s\""), &[("one", &vendor)]);
        let orders = ["919900000100", "919900000200"].map(|number| order(number, None));
        let calls = place_all(&house.gateway, orders.to_vec()).await;
        assert!(calls.iter().all(|call| call.state == CallState::Unconfirmed));
        assert_eq!(vendor.count(), 1, "both in one request");
        let vendors = Some("one".to_owned());
        let at = calls[1].update_time;
        let news = News { call: calls[1].id, observation, at, due: None, vendor: vendors };
        house.ledger.observe(vec![news]).await.unwrap();
        house.gateway.attend();
        sleep(11 * MINUTE).await;
        assert_eq!(vendor.count(), 1);
        assert_eq!(house.recorded(calls[0].id).await.state, CallState::Unconfirmed);
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_clock_is_behind_the_time_that_passed_nothing_is_sent_again() {
    for (behind, tries) in [(20, 2), (60, 1)] {
        let vendor = forgetful(|_| repeated());
        let house = Still::new(&one("poll_interval = \"1s\""), &[("one", &vendor)]);
        let call = in_doubt(&house).await;
        house.ahead.store(-behind, SeqCst);
        house.gateway.attend();
        sleep(15 * MINUTE).await;
        assert_eq!(vendor.count(), tries, "{behind} seconds behind");
        let ends = if tries == 2 { CallState::Accepted } else { CallState::Unconfirmed };
        assert_eq!(house.recorded(call.id).await.state, ends);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_from_the_future_is_not_sent_again() {
    for (back, tries) in [(20, 2), (60, 1)] {
        let disk = Disk::new().unwrap();
        let vendor = forgetful(|_| repeated());
        let text = one("poll_interval = \"1s\"");
        let first = Still::on(&disk, &text, &[("one", &vendor)]);
        let call = in_doubt(&first).await;
        // Whatever makes somebody look at it before the time that is kept with it.
        let at = call.update_time;
        let due = Some(call.create_time - SignedDuration::from_secs(3_600));
        let observation = Observation::Reported { report: ReportedState::default(), asked: false };
        let news = News { call: call.id, observation, at, due, vendor: None };
        first.ledger.observe(vec![news]).await.unwrap();
        // A process that never saw the time at which it was written.
        let begun = Instant::now();
        let second = Still::on_at(&disk, &text, &[("one", &vendor)], -back);
        second.gateway.attend();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(vendor.count(), tries, "{back} seconds back");
        assert!(begun.elapsed() < MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_spoken_of_while_it_is_handed_over_ends_after_a_crash_too() {
    let disk = Disk::new().unwrap();
    let vendor = Canned::new(|_, _| Outcome::Never);
    let text =
        one("give_up_after = \"1m\"\ncallback = { user = \"phonon\", password = \"pushed\" }");
    let first = Still::on(&disk, &text, &[("one", &vendor)]);
    let gateway = first.gateway.clone();
    tokio::spawn(async move { place(&gateway, order("919900000100", None)).await });
    let call = loop {
        let calls = first.ledger.open_calls(&[CallState::Dispatching], None, 1).await.unwrap();
        if let Some(call) = calls.into_iter().next() {
            break call;
        }
        sleep(Duration::from_millis(10)).await;
    };
    // By our id, without the vendor's: nothing to ask by.
    let body = format!("{{\"dialplane_call_id\":\"{}\",\"flowStatus\":\"IN_PROGRESS\"}}", call.id);
    let login = base64::engine::general_purpose::STANDARD.encode("phonon:pushed");
    let delivery = Delivery {
        content_type: "application/json".to_owned(),
        authorization: Some(format!("Basic {login}")),
        body: body.into(),
        ..Delivery::default()
    };
    let delivered = first.gateway.deliver("one", delivery).await;
    assert!(matches!(delivered, Delivered::Taken), "{delivered:?}");
    assert_eq!(first.recorded(call.id).await.state, CallState::InProgress);
    // What came of the handover is never known.
    let second = Still::on(&disk, &text, &[("one", &vendor)]);
    second.gateway.recover().await.unwrap();
    second.gateway.attend();
    second.reaches(call.id, CallState::Unknown).await;
    assert_eq!(vendor.count(), 1);
}
