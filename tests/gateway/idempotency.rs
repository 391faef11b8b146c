//! A request_id places its calls once.

use std::time::Duration;

use dialplane::{
    proto::{CallState, CreateCallsRequest, CreateCallsResponse, GetCallResultsRequest},
    sandbox::{Options, Sandbox},
};
use tonic::Code;

use crate::{
    harness::{Explained, Gateway, six_systems, to, with_sandbox},
    operation::{knovvu_at, slow_vendor},
};

fn request(id: &str, number: &str) -> CreateCallsRequest {
    CreateCallsRequest {
        request_id: id.into(),
        route: "knovvu".into(),
        calls: vec![to(number)],
        ..Default::default()
    }
}

#[tokio::test]
async fn the_same_request_again_gives_what_is_recorded() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let first = gateway.send(request("one", "+919900000100")).await.unwrap();
    let second = gateway.send(request("one", "+919900000100")).await.unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.calls, second.calls);
    assert_eq!(sandbox.dials_of("919900000100"), 1);
    // "default" and no route are one route.
    let named = CreateCallsRequest { route: "default".into(), ..request("two", "+919900000200") };
    let unnamed = CreateCallsRequest { route: String::new(), ..named.clone() };
    assert!(!gateway.send(named).await.unwrap().replayed);
    assert!(gateway.send(unnamed).await.unwrap().replayed);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn another_payload_is_refused() {
    let (sandbox, mut gateway) = with_sandbox().await;
    gateway.send(request("one", "+919900000100")).await.unwrap();
    let error = Explained::of(&gateway.send(request("one", "+919900000200")).await.unwrap_err());
    assert_eq!(
        (error.code, error.info.reason.as_str()),
        (Code::AlreadyExists, "REQUEST_ID_REUSED")
    );
    assert_eq!((error.info.domain.as_str(), error.meta("request_id")), ("dialplane", "one"));
    assert_eq!(sandbox.dialed().len(), 1);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refusal_is_repeated_too() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let first = gateway.send(request("one", "+919900000111")).await.unwrap_err();
    let second = gateway.send(request("one", "+919900000111")).await.unwrap_err();
    let (first, second) = (Explained::of(&first), Explained::of(&second));
    assert_eq!((first.code, &first.info), (second.code, &second.info));
    assert_eq!(first.packed().calls, second.packed().calls);
    assert_eq!(sandbox.log().len(), 1);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn requests_at_the_same_time_place_their_calls_once() {
    let (sandbox, gateway) = with_sandbox().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let mut client = gateway.client.clone();
        tasks.spawn(async move { client.create_calls(request("one", "+919900000100")).await });
    }
    let mut ids = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        let response = answer.unwrap().unwrap().into_inner();
        ids.push((response.calls[0].call_id.clone(), response.replayed));
    }
    assert!(ids.iter().all(|(id, _)| *id == ids[0].0));
    assert_eq!(ids.iter().filter(|(_, replayed)| !replayed).count(), 1);
    assert_eq!(sandbox.dials_of("919900000100"), 1);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_call_that_failed_after_it_was_accepted_is_no_refusal() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let first = gateway.send(request("one", "+919900000106")).await.unwrap();
    let results = gateway.fresh(&[&first.calls[0]]).await;
    assert_eq!(results.calls[0].state(), CallState::Failed);
    let again = gateway.send(request("one", "+919900000106")).await.unwrap();
    assert!(again.replayed && again.calls[0].state() == CallState::Failed);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_thousand_at_once_are_one_and_all_are_told_the_same() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let mut client = gateway.client.clone();
        tasks.spawn(async move { client.create_calls(request("one", "+919900000100")).await });
    }
    let mut first = 0;
    let mut answers = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        let response = answer.unwrap().unwrap().into_inner();
        first += usize::from(!response.replayed);
        answers.push(response.calls);
    }
    assert_eq!(first, 1);
    assert!(answers.iter().all(|calls| calls[0].state() == CallState::Accepted));
    assert!(answers.iter().all(|calls| *calls == answers[0]));
    assert_eq!(sandbox.dials_of("919900000100"), 1);
    // Errors, too.
    let mut refused = Vec::new();
    for _ in 0..100 {
        let mut client = gateway.client.clone();
        tasks.spawn(async move { client.create_calls(request("two", "+919900000111")).await });
    }
    while let Some(answer) = tasks.join_next().await {
        let error = Explained::of(&answer.unwrap().unwrap_err());
        refused.push((error.code, error.message.clone(), error.packed().calls));
    }
    assert!(refused.iter().all(|error| *error == refused[0]));
    assert_eq!(sandbox.log().len(), 2);
    // Without an id each is a request of its own.
    for _ in 0..2 {
        assert!(!gateway.send(request("", "+919900000200")).await.unwrap().replayed);
    }
    assert_eq!(sandbox.dials_of("919900000200"), 2);
    gateway.stop().await;
    sandbox.stop().await;
}

/// A request that is at a vendor which does not answer yet.
struct Held {
    gateway: Gateway,
    go: std::sync::Arc<tokio::sync::Notify>,
    vendor: tokio::task::JoinHandle<()>,
    first: tokio::task::JoinHandle<Result<tonic::Response<CreateCallsResponse>, tonic::Status>>,
}

fn held_request() -> CreateCallsRequest {
    CreateCallsRequest { route: String::new(), ..request("one", "+919900000100") }
}

async fn held() -> Held {
    let (go, url, vendor) = slow_vendor().await;
    let gateway = Gateway::start(&knovvu_at(&url)).await;
    let mut client = gateway.client.clone();
    let first = tokio::spawn(async move { client.create_calls(held_request()).await });
    let mut asking = gateway.client.clone();
    let query = GetCallResultsRequest { request_id: "one".into(), ..Default::default() };
    while asking.get_call_results(query.clone()).await.unwrap().into_inner().calls.is_empty() {
        tokio::task::yield_now().await;
    }
    Held { gateway, go, vendor, first }
}

#[tokio::test]
async fn a_repetition_waits_until_its_own_deadline_and_no_longer() {
    let Held { mut gateway, go, vendor, first } = held().await;
    let mut second = tonic::Request::new(held_request());
    second.set_timeout(Duration::from_millis(200));
    let status = gateway.client.create_calls(second).await.unwrap_err();
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    let error = Explained::of(&status);
    assert_eq!(
        (error.code, error.info.reason.as_str(), error.meta("dialed"), error.meta("request_id")),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "maybe", "one")
    );
    let mut client = gateway.client.clone();
    let third = tokio::spawn(async move { client.create_calls(held_request()).await });
    go.notify_one();
    let first = first.await.unwrap().unwrap().into_inner();
    let third = third.await.unwrap().unwrap().into_inner();
    assert_eq!(first.calls[0].state(), CallState::Accepted);
    assert!(!first.replayed && third.replayed);
    assert_eq!(first.calls, third.calls);
    gateway.stop().await;
    vendor.await.unwrap();
}

#[tokio::test]
async fn a_repetition_is_answered_when_the_first_caller_is_gone() {
    let Held { gateway, go, vendor, first } = held().await;
    let mut client = gateway.client.clone();
    let second = tokio::spawn(async move { client.create_calls(held_request()).await });
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go.notify_one();
    let second = second.await.unwrap().unwrap().into_inner();
    assert!(second.replayed);
    assert_eq!(second.calls[0].state(), CallState::Accepted);
    gateway.stop().await;
    vendor.await.unwrap();
}

#[tokio::test]
async fn another_payload_is_refused_at_once_and_told_where_it_differs() {
    let Held { mut gateway, go, vendor, first } = held().await;
    let mut more = held_request();
    more.calls.push(to("+919900000200"));
    let mut variables = held_request();
    variables.calls[0].variables.insert("name".into(), "Ada".into());
    let cases = [
        (CreateCallsRequest { route: "other".into(), ..held_request() }, "route"),
        (CreateCallsRequest { all_or_nothing: true, ..held_request() }, "all_or_nothing"),
        (more, "calls"),
        (CreateCallsRequest { calls: vec![to("+919900000200")], ..held_request() }, "calls[0].to"),
        (variables, "calls[0].variables"),
    ];
    // While the first is under way, checking included, which waits for nobody.
    for (request, field) in &cases {
        for validate_only in [false, true] {
            let request = CreateCallsRequest { validate_only, ..request.clone() };
            is_reused(&gateway.send(request).await.unwrap_err(), field);
        }
    }
    let check = CreateCallsRequest { validate_only: true, ..held_request() };
    assert!(!gateway.send(check.clone()).await.unwrap().replayed);
    go.notify_one();
    first.await.unwrap().unwrap();
    // And when it is over.
    for (request, field) in &cases {
        is_reused(&gateway.send(request.clone()).await.unwrap_err(), field);
    }
    assert!(gateway.send(check).await.unwrap().request_id.is_empty());
    gateway.stop().await;
    vendor.await.unwrap();
}

fn is_reused(status: &tonic::Status, field: &str) {
    let error = Explained::of(status);
    assert_eq!(
        (error.code, error.info.reason.as_str(), error.meta("dialed")),
        (Code::AlreadyExists, "REQUEST_ID_REUSED", "no")
    );
    assert_eq!((error.meta("request_id"), error.meta("field")), ("one", field));
    assert_eq!(error.fields(), [field]);
    assert!(error.message.contains(&format!("payload: {field} differs; ")), "{}", error.message);
}

#[tokio::test]
async fn what_differs_is_known_after_a_restart() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ledger =
        format!("\n[ledger]\nurl = \"sqlite:{}\"\n", directory.path().join("c.db").display());
    let text = format!("{}{ledger}", six_systems(&sandbox, "20s"));
    let mut gateway = Gateway::start(&text).await;
    let first = gateway.send(request("one", "+919900000100")).await.unwrap();
    gateway.stop().await;
    let mut gateway = Gateway::start(&text).await;
    is_reused(&gateway.send(request("one", "+919900000200")).await.unwrap_err(), "calls[0].to");
    let again = gateway.send(request("one", "+919900000100")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.calls, first.calls);
    assert_eq!(sandbox.dialed().len(), 1);
    gateway.stop().await;
    sandbox.stop().await;
}
