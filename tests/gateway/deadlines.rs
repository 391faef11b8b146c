//! Deadlines that pass while the request is still on its way: whose word the caller gets.

use std::{net::SocketAddr, sync::atomic::Ordering::SeqCst, time::Duration};

use axum::http::{HeaderMap, Request};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut, Bytes};
use dialplane::{
    api::{Bound, ServeError},
    config::Listen,
    proto::{CancelCallsRequest, CreateCallsRequest, GetCallResultsRequest},
};
use prost::Message;
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};
use tonic::Code;
use tonic_types::pb;

use crate::{
    harness::{Explained, to},
    joining::House,
};

/// A house that listens.
pub struct Served {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub server: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    pub async fn start(house: &House) -> Self {
        let bound = Bound::new(&Listen::Tcp("127.0.0.1:0".parse().unwrap())).await.unwrap();
        let address = bound.tcp().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = bound.serve(house.gateway.clone(), async { drop(stopped.await) });
        Self { address, stop, server: tokio::spawn(server) }
    }

    pub async fn end(self) {
        drop(self.stop);
        self.server.await.unwrap().unwrap();
    }
}

/// How long the rest of a body takes: longer than the gateway's answer is ahead of a deadline
/// of a second.
const LATE: Duration = Duration::from_millis(200);

/// Sends the headers and the first byte of the body, and the rest later, if ever.
async fn send(
    address: SocketAddr,
    rpc: &str,
    timeout: &str,
    message: &impl Message,
    rest_after: Option<Duration>,
) -> HeaderMap {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::post(format!("http://{address}/dialplane.v1.CallService/{rpc}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(())
        .unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    let mut framed = vec![0];
    framed.put_u32(message.encoded_len().try_into().unwrap());
    message.encode(&mut framed).unwrap();
    let mut first = Bytes::from(framed);
    let rest = first.split_off(1);
    body.send_data(first, false).unwrap();
    if let Some(late) = rest_after {
        tokio::time::sleep(late).await;
        body.send_data(rest, true).unwrap();
    }
    let answer = answer.await.unwrap();
    let headers = answer.headers().clone();
    drop((answer, body, client));
    connection.abort();
    headers
}

fn code(headers: &HeaderMap) -> Code {
    Code::from_bytes(headers["grpc-status"].as_bytes())
}

fn explained(headers: &HeaderMap) -> Explained {
    let details = STANDARD_NO_PAD.decode(headers["grpc-status-details-bin"].as_bytes()).unwrap();
    Explained::read(&pb::Status::decode(details.as_slice()).unwrap())
}

fn request(id: &str) -> CreateCallsRequest {
    CreateCallsRequest {
        request_id: id.into(),
        calls: vec![to("+919900000100")],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_late_body_does_not_have_the_transport_speak_for_what_is_being_dialled() {
    let house = House::new();
    let served = Served::start(&house).await;
    // The vendor does not answer in time.
    let headers = send(served.address, "CreateCalls", "1S", &request("one"), Some(LATE)).await;
    assert_eq!(code(&headers), Code::DeadlineExceeded, "{headers:?}");
    assert_eq!(headers["grpc-retry-pushback-ms"], "-1");
    let error = explained(&headers);
    assert_eq!(
        (error.info.reason.as_str(), error.meta("dialed"), error.meta("request_id")),
        ("DEADLINE_EXCEEDED", "maybe", "one")
    );
    served.end().await;
    house.end(1).await;
}

#[tokio::test]
async fn nor_for_results_that_a_slow_ledger_has() {
    let house = House::new();
    let served = Served::start(&house).await;
    house.ledger.paging.open.send_replace(false);
    let query = GetCallResultsRequest { request_id: "one".into(), ..Default::default() };
    let headers = send(served.address, "GetCallResults", "1S", &query, Some(LATE)).await;
    assert_eq!(code(&headers), Code::DeadlineExceeded, "{headers:?}");
    let error = explained(&headers);
    assert_eq!((error.info.reason.as_str(), error.meta("dialed")), ("DEADLINE_EXCEEDED", "no"));
    served.end().await;
    house.end(0).await;
}

#[tokio::test]
async fn a_check_of_what_would_be_taken_back_takes_nothing_back_late_either() {
    let house = House::new();
    let served = Served::start(&house).await;
    house.ledger.paging.open.send_replace(false);
    let request =
        CancelCallsRequest { request_id: "one".into(), validate_only: true, ..Default::default() };
    let headers = send(served.address, "CancelCalls", "1S", &request, Some(LATE)).await;
    assert_eq!(code(&headers), Code::DeadlineExceeded, "{headers:?}");
    let error = explained(&headers);
    assert_eq!((error.info.reason.as_str(), error.meta("dialed")), ("DEADLINE_EXCEEDED", "no"));
    served.end().await;
    house.end(0).await;
}

#[tokio::test]
async fn a_body_that_is_not_whole_in_time_is_not_waited_for_and_nothing_is_placed() {
    let house = House::new();
    house.answer();
    let served = Served::start(&house).await;
    let headers = send(served.address, "CreateCalls", "100m", &request("one"), None).await;
    assert_eq!(code(&headers), Code::DeadlineExceeded, "{headers:?}");
    let error = explained(&headers);
    assert_eq!((error.info.reason.as_str(), error.meta("dialed")), ("DEADLINE_EXCEEDED", "no"));
    assert_eq!(house.ledger.recording.reached.available_permits(), 0);
    assert_eq!(house.ledger.refusals.load(SeqCst), 0);
    served.end().await;
    house.end(0).await;
}
