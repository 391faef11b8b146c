//! Numbers that must not be called: kept by RPC, and never dialled.

use std::{sync::Arc, time::Duration};

use dialplane::{
    proto::{
        AddSuppressionsRequest, AddSuppressionsResponse, CallSpec, CallState, CreateCallsRequest,
        ListSuppressionsRequest, ListSuppressionsResponse, RemoveSuppressionsRequest,
        RemoveSuppressionsResponse, call_service_client::CallServiceClient,
        suppression_service_client::SuppressionServiceClient,
    },
    sandbox::{Options, Sandbox},
};
use tokio::sync::Semaphore;
use tonic::{Code, Status, transport::Endpoint};

use crate::{
    deadlines::Served,
    harness::{Explained, Gateway, six_systems, to, with_sandbox},
    joining::House,
    placing::{in_state, on_disk, recorded},
    raw::{Does, Raw, account, answer, route, written, yes},
};

/// On the list in these tests.
pub const LISTED: &str = "+919900000100";
pub const FREE: &str = "+919900000200";

pub fn numbers(numbers: &[&str]) -> Vec<String> {
    numbers.iter().map(|number| (*number).to_owned()).collect()
}

fn client(gateway: &Gateway) -> SuppressionServiceClient<tonic::transport::Channel> {
    SuppressionServiceClient::new(gateway.channel.clone())
}

pub async fn add(
    gateway: &Gateway,
    on: &[&str],
    reason: &str,
) -> Result<AddSuppressionsResponse, Status> {
    let request = AddSuppressionsRequest {
        numbers: numbers(on),
        reason: reason.into(),
        ..AddSuppressionsRequest::default()
    };
    client(gateway).add_suppressions(request).await.map(tonic::Response::into_inner)
}

async fn remove(gateway: &Gateway, off: &[&str]) -> Result<RemoveSuppressionsResponse, Status> {
    let request = RemoveSuppressionsRequest { numbers: numbers(off), validate_only: false };
    client(gateway).remove_suppressions(request).await.map(tonic::Response::into_inner)
}

async fn list(
    gateway: &Gateway,
    request: ListSuppressionsRequest,
) -> Result<ListSuppressionsResponse, Status> {
    client(gateway).list_suppressions(request).await.map(tonic::Response::into_inner)
}

fn is_suppressed(error: &Explained, fields: &[&str]) {
    assert_eq!((error.code, error.info.reason.as_str()), (Code::PermissionDenied, "SUPPRESSED"));
    assert_eq!((error.info.domain.as_str(), error.meta("dialed")), ("dialplane", "no"));
    assert_eq!(error.fields(), fields);
    assert!(!error.message.contains("99000"), "{}", error.message);
}

#[tokio::test]
async fn a_call_to_a_listed_number_fails_alone() {
    let (sandbox, mut gateway) = with_sandbox().await;
    add(&gateway, &[LISTED, "919900000300"], "asked us to stop").await.unwrap();
    let alternate =
        CallSpec { to: numbers(&["+919900000400", "919900000300"]), ..Default::default() };
    let calls = vec![to(FREE), to(LISTED), alternate, to("+919900000500")];
    let answer = gateway.create("phonon-multicast", calls).await.unwrap();
    let states: Vec<_> = answer.calls.iter().map(dialplane::proto::Call::state).collect();
    use CallState::{Accepted, Failed};
    assert_eq!(states, [Accepted, Failed, Failed, Accepted]);
    for (i, field) in [(1, "calls[1].to[0]"), (2, "calls[2].to[1]")] {
        is_suppressed(&Explained::of_call(&answer.calls[i]), &[field]);
        assert!(answer.calls[i].end_time.is_some() && answer.calls[i].failovers.is_empty());
    }
    for (number, dials) in [
        ("919900000200", 1),
        ("919900000100", 0),
        ("919900000300", 0),
        ("919900000400", 0),
        ("919900000500", 1),
    ] {
        assert_eq!(sandbox.dials_of(number), dials, "{number}");
    }
    // It may be called again once it is off the list.
    remove(&gateway, &[LISTED]).await.unwrap();
    assert_eq!(gateway.call("knovvu", LISTED).await.unwrap().state(), Accepted);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_request_of_listed_numbers_alone_fails_whole() {
    let (sandbox, mut gateway) = with_sandbox().await;
    add(&gateway, &[LISTED, FREE], "").await.unwrap();
    for route in ["default", "knovvu", "phonon-bulk"] {
        let refused = gateway.create(route, vec![to(LISTED), to(FREE)]).await.unwrap_err();
        assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
        let error = Explained::of(&refused);
        is_suppressed(&error, &["calls[0].to[0]", "calls[1].to[0]"]);
        assert!(error.message.contains("calls[0].to[0] is on the do-not-call list"));
        assert_eq!(error.packed().calls.len(), 2);
    }
    assert!(sandbox.log().is_empty());
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn one_listed_number_refuses_all_or_nothing() {
    let (sandbox, mut gateway) = with_sandbox().await;
    add(&gateway, &[LISTED], "").await.unwrap();
    let both = CreateCallsRequest {
        route: "knovvu".into(),
        calls: vec![to(FREE), to(LISTED)],
        all_or_nothing: true,
        ..Default::default()
    };
    let error = Explained::of(&gateway.send(both.clone()).await.unwrap_err());
    is_suppressed(&error, &["calls[1].to[0]"]);
    let other = Explained::of_call(&error.packed().calls[0]);
    assert_eq!((other.code, other.info.reason.as_str()), (Code::Aborted, "ALL_OR_NOTHING"));

    let looked = CreateCallsRequest { all_or_nothing: false, validate_only: true, ..both };
    let answer = gateway.send(looked).await.unwrap();
    assert_eq!(answer.calls[0].state(), CallState::Scheduled);
    is_suppressed(&Explained::of_call(&answer.calls[1]), &["calls[1].to[0]"]);
    assert!(sandbox.log().is_empty());
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_repeated_request_gets_its_answer_whatever_the_list_says_now() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let request = |id: &str, number: &str| CreateCallsRequest {
        request_id: id.into(),
        route: "knovvu".into(),
        calls: vec![to(number)],
        ..Default::default()
    };
    let placed = gateway.send(request("one", LISTED)).await.unwrap();
    add(&gateway, &[LISTED, FREE], "").await.unwrap();
    let again = gateway.send(request("one", LISTED)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.calls[0].call_id, placed.calls[0].call_id);
    assert_eq!(again.calls[0].state(), CallState::Accepted);
    // And the other way round.
    gateway.send(request("two", FREE)).await.unwrap_err();
    remove(&gateway, &[FREE]).await.unwrap();
    let error = Explained::of(&gateway.send(request("two", FREE)).await.unwrap_err());
    is_suppressed(&error, &["calls[0].to[0]"]);
    assert_eq!((sandbox.dials_of("919900000100"), sandbox.dials_of("919900000200")), (1, 0));
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn the_list_is_kept_and_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let text = format!("{}\n{}", six_systems(&sandbox, "20s"), on_disk(&directory));
    let gateway = Gateway::start(&text).await;
    let first = add(&gateway, &[FREE, "919900000100", FREE], "asked").await.unwrap();
    let told: Vec<_> = first.suppressions.iter().map(|s| s.number.as_str()).collect();
    assert_eq!(told, [FREE, LISTED], "each once, in the order of the request");
    assert!(first.suppressions.iter().all(|s| s.reason == "asked" && s.create_time.is_some()));
    assert_eq!(add(&gateway, &[FREE, LISTED], "").await.unwrap(), first, "it does no harm");
    let law = add(&gateway, &[LISTED], "law").await.unwrap().suppressions.remove(0);
    assert_eq!(law.create_time, first.suppressions[1].create_time);
    assert_eq!(law.reason, "law");
    gateway.stop().await;

    let mut gateway = Gateway::start(&text).await;
    let all = list(&gateway, ListSuppressionsRequest::default()).await.unwrap();
    assert_eq!(all.suppressions, [law, first.suppressions[0].clone()]);
    assert_eq!(all.next_page_token, "");
    let refused = Explained::of(&gateway.call("knovvu", LISTED).await.unwrap_err());
    is_suppressed(&refused, &["calls[0].to[0]"]);
    let gone = remove(&gateway, &["+919900000999", LISTED, FREE]).await.unwrap();
    assert_eq!(gone.removed, [LISTED, FREE]);
    assert_eq!(gone.not_found, ["+919900000999"]);
    assert_eq!(remove(&gateway, &[LISTED]).await.unwrap().not_found, [LISTED]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn the_list_comes_in_pages_and_by_number() {
    let (sandbox, gateway) = with_sandbox().await;
    let many: Vec<_> = (0..2_345).map(|n| format!("+91980000{n:04}")).collect();
    let on: Vec<_> = many.iter().rev().map(String::as_str).collect();
    assert_eq!(add(&gateway, &on, "").await.unwrap().suppressions.len(), 2_345);
    let some = numbers(&[on[7], "+919900000999", on[3], on[3], on[200]]);
    let mut filtered = vec![on[7].to_owned(), on[3].to_owned(), on[200].to_owned()];
    filtered.sort_unstable();
    for (numbers, size, expected, pages) in [
        (vec![], 0, &many, 24),
        (vec![], 1_000, &many, 3),
        (vec![], i32::MAX, &many, 3),
        (vec![], 469, &many, 5),
        (some.clone(), 0, &filtered, 1),
        (some.clone(), 1, &filtered, 3),
        (some.clone(), 3, &filtered, 1),
    ] {
        let (mut found, mut page_token, mut count) = (Vec::new(), String::new(), 0);
        loop {
            let request =
                ListSuppressionsRequest { page_size: size, page_token, numbers: numbers.clone() };
            let page = list(&gateway, request).await.unwrap();
            found.extend(page.suppressions.into_iter().map(|suppression| suppression.number));
            page_token = page.next_page_token;
            count += 1;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!((&found, count), (expected, pages), "{size} at a time");
    }
    // A token of one filter is none of another.
    let request = ListSuppressionsRequest { page_size: 1, numbers: some, ..Default::default() };
    let page_token = list(&gateway, request).await.unwrap().next_page_token;
    let request = ListSuppressionsRequest { page_token, ..Default::default() };
    let error = Explained::of(&list(&gateway, request).await.unwrap_err());
    assert_eq!((error.code, error.fields()), (Code::InvalidArgument, numbers(&["page_token"])));
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let (sandbox, gateway) = with_sandbox().await;
    let wrong = |status: Status, fields: &[&str]| {
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
        let error = Explained::of(&status);
        assert_eq!(
            (error.code, error.info.reason.as_str()),
            (Code::InvalidArgument, "INVALID_REQUEST")
        );
        assert_eq!((error.fields(), error.meta("dialed")), (numbers(fields), "no"));
    };
    let many: Vec<_> = vec![LISTED; 5_001];
    let countless: Vec<_> = vec![LISTED; 6_001];
    for (on, reason, fields) in [
        (&[][..], "", &["numbers"][..]),
        (&many, "", &["numbers"]),
        (&countless, "", &["numbers"]),
        (&[LISTED, "0990", "", "+12 34567"], "", &["numbers[1]", "numbers[2]", "numbers[3]"]),
        (&[LISTED, "x"], "two\nlines", &["numbers[1]", "reason"]),
        (&[LISTED], &"r".repeat(129), &["reason"]),
    ] {
        wrong(add(&gateway, on, reason).await.unwrap_err(), fields);
        if reason.is_empty() {
            wrong(remove(&gateway, on).await.unwrap_err(), fields);
        }
    }
    let asked = |page_size, page_token: &str, on: &[&str]| ListSuppressionsRequest {
        page_size,
        page_token: page_token.into(),
        numbers: numbers(on),
    };
    wrong(list(&gateway, asked(-1, "", &["x"])).await.unwrap_err(), &["page_size", "numbers[0]"]);
    wrong(list(&gateway, asked(0, "x", &[])).await.unwrap_err(), &["page_token"]);
    wrong(list(&gateway, asked(0, "", &many[..1_001])).await.unwrap_err(), &["numbers"]);
    let all = list(&gateway, ListSuppressionsRequest::default()).await.unwrap();
    assert_eq!(all, ListSuppressionsResponse::default());
    // All that may be named at once.
    let most: Vec<_> = (0..5_000).map(|n| format!("+91980000{n:04}")).collect();
    let most: Vec<_> = most.iter().map(String::as_str).collect();
    let reason = "\u{10ffff}".repeat(128);
    assert_eq!(add(&gateway, &most, &reason).await.unwrap().suppressions.len(), 5_000);
    assert_eq!(remove(&gateway, &most).await.unwrap().removed.len(), 5_000);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_call_that_waits_is_refused_at_its_turn() {
    // The vendor's only line is held by the first call.
    let allowed = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&allowed);
    let vendor = Raw::start(move |number| match number {
        0 => Does::SaysWhen(Arc::clone(&wait), written(200, "", yes("knovvu"))),
        _ => answer(200, "", yes("knovvu")),
    })
    .await;
    let text =
        account("knovvu", "one", &vendor.url(), "max_in_flight = 1") + &route("busy", &["one"]);
    let mut gateway = Gateway::start(&text).await;
    let request = |id: &str, on: &[&str]| CreateCallsRequest {
        request_id: id.into(),
        route: "busy".into(),
        calls: on.iter().map(|number| to(number)).collect(),
        ..Default::default()
    };
    let channel = gateway.client.clone();
    let send = |request| {
        let mut client = channel.clone();
        tokio::spawn(async move { client.create_calls(request).await })
    };
    let held = send(request("held", &["+919900000300"]));
    vendor.read(1).await;
    let alone = send(request("alone", &[LISTED]));
    let mixed = send(request("mixed", &[LISTED, FREE]));
    for id in ["alone", "mixed"] {
        in_state(&mut gateway, id, CallState::Scheduled).await;
    }
    add(&gateway, &[LISTED], "").await.unwrap();
    allowed.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap().into_inner().calls[0].state(), CallState::Accepted);
    let error = Explained::of(&alone.await.unwrap().unwrap_err());
    is_suppressed(&error, &["calls[0].to[0]"]);
    let mixed = mixed.await.unwrap().unwrap().into_inner();
    assert_eq!(mixed.calls[1].state(), CallState::Accepted);
    let refused = &mixed.calls[0];
    assert_eq!(refused.state(), CallState::Failed);
    is_suppressed(&Explained::of_call(refused), &["calls[0].to[0]"]);
    assert!(refused.end_time.is_some());
    assert_eq!(recorded(&mut gateway, "mixed").await, *refused);
    let bodies = vendor.bodies();
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().all(|body| !body.contains("9900000100")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_that_cannot_be_read_lets_nobody_through() {
    let house = House::new();
    let served = Served::start(&house).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", served.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut calls = CallServiceClient::new(channel.clone());
    *house.ledger.failing.lock().unwrap() = Some("suppressed");
    for (id, validate_only, pushback) in
        [("one", false, "5000"), ("", false, "-1"), ("", true, "5000")]
    {
        let request = CreateCallsRequest {
            calls: vec![to(FREE)],
            validate_only,
            request_id: id.into(),
            ..Default::default()
        };
        let status = calls.create_calls(request).await.unwrap_err();
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), pushback);
        let error = Explained::of(&status);
        assert_eq!(
            (error.code, error.info.reason.as_str()),
            (Code::Unavailable, "LEDGER_UNAVAILABLE")
        );
        assert_eq!(error.meta("dialed"), "no");
    }
    *house.ledger.failing.lock().unwrap() = Some("suppress");
    let mut suppressions = SuppressionServiceClient::new(channel);
    let request = AddSuppressionsRequest { numbers: numbers(&[LISTED]), ..Default::default() };
    let status = suppressions.add_suppressions(request.clone()).await.unwrap_err();
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "5000");
    let error = Explained::of(&status);
    assert_eq!((error.code, error.info.reason.as_str()), (Code::Unavailable, "LEDGER_UNAVAILABLE"));
    *house.ledger.failing.lock().unwrap() = None;

    // A passed deadline does not stop what was begun.
    house.ledger.open.send_replace(false);
    let mut hasty = tonic::Request::new(request);
    hasty.set_timeout(Duration::from_millis(100));
    let status = suppressions.add_suppressions(hasty).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    house.ledger.open.send_replace(true);
    house.gateway.stop();
    house.gateway.drained().await;
    let listed = ListSuppressionsRequest::default();
    let listed = suppressions.list_suppressions(listed).await.unwrap().into_inner();
    assert_eq!(listed.suppressions[0].number, LISTED);
    drop((calls, suppressions));
    served.end().await;
    house.end(0).await;
}

#[tokio::test]
async fn what_is_only_checked_changes_nothing() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let listed = add(&gateway, &[LISTED], "law").await.unwrap().suppressions;
    let check = |on: &[&str], reason: &str| AddSuppressionsRequest {
        numbers: numbers(on),
        reason: reason.into(),
        validate_only: true,
    };
    let both = [FREE, LISTED];
    let would_be = client(&gateway).add_suppressions(check(&both, "")).await.unwrap().into_inner();
    let [free, known] = would_be.suppressions.as_slice() else { panic!("{would_be:?}") };
    assert_eq!((free.reason.as_str(), free.create_time), ("", None));
    assert_eq!(known, &listed[0], "it keeps its reason");
    let would_be = client(&gateway).add_suppressions(check(&both, "new")).await.unwrap();
    let would_be = would_be.into_inner().suppressions;
    assert!(would_be.iter().all(|one| one.reason == "new"), "{would_be:?}");
    let error = client(&gateway).add_suppressions(check(&["x"], "")).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);

    let request = RemoveSuppressionsRequest { numbers: numbers(&both), validate_only: true };
    let would_be = client(&gateway).remove_suppressions(request).await.unwrap().into_inner();
    assert_eq!((would_be.removed, would_be.not_found), (numbers(&[LISTED]), numbers(&[FREE])));
    let all = list(&gateway, ListSuppressionsRequest::default()).await.unwrap();
    assert_eq!(all.suppressions, listed);
    let calls = vec![to(FREE), to(LISTED)];
    let placed = gateway.send(CreateCallsRequest { calls, ..Default::default() }).await.unwrap();
    assert_eq!(placed.calls[0].state(), CallState::Accepted);
    assert_eq!(placed.calls[1].state(), CallState::Failed);
    gateway.stop().await;
    sandbox.stop().await;
}
