//! What could go wrong where calls wait for their turn: deadlines, stops, doubts, refusals and
//! repetitions in a lane that is busy.

use std::{collections::BTreeSet, time::Duration};

use dialplane::{
    call::{CallState, Fingerprint, RequestId},
    gateway::{CreateOrder, Draft, GatewayError, Looked},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    harness::FAST,
    pace::within,
    placing::{order, place, place_all},
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

pub const SECOND: Duration = Duration::from_secs(1);

fn mobtexting() -> Outcome {
    Outcome::Says(200, r#"{"status":"OK","message":"Queued","data":[{"id":"v-1"}]}"#.to_owned())
}

pub fn number(n: usize) -> dialplane::call::Order {
    order(&format!("9199{n:08}"), None)
}

pub fn takes_unless(body: &str, wrong: &BTreeSet<String>) -> Outcome {
    let asked: Value = serde_json::from_str(body).unwrap();
    let calls = asked["calls"].as_array().unwrap();
    if calls.iter().any(|call| wrong.contains(call["contact-numbers"][0].as_str().unwrap())) {
        let no =
            json!({ "api-response-code": 205, "api-response-message": "Invalid Contact Number" });
        return Outcome::Says(200, no.to_string());
    }
    takes_all(body)
}

/// Who drives the lane waits for a turn, and for nothing else until this one comes.
#[tokio::test(start_paused = true)]
async fn a_deadline_counts_also_while_recorded_calls_wait_for_a_turn() {
    let line = Canned::taking(|_| 30 * SECOND, |_, _| mobtexting());
    let house = Still::new(&text(&[("mobtexting", "one", "max_in_flight = 1")]), &[("one", &line)]);
    let gateway = house.gateway.clone();
    let two = tokio::spawn(async move { place_all(&gateway, vec![number(0), number(1)]).await });
    sleep(SECOND).await;
    let begun = Instant::now();
    let id = RequestId::generate();
    let late = within(&house.gateway, &id, vec![number(2)], Some(5 * SECOND)).await;
    assert!(matches!(late, Err(GatewayError::NoTurn { .. })), "{late:?}");
    assert!(begun.elapsed() < 5 * SECOND, "told after {:?}", begun.elapsed());
    two.await.unwrap();
}

/// The vendor has no rate, and no exchange is free.
#[tokio::test(start_paused = true)]
async fn a_route_that_queues_does_so_too_where_there_is_no_turn() {
    let line = Canned::taking(|_| 30 * SECOND, |_, _| mobtexting());
    let config = text(&[("mobtexting", "one", "max_in_flight = 1")]) + "queue = true\n";
    let house = Still::new(&config, &[("one", &line)]);
    house.gateway.attend();
    let gateway = house.gateway.clone();
    let first = tokio::spawn(async move { place_all(&gateway, vec![number(0)]).await });
    sleep(SECOND).await;
    let begun = Instant::now();
    let id = RequestId::generate();
    let held = within(&house.gateway, &id, vec![number(1)], Some(5 * SECOND)).await;
    let held = held.map(|created| created.calls[0].state);
    assert!(matches!(held, Ok(CallState::Scheduled)), "{held:?} after {:?}", begun.elapsed());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    first.await.unwrap();
}

const OAUTH: &str =
    "oauth = { identity_url = \"http://127.0.0.1:9\", client_id = \"c\", client_secret = \"s\" }";

fn knovvu(keys: &str) -> String {
    text(&[("knovvu", "one", keys)]).replace("access_token = \"sandbox-token\"", OAUTH)
}

/// The first order's token is not taken, once.
fn refuses_one_token() -> std::sync::Arc<Canned> {
    let refused = std::sync::atomic::AtomicBool::new(false);
    Canned::new(move |_, body| {
        if body.contains("client_credentials") {
            return Outcome::Says(200, r#"{"access_token":"t","expires_in":86400}"#.into());
        }
        if !refused.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Outcome::Says(401, r#"{"error":"invalid_token"}"#.into());
        }
        Outcome::Says(200, r#"{"UniqueId":"v-1"}"#.into())
    })
}

#[tokio::test(start_paused = true)]
async fn who_expires_while_the_same_once_more_waits_for_the_pace_is_not_dialled() {
    let line = refuses_one_token();
    let house = Still::new(
        &knovvu("rate = { calls = 1, per = \"60s\" }\nmax_in_flight = 1"),
        &[("one", &line)],
    );
    let mut order = number(0);
    order.expire_time = Some(house.now() + 30 * SECOND);
    let call = place(&house.gateway, order).await;
    let orders: Vec<_> = line
        .times()
        .into_iter()
        .zip(line.bodies())
        .filter(|(_, body)| !body.contains("client_credentials"))
        .map(|(time, _)| time)
        .collect();
    let between = orders.last().unwrap().duration_since(orders[0]);
    assert_eq!((call.state, orders.len()), (CallState::Expired, 1), "sent after {between:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_the_pace() {
    let line = refuses_one_token();
    let house = Still::new(
        &knovvu("rate = { calls = 1, per = \"60s\" }\nmax_in_flight = 1"),
        &[("one", &line)],
    );
    let gateway = house.gateway.clone();
    let first = tokio::spawn(async move { place(&gateway, number(0)).await });
    sleep(SECOND).await;
    house.gateway.stop();
    let drained = timeout(15 * SECOND, house.gateway.drained()).await;
    assert!(drained.is_ok(), "still draining; sent {}", line.count());
    first.await.unwrap();
}

/// One that is sent once more, because its token was not taken, beside a lane full of others.
#[tokio::test(start_paused = true)]
async fn the_same_once_more_is_not_starved_by_those_who_wait() {
    let line = refuses_one_token();
    let house = Still::new(
        &knovvu("rate = { calls = 1, per = \"10s\" }\nmax_in_flight = 3"),
        &[("one", &line)],
    );
    let begun = Instant::now();
    let mut callers = Vec::new();
    for n in 0..8 {
        let gateway = house.gateway.clone();
        callers.push(tokio::spawn(async move {
            sleep(n as u32 * Duration::from_millis(10)).await;
            place(&gateway, number(n)).await;
            begun.elapsed().as_secs()
        }));
    }
    let mut ended = Vec::new();
    for caller in callers {
        ended.push(caller.await.unwrap());
    }
    assert!(ended[0] <= 20, "{ended:?}");
}

/// It comes second, though the other one has calls for all the room there is.
#[tokio::test(start_paused = true)]
async fn who_is_let_in_beside_a_large_request_gets_his_turn_in_time() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { calls = 50, per = \"10s\" }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    let gateway = house.gateway.clone();
    tokio::spawn(async move { place_all(&gateway, (0..500).map(number).collect()).await });
    sleep(SECOND).await;
    let begun = Instant::now();
    let id = RequestId::generate();
    let one = within(&house.gateway, &id, vec![number(900)], Some(12 * SECOND)).await;
    let took = begun.elapsed();
    assert!(one.is_ok() || took.is_zero(), "{one:?} after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_exact_where_nothing_goes_together() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { requests = 1, per = \"10s\" }\nbatch.max_delay = 0";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    place(&house.gateway, number(0)).await;
    for n in 1..6 {
        let gateway = house.gateway.clone();
        tokio::spawn(async move {
            let id = RequestId::generate();
            within(&gateway, &id, vec![number(n)], Some(100 * SECOND)).await
        });
    }
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    let id = RequestId::generate();
    // Five are ahead: its turn is in 60 s.
    let late = within(&house.gateway, &id, vec![number(9)], Some(15 * SECOND)).await;
    let took = begun.elapsed();
    assert!(took.is_zero(), "{late:?} after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_with_and_without_a_deadline_leave_in_two_exchanges() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { requests = 1, per = \"10s\" }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    place(&house.gateway, number(0)).await;
    let mut callers = Vec::new();
    for n in 1..41 {
        let gateway = house.gateway.clone();
        callers.push(tokio::spawn(async move {
            let deadline = (n % 2 == 0).then_some(3_000 * SECOND);
            within(&gateway, &RequestId::generate(), vec![number(n)], deadline).await
        }));
        sleep(Duration::from_millis(1)).await;
    }
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    // Those that were recorded meanwhile, and those that were not.
    assert_eq!(sizes(&line.bodies()), [1, 20, 20]);
}

/// Ten that went out together and are in doubt, one that is with the vendor; and single calls
/// come all the time. What became of the ten, and how many questions were asked.
async fn in_doubt_beside(pause: Duration) -> (CallState, usize, usize) {
    let line = Canned::taking(
        |n| Duration::from_millis(n as u64 * 731 % 4_000),
        |n, body| match n {
            0 => Outcome::Lost,
            _ if !body.contains("contact-numbers") => Outcome::Says(200, "{}".to_owned()),
            _ => takes_all(body),
        },
    );
    let keys = "rate = { calls = 10, per = \"10s\" }\npoll_interval = \"15s\"\nbatch.max_delay = 0\n\
                results = { url = \"http://127.0.0.1:9\", version = 2 }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    house.gateway.attend();
    let doubt = place_all(&house.gateway, (0..10).map(number).collect()).await;
    assert!(doubt.iter().all(|call| call.state == CallState::Unconfirmed), "{doubt:?}");
    let end = Instant::now() + 700 * SECOND;
    for n in 0.. {
        let gateway = house.gateway.clone();
        tokio::spawn(async move { place(&gateway, number(100 + n)).await });
        sleep(pause).await;
        if Instant::now() > end {
            break;
        }
    }
    let state = house.recorded(doubt[0].id).await.state;
    let bodies = line.bodies();
    let again = bodies.iter().skip(1).filter(|body| **body == bodies[0]).count();
    let asked = bodies.iter().filter(|body| !body.contains("contact-numbers")).count();
    (state, again, asked)
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_is_sent_again_though_others_wait() {
    let (idle, busy) = (in_doubt_beside(20 * SECOND).await, in_doubt_beside(SECOND / 2).await);
    let fine = |(state, again, asked)| state == CallState::Accepted && again == 1 && asked > 10;
    assert!(fine(idle) && fine(busy), "(state, sent again, questions): {idle:?}, {busy:?}");
}

#[tokio::test(start_paused = true)]
async fn those_recorded_together_are_sent_once_where_that_is_uncertain() {
    for is_kept in [true, false] {
        let line = Canned::taking(|_| Duration::from_millis(50), |_, body| takes_all(body));
        let house = Still::new(&text(&[("phonon-multicast", "one", FAST)]), &[("one", &line)]);
        let gateway = house.gateway.clone();
        let first = tokio::spawn(async move { place(&gateway, number(0)).await });
        sleep(Duration::from_millis(1)).await;
        *house.ledger.uncertain.lock().unwrap() = Some(("record", is_kept));
        let ids: Vec<_> = (0..4).map(|_| RequestId::generate()).collect();
        let mut callers = Vec::new();
        for (n, id) in ids.iter().enumerate() {
            let (gateway, id) = (house.gateway.clone(), id.clone());
            callers.push(tokio::spawn(async move {
                within(&gateway, &id, vec![number(n + 1)], None).await
            }));
        }
        for caller in callers {
            assert!(caller.await.unwrap().is_err());
        }
        assert_eq!(*house.ledger.uncertain.lock().unwrap(), None);
        first.await.unwrap();
        sleep(60 * SECOND).await;
        for (n, id) in ids.iter().enumerate() {
            let again = within(&house.gateway, id, vec![number(n + 1)], None).await.unwrap();
            assert_eq!(again.calls[0].state, CallState::Accepted);
        }
        let all = line.bodies().concat();
        for n in 0..5 {
            assert_eq!(all.matches(&format!("9199{n:08}")).count(), 1, "{is_kept} {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_went_together_are_settled_by_the_same_bytes() {
    let line = Canned::taking(
        |_| Duration::from_millis(50),
        |n, body| if n == 1 { Outcome::Lost } else { takes_all(body) },
    );
    let keys = format!("{FAST}\npoll_interval = \"10s\"");
    let house = Still::new(&text(&[("phonon-multicast", "one", &keys)]), &[("one", &line)]);
    house.gateway.attend();
    let mut callers = Vec::new();
    for n in 0..5 {
        let gateway = house.gateway.clone();
        callers.push(tokio::spawn(async move { place(&gateway, number(n)).await }));
        tokio::task::yield_now().await;
    }
    let mut calls = Vec::new();
    for caller in callers {
        calls.push(caller.await.unwrap());
    }
    assert_eq!(calls[4].state, CallState::Unconfirmed);
    for call in &calls {
        house.reaches(call.id, CallState::Accepted).await;
    }
    let bodies = line.bodies();
    assert_eq!((sizes(&bodies), bodies[1] == bodies[2]), (vec![1, 4, 4], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_is_answered_and_dialled_once_on_many_threads() {
    let line = Canned::taking(|n| Duration::from_millis(n as u64 % 4), |_, body| takes_all(body));
    let keys = "rate = { requests = 40, per = \"1s\" }\nmax_in_flight = 2";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    let mut callers = Vec::new();
    for n in 0..600_usize {
        let gateway = house.gateway.clone();
        callers.push(tokio::spawn(async move {
            sleep(Duration::from_micros((n as u64 * 7_919) % 500_000)).await;
            let deadline = (n % 3 == 0).then_some(60 * SECOND);
            let orders = (n * 10..n * 10 + 1 + n % 3).map(number).collect();
            within(&gateway, &RequestId::generate(), orders, deadline).await
        }));
    }
    let mut expected = 0;
    for (n, caller) in callers.into_iter().enumerate() {
        let created = timeout(60 * SECOND, caller).await.expect("an answer").unwrap().unwrap();
        assert!(created.calls.iter().all(|call| call.state == CallState::Accepted));
        expected += 1 + n % 3;
    }
    assert_eq!(sizes(&line.bodies()).into_iter().sum::<usize>(), expected);
}

/// How many questions are asked in 300 s about a call that is with the vendor.
async fn questions_beside(pause: Duration) -> usize {
    let line = Canned::taking(
        |n| Duration::from_millis(n as u64 * 731 % 4_000),
        |_, body| if body.is_empty() { Outcome::Says(200, "{}".to_owned()) } else { mobtexting() },
    );
    let keys = "rate = { requests = 10, per = \"10s\" }\npoll_interval = \"5s\"";
    let house = Still::new(&text(&[("mobtexting", "one", keys)]), &[("one", &line)]);
    house.gateway.attend();
    let end = Instant::now() + 300 * SECOND;
    for n in 0.. {
        let gateway = house.gateway.clone();
        tokio::spawn(async move { place(&gateway, number(100 + n)).await });
        sleep(pause).await;
        if Instant::now() > end {
            break;
        }
    }
    line.bodies().iter().filter(|body| body.is_empty()).count()
}

#[tokio::test(start_paused = true)]
async fn questions_find_room_beside_calls() {
    let (idle, busy) = (questions_beside(20 * SECOND).await, questions_beside(SECOND / 2).await);
    assert!(idle >= 20 && busy >= 20, "{idle} when idle, {busy} when busy");
}

/// Two tries of one request: the second looked before the first was placed, and is placed after.
#[tokio::test(start_paused = true)]
async fn who_was_placed_by_another_try_is_not_told_that_nothing_was_sent() {
    for waits in [false, true] {
        let line = Canned::new(|_, body| takes_all(body));
        let keys = "rate = { calls = 1, per = \"60s\" }\nmax_in_flight = 1";
        let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
        let id = RequestId::generate();
        let fingerprint = Fingerprint { digest: [0; 32], fields: Vec::new() };
        let Looked::New(announced) = house.gateway.recorded(&id, &fingerprint).await.unwrap()
        else {
            panic!()
        };
        let order = CreateOrder {
            request_id: id.clone(),
            fingerprint: fingerprint.clone(),
            route: "both".to_owned(),
            drafts: vec![Draft { order: number(0), violations: Vec::new() }],
            all_or_nothing: false,
        };
        let second = house.gateway.prepare(order).await.unwrap().announced(announced);
        let first = within(&house.gateway, &id, vec![number(0)], Some(5 * SECOND)).await.unwrap();
        assert_eq!((first.calls[0].state, line.count()), (CallState::Accepted, 1));
        if waits {
            // It has the time to wait, and the gateway stops meanwhile.
            let gateway = house.gateway.clone();
            let second = second.within(Some(Instant::now() + 100 * SECOND));
            let second = tokio::spawn(async move { gateway.create(second).await });
            sleep(SECOND).await;
            house.gateway.stop();
            let second = second.await.unwrap();
            assert!(second.is_ok(), "{second:?}, and it is dialled");
        } else {
            let second = second.within(Some(Instant::now() + 5 * SECOND));
            let second = house.gateway.create(second).await;
            assert!(second.is_ok(), "{second:?}, and it is dialled");
        }
    }
}
