//! What programs in between are told about repeating an RPC, and what becomes of those that
//! they repeat.

use std::sync::atomic::Ordering::SeqCst;

use dialplane::{
    call::Fingerprint,
    proto::{
        CreateCallsRequest, CreateCallsResponse, GetCallResultsRequest,
        call_service_client::CallServiceClient,
    },
};
use tonic::{Code, Request, Status};

use crate::{
    deadlines::Served,
    harness::{Explained, Gateway, six_systems, to, with_sandbox},
    joining::House,
};

fn request(id: &str, route: &str, number: &str) -> CreateCallsRequest {
    CreateCallsRequest {
        request_id: id.into(),
        route: route.into(),
        calls: vec![to(number)],
        ..Default::default()
    }
}

/// In milliseconds.
fn pushback(status: &Status) -> &str {
    let mut told = status.metadata().get_all("grpc-retry-pushback-ms").iter();
    let first = told.next().expect("a pushback").to_str().unwrap();
    assert!(told.next().is_none());
    first
}

#[tokio::test]
async fn nobody_is_asked_to_repeat_what_is_wrong_or_recorded() {
    let (sandbox, mut gateway) = with_sandbox().await;
    gateway.send(request("used", "knovvu", "+919900000100")).await.unwrap();
    let cases = [
        (request("two words", "knovvu", "+919900000100"), Code::InvalidArgument),
        (request("", "nowhere", "+919900000100"), Code::NotFound),
        (request("used", "knovvu", "+919900000200"), Code::AlreadyExists),
        (request("wrong", "knovvu", "0123"), Code::InvalidArgument),
        // Recorded failures, with and without the caller's own id.
        (request("refused", "phonon-multicast", "+919900000111"), Code::ResourceExhausted),
        (request("refused", "phonon-multicast", "+919900000111"), Code::ResourceExhausted),
        (request("", "phonon-multicast", "+919900000111"), Code::ResourceExhausted),
        (request("", "mobtexting", "+919900000112"), Code::ResourceExhausted),
    ];
    for (request, code) in cases {
        let status = gateway.send(request.clone()).await.unwrap_err();
        assert_eq!((status.code(), pushback(&status)), (code, "-1"), "{request:?}: {status:?}");
    }
    let query = GetCallResultsRequest::default();
    let status = gateway.results(query).await.unwrap_err();
    assert_eq!((status.code(), pushback(&status)), (Code::InvalidArgument, "-1"));
    gateway.stop().await;
    sandbox.stop().await;
}

async fn send(
    gateway: &mut Gateway,
    request: CreateCallsRequest,
    headers: &[(&'static str, &'static str)],
) -> Result<CreateCallsResponse, Status> {
    let mut request = Request::new(request);
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    gateway.client.create_calls(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn an_automatic_retry_without_a_name_never_dials() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let unnamed = request("", "knovvu", "+919900000100");
    let repeated: [&[(&str, &str)]; 3] = [
        &[("grpc-previous-rpc-attempts", "1")],
        &[("x-envoy-attempt-count", "2")],
        &[("grpc-previous-rpc-attempts", "0"), ("x-envoy-attempt-count", "3")],
    ];
    for headers in repeated {
        let status = send(&mut gateway, unnamed.clone(), headers).await.unwrap_err();
        assert_eq!(pushback(&status), "-1");
        let error = Explained::of(&status);
        assert_eq!(
            (error.code, error.info.reason.as_str(), error.meta("dialed")),
            (Code::FailedPrecondition, "REQUEST_ID_REQUIRED", "maybe")
        );
        // To check is harmless.
        let check = CreateCallsRequest { validate_only: true, ..unnamed.clone() };
        send(&mut gateway, check, headers).await.unwrap();
    }
    assert!(sandbox.log().is_empty());
    // A first try says so, and a request with a name may be repeated.
    let first = [("grpc-previous-rpc-attempts", "0"), ("x-envoy-attempt-count", "1")];
    send(&mut gateway, unnamed, &first).await.unwrap();
    let named = request("named", "knovvu", "+919900000200");
    let answer = send(&mut gateway, named.clone(), &[("x-envoy-attempt-count", "2")]).await;
    assert!(!answer.unwrap().replayed);
    let again = send(&mut gateway, named, &[("grpc-previous-rpc-attempts", "1")]).await;
    assert!(again.unwrap().replayed);
    assert_eq!(sandbox.dialed().len(), 2);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_gateway_may_ask_for_a_name() {
    let sandbox = dialplane::sandbox::Sandbox::start(Default::default()).await.unwrap();
    let server = "\nrequire_request_id = true\n";
    let mut gateway = Gateway::start(&format!("{server}{}", six_systems(&sandbox, "20s"))).await;
    let unnamed = request("", "knovvu", "+919900000100");
    let check = CreateCallsRequest { validate_only: true, ..unnamed.clone() };
    for request in [unnamed.clone(), check] {
        let status = gateway.send(request).await.unwrap_err();
        assert_eq!(pushback(&status), "-1");
        let error = Explained::of(&status);
        assert_eq!(
            (error.code, error.info.reason.as_str(), error.meta("dialed")),
            (Code::InvalidArgument, "REQUEST_ID_REQUIRED", "no")
        );
        assert_eq!(error.fields(), ["request_id"]);
    }
    let empty = CreateCallsRequest { calls: Vec::new(), ..unnamed };
    let error = Explained::of(&gateway.send(empty).await.unwrap_err());
    assert_eq!(error.fields(), ["request_id", "calls"], "all mistakes at once");
    assert!(sandbox.log().is_empty());
    gateway.send(request("named", "knovvu", "+919900000100")).await.unwrap();
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_was_not_recorded_may_be_repeated_under_its_name() {
    let house = House::new();
    house.answer();
    let Served { address, stop, server } = Served::start(&house).await;
    let address = format!("http://{address}");
    let mut client = CallServiceClient::connect(address).await.unwrap();
    let mut failed = async |id: &str| {
        let status = client.create_calls(request(id, "", "+919900000100")).await.unwrap_err();
        let error = Explained::of(&status);
        assert_eq!(status.code(), Code::Unavailable);
        let reason = error.info.reason.clone();
        (reason, error.meta("dialed").to_owned(), pushback(&status).to_owned())
    };
    let expected = |reason: &str, wait: &str| (reason.to_owned(), "no".to_owned(), wait.to_owned());
    house.ledger.refusals.store(2, SeqCst);
    assert_eq!(failed("one").await, expected("LEDGER_UNAVAILABLE", "5000"));
    assert_eq!(failed("").await, expected("LEDGER_UNAVAILABLE", "-1"));
    // While another one with this id is at the gateway, "no" would be a promise.
    house.ledger.refusals.store(1, SeqCst);
    let print = Fingerprint { digest: [1; 32], fields: Vec::new() };
    let looked = house.gateway.recorded(&"one".parse().unwrap(), &print).await.unwrap();
    let being_placed = ("BEING_PLACED".to_owned(), "maybe".to_owned(), "1000".to_owned());
    assert_eq!(failed("one").await, being_placed);
    drop(looked);
    house.gateway.stop();
    assert_eq!(failed("one").await, expected("STOPPING", "1000"));
    assert_eq!(failed("").await, expected("STOPPING", "-1"));
    drop((client, stop));
    server.await.unwrap().unwrap();
    house.end(0).await;
}
