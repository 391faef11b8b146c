//! Ways to place calls and to look at them, for tests of one call at a time.

use std::time::Duration;

use dialplane::{
    call::{self, Order},
    gateway::{self, CreateOrder, Created, Draft, GatewayError},
    proto::{Call, CallState, CreateCallsRequest, GetCallResultsRequest},
};
use jiff::Timestamp;

use crate::{
    harness::{Explained, Gateway, to},
    raw::{Does, Raw, answer, yes},
};

pub const NUMBER: &str = "+919900000100";

pub fn poor() -> Does {
    answer(402, "", r#"{"status":"ERROR","code":402,"message":"Insufficient balance"}"#)
}

/// A vendor that takes every call, for as long as the test runs.
pub async fn taker(system: &'static str) -> Raw {
    Raw::start(move |_| answer(200, "", yes(system))).await
}

pub fn on_disk(directory: &tempfile::TempDir) -> String {
    format!("[ledger]\nurl = \"sqlite:{}\"\n", directory.path().join("calls.db").display())
}

pub fn tries(call: &Call) -> Vec<(&str, Explained)> {
    let tries = call.failovers.iter();
    tries.map(|f| (f.vendor.as_str(), Explained::read(f.error.as_ref().unwrap()))).collect()
}

pub fn request(id: &str, route: &str) -> CreateCallsRequest {
    CreateCallsRequest {
        request_id: id.into(),
        route: route.into(),
        calls: vec![to(NUMBER)],
        ..Default::default()
    }
}

pub async fn recorded(gateway: &mut Gateway, id: &str) -> Call {
    let query = GetCallResultsRequest { request_id: id.into(), ..Default::default() };
    gateway.results(query).await.unwrap().calls.remove(0)
}

/// Waits until the call of a request is in a state.
pub async fn in_state(gateway: &mut Gateway, id: &str, state: CallState) -> Call {
    let begun = std::time::Instant::now();
    loop {
        let query = GetCallResultsRequest { request_id: id.into(), ..Default::default() };
        let calls = gateway.results(query).await.unwrap().calls;
        match calls.into_iter().next() {
            Some(call) if call.state() == state => return call,
            other => assert!(begun.elapsed() < Duration::from_secs(20), "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn order(number: &str, expire_time: Option<Timestamp>) -> Order {
    Order {
        client_reference: None,
        to: vec![number.parse().unwrap()],
        caller_id: None,
        script: None,
        variables: Default::default(),
        start_time: None,
        expire_time,
        recipient: Default::default(),
        locale: None,
        retry: None,
        labels: Default::default(),
    }
}

/// Places calls through the route `both` without the gRPC around it.
pub async fn place_all(gateway: &gateway::Gateway, orders: Vec<Order>) -> Vec<call::Call> {
    place_as(gateway, &call::RequestId::generate(), orders).await.unwrap().calls.to_vec()
}

/// The same under a name.
pub async fn place_as(
    gateway: &gateway::Gateway,
    request_id: &call::RequestId,
    orders: Vec<Order>,
) -> Result<Created, GatewayError> {
    let drafts = orders.into_iter().map(|order| Draft { order, violations: Vec::new() });
    let order = CreateOrder {
        request_id: request_id.clone(),
        fingerprint: call::Fingerprint { digest: [0; 32], fields: Vec::new() },
        route: "both".to_owned(),
        drafts: drafts.collect(),
        all_or_nothing: false,
    };
    let prepared = gateway.prepare(order).await.unwrap();
    gateway.create(prepared).await
}

pub async fn place(gateway: &gateway::Gateway, order: Order) -> call::Call {
    place_all(gateway, vec![order]).await.remove(0)
}
