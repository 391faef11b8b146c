//! A call goes on to the next vendor of its route when one certainly did not dial, and stays
//! where it is in every other case.

use dialplane::{
    call::Cause,
    gateway::FAILOVER,
    proto::{CallSpec, CallState, WatchCallResultsRequest, call_spec::Script},
    sandbox::{Options, Sandbox},
    vendors::phonon::CODES,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    harness::{Answer, Explained, Gateway, Received, Stub, six_systems, to},
    placing::{NUMBER, on_disk, poor, recorded, request, taker, tries},
    raw::{Raw, account, answer, closed_port, route, yes},
};

#[tokio::test]
async fn every_try_is_on_the_call_wherever_it_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let (second, third) = (Raw::start(|_| poor()).await, taker("knovvu").await);
    let text = account("phonon-outbound", "one", &closed_port().await, "")
        + &account("mobtexting", "two", &second.url(), "")
        + &account("knovvu", "three", &third.url(), "")
        + &route("all", &["one", "two", "three"])
        + &on_disk(&directory);
    let mut gateway = Gateway::start(&text).await;
    let call = gateway.send(request("R1", "all")).await.unwrap().calls.remove(0);
    assert_eq!((call.state(), call.vendor.as_str()), (CallState::Accepted, "three"));
    assert_eq!((call.vendor_call_id.as_str(), &call.error), ("v-1", &None));
    let told: Vec<_> = tries(&call)
        .into_iter()
        .map(|(vendor, e)| {
            assert_eq!((e.meta("vendor"), e.meta("dialed")), (vendor, "no"));
            (vendor.to_owned(), e.code, e.info.reason.clone(), e.info.domain.clone())
        })
        .collect();
    let expected = [
        ("one", Code::Unavailable, "VENDOR_UNREACHABLE", "dialplane"),
        ("two", Code::ResourceExhausted, "INSUFFICIENT_BALANCE", "mobtexting.com"),
    ];
    let expected = expected.map(|(v, c, r, d)| (v.to_owned(), c, r.to_owned(), d.to_owned()));
    assert_eq!(told, expected);
    let times: Vec<_> = call.failovers.iter().map(|f| f.failover_time.unwrap()).collect();
    let times: Vec<_> = times.iter().map(|t| (t.seconds, t.nanos)).collect();
    let (begun, ended) = (call.create_time.unwrap(), call.update_time.unwrap());
    assert!((begun.seconds, begun.nanos) <= times[0] && times[0] <= times[1]);
    assert!(times[1] <= (ended.seconds, ended.nanos));

    assert_eq!(recorded(&mut gateway, "R1").await, call);
    let watched = WatchCallResultsRequest { request_id: "R1".into(), ..Default::default() };
    let mut stream = gateway.client.watch_call_results(watched).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let change = stream.message().await.unwrap().unwrap().call.unwrap();
        seen.push((change.state(), change.vendor.clone(), change.failovers.len()));
        if seen.len() == 6 {
            assert_eq!(change, call);
        }
    }
    let turn = |vendor: &str, tries| {
        let before = if tries == 0 { None } else { Some(CallState::Scheduled) };
        let states = before.into_iter().chain([CallState::Dispatching]);
        states.map(|s| (s, vendor.to_owned(), tries)).collect::<Vec<_>>()
    };
    let mut expected = [turn("one", 0), turn("two", 1), turn("three", 2)].concat();
    expected.push((CallState::Accepted, "three".to_owned(), 2));
    assert_eq!(seen, expected);
    drop(stream);

    gateway.stop().await;
    let mut gateway = Gateway::start(&text).await;
    assert_eq!(recorded(&mut gateway, "R1").await, call);
    assert_eq!((second.asked(), third.asked()), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn when_all_refuse_the_last_ones_error_is_the_answer() {
    let second = Raw::start(|_| poor()).await;
    let third = Raw::start(|_| answer(429, "retry-after: 3\r\n", "")).await;
    let text = account("phonon-bulk", "one", &closed_port().await, "")
        + &account("mobtexting", "two", &second.url(), "")
        + &account("knovvu", "three", &third.url(), "")
        + &route("all", &["one", "two", "three"]);
    let mut gateway = Gateway::start(&text).await;
    let error = Explained::of(&gateway.send(request("R1", "all")).await.unwrap_err());
    assert_eq!(
        (error.code, error.info.reason.as_str(), error.meta("dialed"), error.meta("vendor")),
        (Code::ResourceExhausted, "TOO_MANY_REQUESTS", "no", "three")
    );
    assert!(error.message.starts_with("after 2 other vendors did not dial: "), "{}", error.message);
    let packed = error.packed();
    let packed: Vec<_> =
        tries(&packed.calls[0]).into_iter().map(|(v, e)| (v, e.info.reason)).collect();
    let call = recorded(&mut gateway, "R1").await;
    assert_eq!((call.state(), call.vendor.as_str()), (CallState::Failed, "three"));
    assert_eq!(Explained::of_call(&call).info.reason, "TOO_MANY_REQUESTS");
    let told: Vec<_> = tries(&call).into_iter().map(|(v, e)| (v, e.info.reason)).collect();
    let expected = [("one", "VENDOR_UNREACHABLE"), ("two", "INSUFFICIENT_BALANCE")];
    assert_eq!(told, expected.map(|(vendor, reason)| (vendor, reason.to_owned())));
    assert_eq!(packed, told, "the error tells of them too");
    // The repetition gives the recorded answer; nobody is asked again.
    let again = Explained::of(&gateway.send(request("R1", "all")).await.unwrap_err());
    assert_eq!((again.code, again.info), (error.code, error.info));
    assert_eq!((second.asked(), third.asked()), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn of_a_batch_only_those_move_that_were_certainly_not_taken() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let second = Stub::start(|_| Answer::json(200, yes("knovvu"))).await;
    let text = account("phonon-multicast", "one", &sandbox.urls().phonon, "")
        + &account("knovvu", "two", &second.url(), "")
        + &route("both", &["one", "two"]);
    let mut gateway = Gateway::start(&text).await;
    let calls = ["+919900000100", "+919900000217", "+919900000300"].map(to).to_vec();
    let calls = gateway.create("both", calls).await.unwrap().calls;
    let seen: Vec<_> =
        calls.iter().map(|c| (c.state(), c.vendor.as_str(), c.failovers.len())).collect();
    let stays = (CallState::Accepted, "one", 0);
    assert_eq!(seen, [stays, (CallState::Accepted, "two", 1), stays]);
    let sent = second.received();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].body.contains("919900000217"), "{}", sent[0].body);
    let dials: Vec<_> = ["919900000100", "919900000217", "919900000300"]
        .into_iter()
        .map(|number| sandbox.dials_of(number))
        .collect();
    assert_eq!(dials, [1, 0, 1]);
    gateway.stop().await;
    second.stop().await;
    sandbox.stop().await;
}

/// Phonon's answer for the calls of a request: a code, and a list in which the first call has
/// an id.
fn names_the_first(received: &Received, code: u16) -> Answer {
    let body: Value = serde_json::from_str(&received.body).unwrap();
    let first = &body["calls"][0]["client-identifier"];
    let list = json!([{ "client-identifier": first, "phonon-uuid": "v-1" }]);
    Answer::json(200, json!({ "api-response-code": code, "call-details": list }).to_string())
}

#[tokio::test]
async fn a_refusal_that_contradicts_itself_moves_nobody() {
    let first = Stub::start(|received| names_the_first(received, 212)).await;
    let second = taker("knovvu").await;
    let text = account("phonon-multicast", "one", &first.url(), "")
        + &account("knovvu", "two", &second.url(), "")
        + &route("both", &["one", "two"]);
    let mut gateway = Gateway::start(&text).await;
    let calls = ["+919900000100", "+919900000200"].map(to).to_vec();
    let calls = gateway.create("both", calls).await.unwrap().calls;
    assert_eq!(calls[0].state(), CallState::Accepted);
    assert_eq!(calls[1].state(), CallState::Unconfirmed);
    assert_eq!(Explained::of_call(&calls[1]).info.reason, "CONTRADICTORY_ANSWER");
    assert_eq!((first.received().len(), second.asked()), (1, 0));
    gateway.stop().await;
    first.stop().await;
}

/// What the house decided; the code has to agree, and the vendors' codes with it.
const DECIDED: [(Cause, bool); 12] = [
    (Cause::InvalidCall, false),
    (Cause::NotFound, false),
    (Cause::Operator, true),
    (Cause::NotAllowed, false),
    (Cause::NotNow, false),
    (Cause::Duplicate, false),
    (Cause::Exhausted, true),
    (Cause::Unreachable, true),
    (Cause::InDoubt, false),
    (Cause::Unreadable, true),
    (Cause::Unsupported, true),
    (Cause::Aborted, false),
];

#[tokio::test]
async fn every_code_moves_a_call_on_or_not_as_its_cause_says() {
    assert_eq!(FAILOVER.map(|row| (row.cause, row.moves_on)), DECIDED);
    let rows: Vec<_> = CODES.iter().filter_map(|row| Some((row, row.cause?))).collect();
    let codes: Vec<_> = rows.iter().map(|(row, _)| row.code).collect();
    let first = Raw::start(move |number| {
        let code = codes[number];
        answer(200, "", &format!(r#"{{"api-response-code":{code}}}"#))
    })
    .await;
    let second = taker("knovvu").await;
    let text = account("phonon-outbound", "one", &first.url(), "poll_interval = \"1h\"")
        + &account("knovvu", "two", &second.url(), "")
        + &route("both", &["one", "two"]);
    let mut gateway = Gateway::start(&text).await;
    let mut causes = Vec::new();
    for (row, cause) in rows {
        let before = second.asked();
        let _ = gateway.send(request(row.name, "both")).await;
        let call = recorded(&mut gateway, row.name).await;
        let moves = DECIDED.iter().find(|(decided, _)| *decided == cause).unwrap().1;
        assert_eq!(second.asked() - before, usize::from(moves), "{}", row.name);
        let vendor = if moves { "two" } else { "one" };
        assert_eq!((call.vendor.as_str(), call.failovers.len()), (vendor, usize::from(moves)));
        causes.push(cause);
    }
    for cause in [
        Cause::InvalidCall,
        Cause::NotFound,
        Cause::Operator,
        Cause::NotAllowed,
        Cause::Duplicate,
        Cause::Exhausted,
        Cause::InDoubt,
    ] {
        assert!(causes.contains(&cause), "{cause:?} has a code");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn how_a_call_ended_moves_nobody_on() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let second = taker("knovvu").await;
    let mut text =
        six_systems(&sandbox, "20s") + "\n" + &account("knovvu", "next", &second.url(), "");
    for first in ["phonon-multicast", "mobtexting", "knovvu"] {
        text += &route(&format!("{first}-next"), &[first, "next"]);
    }
    let mut gateway = Gateway::start(&text).await;
    for first in ["phonon-multicast", "mobtexting", "knovvu"] {
        for end in ["01", "02", "03", "04", "05", "06"] {
            let number = format!("+9199000001{end}");
            let call = gateway.call(&format!("{first}-next"), &number).await.unwrap();
            let ended = gateway.fresh(&[&call]).await.calls.remove(0);
            assert!(ended.end_time.is_some(), "{first} {end}: {ended:?}");
            assert_ne!(ended.state(), CallState::Answered);
            assert_eq!((ended.vendor.as_str(), ended.failovers.len()), (first, 0));
        }
    }
    assert_eq!(second.asked(), 0);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn vendors_that_cannot_do_what_is_asked_are_passed_over() {
    let first = Raw::start(|_| poor()).await;
    let (second, third) = (taker("phonon-outbound").await, taker("mobtexting").await);
    let text = account("mobtexting", "one", &first.url(), "")
        + &account("phonon-outbound", "two", &second.url(), "")
        + &account("mobtexting", "three", &third.url(), "")
        + &route("all", &["one", "two", "three"]);
    let mut gateway = Gateway::start(&text).await;
    let audio = Script::Audio("https://cdn.example.test/a.mp3".into());
    let special = [
        CallSpec { script: Some(audio), ..to(NUMBER) },
        CallSpec { caller_id: "+918000000009".into(), ..to("+919900000300") },
    ];
    for (count, spec) in (1..).zip(special) {
        let call = gateway.create("all", vec![spec]).await.unwrap().calls.remove(0);
        assert_eq!((call.state(), call.vendor.as_str()), (CallState::Accepted, "three"));
        assert_eq!(tries(&call).len(), 1);
        assert_eq!((first.asked(), second.asked(), third.asked()), (count, 0, count));
    }
    // One that asks for nothing special goes to the next in line.
    let call = gateway.call("all", NUMBER).await.unwrap();
    assert_eq!((call.vendor.as_str(), second.asked()), ("two", 1));
    gateway.stop().await;
}

#[tokio::test]
async fn the_routes_caller_id_goes_to_vendors_that_take_one_only() {
    let (first, third) = (Raw::start(|_| poor()).await, taker("knovvu").await);
    let second = Raw::start(|_| answer(200, "", r#"{"api-response-code":212}"#)).await;
    let text = account("mobtexting", "one", &first.url(), "")
        + &account("phonon-outbound", "two", &second.url(), "")
        + &account("knovvu", "three", &third.url(), "")
        + "[routes.all]\nvendors = [\"one\", \"two\", \"three\"]\ncaller_id = \"+918000000009\"\n";
    let mut gateway = Gateway::start(&text).await;
    let call = gateway.call("all", NUMBER).await.unwrap();
    assert_eq!((call.vendor.as_str(), call.caller_id.as_str()), ("three", "+918000000009"));
    let bodies = [&first, &second, &third].map(|vendor| vendor.bodies().remove(0));
    let shown = bodies.each_ref().map(|body| body.contains("8000000009"));
    assert_eq!(shown, [true, false, true], "{bodies:?}");
    gateway.stop().await;
}
