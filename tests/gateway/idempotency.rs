//! A request_id places its calls once.

use dialplane::proto::{CallState, CreateCallsRequest};
use tonic::Code;

use crate::harness::{Explained, to, with_sandbox};

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
