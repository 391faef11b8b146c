//! The gateway dials again where the vendor does not: after busy and no answer only, when the
//! pause is over, and never once somebody was reached.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use dialplane::{
    call::{Call, CallState, Dialed, Order, Retry, Selector},
    gateway::Delivered,
    http::Delivery,
    ledger::sqlite::Disk,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    placing::{order, place},
    still::{Canned, Outcome, Still, text},
};

const PAUSE: Duration = Duration::from_secs(60);

fn again(max_attempts: u32) -> Order {
    let retry = Some(Retry { interval: PAUSE, max_attempts });
    Order { retry, ..order("919900000100", None) }
}

/// What Knovvu says when it is asked about a dial, by its id: `v-0` is the first.
type Ends = Arc<Mutex<BTreeMap<String, &'static str>>>;

/// Knovvu, which takes every order under an id of its own, or answers it as given.
fn knovvu(ends: &Ends, refused: &'static [(usize, u16, &'static str)]) -> Arc<Canned> {
    let (ends, orders) = (Arc::clone(ends), Mutex::new(0));
    Canned::new(move |_, body| {
        let asked: Value = serde_json::from_str(body).unwrap();
        if let Some(ids) = asked["UniqueIds"].as_array() {
            let ends = ends.lock().unwrap();
            let rows = ids.iter().filter_map(|id| {
                Some(json!({ "UniqueId": id, "CallState": ends.get(id.as_str()?)? }))
            });
            let rows: Vec<_> = rows.collect();
            return Outcome::Says(200, json!({ "CallResults": rows }).to_string());
        }
        let mut orders = orders.lock().unwrap();
        let dial = *orders;
        *orders += 1;
        match refused.iter().find(|(which, ..)| *which == dial) {
            Some((_, 0, _)) => Outcome::Lost,
            Some((_, status, said)) => Outcome::Says(*status, (*said).to_owned()),
            None => Outcome::Says(200, json!({ "UniqueId": format!("v-{dial}") }).to_string()),
        }
    })
}

fn ends(told: &[(&str, &'static str)]) -> Ends {
    Arc::new(Mutex::new(told.iter().map(|(id, end)| ((*id).to_owned(), *end)).collect()))
}

/// When orders were sent, and what they were.
fn orders(line: &Canned) -> Vec<(Instant, Value)> {
    let bodies = line.bodies().into_iter().map(|body| serde_json::from_str(&body).unwrap());
    let all = line.times().into_iter().zip(bodies);
    all.filter(|(_, body): &(_, Value)| body.get("UniqueIds").is_none()).collect()
}

fn asked(keys: &str) -> String {
    text(&[("knovvu", "one", &format!("poll_interval = \"10s\"\n{keys}"))])
}

fn open(text: &str, line: &Arc<Canned>) -> Still {
    let house = Still::new(text, &[("one", line)]);
    house.gateway.attend();
    house
}

fn seen(call: &Call) -> Vec<(u32, CallState)> {
    call.attempts.iter().map(|attempt| (attempt.dial, attempt.state)).collect()
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_dialled_again_after_the_pause() {
    let ends = ends(&[("v-0", "No Answer"), ("v-1", "Busy"), ("v-2", "Answered")]);
    let line = knovvu(&ends, &[]);
    let house = open(&asked(""), &line);
    let call = place(&house.gateway, again(3)).await;
    let waits = house.reaches(call.id, CallState::Scheduled).await;
    assert_eq!(waits.due, None, "nobody asks meanwhile");
    assert_eq!(
        waits.held_until.unwrap().duration_since(waits.update_time),
        SignedDuration::from_secs(60)
    );
    sleep(PAUSE).await;
    let call = house.reaches(call.id, CallState::Answered).await;
    assert_eq!(
        seen(&call),
        [(0, CallState::NoAnswer), (1, CallState::Busy), (2, CallState::Answered)]
    );
    assert_eq!(call.vendor_call_id.as_deref(), Some("v-2"));
    let orders = orders(&line);
    assert_eq!(orders.len(), 3);
    for pair in orders.windows(2) {
        let pause = pair[1].0 - pair[0].0;
        assert!(pause >= PAUSE && pause < PAUSE + Duration::from_secs(15), "{pause:?}");
        let id = |at: usize| pair[at].1["ConversationId"].clone();
        assert_ne!(id(0), id(1), "a fresh one for each dial");
    }
    sleep(PAUSE * 10).await;
    assert_eq!(self::orders(&line).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_other_end_is_followed_by_a_dial() {
    let words = [
        ("Answered", CallState::Answered),
        ("Rejected", CallState::Rejected),
        ("Invalid Number", CallState::InvalidNumber),
        ("Temporarily Unavailable", CallState::Unreachable),
        ("Error", CallState::Failed),
    ];
    for (word, state) in words {
        let line = knovvu(&ends(&[("v-0", word)]), &[]);
        let house = open(&asked(""), &line);
        let call = place(&house.gateway, again(5)).await;
        house.reaches(call.id, state).await;
        sleep(PAUSE * 3).await;
        assert_eq!(orders(&line).len(), 1, "{word}");
    }
    // Nor who is given up on, or in doubt.
    for (refused, state) in [(&[][..], CallState::Unknown), (&[(0, 0, "")], CallState::Unknown)] {
        let line = knovvu(&ends(&[]), refused);
        let house = open(&asked("give_up_after = \"5m\""), &line);
        let call = place(&house.gateway, again(5)).await;
        sleep(Duration::from_secs(301)).await;
        assert_eq!(house.recorded(call.id).await.state, state);
        sleep(PAUSE * 3).await;
        assert_eq!(orders(&line).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn as_often_as_asked_and_no_more() {
    for (asked_for, dials) in [(0, 2), (1, 1), (2, 2), (4, 4)] {
        let busy = ends(&[("v-0", "Busy"), ("v-1", "Busy"), ("v-2", "Busy"), ("v-3", "Busy")]);
        let line = knovvu(&busy, &[]);
        let house = open(&asked(""), &line);
        let call = place(&house.gateway, again(asked_for)).await;
        sleep(PAUSE * 10).await;
        let call = house.recorded(call.id).await;
        assert_eq!((call.state, orders(&line).len()), (CallState::Busy, dials));
        assert_eq!(call.attempts.len(), dials);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_refused_is_no_call_that_was_not_dialled() {
    let refused = &[(1, 402, "{}")];
    let line = knovvu(&ends(&[("v-0", "No Answer")]), refused);
    let house = open(&asked(""), &line);
    let call = place(&house.gateway, again(3)).await;
    house.reaches(call.id, CallState::Scheduled).await;
    let call = house.reaches(call.id, CallState::NoAnswer).await;
    let error = call.error.unwrap();
    assert_eq!((&*error.reason, error.dialed), ("PAYMENT_REQUIRED", Dialed::Maybe));
    // A second dial of which nobody knows what became is in doubt, whatever the first one was.
    let line = knovvu(&ends(&[("v-0", "Busy")]), &[(1, 0, "")]);
    let house = open(&asked("give_up_after = \"90s\""), &line);
    let call = place(&house.gateway, again(3)).await;
    house.reaches(call.id, CallState::Scheduled).await;
    house.reaches(call.id, CallState::Unconfirmed).await;
    let call = house.reaches(call.id, CallState::Unknown).await;
    assert_eq!((seen(&call), orders(&line).len()), (vec![(0, CallState::Busy)], 2));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_another_dial_can_be_taken_back_and_expires() {
    let line = knovvu(&ends(&[("v-0", "Busy")]), &[]);
    let house = open(&asked(""), &line);
    let call = place(&house.gateway, again(3)).await;
    house.reaches(call.id, CallState::Scheduled).await;
    house.gateway.cancel(Selector::Calls(vec![call.id])).await.unwrap();
    let call = house.recorded(call.id).await;
    assert_eq!((call.state, call.error, call.held_until), (CallState::Busy, None, None));
    // Too little time is left for another one.
    let expires = Some(house.now() + SignedDuration::from_secs(65));
    let line = knovvu(&ends(&[("v-0", "Busy")]), &[]);
    let house = open(&asked(""), &line);
    let call = place(&house.gateway, Order { expire_time: expires, ..again(3) }).await;
    house.reaches(call.id, CallState::Busy).await;
    sleep(PAUSE * 2).await;
    assert_eq!(orders(&line).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whose_number_is_suppressed_between_two_dials_is_not_dialled_again() {
    let line = knovvu(&ends(&[("v-0", "No Answer")]), &[]);
    let house = open(&asked(""), &line);
    let call = place(&house.gateway, again(3)).await;
    house.reaches(call.id, CallState::Scheduled).await;
    let numbers = call.order.to.clone();
    house.gateway.suppress(numbers, "asked not to be called".parse().unwrap()).await.unwrap();
    let call = house.reaches(call.id, CallState::NoAnswer).await;
    let error = call.error.unwrap();
    assert_eq!((&*error.reason, error.dialed), ("SUPPRESSED", Dialed::Maybe));
    assert_eq!(orders(&line).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_between_two_dials_loses_and_repeats_none() {
    let disk = Disk::new().unwrap();
    let line = knovvu(&ends(&[("v-0", "Busy"), ("v-1", "Answered")]), &[]);
    let first = Still::on(&disk, &asked(""), &[("one", &line)]);
    first.gateway.attend();
    let call = place(&first.gateway, again(3)).await;
    let waits = first.reaches(call.id, CallState::Scheduled).await;
    first.gateway.stop();
    first.gateway.drained().await;
    drop(first);
    sleep(PAUSE / 2).await;
    let second = Still::on(&disk, &asked(""), &[("one", &line)]);
    second.gateway.recover().await.unwrap();
    second.gateway.attend();
    assert_eq!(second.recorded(call.id).await, waits);
    second.reaches(call.id, CallState::Answered).await;
    let orders = orders(&line);
    assert_eq!(orders.len(), 2);
    assert!(orders[1].0 - orders[0].0 >= PAUSE);
}

#[tokio::test(start_paused = true)]
async fn a_second_dial_has_all_its_time_until_it_is_given_up_on() {
    let line = knovvu(&ends(&[("v-0", "Busy")]), &[]);
    let house = open(&asked("give_up_after = \"75s\""), &line);
    let call = place(&house.gateway, again(3)).await;
    house.reaches(call.id, CallState::Scheduled).await;
    house.reaches(call.id, CallState::Accepted).await;
    sleep(Duration::from_secs(70)).await;
    assert_eq!(house.recorded(call.id).await.state, CallState::Accepted);
    house.reaches(call.id, CallState::Unknown).await;
}

const PUSHED: &str = "callback = { user = \"phonon\", password = \"phonon-push-password\" }\n\
                      poll_interval = \"1h\"";

/// Phonon, whose calls are `v-0`, `v-1` and so on.
fn phonon() -> Arc<Canned> {
    Canned::new(|number, body| {
        let asked: Value = serde_json::from_str(body).unwrap();
        let id = &asked["calls"][0]["client-identifier"];
        let details = json!([{ "client-identifier": id, "phonon-uuid": format!("v-{number}") }]);
        let answer =
            json!({ "api-response-code": 200, "request-id": "r-1", "call-details": details });
        Outcome::Says(200, answer.to_string())
    })
}

/// A push of a leg that ended so.
async fn push(house: &Still, uuid: Option<&str>, ours: Option<&Call>, state: CallState) {
    let mut leg = json!({
        "startTime": "2024-07-01T10:15:00+05:30", "endTime": "2024-07-01T10:17:00+05:30",
        "calleeNumber": "919900000100", "calleeType": "VISITOR", "incoming": false,
        "hangupCause": if state == CallState::Busy { "17" } else { "16" },
    });
    if state == CallState::Answered {
        leg["connectTime"] = json!("2024-07-01T10:15:20+05:30");
        leg["duration"] = json!("100000");
    }
    let mut said = json!({ "callDetails": [leg] });
    if let Some(uuid) = uuid {
        said["phonon-uuid"] = json!(uuid);
    }
    if let Some(call) = ours {
        said["dialplane_call_id"] = json!(call.id.to_string());
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

#[tokio::test(start_paused = true)]
async fn late_pushes_of_an_earlier_dial_are_of_that_one() {
    let line = phonon();
    let house = open(&text(&[("phonon-multicast", "one", PUSHED)]), &line);
    let call = place(&house.gateway, again(4)).await;
    push(&house, Some("v-0"), None, CallState::Busy).await;
    let waits = house.recorded(call.id).await;
    assert_eq!((waits.state, seen(&waits)), (CallState::Scheduled, vec![(0, CallState::Busy)]));
    // Repeated, in other letters, with our id, and without what would tell it from another.
    for (uuid, ours) in [
        (Some("v-0"), None),
        (Some("V-0"), None),
        (Some("v-0"), Some(&call)),
        (None, Some(&call)),
        (Some("v-9"), Some(&call)),
    ] {
        push(&house, uuid, ours, CallState::Busy).await;
        assert_eq!(house.recorded(call.id).await, waits, "{uuid:?}");
    }
    let second = house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(second.vendor_call_id.as_deref(), Some("v-1"));
    for (uuid, ours) in [(Some("v-0"), None), (Some("V-0"), Some(&call)), (None, Some(&call))] {
        push(&house, uuid, ours, CallState::NoAnswer).await;
        assert_eq!(house.recorded(call.id).await, second, "{uuid:?}");
    }
    // The bytes of the two orders differ, but for our own id.
    let bodies: Vec<Value> =
        line.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let part = |at: usize, key: &str| bodies[at]["calls"][0][key].clone();
    assert_ne!(part(0, "client-identifier"), part(1, "client-identifier"));
    assert_eq!(part(0, "keys"), part(1, "keys"));
    assert_eq!(part(0, "client-identifier"), json!(call.id.to_string()));
    push(&house, Some("v-1"), None, CallState::NoAnswer).await;
    assert_eq!(house.recorded(call.id).await.state, CallState::Scheduled);
    house.reaches(call.id, CallState::Accepted).await;
    assert_eq!(line.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_told_late_is_the_last_word() {
    let line = phonon();
    let house = open(&text(&[("phonon-multicast", "one", PUSHED)]), &line);
    // Before the next dial.
    let call = place(&house.gateway, again(4)).await;
    push(&house, Some("v-0"), None, CallState::Busy).await;
    push(&house, Some("v-0"), None, CallState::Answered).await;
    assert_eq!(house.recorded(call.id).await.state, CallState::Answered);
    sleep(PAUSE * 2).await;
    assert_eq!(line.count(), 1);
    // While it is on its way.
    let call = place(&house.gateway, again(4)).await;
    push(&house, Some("v-1"), None, CallState::Busy).await;
    house.reaches(call.id, CallState::Accepted).await;
    push(&house, Some("v-1"), None, CallState::Answered).await;
    assert_eq!(house.recorded(call.id).await.state, CallState::Accepted);
    push(&house, Some("v-2"), None, CallState::Busy).await;
    let call = house.recorded(call.id).await;
    assert_eq!(call.state, CallState::Answered);
    sleep(PAUSE * 2).await;
    assert_eq!(line.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_overtakes_the_answer_to_the_order_ends_its_dial_once() {
    // The first answer takes longer than the push, and the pause.
    let line = Canned::taking(
        |number| if number == 0 { Duration::from_secs(15) } else { Duration::ZERO },
        |number, _| {
            let details = json!([{ "phonon-uuid": format!("v-{number}") }]);
            let answer = json!({ "api-response-code": 200, "call-details": details });
            Outcome::Says(200, answer.to_string())
        },
    );
    let house = open(&text(&[("phonon-multicast", "one", PUSHED)]), &line);
    let retry = Some(Retry { interval: Duration::from_secs(5), max_attempts: 4 });
    let gateway = house.gateway.clone();
    let order = Order { retry, ..again(4) };
    let placing = tokio::spawn(async move { place(&gateway, order).await });
    sleep(Duration::from_secs(1)).await;
    // Its id is in the order's own variables.
    let body: Value = serde_json::from_str(&line.bodies()[0]).unwrap();
    let id = body["calls"][0]["client-identifier"].as_str().unwrap().parse().unwrap();
    let call = house.recorded(id).await;
    push(&house, Some("v-0"), Some(&call), CallState::Busy).await;
    assert_eq!(house.recorded(id).await.state, CallState::Scheduled);
    let second = house.reaches(id, CallState::Accepted).await;
    assert_eq!((second.vendor_call_id.as_deref(), second.dials.len()), (Some("v-1"), 1));
    placing.await.unwrap();
    assert_eq!(house.recorded(id).await, second, "the first answer is of the first dial");
    push(&house, Some("v-1"), None, CallState::Answered).await;
    assert_eq!(house.recorded(id).await.state, CallState::Answered);
    assert_eq!(line.count(), 2);
}
