//! What becomes of what is posted.

use std::sync::atomic::Ordering;

use dialplane::{
    call::CallState,
    gateway::{Delivered, PushCounts},
    http::Delivery,
    ledger::Ledger,
};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::house::{House, SECRET, written};

#[tokio::test]
async fn results_are_recorded_and_questions_become_due() {
    let house = House::open().await;
    let reached = house.call("one", "+919900000001").await;
    let asked = house.call("one", "+919900000002").await;
    let quiet = house.call("one", "+919900000003").await;
    assert_eq!(reached.vendor_call_id.as_deref(), Some("t-919900000001"));
    let body = json!([
        { "id": "t-919900000001", "state": "missed" },
        { "id": "t-919900000002", "state": "ask" },
        { "id": "t-919900000003", "state": "?" },
        { "id": "t-919900000001", "state": "reached" },
    ]);
    // Twice is as good as once.
    for times in 1..=2 {
        house.taken("one", &body).await;
        let [reached, asked, quiet] = [&reached, &asked, &quiet];
        let reached = house.recorded(reached).await;
        assert_eq!((reached.state, reached.asked_time), (CallState::Answered, None));
        let asked = house.recorded(asked).await;
        assert_eq!(asked.state, CallState::Accepted);
        assert_eq!(asked.asked_time, None);
        let mut due = house.ledger.due.lock().unwrap().clone();
        due.retain(|(_, at)| *at <= Timestamp::now());
        let due: Vec<_> = due.iter().map(|(id, _)| *id).collect();
        assert_eq!(due, vec![asked.id; times as usize], "and nobody else");
        assert_eq!(house.recorded(quiet).await, *quiet);
        let counts = PushCounts { applied: 3 * times, ignored: times, ..PushCounts::default() };
        assert_eq!(house.counts("one"), counts);
    }
    house.stop().await;
}

#[tokio::test]
async fn our_id_finds_a_call_that_the_vendor_never_named() {
    let house = House::open().await;
    let call = house.call("one", "+919900000009").await;
    assert_eq!((call.state, &call.vendor_call_id), (CallState::Unconfirmed, &None));
    // Kept under the vendor's id, until that is told.
    house.taken("one", &json!([{ "id": "v-9", "state": "reached" }])).await;
    assert_eq!((house.counts("one").kept, house.ledger.kept_count()), (1, 1));
    house
        .taken("one", &json!([{ "id": "v-9", "ours": call.id.to_string(), "state": "ask" }]))
        .await;
    let call = house.recorded(&call).await;
    assert_eq!((call.state, call.vendor_call_id.as_deref()), (CallState::Answered, Some("v-9")));
    assert!(call.error.is_none());
    assert_eq!((house.counts("one").applied, house.ledger.kept_count()), (2, 0));
    house.stop().await;
}

#[tokio::test]
async fn a_vendor_tells_nothing_of_another_ones_calls() {
    let house = House::open().await;
    let call = house.call("one", "+919900000001").await;
    let ours = call.id.to_string();
    let stranger = dialplane::call::CallId::generate().to_string();
    let body = json!([
        { "ours": ours, "state": "reached" },
        { "ours": stranger, "state": "reached" },
        { "state": "reached" },
        { "id": "", "state": "reached" },
        { "id": "x".repeat(200), "state": "reached" },
        { "id": "big", "state": "reached", "more": "x".repeat(100_000) },
        { "id": "t-919900000001", "ours": ours, "state": "reached" },
    ]);
    house.taken("two", &body).await;
    assert_eq!(house.recorded(&call).await, call);
    let counts = PushCounts { dropped: 6, kept: 1, ..PushCounts::default() };
    assert_eq!((house.counts("two"), house.counts("one")), (counts, PushCounts::default()));
    house.stop().await;
}

#[tokio::test]
async fn news_that_overtakes_the_answer_is_applied_after_it() {
    let house = House::open().await;
    // Under another way to write the id, too.
    house.taken("one", &json!([{ "id": "t-919900000001", "state": "missed" }])).await;
    house.taken("one", &json!([{ "id": "T-919900000001", "state": "reached" }])).await;
    house.taken("two", &json!([{ "id": "t-919900000002", "state": "reached" }])).await;
    assert_eq!((house.counts("one").kept, house.ledger.kept_count()), (2, 3));
    let [call, other] =
        [house.call("one", "+919900000001").await, house.call("one", "+919900000002").await];
    assert_eq!(call.state, CallState::Answered, "the caller is told at once");
    assert_eq!(house.recorded(&call).await, call);
    assert_eq!(other.state, CallState::Accepted);
    assert_eq!((house.counts("one").applied, house.ledger.kept_count()), (2, 1));
    house.stop().await;
}

#[tokio::test]
async fn news_of_no_call_is_dropped_and_counted() {
    let house = House::open().await;
    house.taken("one", &json!([{ "id": "a", "state": "missed" }, { "id": "b" }])).await;
    house.gateway.drop_strays().await;
    assert_eq!((house.gateway.dropped_strays(), house.ledger.kept_count()), (0, 2));
    house.ahead.store(3_601, Ordering::SeqCst);
    house.gateway.drop_strays().await;
    assert_eq!((house.gateway.dropped_strays(), house.ledger.kept_count()), (2, 0));
    house.stop().await;
}

#[tokio::test]
async fn many_pieces_are_one_delivery() {
    let house = House::open().await;
    let call = house.call("one", "+919900000001").await;
    let mut pieces = vec![json!({ "id": "unknown", "state": "missed" }); 1_000];
    pieces.push(json!({ "id": "t-919900000001", "state": "reached" }));
    house.taken("one", &json!(pieces)).await;
    assert_eq!(house.recorded(&call).await.state, CallState::Answered);
    assert_eq!((house.counts("one").kept, house.counts("one").applied), (1_000, 1));
    house.stop().await;
}

#[tokio::test]
async fn the_answer_comes_after_the_record() {
    let house = House::open().await;
    let call = house.call("one", "+919900000001").await;
    house.ledger.begun.forget_permits(usize::MAX >> 4);
    house.ledger.open.send_replace(false);
    let body = json!([{ "id": "t-919900000001", "state": "reached" }]);
    let mut answer = Box::pin(house.post("one", &body));
    let begun = tokio::select! {
        _ = &mut answer => panic!("answered before it was recorded"),
        begun = house.ledger.begun.acquire() => begun.unwrap(),
    };
    begun.forget();
    assert_eq!(house.recorded(&call).await, call);
    house.ledger.open.send_replace(true);
    assert_eq!((&mut answer).await.status(), 200);
    drop(answer);
    assert_eq!(house.recorded(&call).await.state, CallState::Answered);
    house.stop().await;
}

#[tokio::test]
async fn a_vendor_that_hangs_up_undoes_nothing() {
    let house = House::open().await;
    let calls =
        [house.call("one", "+919900000001").await, house.call("one", "+919900000002").await];
    house.ledger.begun.forget_permits(usize::MAX >> 4);
    house.ledger.open.send_replace(false);
    // Over the wire, and without it.
    let mut stream = house.connect().await;
    let body = json!([{ "id": "t-919900000001", "state": "reached" }]);
    stream.write_all(written("one", &body).as_bytes()).await.unwrap();
    house.ledger.begun.acquire().await.unwrap().forget();
    drop(stream);
    let delivery = Delivery {
        token: Some(SECRET.to_owned()),
        body: json!([{ "id": "t-919900000002", "state": "reached" }]).to_string().into(),
        ..Delivery::default()
    };
    tokio::select! {
        delivered = house.gateway.deliver("one", delivery) => panic!("{delivered:?}"),
        begun = house.ledger.begun.acquire() => begun.unwrap().forget(),
    }
    house.ledger.open.send_replace(true);
    house.gateway.stop();
    house.gateway.drained().await;
    for call in &calls {
        assert_eq!(house.recorded(call).await.state, CallState::Answered);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_ledger_that_fails_is_told_and_nothing_is_lost() {
    let house = House::open().await;
    let call = house.call("one", "+919900000001").await;
    for body in [
        json!([{ "id": "t-919900000001", "state": "reached" }]),
        json!([{ "id": "unknown", "state": "reached" }]),
    ] {
        let before = house.counts("one");
        house.ledger.failures.store(2, Ordering::SeqCst);
        let answer = house.post("one", &body).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"5".parse().unwrap())
        );
        assert_eq!(house.counts("one"), before);
        // Once is made up for.
        house.ledger.failures.store(1, Ordering::SeqCst);
        house.taken("one", &body).await;
    }
    assert_eq!(house.recorded(&call).await.state, CallState::Answered);
    let counts = PushCounts { applied: 1, kept: 1, ..PushCounts::default() };
    assert_eq!((house.counts("one"), house.ledger.kept_count()), (counts, 1));
    house.ledger.close().await;
    let delivery = Delivery {
        token: Some(SECRET.to_owned()),
        body: "[{\"ours\":\"x\",\"id\":\"t-919900000001\"}]".into(),
        ..Delivery::default()
    };
    assert!(matches!(house.gateway.deliver("one", delivery).await, Delivered::TryLater(_)));
    house.stop().await;
}
