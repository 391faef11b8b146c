//! Calls of which nobody knows whether they were taken: settled at Phonon by sending the very
//! same bytes again, where and as long as that is safe, and left alone everywhere else.

use std::time::Duration;

use dialplane::{
    proto::{Call, CallState, WatchCallResultsRequest},
    sandbox::{Options, Sandbox},
};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Explained, Gateway, Stub, six_systems},
    placing::{in_state, request},
    raw::{Does, Raw, account, answer, route, yes},
};

pub const SOON: &str = "poll_interval = \"100ms\"";
/// Long enough for every second try that may come.
pub const AND_OVER: &str = "poll_interval = \"100ms\"\ngive_up_after = \"2s\"";
pub const REPEATED: &str =
    r#"{"api-response-code":201,"api-response-message":"Checksum Repeated"}"#;

fn coded(code: u16) -> Does {
    answer(200, "", &format!(r#"{{"api-response-code":{code}}}"#))
}

/// A vendor that loses its first answer and then says what the script has.
async fn forgetful(then: impl Fn(usize) -> Does + Send + 'static) -> Raw {
    Raw::start(move |number| if number == 0 { Does::Resets } else { then(number) }).await
}

pub fn one(system: &str, vendor: &Raw, keys: &str) -> String {
    account(system, "one", &vendor.url(), keys) + &route("both", &["one"])
}

/// Every state of a request's call, up to this one, and the call then.
pub async fn follow(gateway: &mut Gateway, id: &str, end: CallState) -> (Vec<CallState>, Call) {
    let watched = WatchCallResultsRequest { request_id: id.into(), ..Default::default() };
    let mut stream = gateway.client.watch_call_results(watched).await.unwrap().into_inner();
    let mut states = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.message());
        let call = next.await.expect("a change in time").unwrap().unwrap().call.unwrap();
        states.push(call.state());
        if call.state() == end {
            return (states, call);
        }
    }
}

#[tokio::test]
async fn the_very_same_bytes_tell_that_the_first_were_taken() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let phonon = format!("kind = \"phonon\"\n{SOON}");
    let text = six_systems(&sandbox, "400ms").replace("kind = \"phonon\"", &phonon);
    let mut gateway = Gateway::start(&text).await;
    for (system, digit) in [("phonon-outbound", 1), ("phonon-dialer", 2), ("phonon-multicast", 3)] {
        // Held, reset, cut: dialled each time.
        for fate in [14, 15, 16] {
            let number = format!("+9199000{digit}00{fate}");
            let before = sandbox.log().len();
            let call = gateway.call(system, &number).await.unwrap();
            assert_eq!(call.state(), CallState::Unconfirmed, "{system} {fate}");
            let error = Explained::of_call(&call);
            assert_eq!(error.meta("dialed"), "maybe");
            let id = call.request_id.clone();
            let (states, settled) = follow(&mut gateway, &id, CallState::Accepted).await;
            assert_eq!(
                states,
                [CallState::Dispatching, CallState::Unconfirmed, CallState::Accepted]
            );
            assert!(settled.vendor_call_id.is_empty() && settled.error.is_none(), "{settled:?}");
            let log = &sandbox.log()[before..];
            // More than two only where the second answer was late, too.
            assert!(log.len() >= 2, "{system} {fate}");
            let kind = |at: usize| log[at].headers.iter().find(|(name, _)| name == "content-type");
            for again in 1..log.len() {
                assert_eq!((&log[0].path, &log[0].body), (&log[again].path, &log[again].body));
                assert_eq!(kind(0), kind(again));
            }
            assert_eq!(sandbox.dials_of(&number), 1, "{system} {fate}");
        }
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_request_that_was_lost_is_taken_at_the_second_try() {
    for (first, read) in [(Does::HangsUp, 1), (Does::Resets, 2)] {
        let vendor = Raw::start(move |number| match number {
            0 => first.clone(),
            _ => answer(200, "", yes("phonon-outbound")),
        })
        .await;
        let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, SOON)).await;
        gateway.send(request("R1", "both")).await.unwrap();
        let call = in_state(&mut gateway, "R1", CallState::Accepted).await;
        assert_eq!((call.vendor_call_id.as_str(), call.vendor_request_id.as_str()), ("v-1", "r-1"));
        assert_eq!((vendor.asked(), vendor.bodies().len()), (2, read));
        assert!(vendor.bodies().iter().all(|body| *body == vendor.bodies()[0]));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn whatever_a_vendor_cannot_tell_from_a_new_order_is_sent_once() {
    let cases = [
        ("phonon-bulk", ""),
        ("phonon-bulk", "duplicate_check = false\n"),
        ("phonon-outbound", "duplicate_check = false\n"),
        ("mobtexting", ""),
        ("knovvu", ""),
    ];
    let tries = cases.map(|(system, keys)| async move {
        let vendor = Raw::start(|_| Does::Resets).await;
        let keys = format!("{keys}{AND_OVER}");
        let mut gateway = Gateway::start(&one(system, &vendor, &keys)).await;
        let sent = gateway.send(request("R1", "both")).await.unwrap().calls.remove(0);
        let end = in_state(&mut gateway, "R1", CallState::Unknown).await;
        assert_eq!(end.error, sent.error, "{system}: why it was in doubt");
        assert_eq!(vendor.asked(), 1, "{system}");
        gateway.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn the_bulk_lane_does_it_too_when_it_is_told_to() {
    let vendor = forgetful(|_| answer(200, "", REPEATED)).await;
    let keys = format!("duplicate_check = true\n{SOON}");
    let mut gateway = Gateway::start(&one("phonon-bulk", &vendor, &keys)).await;
    gateway.send(request("R1", "both")).await.unwrap();
    in_state(&mut gateway, "R1", CallState::Accepted).await;
    assert_eq!(vendor.bodies().len(), 2);
    assert_eq!(vendor.bodies()[0], vendor.bodies()[1]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_leaves_a_doubt_is_an_answer() {
    let html = "<html>Bad luck</html>";
    let cases = [
        ("FAILURE_FROM_GATEWAY", coded(206)),
        ("FAILURE", coded(500)),
        ("FAILURE", answer(500, "", r#"{"api-response-code":500}"#)),
        ("UNRECOGNIZED_CODE", coded(999)),
        ("NOT_IN_CALL_DETAILS", coded(200)),
        ("UNREADABLE_ANSWER", answer(500, "", html)),
        ("UNREADABLE_ANSWER", answer(502, "", html)),
        ("UNREADABLE_ANSWER", answer(503, "", html)),
        ("UNREADABLE_ANSWER", answer(504, "", html)),
        ("UNREADABLE_ANSWER", answer(200, "", r#"{"status":"fine"}"#)),
        ("UNREADABLE_ANSWER", answer(200, "", "{}")),
        ("UNREADABLE_ANSWER", answer(200, "", "[]")),
        ("UNREADABLE_ANSWER", answer(200, "", "\"fine\"")),
        ("UNREADABLE_ANSWER", answer(302, "location: /\r\n", "")),
    ];
    let tries = cases.map(|(reason, does)| async move {
        let vendor = Raw::start(move |_| does.clone()).await;
        let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, AND_OVER)).await;
        gateway.send(request("R1", "both")).await.unwrap();
        let end = in_state(&mut gateway, "R1", CallState::Unknown).await;
        assert_eq!(Explained::of_call(&end).info.reason, reason);
        assert_eq!(vendor.asked(), 1, "{reason}");
        gateway.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

/// Answers of this status that nobody can read to their end.
fn unfinished(status: u16) -> [Does; 4] {
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    let long = "x".repeat((1 << 20) + 1);
    [
        Does::Says(format!("{head}content-length: 90\r\n\r\n{{\"a\"")),
        Does::Stalls(format!("{head}content-length: 90\r\n\r\n{{\"a\"")),
        Does::Says(format!("{head}content-length: {}\r\n\r\n{long}", long.len())),
        Does::Says(format!("{head}\r\n{long}")),
    ]
}

#[tokio::test]
async fn a_failure_that_is_told_as_far_as_its_status_is_an_answer() {
    let answers = [500, 502, 503].into_iter().flat_map(|s| unfinished(s).map(|does| (s, does)));
    let tries = answers.map(|(status, does)| async move {
        let vendor = Raw::start(move |_| does.clone()).await;
        let keys = format!("timeout = \"500ms\"\n{AND_OVER}");
        let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, &keys)).await;
        gateway.send(request("R1", "both")).await.unwrap();
        let (states, end) = follow(&mut gateway, "R1", CallState::Unknown).await;
        assert_eq!(states, [CallState::Dispatching, CallState::Unconfirmed, CallState::Unknown]);
        assert_eq!(Explained::of_call(&end).info.reason, "VENDOR_ANSWER_LOST");
        assert_eq!(vendor.asked(), 1, "{status}");
        gateway.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn such_a_failure_at_the_second_try_is_the_last() {
    let tries = unfinished(502).map(|does| async move {
        let vendor = forgetful(move |_| does.clone()).await;
        let keys = format!("timeout = \"500ms\"\n{AND_OVER}");
        let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, &keys)).await;
        gateway.send(request("R1", "both")).await.unwrap();
        in_state(&mut gateway, "R1", CallState::Unknown).await;
        assert_eq!(vendor.asked(), 2);
        gateway.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn success_that_is_not_told_to_its_end_is_no_answer() {
    for does in unfinished(200) {
        let vendor = Raw::start(move |number| match number {
            0 => does.clone(),
            _ => answer(200, "", REPEATED),
        })
        .await;
        let keys = format!("timeout = \"500ms\"\n{SOON}");
        let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, &keys)).await;
        gateway.send(request("R1", "both")).await.unwrap();
        in_state(&mut gateway, "R1", CallState::Accepted).await;
        assert_eq!(vendor.bodies().len(), 2);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_list_that_names_a_call_is_an_answer_though_it_has_no_code() {
    let vendor = Stub::start(|received| {
        let body: Value = serde_json::from_str(&received.body).unwrap();
        let first = &body["calls"][0]["client-identifier"];
        let list = json!([{ "client-identifier": first, "phonon-uuid": "v-1" }]);
        Answer::json(200, json!({ "call-details": list }).to_string())
    })
    .await;
    let text =
        account("phonon-outbound", "one", &vendor.url(), AND_OVER) + &route("both", &["one"]);
    let mut gateway = Gateway::start(&text).await;
    let calls = ["+919900000100", "+919900000200"].map(crate::harness::to).to_vec();
    let calls = gateway.create("both", calls).await.unwrap().calls;
    assert_eq!((calls[0].state(), calls[1].state()), (CallState::Accepted, CallState::Unconfirmed));
    let id = calls[1].request_id.clone();
    let end = follow_call(&mut gateway, &calls[1]).await;
    assert_eq!(Explained::of_call(&end).info.reason, "CONTRADICTORY_ANSWER", "{id}");
    assert_eq!(vendor.received().len(), 1, "the first call would be dialled twice");
    gateway.stop().await;
    vendor.stop().await;
}

async fn follow_call(gateway: &mut Gateway, call: &Call) -> Call {
    let call_ids = vec![call.call_id.clone()];
    let watched = WatchCallResultsRequest { call_ids, ..Default::default() };
    let mut stream = gateway.client.watch_call_results(watched).await.unwrap().into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await.unwrap() {
        last = message.call;
    }
    last.unwrap()
}

#[tokio::test]
async fn a_refusal_of_the_second_try_says_nothing_of_the_first() {
    let vendor = forgetful(|number| match number {
        1 => coded(212),
        2 => answer(429, "retry-after: 1\r\n", ""),
        3 => coded(401),
        4 => coded(205),
        5 => Does::Resets,
        6 => Does::HangsUp,
        _ => answer(200, "", REPEATED),
    })
    .await;
    let mut gateway = Gateway::start(&one("phonon-dialer", &vendor, SOON)).await;
    gateway.send(request("R1", "both")).await.unwrap();
    let (states, call) = follow(&mut gateway, "R1", CallState::Accepted).await;
    // Nothing of it is seen, and nothing of it sticks.
    assert_eq!(states, [CallState::Dispatching, CallState::Unconfirmed, CallState::Accepted]);
    assert!(call.error.is_none());
    assert_eq!(vendor.asked(), 8);
    assert!(vendor.bodies().iter().all(|body| *body == vendor.bodies()[0]));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_in_doubt_to_the_second_try_is_the_last() {
    let vendor = forgetful(|_| coded(206)).await;
    let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, AND_OVER)).await;
    let sent = gateway.send(request("R1", "both")).await.unwrap().calls.remove(0);
    assert_eq!(Explained::of_call(&sent).info.reason, "VENDOR_ANSWER_LOST");
    let (states, end) = follow(&mut gateway, "R1", CallState::Unknown).await;
    let doubt = CallState::Unconfirmed;
    assert_eq!(states, [CallState::Dispatching, doubt, doubt, CallState::Unknown]);
    assert_eq!(Explained::of_call(&end).info.reason, "FAILURE_FROM_GATEWAY");
    assert_eq!(vendor.asked(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn who_never_answers_ends_as_unknown() {
    let vendor = Raw::start(|_| Does::Resets).await;
    let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, AND_OVER)).await;
    gateway.send(request("R1", "both")).await.unwrap();
    let (states, end) = follow(&mut gateway, "R1", CallState::Unknown).await;
    assert_eq!(states, [CallState::Dispatching, CallState::Unconfirmed, CallState::Unknown]);
    assert_eq!(Explained::of_call(&end).info.reason, "VENDOR_ANSWER_LOST");
    let tries = vendor.asked();
    assert!((2..=14).contains(&tries), "{tries} tries within two seconds");
    gateway.stop().await;
}
